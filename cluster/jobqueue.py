# mypy: allow-untyped-calls
# (dask-jobqueue is not annotated)
"""Workers in jobs of SLURM, PBS, SGE or LSF.

dask-jobqueue writes the scripts and submits them. Options that the profile leaves unset come from the user's own
`jobqueue.yaml`; lists (directives, prologue, worker arguments) of both are joined.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import math
import shlex
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import dask
from dask.utils import parse_bytes
from distributed import SchedulerPlugin, Security

from cluster import dask_config, dask_private
from cluster.certificates import CERTIFICATE, KEY, certificate_folder
from cluster.config import JobProfile
from cluster.errors import ClusterError
from cluster.scratch import SHELL_EXPRESSION, shell_lines
from cluster.walltime import lifetime, walltime_seconds

log = logging.getLogger(__name__)

_CLASSES = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "sge": "SGECluster", "lsf": "LSFCluster"}
_STATE_COMMANDS = {
    "slurm": ["squeue", "--noheader", "--format=%i %T %r", "--jobs={ids}"],
    "pbs": ["qstat"],
    "sge": ["qstat"],
    "lsf": ["bjobs"],
}
#: A job counts as lost when its workers have been away for this long; a nanny may only be restarting them.
_LOST_AFTER_S = 10.0
#: Queueing systems limit the rate and the number of submissions.
_SUBMIT_AGAIN_S = 10.0
_DEFAULT_MEMORY = "4 GB"


class _QuotedSecurity(Security):  # type: ignore[misc, unused-ignore]
    """Security whose paths are quoted for the shell: dask-jobqueue pastes them into job scripts as they are."""

    def get_tls_config_for_role(self, role: str) -> dict[str, str | None]:
        config: dict[str, str | None] = super().get_tls_config_for_role(role)
        if role == "worker":
            return {key: None if value is None else shlex.quote(value) for key, value in config.items()}
        return config


@contextmanager
def job_cluster(profile: JobProfile) -> Iterator[JobCluster]:
    """Start a scheduler in this process and submit jobs of workers; cancel them at the end."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask_config.applied(profile.longest_hold_s))
        security = None
        if profile.encryption == "tls":
            folder = stack.enter_context(certificate_folder(profile.shared_directory.expanduser()))
            security = _quoted(folder / CERTIFICATE, folder / KEY)
        jobs = JobCluster(profile, security)
        stack.callback(jobs.close)
        jobs.submit()
        yield jobs


def job_script(profile: JobProfile) -> str:
    """Return the script of a job; submit nothing and make no certificate."""
    folder = profile.shared_directory.expanduser() / "tls-of-this-run"
    security = None
    if profile.encryption == "tls":
        security = _quoted(folder / CERTIFICATE, folder / KEY)
    module = import_dask_jobqueue()
    job_class = getattr(module, _CLASSES[profile.kind]).job_cls
    options = _job_options(profile)
    if security is not None:
        options.update(security=security, protocol="tls://")
    job = job_class(scheduler="<address of the scheduler>", name="<name of the job>", **options)
    return str(job.job_script())


