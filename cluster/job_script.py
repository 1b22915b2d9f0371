# mypy: allow-untyped-calls
# (dask-jobqueue is not annotated)
"""The script of a job: what a profile and the user's own `jobqueue.yaml` ask of dask-jobqueue, which writes it.

Options that the profile leaves unset come from `jobqueue.yaml`; lists (directives, prologue, worker arguments) of both
are joined.
"""

from __future__ import annotations

import importlib
import re
import shlex
import signal
import sys
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import Any

import dask
from dask.utils import parse_bytes
from distributed import Security

from cluster import dask_config
from cluster.certificates import CERTIFICATE, KEY
from cluster.config import JobProfile
from cluster.errors import ClusterError
from cluster.scratch import SHELL_EXPRESSION, shell_lines
from cluster.walltime import lifetime, walltime_seconds

CLASSES = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "sge": "SGECluster", "lsf": "LSFCluster"}
_DEFAULT_MEMORY = "4 GB"


class _QuotedSecurity(Security):  # type: ignore[misc, unused-ignore]
    """Security whose paths are quoted for the shell: dask-jobqueue pastes them into job scripts as they are."""

    def get_tls_config_for_role(self, role: str) -> dict[str, str | None]:
        config: dict[str, str | None] = super().get_tls_config_for_role(role)
        if role == "worker":
            return {key: None if value is None else shlex.quote(value) for key, value in config.items()}
        return config


def job_script(profile: JobProfile) -> str:
    """Return the script of a job; submit nothing and make no certificate."""
    folder = profile.shared_directory.expanduser() / "tls-of-this-run"
    security = None
    if profile.encryption == "tls":
        security = quoted_security(folder / CERTIFICATE, folder / KEY)
    module = import_dask_jobqueue()
    job_class = getattr(module, CLASSES[profile.kind]).job_cls
    options = job_options(profile)
    if security is not None:
        options.update(security=security)
    job = job_class(scheduler="<address of the scheduler>", name="<name of the job>", **options)
    return str(job.job_script())


def import_dask_jobqueue() -> ModuleType:
    """Import dask-jobqueue and restore the Ctrl-C handler, which its import replaces with a silent exit code 0."""
    if "dask_jobqueue" not in sys.modules:
        before = signal.getsignal(signal.SIGINT)
        importlib.import_module("dask_jobqueue")
        signal.signal(signal.SIGINT, before)
    return sys.modules["dask_jobqueue"]


def quoted_security(certificate: Path, key: Path) -> Security:
    """Return the security of scheduler and workers with these files."""
    roles = ("client", "scheduler", "worker")
    files = {f"tls_{role}_{part}": str(path) for role in roles for part, path in (("cert", certificate), ("key", key))}
    return _QuotedSecurity(require_encryption=True, tls_ca_file=str(certificate), **files)


def _user_setting(profile: JobProfile, key: str) -> Any:
    """Return the value in the user's own configuration, or None if it is only dask-jobqueue's default."""
    section = profile.config_name or profile.kind
    value = dask.config.get(f"jobqueue.{section}.{key}", None)
    packaged = [defaults.get("jobqueue", {}).get(profile.kind, {}) for defaults in dask.config.defaults]
    return None if any(key in section and section[key] == value for section in packaged) else value


