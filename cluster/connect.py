"""Connection to workers on any kind of cluster."""

# mypy: allow-untyped-calls
# (distributed is only partly annotated)
from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from distributed import Client, Status
from distributed.gc import disable_gc_diagnosis

from cluster.certificates import security_from_files
from cluster.config import AddressProfile, AllocationProfile, InlineProfile, JobProfile, LocalProfile, Profile
from cluster.errors import ClusterError
from cluster.graceful_exit import GracefulExit
from cluster.task import perform

if TYPE_CHECKING:
    from cluster.jobqueue import JobCluster


_ENDED = (Status.closed, Status.failed, Status.stopped)

A = TypeVar("A")

PLUGIN_ATTEMPTS = 5
NO_RECEIPT_BYTES = 64


class Cluster:
    """A connected cluster: its profile, its client and its workers."""

    def __init__(self, profile: Profile, client: Any = None) -> None:
        self.profile = profile
        self.client = client
        self._preparations: list[Any] = []

    @property
    def dashboard_link(self) -> str | None:
        """Return the address of the dashboard, which listens on 127.0.0.1 of the scheduler's machine."""
        return None if self.client is None else str(self.client.dashboard_link)

    def worker_count(self) -> int:
        """Return the number of connected worker processes."""
        if self.client is None:
            return 1
        try:
            return len(self.client.nthreads())
        except (OSError, TimeoutError) as error:
            raise ClusterError(self.lost_message()) from error

    def worker_memory_bytes(self) -> float:
        """Return the memory of the worker process that takes most, as it last reported; 0 if there is none."""
        if self.client is None:
            return 0.0
        try:
            return float(self.client.run_on_scheduler(_largest_memory))
        except (OSError, TimeoutError) as error:
            raise ClusterError(self.lost_message()) from error

    def wait_for_workers(self, count: int, timeout_s: float) -> None:
        """Wait until `count` workers are connected; raise ClusterError after `timeout_s` seconds."""
        if self.client is None:
            return
        try:
            self.client.wait_for_workers(count, timeout=timeout_s)
        except TimeoutError as error:
            raise ClusterError(self.no_workers_message(timeout_s)) from error

    def prepare(self, function: Callable[[A], None], argument: A) -> None:
        """Call a function once on every worker, without waiting, to load what tasks need.

        Its errors are ignored: the tasks will raise them again.
        """
        if self.client is None:
            return
        try:
            workers = list(self.client.nthreads())
        except (OSError, TimeoutError) as error:
            raise ClusterError(self.lost_message()) from error
        # Kept until the cluster ends: Dask cancels futures without a reference.
        self._preparations += [
            self.client.submit(perform, function, argument, NO_RECEIPT_BYTES, workers=[worker], pure=False)
            for worker in workers
        ]

    def tend(self) -> None:
        """Replace workers that are lost; called regularly while tasks run."""

    def no_workers_message(self, waited_s: float) -> str:
        """Return the message for a run without workers."""
        return (
            f"no worker has been connected for {waited_s:.0f} s on cluster {self.profile.kind!r}; "
            "set cluster.log_level = 'info' to see why workers end"
        )

    def lost_message(self) -> str:
        """Return the message for a lost scheduler."""
        return (
            f"the connection to the Dask scheduler of cluster {self.profile.kind!r} is lost; finished work is kept: "
            "re-run the same command"
        )


@contextmanager
def connect(profile: Profile) -> Iterator[Cluster]:
    """Start or reach the cluster of `profile`; disconnect at the end and stop the workers that were started."""
    with ExitStack() as stack:
        cluster = _start(profile, stack)
        if cluster.client is not None:
            # The scheduler's diagnosis of garbage collection runs in callbacks, which swallow a Ctrl-C.
            disable_gc_diagnosis(force=True)
            _register_graceful_exit(cluster)
        yield cluster


