"""Settings of a dataset of measured patterns."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class MeasuredSettings(BaseModel):
    """Which scans are accepted, and how they are brought to the instrument."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    protocol: Literal["strict", "alphadiffract"] = Field(
        "strict",
        description="`strict`: every check; `alphadiffract`: what the paper checked of RRUFF (cell, group and "
        "wavelength stated, cell of its crystal system, range complete), other findings become warnings",
    )
    background: Literal["remove", "keep"] = Field(
        "remove", description="`remove` a smooth background (SNIP): simulated patterns have none; or `keep` it"
    )
    alpha2: Literal["match", "keep"] = Field(
        "match",
        description="`match`: remove K-alpha2 where the scan states it and the instrument has one line; or `keep` it",
    )
    split: Literal["test", "validation", "train", "by_group"] = Field(
        "test", description="split of all scans, or `by_group` as in curation"
    )
    wavelength_A: float | None = Field(None, gt=0.05, lt=10, description="wavelength of scans that state none")
    licence: str = Field("unknown", min_length=1, max_length=200, description="licence of scans that state none")
