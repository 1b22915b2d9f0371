"""Dask's settings for long tasks with small results on machines that come and go.

They are set in this process, which holds the scheduler and starts local workers, and exported as `DASK_...` variables
in the job scripts of other workers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dask

#: Each worker is one process of one core: libraries must not start a thread per core of the node.
SINGLE_THREADED = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "BLIS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "NUMBA_NUM_THREADS",
    ),
    "1",
)

#: By default Dask has glibc return freed memory at once. Our workers reuse the same megabytes for every structure;
#: returning and zeroing them again took as long as the simulation.
KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": "268435456", "MALLOC_MMAP_THRESHOLD_": "33554432"}

WORKER_SETTINGS: dict[str, Any] = {
    # Workers hold nothing worth spilling; a paused worker would hang the run, a terminated one is replaced.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
    # Tasks start sandbox processes, which daemonic processes must not.
    "distributed.worker.daemon": False,
    # Sampling every thread each 10 ms costs time and memory.
    "distributed.worker.profile.enabled": False,
    # At the default intervals (20 ms, 500 ms) these cost 3 % of a core in the driver and 1.5 % in each worker.
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "2s",
    "distributed.comm.timeouts.connect": "60s",
}

#: Time a worker may be gone before it counts as lost, in seconds: its nanny restarts it slowly on a busy machine.
LOST_WORKER_S = 60


def scheduler_settings(longest_hold_s: float) -> dict[str, Any]:
    """Return the scheduler's settings for workers that may be silent for `longest_hold_s` seconds."""
    return {
        # `cluster.submit` counts deaths of workers itself and needs to know of each at once.
        "distributed.scheduler.allowed-failures": 0,
        # One task per worker, the rest queued at the scheduler: a worker's death then has one suspect.
        "distributed.scheduler.worker-saturation": 1.0,
        "distributed.scheduler.work-stealing": False,
        "distributed.scheduler.worker-ttl": f"{longest_hold_s:g}s",
        # Receipts are fetched at once: there is nothing to replicate or move.
        "distributed.scheduler.active-memory-manager.start": False,
        "distributed.scheduler.events-cleanup-delay": "10m",
        "distributed.admin.low-level-log-length": 100,
        "distributed.deploy.lost-worker-timeout": f"{LOST_WORKER_S}s",
    }


@contextmanager
def applied(longest_hold_s: float) -> Iterator[None]:
    """Apply all settings to this process and to the workers it starts."""
    before = dask.config.get("distributed.nanny.pre-spawn-environ", {})
    settings = {
        **WORKER_SETTINGS,
        **scheduler_settings(longest_hold_s),
        "distributed.nanny.pre-spawn-environ": {**before, **SINGLE_THREADED, **KEEP_MEMORY},
    }
    with dask.config.set(settings):
        yield


def exports() -> list[str]:
    """Return shell lines that apply the workers' settings in a job script."""
    lines = [f"export {name}={value}" for name, value in (SINGLE_THREADED | KEEP_MEMORY).items()]
    for key, value in WORKER_SETTINGS.items():
        name = "DASK_" + key.replace(".", "__").replace("-", "_").upper()
        text = value if isinstance(value, str) else json.dumps(value).capitalize()
        lines.append(f"export {name}={text}")
    return lines