def _register_graceful_exit(cluster: Cluster) -> None:
    """Register the plugin on present and future workers; Dask fails if one of them dies meanwhile, so retry."""
    for attempt in range(1, PLUGIN_ATTEMPTS + 1):
        try:
            cluster.client.register_plugin(GracefulExit())
        except (OSError, TimeoutError) as error:
            if attempt == PLUGIN_ATTEMPTS:
                raise ClusterError(f"workers die as soon as they are contacted ({error}); see their logs") from error
            time.sleep(attempt)
        else:
            return


def _start(profile: Profile, stack: ExitStack) -> Cluster:
    def client_of(address: Any, security: Any = None) -> Any:
        return stack.enter_context(Client(address, security=security, set_as_default=False))

    if isinstance(profile, InlineProfile):
        return Cluster(profile)
    if isinstance(profile, LocalProfile):
        from cluster.local import local_cluster

        dask_cluster = stack.enter_context(local_cluster(profile))
        return _LocalCluster(profile, client_of(dask_cluster), dask_cluster)
    if isinstance(profile, JobProfile):
        from cluster.jobqueue import job_cluster

        jobs = stack.enter_context(job_cluster(profile))
        return _ClusterOfJobs(profile, client_of(jobs.dask_cluster), jobs)
    if isinstance(profile, AllocationProfile):
        from cluster.allocation import allocation

        return Cluster(profile, client_of(*stack.enter_context(allocation(profile))))
    return Cluster(profile, stack.enter_context(_client_of_address(profile)))


def job_script(profile: Profile) -> str | None:
    """Return the script of a job, or None for kinds without jobs; start nothing."""
    if not isinstance(profile, JobProfile):
        return None
    from cluster.job_script import job_script as script_of_job

    return script_of_job(profile)


class _LocalCluster(Cluster):
    """Worker processes on this machine."""

    def __init__(self, profile: Profile, client: Any, dask_cluster: Any) -> None:
        super().__init__(profile, client)
        self._dask_cluster = dask_cluster
        self._wanted = len(dask_cluster.worker_spec)

    def tend(self) -> None:
        # A nanny whose worker dies while it starts closes too, and Dask drops a worker that is away too long: both are
        # replaced only when the number of workers is set again.
        workers = self._dask_cluster.workers
        for name in [name for name, nanny in list(workers.items()) if nanny.status in _ENDED]:
            workers.pop(name, None)
        if len(workers) < self._wanted:
            self._dask_cluster.scale(self._wanted)


class _ClusterOfJobs(Cluster):
    """Workers in jobs of a queueing system."""

    def __init__(self, profile: Profile, client: Any, jobs: JobCluster) -> None:
        super().__init__(profile, client)
        self.jobs = jobs

    def tend(self) -> None:
        self.jobs.tend()

    def no_workers_message(self, waited_s: float) -> str:
        return (
            f"no worker has been connected for {waited_s:.0f} s on cluster {self.profile.kind!r}: "
            "if the jobs are pending, wait longer with cluster.worker_wait_s; if they ended, see their log\n"
            f"{self.jobs.state()}"
        )


def _client_of_address(profile: AddressProfile) -> Any:
    security = None
    if profile.encryption == "tls" and profile.tls_certificate is not None and profile.tls_key is not None:
        security = security_from_files(profile.tls_certificate, profile.tls_key, profile.tls_authority)
    where = profile.address or str(profile.scheduler_file)
    try:
        if profile.scheduler_file is not None:
            return Client(
                scheduler_file=str(profile.scheduler_file), security=security, timeout=30, set_as_default=False
            )
        return Client(profile.address, security=security, timeout=30, set_as_default=False)
    except (OSError, TimeoutError, TypeError, ValueError) as error:
        raise ClusterError(
            f"the Dask scheduler at {where} cannot be reached ({type(error).__name__}: {error}); "
            "is it running, and does it accept this certificate?"
        ) from error


def _largest_memory(dask_scheduler: Any) -> float:
    """Run by the scheduler: one number instead of everything it knows of every worker."""
    return max((state.metrics.get("memory", 0) for state in dask_scheduler.workers.values()), default=0)
