# mypy: allow-untyped-calls
# (dask-jobqueue is not annotated)
"""Driver, scheduler and workers as processes of one allocation.

The same command is started on every core (`srun datagen run ...`, `mpirun datagen run ...`). Process 0 becomes the
scheduler, process 1 continues as the driver, all others become workers; dask-jobqueue's SLURMRunner assigns the roles.
MPI is only the launcher: rank and size are read from the environment that it sets (`cluster.launch`).
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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from distributed import SchedulerPlugin, Security

from cluster import dask_config
from cluster.certificates import CERTIFICATE, KEY, security_in_memory, write_certificate
from cluster.config import AllocationProfile
from cluster.errors import ClusterError
from cluster.job_script import import_dask_jobqueue
from cluster.launch import ProcessRank, find_rank
from cluster.scratch import private_scratch

#: Time that the shared folder must be missing, in seconds: a shared file system may not show it for a moment.
_ABSENT_S = 10
#: Time that the driver may be disconnected before the scheduler closes, in seconds.
_DRIVER_AWAY_S = 60.0


@contextmanager
def allocation(profile: AllocationProfile) -> Iterator[tuple[str, Security | None]]:
    """Yield address and security of the scheduler in the driver; act in the other roles, then exit, elsewhere."""
    process = find_rank(profile.kind, os.environ)
    shared = profile.shared_directory.expanduser() / f"allocation-{process.launch:08x}"
    with private_scratch(profile.local_directory) as scratch, dask_config.applied(profile.longest_hold_s):
        os.environ.update(dask_config.SINGLE_THREADED)
        logging.getLogger("distributed").setLevel(profile.log_level.upper())
        security = _share_certificate(profile, process, shared)
        if process.rank != 1:
            _run_role(profile, process, shared, scratch, security)
        runner = _runner(profile, process, shared, scratch, security)
        try:
            yield str(runner.scheduler_address), security
        finally:
            runner.close()
            shutil.rmtree(shared, ignore_errors=True)


def _run_role(
    profile: AllocationProfile, process: ProcessRank, shared: Path, scratch: Path, security: Security | None
) -> NoReturn:
    # The runner ends a role with an interrupt to its own process; the queueing system ends it at once.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    try:
        if process.rank != 0:
            threading.Thread(target=_leave_when_over, args=(shared, scratch), daemon=True).start()
        _runner(profile, process, shared, scratch, security)
    finally:
        if process.rank == 0:
            shutil.rmtree(shared, ignore_errors=True)
    sys.exit(0)


def _leave_when_over(shared: Path, scratch: Path) -> NoReturn:
    """Exit this worker when the shared folder is gone.

    A nanny that is starting a worker while the scheduler closes is not notified and would wait until the walltime.
    """
    absent = 0
    while absent < _ABSENT_S:
        time.sleep(1)
        absent = 0 if shared.is_dir() else absent + 1
    shutil.rmtree(scratch, ignore_errors=True)
    os._exit(0)


def _runner(
    profile: AllocationProfile, process: ProcessRank, shared: Path, scratch: Path, security: Security | None
) -> Any:
    runner_class = _secure_runner(security)
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
    with _slurm_variables(process):
        return runner_class(
            scheduler_file=str(shared / "scheduler.json"),
            # A nanny replaces a worker that dies; without one the allocation would shrink.
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
        """SLURMRunner whose driver presents the certificate when it stops the scheduler."""

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
    """Close the scheduler, and with it the allocation, when the driver is lost."""

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


def _share_certificate(profile: AllocationProfile, process: ProcessRank, shared: Path) -> Security | None:
    """Make the shared folder with a certificate in process 0; wait for it in the others."""
    if process.rank == 0:
        shutil.rmtree(shared, ignore_errors=True)
        made = write_certificate(shared.parent)
        made.rename(shared)
    deadline = time.monotonic() + profile.worker_wait_s
    while not (shared / KEY).is_file():
        if time.monotonic() > deadline:
            raise ClusterError(
                f"process {process.rank} waited {profile.worker_wait_s:.0f} s for {shared}, which process 0 makes; "
                "set cluster.shared_directory to a folder that all nodes see"
            )
        time.sleep(0.2)
    if profile.encryption == "off":
        return None
    # Kept in memory: a worker that its nanny restarts needs no file.
    return security_in_memory((shared / CERTIFICATE).read_text(), (shared / KEY).read_text())


@contextmanager
def _slurm_variables(process: ProcessRank) -> Iterator[None]:
    """Set SLURM's variables for rank, size and job, which SLURMRunner reads, also under other launchers."""
    values = {"SLURM_PROCID": process.rank, "SLURM_NTASKS": process.size, "SLURM_JOB_ID": process.launch}
    before = {name: os.environ.get(name) for name in values}
    os.environ.update({name: str(value) for name, value in values.items()})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
