# mypy: allow-untyped-calls
# (dask-jobqueue is not annotated)
"""How do the processes of one big allocation share the parts of driver, scheduler and workers?

The same command is started on every core (`srun datagen run ...`, `mpirun datagen run ...`). Process 0 becomes the
scheduler, process 1 goes on as the driver, all others become workers; dask-jobqueue's SLURMRunner deals out the parts.
MPI is only the launcher here: rank and size are read from the environment that it sets.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import sys
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from distributed import SchedulerPlugin, Security

from cluster import dask_config
from cluster.certificates import CERTIFICATE, KEY, security_in_memory, write_certificate
from cluster.config import AllocationProfile
from cluster.errors import ClusterError
from cluster.jobqueue import import_dask_jobqueue
from cluster.scratch import scratch_directory, warn_if_shared

#: Rank and size as launchers tell them: SLURM, Open MPI, MPICH and Intel MPI, and anything with PMIx.
_RANK = {"slurm-runner": ("SLURM_PROCID",), "mpi": ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", "SLURM_PROCID")}
_SIZE = {"slurm-runner": ("SLURM_NTASKS",), "mpi": ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_NTASKS")}
#: What tells one launch from another, as far as it is set.
_LAUNCH = (
    "SLURM_JOB_ID",
    "SLURM_STEP_ID",
    "PMIX_NAMESPACE",
    "OMPI_MCA_ess_base_jobid",
    "PBS_JOBID",
    "JOB_ID",
    "LSB_JOBID",
)
_ROLES = 3
#: How long the meeting place must have been missing: a shared file system may lose sight of it for a moment.
_ABSENT_S = 10
#: How long the driver may be away, because a connection broke, before the scheduler gives up waiting for it.
_DRIVER_AWAY_S = 60.0


@dataclass(frozen=True)
class Place:
    """Which process of which launch we are."""

    rank: int
    size: int
    launch: int


def find_place(kind: str, environment: Mapping[str, str]) -> Place:
    """Read the place from what the launcher set."""

    def first(names: tuple[str, ...]) -> int:
        for name in names:
            if environment.get(name, "").isdigit():
                return int(environment[name])
        raise ClusterError(
            f"cluster kind {kind!r}: expected to be started by {'srun' if kind == 'slurm-runner' else 'mpirun'} "
            f"on at least {_ROLES} processes, but none of {', '.join(names)} is set"
        )

    place = Place(
        first(_RANK[kind]),
        first(_SIZE[kind]),
        zlib.crc32("/".join(environment.get(name, "") for name in _LAUNCH).encode()),
    )
    if place.size < _ROLES:
        raise ClusterError(
            f"cluster kind {kind!r}: expected at least {_ROLES} processes (scheduler, driver and a worker), "
            f"found {place.size}; ask for more tasks"
        )
    return place


@contextmanager
def allocation(profile: AllocationProfile) -> Iterator[tuple[str, Security | None]]:
    """In the driver: address and security of the scheduler. In all other processes: do their part, then exit."""
    place = find_place(profile.kind, os.environ)
    meeting = profile.shared_directory.expanduser() / f"allocation-{place.launch:08x}"
    with dask_config.applied(profile.longest_hold_s):
        os.environ.update(dask_config.SINGLE_THREADED)
        logging.getLogger("distributed").setLevel(profile.log_level.upper())
        security = _share_certificate(profile, place, meeting)
        if place.rank != 1:
            _do_part(profile, place, meeting, security)
        runner = _runner(profile, place, meeting, security)
        try:
            yield str(runner.scheduler_address), security
        finally:
            runner.close()
            shutil.rmtree(meeting, ignore_errors=True)


def _do_part(profile: AllocationProfile, place: Place, meeting: Path, security: Security | None) -> NoReturn:
    # The runner ends a part with an interrupt to its own process; for these processes that is the orderly end.
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    try:
        if place.rank != 0:
            threading.Thread(target=_leave_when_over, args=(meeting,), daemon=True).start()
        _runner(profile, place, meeting, security)
    finally:
        if place.rank == 0:
            shutil.rmtree(meeting, ignore_errors=True)
    sys.exit(0)


def _leave_when_over(meeting: Path) -> NoReturn:
    """End this worker when the meeting place has gone.

    A nanny that is just starting a worker when the scheduler closes is not told, and would wait for it until the
    walltime.
    """
    absent = 0
    while absent < _ABSENT_S:
        time.sleep(1)
        absent = 0 if meeting.is_dir() else absent + 1
    os._exit(0)


def _runner(profile: AllocationProfile, place: Place, meeting: Path, security: Security | None) -> Any:
    runner_class = _secure_runner(security)
    scratch = profile.local_directory or scratch_directory()
    warn_if_shared(scratch)
    common = {"interface": profile.interface, "security": security}
    protocol = "tls://" if security is not None else "tcp://"
    worker_options = {
        **common,
        "nthreads": 1,
        "memory_limit": profile.memory_per_worker or "auto",
        "local_directory": str(scratch),
        "dashboard": False,
        "dashboard_address": "127.0.0.1:0",
        "silence_logs": getattr(logging, profile.log_level.upper()),
    }
    with _in_words_of_slurm(place):
        return runner_class(
            scheduler_file=str(meeting / "scheduler.json"),
            # With a nanny a worker that dies is replaced; without one the allocation would shrink by each.
            worker_class="distributed.Nanny",
            worker_options={key: value for key, value in worker_options.items() if value is not None},
            scheduler_options={
                **{key: value for key, value in common.items() if value is not None},
                "protocol": protocol,
                "dashboard_address": f"127.0.0.1:{profile.dashboard_port}",
            },
        )


def _secure_runner(security: Security | None) -> Any:
    import_dask_jobqueue()
    from dask_jobqueue.slurm import SLURMRunner
    from distributed.core import rpc

    class SecureRunner(SLURMRunner):  # type: ignore[misc, unused-ignore]
        """SLURMRunner whose driver shows the certificate when it ends the scheduler."""

        async def before_client_start(self) -> None:
            plain: Any = self.scheduler_comm
            if security is not None:
                await plain.close_rpc()
                arguments = security.get_connection_args("client")
                secure: Any = rpc(self.scheduler_address, connection_args=arguments)
                self.scheduler_comm = secure

        async def on_scheduler_start(self, scheduler: Any) -> None:
            scheduler.add_plugin(_EndWithDriver(), name="end-with-driver")

    return SecureRunner


class _EndWithDriver(SchedulerPlugin):
    """Close the scheduler, and with it the allocation, when the driver has gone without a word."""

    _waiting: asyncio.Task[None] | None = None

    def remove_client(self, scheduler: Any, client: str) -> None:
        self._waiting = asyncio.ensure_future(self._end(scheduler))

    async def _end(self, scheduler: Any) -> None:
        await asyncio.sleep(_DRIVER_AWAY_S)
        if not any(name.startswith("Client-") for name in scheduler.clients):
            self._waiting = None
            await scheduler.close(reason="driver-gone")

    async def close(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()


def _share_certificate(profile: AllocationProfile, place: Place, meeting: Path) -> Security | None:
    """Process 0 makes the meeting place, with a certificate in it; the others wait for it."""
    if place.rank == 0:
        shutil.rmtree(meeting, ignore_errors=True)
        made = write_certificate(meeting.parent)
        made.rename(meeting)
    deadline = time.monotonic() + profile.worker_wait_s
    while not (meeting / KEY).is_file():
        if time.monotonic() > deadline:
            raise ClusterError(
                f"process {place.rank} waited {profile.worker_wait_s:.0f} s for {meeting}, which process 0 makes; "
                "set cluster.shared_directory to a folder that all nodes see"
            )
        time.sleep(0.2)
    if profile.encryption == "off":
        return None
    # In memory from here on: a worker that its nanny starts again needs no file.
    return security_in_memory((meeting / CERTIFICATE).read_text(), (meeting / KEY).read_text())


@contextmanager
def _in_words_of_slurm(place: Place) -> Iterator[None]:
    """SLURMRunner reads rank, size and job from SLURM's variables; other launchers set others."""
    words = {"SLURM_PROCID": place.rank, "SLURM_NTASKS": place.size, "SLURM_JOB_ID": place.launch}
    before = {name: os.environ.get(name) for name in words}
    os.environ.update({name: str(value) for name, value in words.items()})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
