"""Rank of this process within its launch by `srun` or `mpirun`, and a number that tells launches apart."""

from __future__ import annotations

import os
import re
import socket
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from cluster.errors import ClusterError

#: Scheduler, driver and a worker.
SMALLEST_LAUNCH = 3
#: Variables of rank and size: SLURM, Open MPI, MPICH and Intel MPI, launchers with PMIx.
_RANK = {"slurm-runner": ("SLURM_PROCID",), "mpi": ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", "SLURM_PROCID")}
_SIZE = {"slurm-runner": ("SLURM_NTASKS",), "mpi": ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_NTASKS")}
#: Names that Open MPI and launchers with PMIx give a launch.
_LAUNCH = ("PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid")
#: Names of jobs and steps. Under `mpirun` some of them exist only on the first node, or only on the others. A job that
#: SLURM starts again keeps its name.
_JOB = ("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT", "PBS_JOBID", "JOB_ID", "LSB_JOBID")
_PMI_ANSWER_S = 10


@dataclass(frozen=True)
class ProcessRank:
    """Rank and size of this process within its launch."""

    rank: int
    size: int
    launch: int


def find_rank(kind: str, environment: Mapping[str, str]) -> ProcessRank:
    """Return the rank from the variables that the launcher set."""

    def first(names: tuple[str, ...]) -> int:
        for name in names:
            if environment.get(name, "").isdigit():
                return int(environment[name])
        raise ClusterError(
            f"cluster kind {kind!r}: expected a start by {'srun' if kind == 'slurm-runner' else 'mpirun'} "
            f"on at least {SMALLEST_LAUNCH} processes, but none of {', '.join(names)} is set"
        )

    rank, size = first(_RANK[kind]), first(_SIZE[kind])
    if size < SMALLEST_LAUNCH:
        raise ClusterError(
            f"cluster kind {kind!r}: expected at least {SMALLEST_LAUNCH} processes (scheduler, driver and a worker), "
            f"found {size}; ask for more tasks"
        )
    return ProcessRank(rank, size, zlib.crc32(_name_of_launch(kind, environment).encode()))


def _name_of_launch(kind: str, environment: Mapping[str, str]) -> str:
    """Return a name that all processes of the launch see, on every node, and no other launch has."""
    if kind == "mpi":
        names = [environment.get(name, "") for name in _LAUNCH]
        if name := next(filter(None, names), "") or _name_from_pmi(environment):
            return name
    return "/".join(environment.get(name, "") for name in _JOB)


def _name_from_pmi(environment: Mapping[str, str]) -> str:
    """Return the name of the launch that MPICH's launcher gives all its processes; empty under other launchers.

    No variable distinguishes two launches of MPICH or Intel MPI. Their launcher answers on a socket, one line to each
    of ours (PMI 1.1). The last line says that this process is done with MPI; the launcher waits for its exit code only.
    """
    descriptor = environment.get("PMI_FD", "")
    if not descriptor.isdigit():
        return ""
    try:
        with socket.socket(fileno=os.dup(int(descriptor))) as launcher:
            launcher.settimeout(_PMI_ANSWER_S)
            _ask(launcher, "cmd=init pmi_version=1 pmi_subversion=1")
            name = re.search(r"kvsname=(\S+)", _ask(launcher, "cmd=get_my_kvsname"))
            _ask(launcher, "cmd=finalize")
    except OSError:
        return ""
    return name[1] if name else ""


def _ask(launcher: socket.socket, line: str) -> str:
    launcher.sendall(f"{line}\n".encode())
    answer = b""
    while not answer.endswith(b"\n"):
        part = launcher.recv(4096)
        if not part:
            break
        answer += part
    return answer.decode(errors="replace")
