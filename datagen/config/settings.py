"""What a configuration says of simulation, storage and the run itself; catalogs and curation have their own."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from datagen.simulate import EngineName
from datagen.simulate.augmentation import AugmentationSettings
from datagen.simulate.instrument import Instrument


def _preset_by_name(given: Any) -> Any:
    return Instrument.preset(given) if isinstance(given, str) else given


class SimulationSettings(BaseModel):
    """How patterns are made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: EngineName = Field("native", description="`native`, ours, or `gsas2`, GSAS-II itself where it is installed")
    seed: int = Field(0, ge=0, description="another seed draws other augmentations of the same structures")
    instrument: Annotated[Instrument, BeforeValidator(_preset_by_name)] = Field(
        default_factory=lambda: Instrument.preset("alphadiffract"),
        description="a preset's name (alphadiffract, cu_kalpha1, cu_kalpha, mo_kalpha) or a table of its own",
    )
    augmentation: AugmentationSettings = Field(
        default_factory=AugmentationSettings, description="how many patterns a structure gets and what varies"
    )


class StoreSettings(BaseModel):
    """What goes into the dataset and in which portions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    structures_per_shard: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="structures written by one task into one set of files; by default 16 to 128, by their number",
    )
    duplicates: Literal["drop", "keep"] = Field(
        "drop",
        description="what becomes of structures equal atom by atom, but for the first with a density, else the first: "
        "they keep their verdict",
    )
    xrd_peaks: Literal["with_density", "all", "none"] = Field(
        "with_density", description="which structures get CrystalNet's stick vector (slow for cells above 10,000 A^3)"
    )
    max_files: int = Field(
        100_000, ge=1, description="refuse to begin when the dataset would have more files than this (inode quotas)"
    )


class RunSettings(BaseModel):
    """How the work is carried out; nothing here changes a number in the dataset."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    structure_time_limit_s: float = Field(
        600.0, gt=0, description="a structure whose simulation takes longer is set aside with its reason"
    )
    verify_sample: int = Field(8, ge=0, description="patterns regenerated and compared bit for bit at the end")
