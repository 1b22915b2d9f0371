"""Configuration of clusters, validated before anything starts.

`[cluster]` is the default profile, `[cluster.NAME]` another that `--cluster NAME` chooses. The name of a kind
(`--cluster slurm`) is a profile too: that kind with its defaults and the user's own `jobqueue.yaml`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from dask.utils import parse_bytes
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator, model_validator

from cluster.errors import ClusterError

#: A worker process takes about 300 MB before its first task, and 500 MB while it simulates.
SMALLEST_WORKER_BYTES = 400_000_000

_WALLTIME = re.compile(r"^(\d+-)?\d+(:\d{1,2}){0,2}$")


class _Profile(BaseModel):
    """Settings of every kind of cluster."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    worker_wait_s: float = Field(
        default=3600.0, gt=0, description="time to wait without any worker before the run stops, in seconds"
    )
    longest_hold_s: float = Field(
        default=1800.0,
        ge=60,
        description="longest time that compiled code may keep a worker from answering, in seconds; "
        "a worker silent for longer counts as dead",
    )
    encryption: Literal["tls", "off"] = Field(
        default="tls",
        description="tls: only processes holding this run's certificate may connect; "
        "off: every user who reaches the ports can run code as you",
    )
    dashboard_port: int = Field(
        default=0, ge=0, le=65535, description="port of the dashboard on 127.0.0.1; 0 for any free port"
    )
    log_level: Literal["debug", "info", "warning", "error", "critical"] = Field(
        default="critical", description="lowest level of Dask's messages that the terminal shows"
    )