def job_options(profile: JobProfile) -> dict[str, Any]:
    """Return the keywords of dask-jobqueue's cluster class."""
    import_dask_jobqueue()
    cores = profile.cores_per_job or _user_setting(profile, "cores") or 1
    memory = None if profile.memory_per_worker is None else _times(profile.memory_per_worker, cores)
    shared = profile.shared_directory.expanduser()
    log_directory = profile.log_directory or _user_setting(profile, "log-directory") or shared / "logs"
    if any(character.isspace() for character in str(log_directory)):
        raise ClusterError(
            f"the folder for the jobs' output, {str(log_directory)!r}, has a blank in its name, which job scripts "
            "cannot express; set cluster.log_directory to a folder without"
        )
    directives = [*(_user_setting(profile, "job-extra-directives") or []), *profile.directives]
    scratch_parent = str(profile.local_directory or _user_setting(profile, "local-directory") or "")
    options: dict[str, Any] = {
        "cores": cores,
        # One process per core: threads would wait for the interpreter lock.
        "processes": cores,
        "memory": memory or _user_setting(profile, "memory") or _times(_DEFAULT_MEMORY, cores),
        "nanny": True,
        "death_timeout": _user_setting(profile, "death-timeout") or int(profile.death_timeout_s),
        "local_directory": SHELL_EXPRESSION,
        "log_directory": str(log_directory),
        "worker_extra_args": [*(_user_setting(profile, "worker-extra-args") or []), *_worker_arguments(profile)],
        "job_extra_directives": [*_shell(profile.kind, directives), *directives],
        "job_script_prologue": [
            *(_user_setting(profile, "job-script-prologue") or []),
            *profile.prologue,
            *shell_lines(shlex.quote(scratch_parent) if scratch_parent else None),
            *dask_config.exports(),
            *_path_to_this_code(),
            "export PYTHONSAFEPATH=1",  # a cluster.py in the folder of the job must not hide our package
        ],
        # Not dask-jobqueue's own "tls://": Dask then takes a worker's address on the way to the internet (127.0.0.1 on
        # nodes without) instead of one on the way to the scheduler.
        "protocol": "tls" if profile.encryption == "tls" else "tcp",
        "job_name": _user_setting(profile, "name") or "pxrd-datagen",
        "python": profile.python or _user_setting(profile, "python") or shlex.quote(sys.executable),
        "queue": profile.queue,
        "walltime": profile.walltime,
        "interface": profile.interface,
        "config_name": profile.config_name,
        ("project" if profile.kind in ("sge", "lsf") else "account"): profile.account,
    }
    if profile.kind in ("pbs", "sge"):
        options["resource_spec"] = profile.resource_spec
    return {key: value for key, value in options.items() if value is not None}


def _shell(kind: str, directives: list[str]) -> list[str]:
    """Return the directive for the shell of the script; PBS and SGE take one that may be csh."""
    if kind not in ("pbs", "sge") or any(re.match(r"-S\b", directive) for directive in directives):
        return []
    return ["-S /bin/bash"]


def _worker_arguments(profile: JobProfile) -> list[str]:
    arguments = ["--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
    given = _user_setting(profile, "worker-extra-args") or []
    if any(str(argument).startswith("--lifetime") for argument in given):
        return arguments
    if profile.lifetime_s is not None:
        return [*arguments, "--lifetime", f"{profile.lifetime_s:g}s"]
    section = profile.config_name or profile.kind
    walltime = profile.walltime or dask.config.get(f"jobqueue.{section}.walltime", None)
    if walltime is None:
        return arguments
    seconds, stagger = lifetime(walltime_seconds(str(walltime), profile.kind), profile.margin_s)
    return [*arguments, "--lifetime", f"{seconds}s", "--lifetime-stagger", f"{stagger}s"]


def scheduler_options(profile: JobProfile) -> dict[str, Any]:
    """Return the keywords of the scheduler in this process."""
    options = dict(_user_setting(profile, "scheduler-options") or {})
    if profile.scheduler_host is not None:
        options["host"] = profile.scheduler_host
    # The user's configuration may choose the port; the address is always this machine's own.
    port = profile.dashboard_port or str(options.get("dashboard_address", ":0")).rpartition(":")[2] or 0
    options["dashboard_address"] = f"127.0.0.1:{port}"
    return options


def _times(memory: str, cores: int) -> str:
    return f"{parse_bytes(memory) * cores} B"


def _path_to_this_code() -> list[str]:
    """Return the shell lines that let workers import this code where it is run from its folder, not installed."""
    root = Path(__file__).resolve().parents[1]
    if any(root == Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")):
        return []
    return [f'export PYTHONPATH={shlex.quote(str(root))}"${{PYTHONPATH:+:$PYTHONPATH}}"']
