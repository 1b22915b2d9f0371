"""How are worker processes started on this machine?"""

# mypy: allow-untyped-calls
# (distributed is only partly annotated)
from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dask.system import cpu_count
from distributed import LocalCluster

from cluster import dask_config
from cluster.certificates import make_certificate, security_in_memory
from cluster.config import LocalProfile
from cluster.errors import ClusterError
from cluster.scratch import scratch_directory, warn_if_shared

log = logging.getLogger(__name__)

START_ATTEMPTS = 5


@contextmanager
def local_cluster(profile: LocalProfile) -> Iterator[Any]:
    """A scheduler in this process and one-core workers with nannies, on 127.0.0.1 alone, closed at the end.

    Other users of the machine reach 127.0.0.1 as well as we do, so here too only our certificate opens the ports.
    """
    scratch = profile.local_directory or scratch_directory()
    warn_if_shared(scratch)
    with dask_config.applied(profile.longest_hold_s):
        cluster = _start(profile, scratch)
        try:
            yield cluster
        finally:
            cluster.close(timeout=30)


def _start(profile: LocalProfile, scratch: Path) -> Any:
    """The cluster with all its workers; Dask gives up when one dies while it starts, so this tries again."""
    for attempt in range(1, START_ATTEMPTS + 1):
        try:
            return LocalCluster(
                n_workers=profile.workers or cpu_count(),
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                security=security_in_memory(*make_certificate()) if profile.encryption == "tls" else None,
                dashboard_address=f"127.0.0.1:{profile.dashboard_port}",
                memory_limit=profile.memory_per_worker or "auto",
                local_directory=str(scratch),
                silence_logs=getattr(logging, profile.log_level.upper()),
            )
        except (OSError, RuntimeError, TimeoutError) as error:
            if attempt == START_ATTEMPTS:
                raise ClusterError(
                    f"worker processes could not be started on this machine, {START_ATTEMPTS} times, "
                    f"with temporary files in {scratch}: {error} "
                    "(a script that connects must do so under `if __name__ == '__main__':`)"
                ) from error
            log.warning("a worker ended while it started, attempt %d of %d", attempt, START_ATTEMPTS)
    raise AssertionError("the last attempt returns or raises")
