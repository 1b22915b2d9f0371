"""How does a program get workers, whatever machine it is on?"""

# mypy: allow-untyped-calls
# (distributed is only partly annotated)
from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from distributed import Client, Status

from cluster.certificates import security_from_files
from cluster.config import AddressProfile, AllocationProfile, HereProfile, JobProfile, LocalProfile, Profile
from cluster.errors import ClusterError
from cluster.graceful_exit import LeaveInOrder
from cluster.task import perform

if TYPE_CHECKING:
    from cluster.jobqueue import JobCluster


_ENDED = (Status.closed, Status.failed, Status.stopped)

A = TypeVar("A")

PLUGIN_ATTEMPTS = 5
NO_RECEIPT_BYTES = 64


class Cluster:
    """A connected cluster: what it is, how many workers it has, and the client that runs things on them."""

    def __init__(self, profile: Profile, client: Any = None) -> None:
        self.profile = profile
        self.client = client
        self._preparations: list[Any] = []

    @property
    def dashboard_link(self) -> str | None:
        """Address of the dashboard; it listens on 127.0.0.1 of the machine that runs the scheduler."""
        return None if self.client is None else str(self.client.dashboard_link)

    def worker_count(self) -> int:
        """Worker processes that are connected now."""
        if self.client is None:
            return 1
        try:
            return len(self.client.nthreads())
        except (OSError, TimeoutError) as error:
            raise ClusterError(self.lost_message()) from error

    def wait_for_workers(self, count: int, timeout_s: float) -> None:
        """Return when `count` workers are connected; an error says why that does not happen."""
        if self.client is None:
            return
        try:
            self.client.wait_for_workers(count, timeout=timeout_s)
        except TimeoutError as error:
            raise ClusterError(self.no_workers_message(timeout_s)) from error

    def prepare(self, function: Callable[[A], None], argument: A) -> None:
        """Have every worker there is call this once, without waiting: what it loads is there when tasks need it.

        What goes wrong in it is left to those tasks to say.
        """
        if self.client is None:
            return
        try:
            workers = list(self.client.nthreads())
        except (OSError, TimeoutError) as error:
            raise ClusterError(self.lost_message()) from error
        # Held until the cluster ends: Dask drops what nobody holds.
        self._preparations += [
            self.client.submit(perform, function, argument, NO_RECEIPT_BYTES, workers=[worker], pure=False)
            for worker in workers
        ]

    def tend(self) -> None:
        """Replace workers that have gone for good; called now and then while tasks run."""

    def no_workers_message(self, waited_s: float) -> str:
        """What to say when no worker has come, or all have gone and none came back."""
        return (
            f"no worker has been connected for {waited_s:.0f} s on cluster {self.profile.kind!r}; "
            "set cluster.log_level = 'info' to see why workers end"
        )

    def lost_message(self) -> str:
        """What to say when the scheduler itself is gone."""
        return (
            f"the Dask scheduler of cluster {self.profile.kind!r} has gone away; what was finished is kept: "
            "run the same command again"
        )


@contextmanager
def connect(profile: Profile) -> Iterator[Cluster]:
    """Start or reach the cluster of `profile`, and let go of it at the end, with all workers that were started."""
    with ExitStack() as stack:
        cluster = _start(profile, stack)
        if cluster.client is not None:
            _teach_to_leave(cluster)
        yield cluster


def _teach_to_leave(cluster: Cluster) -> None:
    """Give every worker, later ones too, the plugin; Dask gives up on all when one of them dies just then."""
    for attempt in range(1, PLUGIN_ATTEMPTS + 1):
        try:
            cluster.client.register_plugin(LeaveInOrder())
        except (OSError, TimeoutError) as error:
            if attempt == PLUGIN_ATTEMPTS:
                raise ClusterError(
                    f"workers die as soon as they are spoken to ({error}): look at their logs"
                ) from error
            time.sleep(attempt)
        else:
            return


def _start(profile: Profile, stack: ExitStack) -> Cluster:
    def client_of(address: Any, security: Any = None) -> Any:
        return stack.enter_context(Client(address, security=security, set_as_default=False))

    if isinstance(profile, HereProfile):
        return Cluster(profile)
    if isinstance(profile, LocalProfile):
        from cluster.local import local_cluster

        dask_cluster = stack.enter_context(local_cluster(profile))
        return _ClusterHere(profile, client_of(dask_cluster), dask_cluster)
    if isinstance(profile, JobProfile):
        from cluster.jobqueue import job_cluster

        jobs = stack.enter_context(job_cluster(profile))
        return _ClusterOfJobs(profile, client_of(jobs.dask_cluster), jobs)
    if isinstance(profile, AllocationProfile):
        from cluster.allocation import allocation

        return Cluster(profile, client_of(*stack.enter_context(allocation(profile))))
    return Cluster(profile, stack.enter_context(_client_of_address(profile)))


def job_script(profile: Profile) -> str | None:
    """The script that each job of workers would run, or None for kinds that submit no jobs; nothing is started."""
    if not isinstance(profile, JobProfile):
        return None
    from cluster.jobqueue import job_script as script_of_job

    return script_of_job(profile)


class _ClusterHere(Cluster):
    """Worker processes of this machine."""

    def __init__(self, profile: Profile, client: Any, dask_cluster: Any) -> None:
        super().__init__(profile, client)
        self._dask_cluster = dask_cluster
        self._wanted = len(dask_cluster.worker_spec)

    def tend(self) -> None:
        # A nanny whose worker dies while it starts closes too, and Dask gives up a worker that stays away too long:
        # another is started only when the number is asked for again.
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
            "if the jobs are still pending, wait longer with cluster.worker_wait_s; if they ended, their log says why\n"
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
