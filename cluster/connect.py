"""How does a program get workers, whatever machine it is on?"""

# mypy: allow-untyped-calls
# (distributed is only partly annotated)
from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from distributed import Client

from cluster.config import HereProfile, LocalProfile, Profile
from cluster.errors import ClusterError


class Cluster:
    """A connected cluster: what it is, how many workers it has, and the client that runs things on them."""

    def __init__(self, profile: Profile, client: Any = None) -> None:
        self.profile = profile
        self.client = client

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

    def tend(self) -> None:
        """Replace jobs that have ended; called now and then while tasks run."""

    def job_script(self) -> str:
        """The script of one worker's job, for kinds that have jobs, else a sentence."""
        return f"# cluster kind {self.profile.kind!r} submits no jobs\n"

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
        if isinstance(profile, HereProfile):
            yield Cluster(profile)
        elif isinstance(profile, LocalProfile):
            from cluster.local import local_cluster

            dask_cluster = stack.enter_context(local_cluster(profile))
            client = stack.enter_context(Client(dask_cluster, set_as_default=False))
            yield Cluster(profile, client)
        else:
            raise ClusterError(f"cluster kind {profile.kind!r} is not supported by this version")
