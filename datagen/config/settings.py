"""Settings of simulation, storage and the run; catalogs, curation, densities and the cluster have their own modules."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from datagen.simulate import EngineName
from datagen.simulate.augmentation import AugmentationSettings, effective
from datagen.simulate.instrument import PRESETS, Instrument


def _from_preset(given: Any) -> Any:
    """Return a whole instrument for a preset's name, or for a table with `base` and what differs from it."""
    given = {"base": given} if isinstance(given, str) else given
    if not isinstance(given, dict) or "base" not in given:
        return given
    base, changes = given["base"], {key: value for key, value in given.items() if key != "base"}
    if base not in PRESETS:
        raise ValueError(f"base: expected one of {', '.join(PRESETS)}, found {base!r}")
    return {**PRESETS[base].model_dump(), **changes}


class SimulationSettings(BaseModel):
    """How patterns are simulated."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: EngineName = Field(
        "native", description="`native`, this package's own engine, or `gsas2`, GSAS-II itself if it is installed"
    )
    seed: int = Field(0, ge=0, description="seed of the augmentation parameters")
    instrument: Annotated[Instrument, BeforeValidator(_from_preset)] = Field(
        default_factory=lambda: Instrument.preset("alphadiffract"),
        description="name of a preset (alphadiffract, cu_kalpha1, cu_kalpha, mo_kalpha), or a table: `base`, a preset, "
        "and the keys that differ; or all keys",
    )
    augmentation: AugmentationSettings = Field(
        default_factory=AugmentationSettings, description="number of patterns per structure, and what varies"
    )

    @model_validator(mode="after")
    def _engine_has_them(self) -> SimulationSettings:
        varied = [p.name for p in effective(self.augmentation) if p.of_peaks] if self.engine == "gsas2" else []
        if varied:
            raise ValueError(
                f"augmentation.{varied[0]}: expected no effect, since GSAS-II is not asked for it; found a range with "
                'one; use engine = "native"'
            )
        return self


class StoreSettings(BaseModel):
    """Content and layout of the dataset."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    patterns: Literal["all", "none"] = Field(
        "all",
        description="`all`: the patterns of every structure; `none`: reflections only, of which `datagen render` makes "
        "patterns for any instrument",
    )
    d_min_A: float | None = Field(
        None,
        ge=0.2,
        le=50.0,
        description="reflections are stored down to this distance of lattice planes; by default what the instrument "
        "sees, and never more",
    )
    structures_per_shard: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="structures per shard, the unit of work and of files; by default 16 to 128, by their total number",
    )
    duplicates: Literal["drop", "keep"] = Field(
        "drop",
        description="structures equal atom by atom: `drop` all but one (the first with a density, else the first), or "
        "`keep` them all; the verdict table lists every one",
    )
    xrd_peaks: Literal["with_density", "all", "none"] = Field(
        "with_density", description="which structures get CrystalNet's stick vector (slow for cells above 10,000 A^3)"
    )
    max_files: int = Field(
        100_000, ge=1, description="refuse a run whose dataset would have more files than this (inode quotas)"
    )


class RunSettings(BaseModel):
    """How the run is carried out; nothing here changes a number in the dataset."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    structure_time_limit_s: float = Field(
        600.0,
        gt=0,
        description="longest simulation of one structure in seconds; beyond it the structure is quarantined",
    )
    verify_sample: int = Field(
        8, ge=0, description="number of patterns regenerated and compared bit for bit at the end of the run"
    )
    events: bool = Field(
        False, description="write what happens as JSON lines to .run/events.jsonl in the dataset's folder"
    )
    metrics: Path | None = Field(
        None, description="file that is rewritten every 15 seconds with gauges in Prometheus' text format (.prom)"
    )
