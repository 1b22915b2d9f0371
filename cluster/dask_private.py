"""Every use of Dask's private API, in one place.

At each release of dask, distributed or dask-jobqueue check the functions below against the new source, then raise the
upper bounds in `pyproject.toml`. Last checked: distributed 2026.8, dask-jobqueue 0.9.
"""

# mypy: allow-untyped-calls
# (distributed and dask-jobqueue are only partly annotated)
from __future__ import annotations

from typing import Any

from distributed import Future


def gather(client: Any, futures: list[Future[Any]], timeout_s: float) -> list[Any]:
    """Return the results of finished futures, or raise TimeoutError.

    `Client.gather` has no time limit: it waits while a lost result is computed again, which may need workers that are
    not there yet. Check that `Client._gather(futures)` still takes a list and raises CancelledError and KilledWorker.
    """
    results: list[Any] = client.sync(client._gather, futures, callback_timeout=timeout_s)
    return results


async def submit_jobs(dask_cluster: Any) -> None:
    """Submit the jobs that are missing and raise what the queueing system answers.

    `scale` submits in the background and only logs a refusal. Check that `SpecCluster._correct_state` still starts the
    missing workers before it returns.
    """
    await dask_cluster._correct_state()


def log_directory(dask_cluster: Any) -> str | None:
    """Return the folder of the jobs' output. Check that `JobQueueCluster._dummy_job` still exists."""
    folder: str | None = dask_cluster._dummy_job.log_directory
    return folder