class JobCluster:
    """Jobs of a queueing system; lost ones are submitted again."""

    def __init__(self, profile: JobProfile, security: Security | None) -> None:
        cluster_class = getattr(import_dask_jobqueue(), _CLASSES[profile.kind])
        options = _job_options(profile)
        self.profile = profile
        self.count = math.ceil(profile.workers / options["cores"])
        self._last_submission = -math.inf
        self.dask_cluster = cluster_class(
            n_workers=0,
            security=security,
            scheduler_options=_scheduler_options(profile),
            silence_logs=getattr(logging, profile.log_level.upper()),
            **options,
        )
        self._attendance = _Attendance(options["cores"])
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
        """Submit a new job for each whose workers are gone, because of its walltime or its node."""
        now = time.monotonic()
        lost = [name for name, since in self._attendance.gone_since.items() if now - since > _LOST_AFTER_S]
        if lost:
            self.dask_cluster.sync(self._forget, lost)
        if len(self.dask_cluster.workers) < self.count and now - self._last_submission > _SUBMIT_AGAIN_S:
            # A queueing system that does not answer may answer later, until cluster.worker_wait_s is over.
            self.submit(at_least_one=False)

    async def _submit(self) -> str | None:
        """Submit; return the answer of the queueing system if it refused."""
        self.dask_cluster.scale(jobs=self.count)
        try:
            await dask_private.submit_jobs(self.dask_cluster)
        except (OSError, RuntimeError, ValueError) as error:
            await self._forget([name for name, job in self.dask_cluster.workers.items() if not job.job_id])
            return str(error)
        return None

    async def _forget(self, names: list[str]) -> None:
        for name in names:
            self._attendance.gone_since.pop(name, None)
            job = self.dask_cluster.workers.pop(name, None)
            if job is not None:
                await job.close()

    def job_ids(self) -> list[str]:
        """Return the ids that the queueing system gave the jobs."""
        return [str(job.job_id) for job in self.dask_cluster.workers.values() if job.job_id]

    def state(self) -> str:
        """Return what the queueing system says about the jobs and the end of the newest log, for an error message."""
        lines = []
        ids = self.job_ids()
        command = [word.format(ids=",".join(ids)) for word in _STATE_COMMANDS[self.profile.kind]]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
            lines.append(f"$ {shlex.join(command)}\n{(answer.stdout or answer.stderr).strip()[:1000] or '(no jobs)'}")
        except (OSError, subprocess.TimeoutExpired) as error:
            lines.append(f"$ {shlex.join(command)}: {error}")
        folder = dask_private.log_directory(self.dask_cluster)
        logs = sorted(Path(folder).glob("*"), key=lambda path: path.stat().st_mtime) if folder else []
        if logs:
            tail = "\n".join(logs[-1].read_text(errors="replace").splitlines()[-8:])
            lines.append(f"end of {logs[-1]}:\n{tail[:2000]}")
        return "\n".join([f"jobs submitted: {', '.join(ids) or 'none'}", *lines])

    def close(self) -> None:
        """Cancel the jobs and stop the scheduler."""
        self.dask_cluster.close(timeout=60)


class _Attendance(SchedulerPlugin):
    """Jobs whose workers are gone, and since when (monotonic clock, seconds)."""

    def __init__(self, workers_per_job: int) -> None:
        self._workers_per_job = workers_per_job
        self._names: dict[str, str] = {}
        self.gone_since: dict[str, float] = {}

    def add_worker(self, scheduler: Any, worker: str) -> None:
        self.gone_since.pop(self._job(scheduler.workers[worker].name), None)
        self._names[worker] = self._job(scheduler.workers[worker].name)

    def remove_worker(self, scheduler: Any, worker: str, *, stimulus_id: str = "", **_: Any) -> None:
        job = self._names.pop(worker, None)
        if job is not None and job not in self._names.values():
            # A worker at the end of its lifetime does not come back.
            leaves = stimulus_id.startswith("worker-close-gracefully")
            self.gone_since[job] = -math.inf if leaves else time.monotonic()

    def _job(self, worker_name: Any) -> str:
        # The workers of one job are called NAME-0, NAME-1, ...; a single one is called NAME.
        name = str(worker_name)
        return name.rpartition("-")[0] if self._workers_per_job > 1 else name


def import_dask_jobqueue() -> ModuleType:
    """Import dask-jobqueue and restore the Ctrl-C handler, which its import replaces with a silent exit code 0."""
    if "dask_jobqueue" not in sys.modules:
        before = signal.getsignal(signal.SIGINT)
        importlib.import_module("dask_jobqueue")
        signal.signal(signal.SIGINT, before)
    return sys.modules["dask_jobqueue"]


def _quoted(certificate: Path, key: Path) -> _QuotedSecurity:
    roles = ("client", "scheduler", "worker")
    files = {f"tls_{role}_{part}": str(path) for role in roles for part, path in (("cert", certificate), ("key", key))}
    return _QuotedSecurity(require_encryption=True, tls_ca_file=str(certificate), **files)


def _user_setting(profile: JobProfile, key: str) -> Any:
    """Return the value in the user's own configuration, or None if it is only dask-jobqueue's default."""
    section = profile.config_name or profile.kind
    value = dask.config.get(f"jobqueue.{section}.{key}", None)
    packaged = [defaults.get("jobqueue", {}).get(profile.kind, {}) for defaults in dask.config.defaults]
    return None if any(key in section and section[key] == value for section in packaged) else value


