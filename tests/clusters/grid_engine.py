"""A real Grid Engine of one host, in a folder of its own, beside whatever else the machine runs.

`with grid_engine() as engine:` starts sge_qmaster and sge_execd with their own ports, spool and configuration, and ends
these processes, and no others, when it is left. Its queue is as Debian's and most sites': jobs run in csh unless they
ask for another shell.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

PROGRAMS = Path("/usr/lib/gridengine")
SHARE = Path("/usr/share/gridengine")
SLOTS = 4

BOOTSTRAP = """\
Version: 6.2
admin_user              none
default_domain          none
ignore_fqdn             true
spooling_method         berkeleydb
spooling_lib            libspoolb
spooling_params         {folder}/spool/db
binary_path             /usr/sbin
qmaster_spool_dir       {folder}/spool/qmaster
security_mode           none
listener_threads        2
worker_threads          2
scheduler_threads       1
"""
#: Values of the queue; every other attribute has the value that means "none" or "no limit".
QUEUE = {
    "qname": "all.q",
    "hostlist": "{host}",
    "seq_no": "0",
    "nsuspend": "1",
    "suspend_interval": "00:05:00",
    "priority": "0",
    "min_cpu_interval": "00:05:00",
    "processors": "UNDEFINED",
    "qtype": "BATCH",
    "rerun": "FALSE",
    "slots": str(SLOTS),
    "tmpdir": "/tmp",
    "shell": "/bin/csh",
    "shell_start_mode": "posix_compliant",
    "notify": "00:00:60",
    "initial_state": "default",
    **dict.fromkeys(
        [
            "load_thresholds",
            "suspend_thresholds",
            "ckpt_list",
            "pe_list",
            "prolog",
            "epilog",
            "starter_method",
            "suspend_method",
            "resume_method",
            "terminate_method",
            "owner_list",
            "user_lists",
            "xuser_lists",
            "subordinate_list",
            "complex_values",
            "projects",
            "xprojects",
            "calendar",
        ],
        "NONE",
    ),
    **{
        f"{kind}_{what}": "INFINITY"
        for kind in "sh"
        for what in ("rt", "cpu", "fsize", "data", "stack", "core", "rss", "vmem")
    },
}


@dataclass(frozen=True)
class GridEngine:
    """A running Grid Engine: its folder, its host, and the environment in which its commands work."""

    folder: Path
    host: str
    environment: dict[str, str]
    daemons: dict[str, subprocess.Popen[bytes]]

    def command(self, *words: str, timeout_s: float = 60) -> str:
        """Run one of its commands and return what it says."""
        answer = subprocess.run(
            [str(PROGRAMS / words[0]), *words[1:]],
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
        paths = [*self.folder.glob("*.out"), *self.folder.glob("spool/**/messages")]
        return "\n".join(f"== {path}\n{path.read_text(errors='replace')}" for path in paths)


def missing_programs() -> list[str]:
    """Programs that are not installed."""
    return [name for name in ("sge_qmaster", "sge_execd", "qsub", "spoolinit") if not (PROGRAMS / name).exists()]


@contextmanager
def grid_engine() -> Iterator[GridEngine]:
    """Start it, and end it."""
    folder = Path(tempfile.mkdtemp(prefix="sge-", dir="/tmp"))
    folder.chmod(0o755)
    host = socket.gethostname().split(".")[0]
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        master_port, node_port = _free_ports(2)
        environment = {
            "SGE_ROOT": str(folder),
            "SGE_CELL": "default",
            "SGE_QMASTER_PORT": str(master_port),
            "SGE_EXECD_PORT": str(node_port),
            "SGE_ND": "1",  # daemons stay children of this process
        }
        engine = GridEngine(folder, host, environment, {})
        _write_configuration(engine)
        engine.daemons["sge_qmaster"] = stack.enter_context(_daemon(engine, "sge_qmaster"))
        _wait("the master", engine, lambda: "global" in _try(engine, "qconf", "-sconf"))
        for option in ("-ah", "-as"):
            _try(engine, "qconf", option, host)
        engine.daemons["sge_execd"] = stack.enter_context(_daemon(engine, "sge_execd"))
        _wait("the execution host", engine, lambda: host in _try(engine, "qconf", "-sel"))
        queue = folder / "queue"
        queue.write_text("".join(f"{name} {value.format(host=host)}\n" for name, value in QUEUE.items()))
        engine.command("qconf", "-Aq", str(queue))
        schedule = folder / "schedule"
        lines = engine.command("qconf", "-ssconf").splitlines()
        changed = {"schedule_interval": "0:0:1", "job_load_adjustments": "NONE"}
        schedule.write_text("".join(f"{name} {changed.get(name, value)}\n" for name, value in map(_pair, lines)))
        engine.command("qconf", "-Msconf", str(schedule))
        try:
            yield engine
        finally:
            _try(engine, "qdel", "-u", getpass.getuser())
            with suppress(RuntimeError):
                _wait("the end of all jobs", engine, lambda: not _try(engine, "qstat", "-u", "*").strip())
            _kill_what_is_left(engine)


def _write_configuration(engine: GridEngine) -> None:
    folder, common = engine.folder, engine.folder / "default" / "common"
    for path in (
        common,
        folder / "spool" / "qmaster" / "job_scripts",
        folder / "spool" / "db",
        folder / "spool" / "execd",
    ):
        path.mkdir(parents=True)
    architecture = subprocess.run([SHARE / "util" / "arch"], capture_output=True, text=True, check=True).stdout.strip()
    for name in ("bin", "lib", "utilbin"):
        (folder / name).mkdir()
        (folder / name / architecture).symlink_to(PROGRAMS)
    (folder / "util").symlink_to(SHARE / "util")
    (common / "bootstrap").write_text(BOOTSTRAP.format(folder=folder))
    (common / "act_qmaster").write_text(f"{engine.host}\n")
    # Grid Engine looks names up from addresses, and 127.0.0.1 is called localhost.
    (common / "host_aliases").write_text(f"{engine.host} localhost\n")
    changed = {"execd_spool_dir": f"{folder}/spool/execd", "min_uid": "0", "min_gid": "0", "mailer": "/bin/true"}
    lines = (SHARE / "default-configuration").read_text().splitlines()
    settings = [_pair(line) for line in lines if not line.startswith("#")]
    (folder / "configuration").write_text("".join(f"{name} {changed.get(name, value)}\n" for name, value in settings))
    resources = SHARE / "util" / "resources"
    engine.command("spoolinit", "berkeleydb", "libspoolb", f"{folder}/spool/db", "init")
    engine.command("spooldefaults", "configuration", f"{folder}/configuration")
    engine.command("spooldefaults", "complexes", str(resources / "centry"))
    engine.command("spooldefaults", "usersets", str(resources / "usersets"))
    engine.command("spooldefaults", "managers", getpass.getuser())


def _pair(line: str) -> tuple[str, str]:
    name, _, value = line.partition(" ")
    return name.strip(), value.strip()


@contextmanager
def _daemon(engine: GridEngine, name: str) -> Iterator[subprocess.Popen[bytes]]:
    with (engine.folder / f"{name}.out").open("w") as output:
        process = subprocess.Popen(
            [str(PROGRAMS / name)],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=engine.folder,
            env={**os.environ, **engine.environment},
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


def _kill_what_is_left(engine: GridEngine) -> None:
    """Kill processes of jobs that outlive their deletion: they carry the folder in their environment."""
    daemons = {process.pid for process in engine.daemons.values()}
    for process in psutil.process_iter():
        try:
            ours = process.environ().get("SGE_ROOT") == str(engine.folder) and "JOB_ID" in process.environ()
            if ours and process.pid not in daemons:
                os.kill(process.pid, signal.SIGKILL)
        except (psutil.NoSuchProcess, psutil.AccessDenied, ProcessLookupError):
            continue


def _try(engine: GridEngine, *words: str) -> str:
    try:
        return engine.command(*words)
    except RuntimeError:
        return ""


def _wait(what: str, engine: GridEngine, ready: object, timeout_s: float = 60) -> None:
    assert callable(ready)
    deadline = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {timeout_s} s in vain for {what}\n{engine.logs()}")
        time.sleep(0.3)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
