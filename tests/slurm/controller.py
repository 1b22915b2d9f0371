"""A real SLURM of one or several nodes, in a folder of its own, beside whatever else the machine runs.

`with slurm() as controller:` starts munged, slurmctld and one slurmd per node on 127.0.0.1 with their own key, ports
and state, and ends these processes, and no others, when it is left. No accounting, no cgroups; works as root and, for
one's own jobs, as anybody else. Each node has its own slurmd, port and spool folder, and on request its own network;
all share the machine's host name and file systems.
"""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.slurm.networks import Networks, networks

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scancel", "squeue", "srun", "scontrol")
#: More than most test machines have: what matters is that jobs run side by side.
CPUS = 8
MEMORY_MB = 8000
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Controller:
    """A running SLURM: its folder, and the environment in which its commands work."""

    folder: Path
    environment: dict[str, str]
    daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    """Process of each node's slurmd, by the node's name."""
    networks: Networks | None = None

    @property
    def nodes(self) -> list[str]:
        return list(self.daemons)

    def kill_node(self, node: str) -> list[int]:
        """End a node as a power cut does: SIGKILL to its daemon and to everything that runs on it; return the pids."""
        self.daemons[node].kill()
        self.daemons[node].wait()
        return self.kill_jobs(node)

    def kill_jobs(self, node: str) -> list[int]:
        """Kill what runs on a node; return the pids."""
        killed: list[int] = []
        deadline = time.monotonic() + 30
        while (pids := self._processes_on(node)) and time.monotonic() < deadline:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            killed += [pid for pid in pids if pid not in killed]
            time.sleep(0.05)
        return killed

    def _processes_on(self, node: str) -> list[int]:
        """Processes of this SLURM's jobs on a node, and the slurmstepd above each."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.status() != psutil.STATUS_ZOMBIE and (
                    self._is_job(process, node) or self._is_step(process, node)
                ):
                    found.append(process.pid)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    def _is_job(self, process: psutil.Process, node: str) -> bool:
        environment = process.environ()
        return (environment.get("SLURM_CONF"), environment.get("SLURMD_NODENAME")) == (
            self.environment["SLURM_CONF"],
            node,
        )

    def _is_step(self, process: psutil.Process, node: str) -> bool:
        # It writes its title over its environment; it has the log of its slurmd open.
        return process.name().startswith("slurmstepd") and any(
            file.path == str(self.folder / f"slurmd.{node}.log") for file in process.open_files()
        )

    def command(self, *words: str, timeout_s: float = 60) -> str:
        """Run one of SLURM's commands and return what it says."""
        answer = subprocess.run(
            words,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if answer.returncode != 0:
            raise RuntimeError(f"{' '.join(words)}: exit code {answer.returncode}\n{answer.stdout}{answer.stderr}")
        return answer.stdout

    def logs(self) -> str:
        """Everything the daemons wrote."""
        return "\n".join(f"== {path.name}\n{path.read_text(errors='replace')}" for path in self.folder.glob("*.log"))


def missing_programs() -> list[str]:
    """Programs of SLURM and munge that are not installed."""
    return [name for name in PROGRAMS if _find(name) is None]


@contextmanager
def slurm(nodes: int = 1, cpus: int = CPUS, *, separate_networks: bool = False) -> Iterator[Controller]:
    """Start it, with `cpus` cores on each node, and end it; nodes with networks of their own need root."""
    # Not in pytest's folder: the path of a Unix socket has at most 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    folder.chmod(0o755)
    names = [f"node{number}" for number in range(1, nodes + 1)]
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        network = stack.enter_context(networks(names, folder)) if separate_networks else None
        controller = Controller(folder, {"SLURM_CONF": str(folder / "slurm.conf")}, networks=network)
        stack.callback(lambda: [controller.kill_jobs(name) for name in names])
        _write_configuration(controller, names, cpus)
        socket_path = folder / "munge" / "socket"
        munge = [
            "munged",
            "--foreground",
            "--force",
            f"--key-file={folder / 'munge' / 'key'}",
            f"--socket={socket_path}",
        ]
        munge += [f"--{name}-file={folder / 'munge' / name}" for name in ("log", "pid", "seed")]
        stack.enter_context(_daemon(folder, munge))
        _wait("munged's socket", controller, socket_path.exists)
        configuration = str(folder / "slurm.conf")
        stack.enter_context(_daemon(folder, ["slurmctld", "-D", "-f", configuration]))
        for name in names:
            command = ["slurmd", "-D", "-f", configuration, "-N", name]
            before = network.within(name) if network else []
            controller.daemons[name] = stack.enter_context(_daemon(folder, command, name, before))
        _wait(
            "idle nodes",
            controller,
            lambda: _try(controller, "sinfo", "--noheader", "--Node", "--format=%T").split() == ["idle"] * nodes,
        )
        try:
            yield controller
        finally:
            _try(controller, "scancel", f"--user={getpass.getuser()}")
            _wait("the end of all jobs", controller, lambda: not _try(controller, "squeue", "--noheader").strip(), 60)


def _write_configuration(controller: Controller, nodes: list[str], cpus: int) -> None:
    folder, network = controller.folder, controller.networks
    for name in ("munge", "state", "spool"):
        (folder / name).mkdir(mode=0o755)
    key = folder / "munge" / "key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(128))
    host, user = socket.gethostname().split(".")[0], getpass.getuser()
    controller_port, *node_ports = _free_ports(1 + len(nodes))
    node_lines = "\n".join(
        f"NodeName={name} NodeHostname={name if network else host} "
        f"NodeAddr={network.nodes[name] if network else LOOPBACK} Port={port} CPUs={cpus} RealMemory={MEMORY_MB}"
        for name, port in zip(nodes, node_ports, strict=True)
    )
    (folder / "slurm.conf").write_text(f"""\
ClusterName=test
SlurmctldHost={host}({network.address if network else LOOPBACK})
TreeWidth=100
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
SlurmctldPort={controller_port}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,bf_interval=1,sched_interval=1
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
MpiDefault=none
ReturnToService=2
KillWait=5
SlurmdTimeout=15
OverTimeLimit=0
SlurmdParameters=config_overrides
{node_lines}
PartitionName=test Nodes={",".join(nodes)} Default=YES MaxTime=INFINITE State=UP LLN=YES
""")


@contextmanager
def _daemon(
    folder: Path, command: list[str], node: str = "", before: Sequence[str] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    program = _find(command[0])
    assert program is not None
    with (folder / f"{command[0]}{node and '.'}{node}.output.log").open("w") as output:
        process = subprocess.Popen(
            [*before, program, *command[1:]],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=folder,
            env={**os.environ, "SLURM_CONF": str(folder / "slurm.conf")},
            start_new_session=True,
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(what: str, controller: Controller, ready: object, timeout_s: float = 30) -> None:
    assert callable(ready)
    deadline = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {timeout_s} s in vain for {what}\n{controller.logs()}")
        time.sleep(0.2)


def _try(controller: Controller, *words: str) -> str:
    try:
        return controller.command(*words)
    except RuntimeError:
        return "not answering"


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _find(name: str) -> str | None:
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))
