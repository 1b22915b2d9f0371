"""Augmentations: the ranges they are drawn from, the draws, and every drawn value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from datagen.simulate.parameter import Parameter, phase_number, whole_number
from datagen.simulate.parameters import (
    PARAMETERS,
    measured_ranges,
    measured_shares,
    realistic_ranges,
    stream_length,
)
from datagen.simulate.phase_library import BUNDLED, NAMES, library
from datagen.simulate.rng import uniforms


class _Count(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    preset: Literal["alphadiffract", "realistic", "measured"] = "alphadiffract"
    """Ranges by default: `alphadiffract`, the paper's Table 5; `realistic` adds what measured patterns have;
    `measured`, with probabilities, what laboratory scans show, backgrounds and second phases included."""
    count: int = Field(default=100, ge=1, le=100_000)
    """Patterns per structure."""
    phase_library: str = Field(default=BUNDLED, pattern=NAMES)
    """Library of second phases: `bundled-1`, the 95 bundled crystals; or the path of a dataset or of a folder by
    `datagen curate`, whose accepted crystals, 2,000 at most, are then kept in the dataset and named by their hash."""


if TYPE_CHECKING:

    class Probabilities(BaseModel):
        """Probability that a pattern has an effect."""

        def __getattr__(self, name: str) -> float:
            """Return the probability of a parameter."""

    class _Ranges(_Count):
        probability: Probabilities = Probabilities()

        def __getattr__(self, name: str) -> tuple[float, float]:
            """Return the range of a parameter."""

else:
    Probabilities = create_model(
        "Probabilities",
        __config__=ConfigDict(frozen=True, extra="forbid"),
        __doc__="Share of the patterns that have an effect; in the others its parameters have their neutral values.",
        **{p.name: p.probability_setting() for p in PARAMETERS if p.is_augmentation},
    )
    _Ranges = create_model(
        "_Ranges",
        __base__=_Count,
        **{p.name: p.setting() for p in PARAMETERS if p.default is not None},
        probability=(
            Probabilities,
            Field(default_factory=Probabilities, description="Share of the patterns that have each effect."),
        ),
    )


class AugmentationSettings(_Ranges):
    """The range of every parameter; a range of zero width fixes it. Uniform draws, log-uniform where said.

    `preset = "alphadiffract"` is Table 5 of the paper. `"realistic"` adds what measured patterns have and those lack;
    `"measured"` has the ranges and shares of laboratory scans. Fields given beside a preset replace the preset's.
    """

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("preset") == "realistic":
            return {**realistic_ranges(), **given}
        if isinstance(given, dict) and given.get("preset") == "measured":
            shares = given.get("probability", {})
            merged = {**measured_shares(), **shares} if isinstance(shares, dict) else shares
            return {**measured_ranges(), **given, "probability": merged}
        return given


def effective(settings: AugmentationSettings) -> tuple[Parameter, ...]:
    """Return the stored parameters that can have an effect under these settings, but need not."""
    return tuple(p for p in _with_effect(settings) if p.stored)


def _with_effect(settings: AugmentationSettings) -> tuple[Parameter, ...]:
    def varies(parameter: Parameter) -> bool:
        drawn = tuple(getattr(settings, parameter.name)) != (parameter.neutral, parameter.neutral)
        return drawn and getattr(settings.probability, parameter.name) > 0

    active = {p.name for p in PARAMETERS if p.is_augmentation and varies(p)}
    return tuple(p for p in PARAMETERS if p.neutral is not None and (p.part_of or p.name) in active)


def native_only(augmentations: Augmentations) -> list[str]:
    """Return the parameters of these patterns that only the native engine has."""
    of_peaks = [p for p in PARAMETERS if p.of_peaks]
    return [p.name for p in of_peaks if (getattr(augmentations, p.name) != p.neutral).any()]


@dataclass(frozen=True, eq=False, repr=False)
class Augmentations:
    """The drawn values of some augmentations: `index`, and an attribute for every stored parameter of the table.

    Each is an array with one entry per augmentation; with the sticks they rebuild the patterns.
    """

    values: Mapping[str, NDArray[Any]]
    phase_library: str = BUNDLED
    """Name of the library that numbers of second phases belong to."""

    def __getattr__(self, name: str) -> NDArray[Any]:
        if name.startswith("_") or name == "values" or name not in self.values:
            raise AttributeError(f"augmentations have no parameter {name!r}")
        return self.values[name]

    def __len__(self) -> int:
        return int(self.index.size)

    def __repr__(self) -> str:
        return f"<Augmentations: {len(self)} of {len(self.values) - 1} parameters>"

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return every array by name, for storing."""
        return dict(self.values)

    def __getitem__(self, which: slice | NDArray[np.int64]) -> Augmentations:
        return Augmentations({name: values[which] for name, values in self.values.items()}, self.phase_library)

    def changed(self, **values: NDArray[Any]) -> Augmentations:
        """Return the same augmentations with other values of some parameters."""
        if unknown := sorted(set(values) - set(self.values)):
            raise TypeError(f"augmentations have no parameter {unknown[0]!r}")
        return Augmentations({**self.values, **values}, self.phase_library)

    @classmethod
    def of(cls, **given: Sequence[float] | NDArray[Any]) -> Augmentations:
        """Return augmentations of given values; a parameter that is not named has no effect on the pattern."""
        stored = {p.name: p for p in PARAMETERS if p.stored}
        if unknown := sorted(set(given) - set(stored) - {"index"}):
            raise TypeError(f"unknown parameter {unknown[0]!r}; expected some of {', '.join(stored)}")
        if missing := [p.name for p in stored.values() if p.neutral is None and p.name not in given]:
            raise TypeError(f"parameter {missing[0]!r} is missing; it has an effect whatever its value")
        n = len(next(iter(given.values())))
        values: dict[str, NDArray[Any]] = {"index": np.asarray(given.get("index", np.arange(n)), dtype=np.int64)}
        for name, parameter in stored.items():
            values[name] = (
                np.asarray(given[name], dtype=parameter.dtype) if name in given else parameter.neutral_values(n)
            )
        return cls(values)


