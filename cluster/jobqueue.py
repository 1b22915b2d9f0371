# mypy: allow-untyped-calls
# (dask-jobqueue is not annotated)
"""Workers in jobs of SLURM, PBS, SGE or LSF: submitted by dask-jobqueue, watched and replaced here."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import dask
from distributed import Security

from cluster import dask_config, dask_private, queue_state
from cluster.attendance import Attendance, StartWatch
from cluster.certificates import CERTIFICATE, KEY, certificate_folder
from cluster.config import JobProfile
from cluster.errors import ClusterError
from cluster.job_script import CLASSES, import_dask_jobqueue, job_options, quoted_security, scheduler_options

log = logging.getLogger(__name__)

#: A job counts as lost when its workers have been away for this long; a nanny may only be restarting them.
_LOST_AFTER_S = 10.0
#: Queueing systems limit the rate and the number of submissions. The pause doubles while jobs end without a worker.
_SUBMIT_AGAIN_S = 10.0
_LONGEST_PAUSE_S = 600.0
#: Rounds of jobs that all end without a worker before the run stops.
START_ATTEMPTS = 3


@contextmanager
def job_cluster(profile: JobProfile) -> Iterator[JobCluster]:
    """Start a scheduler in this process and submit jobs of workers; cancel them at the end."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask_config.applied(profile.longest_hold_s))
        # `tend` replaces lost jobs. Dask's own timer would cancel the replacement, which has the same name and may
        # still be waiting in the queue.
        stack.enter_context(dask.config.set({"distributed.deploy.lost-worker-timeout": "3650 days"}))
        security = None
        if profile.encryption == "tls":
            folder = stack.enter_context(certificate_folder(profile.shared_directory.expanduser()))
            security = quoted_security(folder / CERTIFICATE, folder / KEY)
        jobs = JobCluster(profile, security)
        stack.callback(jobs.close)
        jobs.submit()
        yield jobs


class JobCluster:
    """Jobs of a queueing system; lost ones are submitted again."""

    def __init__(self, profile: JobProfile, security: Security | None) -> None:
        cluster_class = getattr(import_dask_jobqueue(), CLASSES[profile.kind])
        options = job_options(profile)
        self.profile = profile
        self.count = math.ceil(profile.workers / options["cores"])
        self._last_submission = -math.inf
        self._pause_s = _SUBMIT_AGAIN_S
        self._starts = StartWatch()
        self._log_directory = Path(options["log_directory"])
        self._all_ids: list[str] = []
        self.dask_cluster = cluster_class(
            n_workers=0,
            security=security,
            scheduler_options=scheduler_options(profile),
            silence_logs=getattr(logging, profile.log_level.upper()),
            **options,
        )
        self._attendance = Attendance(options["cores"])
        self.dask_cluster.scheduler.add_plugin(self._attendance, name="attendance")

    def submit(self, *, at_least_one: bool = True) -> None:
        """Submit all missing jobs; refused ones are submitted again later."""
        self._last_submission = time.monotonic()
        refused = self.dask_cluster.sync(self._submit)
        if refused is None:
            return
        if at_least_one and not self.job_ids():
            raise ClusterError(f"cluster {self.profile.kind!r}: the job was not accepted\n{refused}")
        log.warning("cluster %r: not all jobs were accepted\n%s", self.profile.kind, refused)

    def tend(self) -> None:
        """Submit a new job for each whose workers are gone, because of its walltime, its node or a failed start."""
        now = time.monotonic()
        lost = [name for name, since in list(self._attendance.gone_since.items()) if now - since > _LOST_AFTER_S]
        if lost:
            self.dask_cluster.sync(self._forget, lost)
        self._replace_failed_starts(now)
        if len(self.dask_cluster.workers) < self._wanted() and now - self._last_submission > self._pause_s:
            # A queueing system that does not answer may answer later, until cluster.worker_wait_s is over.
            self.submit(at_least_one=False)

    def _wanted(self) -> int:
        """Return the number of jobs to have; one at a time while no job starts, since all may fail for one reason."""
        return 1 if self._starts.failed_rounds else self.count

    def _replace_failed_starts(self, now: float) -> None:
        """Give up jobs that ended before their worker connected; raise ClusterError if that is all that jobs do."""
        if self._attendance.anybody():
            self._starts.succeeded()
        if self._attendance.take_news():
            self._pause_s = _SUBMIT_AGAIN_S
        waiting = self._waiting()
        if not waiting or not self._starts.due(now, now - self._last_submission):
            return
        alive = queue_state.jobs_alive(self.profile.kind)
        failed = self._starts.find_ended(waiting, alive)
        if not failed:
            return
        reason = self._reason(failed.values())
        self.dask_cluster.sync(self._forget, list(failed))
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        if not self.dask_cluster.workers:
            self._starts.round_failed()
            self._pause_s = _SUBMIT_AGAIN_S
        if self._starts.failed_rounds >= START_ATTEMPTS:
            raise ClusterError(
                f"cluster {self.profile.kind!r}: every job ended before a worker connected, {START_ATTEMPTS} times, "
                f"the last was job {', '.join(failed.values())}; correct what its log says (cluster.prologue, "
                f"cluster.python, cluster.scheduler_host or the node), then re-run the same command\n{reason}"
            )
        log.warning(
            "cluster %r: %s %s ended before a worker connected; a new job follows in %.0f s\n%s",
            self.profile.kind,
            "job" if len(failed) == 1 else "jobs",
            ", ".join(failed.values()),
            self._pause_s,
            reason,
        )

    def _waiting(self) -> dict[str, str]:
        """Return names and ids of jobs of which no worker has connected yet."""
        jobs = list(self.dask_cluster.workers.items())
        return {name: str(job.job_id) for name, job in jobs if job.job_id and not self._attendance.knows(name)}

    def _reason(self, ids: Collection[str]) -> str:
        texts = [queue_state.why_not_started(self.profile.kind, list(ids)[-1])]
        texts.append(queue_state.end_of_logs(self._log_directory, ids))
        return "\n".join(filter(None, texts)) or f"it left no output in {self._log_directory}"

    async def _submit(self) -> str | None:
        """Submit; return the answer of the queueing system if it refused."""
        self.dask_cluster.scale(jobs=self._wanted())
        try:
            await dask_private.submit_jobs(self.dask_cluster)
        except (OSError, RuntimeError, ValueError) as error:
            await self._forget([name for name, job in self.dask_cluster.workers.items() if not job.job_id])
            return str(error)
        finally:
            self._all_ids += [job for job in self.job_ids() if job not in self._all_ids]
        return None

    async def _forget(self, names: list[str]) -> None:
        for name in names:
            self._attendance.forget(name)
            job = self.dask_cluster.workers.pop(name, None)
            if job is not None:
                await job.close()

    def job_ids(self) -> list[str]:
        """Return the ids that the queueing system gave the jobs."""
        return [str(job.job_id) for job in self.dask_cluster.workers.values() if job.job_id]

    def state(self) -> str:
        """Return what the queueing system says about the jobs and the end of the newest log, for an error message."""
        lines = [
            f"jobs submitted: {', '.join(self._all_ids) or 'none'}",
            queue_state.describe(self.profile.kind),
            queue_state.end_of_logs(self._log_directory, self._all_ids),
        ]
        return "\n".join(filter(None, lines))

    def close(self) -> None:
        """Cancel the jobs and stop the scheduler."""
        self.dask_cluster.close(timeout=60)