def _job_options(profile: JobProfile) -> dict[str, Any]:
    """Return the keywords of dask-jobqueue's cluster class."""
    import_dask_jobqueue()
    cores = profile.cores_per_job or _user_setting(profile, "cores") or 1
    memory = None if profile.memory_per_worker is None else _times(profile.memory_per_worker, cores)
    shared = profile.shared_directory.expanduser()
    log_directory = profile.log_directory or _user_setting(profile, "log-directory") or shared / "logs"
    if any(character.isspace() for character in str(log_directory)):
        raise ClusterError(
            f"the folder for the jobs' output, {str(log_directory)!r}, has a blank in its name, which job scripts "
            "cannot express; set cluster.log_directory to a folder without"
        )
    scratch_parent = str(profile.local_directory or _user_setting(profile, "local-directory") or "")
    options: dict[str, Any] = {
        "cores": cores,
        # One process per core: threads would wait for the interpreter lock.
        "processes": cores,
        "memory": memory or _user_setting(profile, "memory") or _times(_DEFAULT_MEMORY, cores),
        "nanny": True,
        "death_timeout": _user_setting(profile, "death-timeout") or int(profile.death_timeout_s),
        "local_directory": SHELL_EXPRESSION,
        "log_directory": str(log_directory),
        "worker_extra_args": [*(_user_setting(profile, "worker-extra-args") or []), *_worker_arguments(profile)],
        "job_extra_directives": [*(_user_setting(profile, "job-extra-directives") or []), *profile.directives],
        "job_script_prologue": [
            *(_user_setting(profile, "job-script-prologue") or []),
            *profile.prologue,
            *shell_lines(shlex.quote(scratch_parent) if scratch_parent else None),
            *dask_config.exports(),
            *_path_to_this_code(),
            "export PYTHONSAFEPATH=1",  # a cluster.py in the folder of the job must not hide our package
        ],
        "job_name": _user_setting(profile, "name") or "pxrd-datagen",
        "python": profile.python or _user_setting(profile, "python") or shlex.quote(sys.executable),
        "queue": profile.queue,
        "walltime": profile.walltime,
        "interface": profile.interface,
        "config_name": profile.config_name,
        ("project" if profile.kind in ("sge", "lsf") else "account"): profile.account,
    }
    if profile.kind in ("pbs", "sge"):
        options["resource_spec"] = profile.resource_spec
    return {key: value for key, value in options.items() if value is not None}


def _worker_arguments(profile: JobProfile) -> list[str]:
    arguments = ["--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
    given = _user_setting(profile, "worker-extra-args") or []
    if any(str(argument).startswith("--lifetime") for argument in given):
        return arguments
    if profile.lifetime_s is not None:
        return [*arguments, "--lifetime", f"{profile.lifetime_s:g}s"]
    section = profile.config_name or profile.kind
    walltime = profile.walltime or dask.config.get(f"jobqueue.{section}.walltime", None)
    if walltime is None:
        return arguments
    seconds, stagger = lifetime(walltime_seconds(str(walltime), profile.kind), profile.margin_s)
    return [*arguments, "--lifetime", f"{seconds}s", "--lifetime-stagger", f"{stagger}s"]


def _scheduler_options(profile: JobProfile) -> dict[str, Any]:
    options = dict(_user_setting(profile, "scheduler-options") or {})
    if profile.scheduler_host is not None:
        options["host"] = profile.scheduler_host
    # The user's configuration may choose the port; the address is always this machine's own.
    port = profile.dashboard_port or str(options.get("dashboard_address", ":0")).rpartition(":")[2] or 0
    options["dashboard_address"] = f"127.0.0.1:{port}"
    return options


def _times(memory: str, cores: int) -> str:
    return f"{parse_bytes(memory) * cores} B"


def _path_to_this_code() -> list[str]:
    """Return the shell lines that let workers import this code where it is run from its folder, not installed."""
    root = Path(__file__).resolve().parents[1]
    if any(root == Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")):
        return []
    return [f'export PYTHONPATH={shlex.quote(str(root))}"${{PYTHONPATH:+:$PYTHONPATH}}"']