def draw(
    settings: AugmentationSettings, seed: int, structure_hash: str, indices: Sequence[int] | NDArray[np.int64]
) -> Augmentations:
    """Return the augmentations of these indices; each index is drawn independently of the others."""
    index = np.asarray(indices, dtype=np.int64)
    parameters, decisions = _drawn(settings)
    u = uniforms(seed, structure_hash, index, stream_length(parameters))
    drawn: dict[str, NDArray[Any]] = {}
    for parameter in parameters:
        own = u[:, parameter.slot : parameter.slot + parameter.n_slots]
        bounds = getattr(settings, parameter.name) if parameter.default is not None else (0.0, 1.0)
        if parameter.draw is phase_number:
            bounds = (0.0, float(len(library(settings.phase_library))))
        values = parameter.draw(bounds, own)
        drawn[parameter.name] = values if parameter.axis else values[:, 0]
    for parameter, parts in decisions:
        probability = getattr(settings.probability, parameter.name)
        if probability < 1.0:
            absent = u[:, parameter.probability_slot] >= probability
            for part in (parameter, *parts):
                drawn[part.name][absent] = part.neutral_values(int(absent.sum()))
        if parameter.draw is whole_number:
            for part in parts:
                values = drawn[part.name]
                present = np.arange(values.shape[1]) < drawn[parameter.name][:, None]
                drawn[part.name] = np.where(present, values, np.asarray(part.neutral, dtype=part.dtype))
    stored = {p.name: drawn[p.name] if p.name in drawn else _neutral(p, len(index)).copy() for p in _STORED}
    return Augmentations({"index": index, **stored}, settings.phase_library)


_STORED = [p for p in PARAMETERS if p.stored]


@lru_cache(maxsize=8)
def _drawn(settings: AugmentationSettings) -> tuple[list[Parameter], list[tuple[Parameter, list[Parameter]]]]:
    """Return the parameters that can have an effect, and those of them that decide, with their parts."""
    optional = _with_effect(settings)
    drawn = [p for p in PARAMETERS if p.neutral is None or p in optional]
    deciding = [p for p in optional if p.is_augmentation]
    return drawn, [(p, [part for part in optional if part.part_of == p.name]) for p in deciding]


@lru_cache(maxsize=256)
def _neutral(parameter: Parameter, n: int) -> NDArray[Any]:
    return parameter.neutral_values(n)
