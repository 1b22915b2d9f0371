"""The entry of the table of augmentation parameters, and the distributions it can be drawn from."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, FiniteFloat

Array = NDArray[np.float64]
Range = tuple[float, float]

MAX_IMPURITY_PEAKS = 8
"""Largest number of foreign peaks of a pattern."""
MAX_SECOND_PHASES = 3
"""Largest number of second phases of a pattern."""
LARGEST_FRACTION = 0.3
"""Largest weight fraction of a second phase: the crystal itself is at least a tenth of the mixture."""
LARGEST_STRAIN = 0.1
"""Largest relative change of a cell's lengths."""
LOW_INDEX = np.array([hkl for hkl in itertools.product((0, 1), (-1, 0, 1), (-1, 0, 1)) if hkl > (0, 0, 0)])
"""The 13 planes of preferred orientation: indices -1, 0, 1, one of each Friedel pair."""


def uniform(bounds: Range, u: Array) -> Array:
    """Return values distributed uniformly between the bounds, for uniform numbers `u`."""
    low, high = bounds
    return np.asarray(low + (high - low) * u, dtype=np.float64)


def log_uniform(bounds: Range, u: Array) -> Array:
    """Return values whose logarithm is distributed uniformly between the bounds."""
    low, high = bounds
    return np.asarray(low * (high / low) ** u, dtype=np.float64)


def whole_number(bounds: Range, u: Array) -> Array:
    """Return whole numbers, both bounds included, all equally likely."""
    low, high = bounds
    return np.asarray(low + np.floor((high - low + 1) * u), dtype=np.float64)


def low_index_plane(bounds: Range, u: Array) -> NDArray[np.int64]:
    """Return planes of `LOW_INDEX`, all equally likely."""
    del bounds
    return np.asarray(LOW_INDEX[np.floor(len(LOW_INDEX) * u[:, 0]).astype(np.int64)], dtype=np.int64)