class _OwnWorkers(_Profile):
    """A cluster whose workers this program starts."""

    memory_per_worker: str | None = Field(
        default=None,
        description="memory of one worker process, such as '3 GB'; a worker above 95 % of it is ended and replaced",
    )
    local_directory: Path | None = Field(
        default=None,
        description="folder on a disk of the node's own for temporary files, which go into a private folder in it; "
        "by default $SLURM_TMPDIR, $PBS_JOBFS, $TMPDIR or /tmp, the first that exists",
    )

    @field_validator("memory_per_worker")
    @classmethod
    def _is_a_size(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                size = parse_bytes(value)
            except ValueError as error:
                raise ValueError(f"expected a size with a unit, such as '3 GB', found {value!r}") from error
            if size < SMALLEST_WORKER_BYTES:
                raise ValueError(
                    f"expected at least '{SMALLEST_WORKER_BYTES // 1_000_000} MB', which a worker needs to start, "
                    f"found {value!r}"
                )
        return value


class InlineProfile(_Profile):
    """No workers: tasks run one after the other in this process, for debugging."""

    kind: Literal["inline"]


class LocalProfile(_OwnWorkers):
    """Worker processes on this machine."""

    kind: Literal["local"] = "local"
    workers: int | None = Field(
        default=None,
        ge=1,
        description="worker processes of one core each; by default one per usable core",
    )
    worker_wait_s: float = Field(
        default=120.0, gt=0, description="time to wait without any worker before the run stops, in seconds"
    )


class JobProfile(_OwnWorkers):
    """Workers in jobs of a queueing system; unset options come from the user's `jobqueue.yaml`."""

    kind: Literal["slurm", "pbs", "sge", "lsf"]
    workers: int = Field(default=1, ge=1, description="worker processes of one core each, over all jobs")
    cores_per_job: int | None = Field(default=None, ge=1, description="cores, and so worker processes, of one job")
    queue: str | None = Field(default=None, description="queue or partition")
    account: str | None = Field(default=None, description="account or project to charge")
    walltime: str | None = Field(
        default=None, description="time limit of one job as the queueing system writes it, such as '04:00:00'"
    )
    margin_s: float = Field(default=300.0, ge=0, description="workers leave this long before the walltime, in seconds")
    lifetime_s: float | None = Field(
        default=None, gt=0, description="workers leave after this time instead of at walltime - margin_s, in seconds"
    )
    resource_spec: str | None = Field(default=None, description="PBS and SGE: requested resources, as after -l")
    directives: tuple[str, ...] = Field(default=(), description="further directives at the head of the job script")
    prologue: tuple[str, ...] = Field(
        default=(), description="shell lines before the worker starts, such as 'module load python'"
    )
    log_directory: Path | None = Field(default=None, description="folder for the jobs' output")
    python: str | None = Field(default=None, description="Python on the compute nodes; by default the running one")
    interface: str | None = Field(default=None, description="network interface that compute nodes reach, such as 'ib0'")
    scheduler_host: str | None = Field(default=None, description="address at which workers reach this machine")
    death_timeout_s: float = Field(
        default=600.0, gt=0, description="time after which a worker that finds no scheduler ends its job, in seconds"
    )
    shared_directory: Path = Field(
        default=Path("~/.cache/pxrd-datagen"),
        description="your folder that compute nodes see; holds this run's certificate, mode 0600",
    )
    config_name: str | None = Field(default=None, description="section of jobqueue.yaml; by default the kind")

    @field_validator("walltime")
    @classmethod
    def _is_a_walltime(cls, value: str | None) -> str | None:
        if value is not None and not _WALLTIME.match(value):
            raise ValueError(f"expected a walltime such as '04:00:00' or '1-00:00:00', found {value!r}")
        return value


class AllocationProfile(_OwnWorkers):
    """Driver, scheduler and workers as processes of one allocation: `srun datagen run`, `mpirun datagen run`."""

    kind: Literal["slurm-runner", "mpi"]
    interface: str | None = Field(default=None, description="network interface that all nodes share, such as 'ib0'")
    shared_directory: Path = Field(
        default=Path("~/.cache/pxrd-datagen"),
        description="your folder that all nodes see; holds the scheduler's address and this run's certificate",
    )


class AddressProfile(_Profile):
    """A Dask scheduler that is already running."""

    kind: Literal["address"]
    address: str | None = Field(default=None, description="address of the scheduler, such as 'tls://node1:8786'")
    scheduler_file: Path | None = Field(default=None, description="file that `dask scheduler --scheduler-file` wrote")
    tls_certificate: Path | None = Field(default=None, description="certificate that the scheduler accepts, PEM")
    tls_key: Path | None = Field(default=None, description="its private key, PEM")
    tls_authority: Path | None = Field(
        default=None, description="certificate that signed it, PEM; by default the certificate itself"
    )

    @model_validator(mode="after")
    def _says_where(self) -> AddressProfile:
        if (self.address is None) == (self.scheduler_file is None):
            raise ValueError("expected either address or scheduler_file")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key belong together")
        if self.encryption == "tls" and self.tls_certificate is None:
            raise ValueError(
                "expected tls_certificate and tls_key; a scheduler without TLS runs every user's code as its owner: "
                "set encryption = 'off' to accept that"
            )
        return self


Profile = Annotated[
    InlineProfile | LocalProfile | JobProfile | AllocationProfile | AddressProfile, Field(discriminator="kind")
]
_PROFILE: TypeAdapter[Profile] = TypeAdapter(Profile)
_KINDS = ("inline", "local", "slurm", "pbs", "sge", "lsf", "slurm-runner", "mpi")


class ClusterSection(BaseModel):
    """The `[cluster]` table: the default profile and named ones."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    default: Profile = Field(default_factory=LocalProfile, description="the profile in [cluster] itself")
    named: dict[str, Profile] = Field(default_factory=dict, description="the profiles in [cluster.NAME]")

    @model_validator(mode="before")
    @classmethod
    def _sort_tables(cls, data: Any) -> Any:
        """Convert the table as written in TOML into `default` and `named`."""
        if not isinstance(data, dict) or set(data) <= {"default", "named"}:
            return data
        named = {key: value for key, value in data.items() if isinstance(value, dict)}
        own = {key: value for key, value in data.items() if not isinstance(value, dict)}
        own.setdefault("kind", "local")
        return {"default": own, "named": named}

    def choose(self, name: str | None = None) -> Profile:
        """Return the profile of that name, a bare kind, or the default if `name` is None."""
        if name is None:
            return self.default
        if name in self.named:
            return self.named[name]
        if name == self.default.kind:
            return self.default
        if name in _KINDS:
            return _PROFILE.validate_python({"kind": name})
        known = ", ".join(sorted({*self.named, *_KINDS}))
        raise ClusterError(f"no cluster profile {name!r}: expected one of {known}, or a section [cluster.{name}]")
