"""Worker processes on this machine."""

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
from cluster.scratch import private_scratch

log = logging.getLogger(__name__)

START_ATTEMPTS = 5


@contextmanager
def local_cluster(profile: LocalProfile) -> Iterator[Any]:
    """Start a scheduler in this process and one-core workers with nannies, all on 127.0.0.1; close them at the end.

    Other users of the machine reach 127.0.0.1 too, so here as elsewhere the ports accept this run's certificate only.
    """
    with private_scratch(profile.local_directory) as scratch, dask_config.applied(profile.longest_hold_s):
        cluster = _start(profile, scratch)
        try:
            yield cluster
        finally:
            cluster.close(timeout=30)


def _start(profile: LocalProfile, scratch: Path) -> Any:
    """Return the cluster with all its workers; retry, since Dask fails if one dies while it starts."""
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