def phase_number(bounds: Range, u: Array) -> NDArray[np.int64]:
    """Return numbers of phases from 0 to below the upper bound, all equally likely."""
    return np.asarray(np.floor(bounds[1] * u), dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """An augmentation parameter: range in the settings, slots in the random stream, stored variable."""

    name: str
    units: str
    """Units in the dataset."""
    description: str
    """Description in the dataset and, followed by `note`, in the settings."""
    slot: int
    """First of its slots in an augmentation's random stream. Never changed: a new parameter takes free slots, so that
    the draws of all others stay the same."""
    probability_slot: int | None = None
    """Slot of the decision whether a pattern has the effect, for parameters with a neutral value that are not part of
    another. Never changed either."""
    default: Range | None = None
    """Range in the settings if nothing else is given; None: the parameter has no setting."""
    realistic: Range | None = None
    """Range of the preset `realistic`, where it differs."""
    measured: Range | None = None
    """Range of the preset `measured`, where it differs from `realistic`."""
    measured_share: float | None = None
    """Probability in the preset `measured`; None: 1."""
    domain: Literal["any", "non-negative", "positive", "fraction", "share", "strain", "count"] = "any"
    largest: int = 0
    """Largest value of a count."""
    neutral: float | tuple[int, ...] | None = None
    """Value without effect on the pattern, also of entries beyond a drawn number; None: every value has an effect, and
    the parameter is always stored."""
    draw: Callable[[Range, Array], NDArray[Any]] = uniform
    part_of: str | None = None
    """Parameter whose effect this one details; they are stored together. If that is a number, entries beyond it
    are neutral."""
    axis: tuple[str, int] | None = None
    """Further axis of each value, name and length."""
    names: Callable[[str], tuple[str, ...]] | None = None
    """Meanings of the numbers 0, 1, ..., for the name of a library of second phases."""
    stored: bool = True
    """Whether the dataset stores the value; if not, its parts determine it."""
    of_peaks: bool = False
    """Whether it changes the crystal's own peaks in a way that GSAS-II is not asked for."""
    effect: str = ""
    """Name of the effect in the description of its probability."""
    note: str = ""
    """Further sentence in the description of the setting."""

    def __post_init__(self) -> None:
        if self.is_augmentation != (self.probability_slot is not None):
            raise ValueError(
                f"{self.name}: a parameter has a probability_slot if it has a neutral value and is not part of another"
            )

    @property
    def is_augmentation(self) -> bool:
        """Return whether the parameter decides, also for its parts, if a pattern has the effect."""
        return self.neutral is not None and self.part_of is None

    @property
    def slots(self) -> set[int]:
        """Return all slots in the random stream."""
        own = set(range(self.slot, self.slot + self.n_slots))
        return own if self.probability_slot is None else own | {self.probability_slot}

    @property
    def n_slots(self) -> int:
        """Return the number of slots of the value."""
        return self.axis[1] if self.axis and self.draw is not low_index_plane else 1

    @property
    def dtype(self) -> type[np.int64 | np.float64]:
        """Return the type of the drawn values."""
        return np.int64 if self.draw in (low_index_plane, phase_number) else np.float64

    def setting(self) -> tuple[Any, Any]:
        """Return type and field of the range in the settings."""
        sentences = [f"{self.description}.", "Drawn log-uniform." if self.draw is log_uniform else "", self.note]
        domain = _count(self.largest) if self.domain == "count" else _TYPES[self.domain]
        return domain, Field(default=self.default, description=" ".join(filter(None, sentences)))

    def probability_setting(self) -> tuple[Any, Any]:
        """Return type and field of the probability in the settings."""
        text = f"Probability of {self.effect or f'an effect of `{self.name}`'}."
        field = Field(default=1.0, ge=0, le=1, description=text, json_schema_extra={"unit": ""})
        return float, field

    def neutral_values(self, n: int) -> NDArray[Any]:
        """Return the values of n augmentations on which the parameter has no effect."""
        if self.neutral is None:
            raise ValueError(f"{self.name}: every value has an effect")
        shape = (n, self.axis[1]) if self.axis else (n,)
        return np.array(np.broadcast_to(np.asarray(self.neutral, dtype=self.dtype), shape))


def _ordered(value: tuple[float, float]) -> tuple[float, float]:
    if not value[0] <= value[1]:
        raise ValueError(f"expected (minimum, maximum), found {value}")
    return value


def _ordered_and_positive(value: tuple[float, float]) -> tuple[float, float]:
    if not 0 < value[0] <= value[1]:
        raise ValueError(f"expected 0 < minimum <= maximum, found {value}")
    return value


def _ordered_and_not_negative(value: tuple[float, float]) -> tuple[float, float]:
    if not 0 <= value[0] <= value[1]:
        raise ValueError(f"expected 0 <= minimum <= maximum, found {value}")
    return value


def _ordered_fraction(value: tuple[float, float]) -> tuple[float, float]:
    if not 0 < value[0] <= value[1] <= LARGEST_FRACTION:
        raise ValueError(f"expected 0 < minimum <= maximum <= {LARGEST_FRACTION}, found {value}")
    return value


def _ordered_share(value: tuple[float, float]) -> tuple[float, float]:
    if not 0 <= value[0] <= value[1] <= 1:
        raise ValueError(f"expected 0 <= minimum <= maximum <= 1, found {value}")
    return value


def _ordered_strain(value: tuple[float, float]) -> tuple[float, float]:
    if not -LARGEST_STRAIN <= value[0] <= value[1] <= LARGEST_STRAIN:
        raise ValueError(f"expected -{LARGEST_STRAIN} <= minimum <= maximum <= {LARGEST_STRAIN}, found {value}")
    return value


def _count(largest: int) -> Any:
    """Return the type of ranges of whole numbers up to `largest`."""

    def checked(value: tuple[int, int]) -> tuple[int, int]:
        if not 0 <= value[0] <= value[1] <= largest:
            raise ValueError(f"expected 0 <= minimum <= maximum <= {largest}, found {value}")
        return value

    return Annotated[tuple[int, int], AfterValidator(checked)]


_TYPES: dict[str, Any] = {
    "any": Annotated[tuple[FiniteFloat, FiniteFloat], AfterValidator(_ordered)],
    "positive": Annotated[tuple[FiniteFloat, FiniteFloat], AfterValidator(_ordered_and_positive)],
    "non-negative": Annotated[tuple[FiniteFloat, FiniteFloat], AfterValidator(_ordered_and_not_negative)],
    "fraction": Annotated[tuple[FiniteFloat, FiniteFloat], AfterValidator(_ordered_fraction)],
    "share": Annotated[tuple[FiniteFloat, FiniteFloat], AfterValidator(_ordered_share)],
    "strain": Annotated[tuple[FiniteFloat, FiniteFloat], AfterValidator(_ordered_strain)],
}
