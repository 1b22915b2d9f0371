"""How must Dask behave for long tasks with small results on machines that come and go?

One table, used twice: set in this process (which holds the scheduler and starts local workers), and exported as
`DASK_...` variables in the job scripts of workers elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dask

#: Each worker is one process of one core; libraries that would start a thread per core of the node must not.
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

#: Dask has glibc return freed memory at once, for workers that hold data. Ours use the same megabytes over and over:
#: giving them back and having them zeroed again took as long as making the patterns.
KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": "268435456", "MALLOC_MMAP_THRESHOLD_": "33554432"}

WORKER_SETTINGS: dict[str, Any] = {
    # Nothing worth spilling is ever held; a worker paused for its memory would hang the run, one ended is replaced.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
    # Tasks may keep structures in processes of their own, which daemons must not have.
    "distributed.worker.daemon": False,
    # Sampling every thread each 10 ms costs time and memory, and nobody looks.
    "distributed.worker.profile.enabled": False,
    # Every process looks fifty times a second whether it is late and twice how much memory it has: 3 % of a core in the
    # driver and 1.5 % in each worker, for a page that nobody has open.
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "2s",
    "distributed.comm.timeouts.connect": "60s",
}

#: How long a worker may be gone, while its nanny starts it again on a busy machine, before it is taken for lost.
LOST_WORKER_S = 60


def scheduler_settings(longest_hold_s: float) -> dict[str, Any]:
    """Settings of the scheduler, for workers that may be silent for `longest_hold_s` seconds."""
    return {
        # `cluster.submit` decides what the death of a worker means; Dask shall say at once that it happened.
        "distributed.scheduler.allowed-failures": 0,
        # One task at a worker, the rest at the scheduler: a worker's death then has one suspect.
        "distributed.scheduler.worker-saturation": 1.0,
        "distributed.scheduler.work-stealing": False,
        "distributed.scheduler.worker-ttl": f"{longest_hold_s:g}s",
        # Receipts are fetched as they come; there is nothing to replicate or move.
        "distributed.scheduler.active-memory-manager.start": False,
        "distributed.scheduler.events-cleanup-delay": "10m",
        "distributed.admin.low-level-log-length": 100,
        "distributed.deploy.lost-worker-timeout": f"{LOST_WORKER_S}s",
    }


@contextmanager
def applied(longest_hold_s: float) -> Iterator[None]:
    """Put all settings in force for this process and the workers it starts."""
    before = dask.config.get("distributed.nanny.pre-spawn-environ", {})
    settings = {
        **WORKER_SETTINGS,
        **scheduler_settings(longest_hold_s),
        "distributed.nanny.pre-spawn-environ": {**before, **SINGLE_THREADED, **KEEP_MEMORY},
    }
    with dask.config.set(settings):
        yield


def exports() -> list[str]:
    """Shell lines that put the workers' settings in force in a job script."""
    lines = [f"export {name}={value}" for name, value in (SINGLE_THREADED | KEEP_MEMORY).items()]
    for key, value in WORKER_SETTINGS.items():
        name = "DASK_" + key.replace(".", "__").replace("-", "_").upper()
        text = value if isinstance(value, str) else json.dumps(value).capitalize()
        lines.append(f"export {name}={text}")
    return lines
