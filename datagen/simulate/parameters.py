"""The table of augmentation parameters: everything that varies from one pattern of a structure to the next.

Settings, draws, stored variables and the report follow from `PARAMETERS`. A new parameter is one entry here, and its
effect in the engines.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, FiniteFloat

Array = NDArray[np.float64]
Range = tuple[float, float]

MAX_IMPURITY_PEAKS = 8
"""Foreign peaks of a pattern at most."""
LOW_INDEX = np.array([hkl for hkl in itertools.product((0, 1), (-1, 0, 1), (-1, 0, 1)) if hkl > (0, 0, 0)])
"""The 13 planes with indices -1, 0, 1, one of each Friedel pair, that preferred orientation chooses from."""


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
    """Return planes out of `LOW_INDEX`, all equally likely."""
    del bounds
    return np.asarray(LOW_INDEX[np.floor(len(LOW_INDEX) * u[:, 0]).astype(np.int64)], dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One augmentation parameter: its range in the settings, its place in the random stream, its stored variable."""

    name: str
    units: str
    """Units in the dataset."""
    description: str
    """Description in the dataset; the settings say the same, with `note`."""
    slot: int
    """First of its slots in an augmentation's random stream. Permanent: a new parameter takes free slots, so that all
    others keep the values they had."""
    probability_slot: int | None = None
    """Slot that decides whether a pattern has the effect; for parameters with a neutral value that lead others or
    stand alone. Permanent likewise."""
    default: Range | None = None
    """Range in the settings if nothing else is given; None: the parameter has no setting."""
    realistic: Range | None = None
    """Range of the preset `realistic`, where it differs."""
    domain: Literal["any", "non-negative", "positive", "count"] = "any"
    neutral: float | tuple[int, ...] | None = None
    """Value without effect on the pattern; None: every value has one, and the parameter is always stored."""
    draw: Callable[[Range, Array], NDArray[Any]] = uniform
    part_of: str | None = None
    """Parameter without whose effect this one has none; the two are stored together. Of a counted one, the entries
    beyond its number are zero."""
    axis: tuple[str, int] | None = None
    """Further axis of each value, name and length."""
    stored: bool = True
    """Whether the value itself is kept; else those that are part of it say all."""
    effect: str = ""
    """What the probability is of, in words."""
    note: str = ""
    """What the reference of the settings says besides."""

    def __post_init__(self) -> None:
        if self.is_augmentation != (self.probability_slot is not None):
            raise ValueError(
                f"{self.name}: a parameter has a probability_slot if it has a neutral value and is not part of another"
            )

    @property
    def is_augmentation(self) -> bool:
        """Return whether a pattern can be without the effect, and the parameter decides that for its parts too."""
        return self.neutral is not None and self.part_of is None

    @property
    def slots(self) -> set[int]:
        """Return every slot it takes in the random stream."""
        own = set(range(self.slot, self.slot + self.n_slots))
        return own if self.probability_slot is None else own | {self.probability_slot}

    @property
    def n_slots(self) -> int:
        """Return the number of slots in the random stream."""
        return self.axis[1] if self.axis and self.draw is not low_index_plane else 1

    @property
    def dtype(self) -> type[np.int64 | np.float64]:
        """Return the type of the drawn values."""
        return np.int64 if self.draw is low_index_plane else np.float64

    def setting(self) -> tuple[Any, Any]:
        """Return type and field of the range in the settings."""
        sentences = [f"{self.description}.", "Drawn log-uniform." if self.draw is log_uniform else "", self.note]
        return _TYPES[self.domain], Field(default=self.default, description=" ".join(filter(None, sentences)))

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


def _number_of_peaks(value: tuple[int, int]) -> tuple[int, int]:
    if not 0 <= value[0] <= value[1] <= MAX_IMPURITY_PEAKS:
        raise ValueError(f"expected 0 <= minimum <= maximum <= {MAX_IMPURITY_PEAKS}, found {value}")
    return value


_TYPES: dict[str, Any] = {
    "any": Annotated[tuple[FiniteFloat, FiniteFloat], AfterValidator(_ordered)],
    "positive": Annotated[tuple[FiniteFloat, FiniteFloat], AfterValidator(_ordered_and_positive)],
    "non-negative": Annotated[tuple[FiniteFloat, FiniteFloat], AfterValidator(_ordered_and_not_negative)],
    "count": Annotated[tuple[int, int], AfterValidator(_number_of_peaks)],
}

PARAMETERS: tuple[Parameter, ...] = (
    Parameter(
        name="microstrain",
        units="1e-6",
        description="Isotropic Lorentzian microstrain, in GSAS-II's units",
        slot=0,
        default=(500.0, 10_000.0),
        domain="non-negative",
    ),
    Parameter(
        name="crystallite_size_um",
        units="micrometer",
        description="Isotropic Lorentzian crystallite size",
        slot=1,
        default=(0.1, 1.0),
        domain="positive",
    ),
    Parameter(
        name="U_cdeg2",
        units="0.0001 degree2",
        description="Gaussian instrument term U of Caglioti's formula",
        slot=2,
        default=(0.0, 3.0),
    ),
    Parameter(
        name="V_cdeg2",
        units="0.0001 degree2",
        description="Gaussian instrument term V of Caglioti's formula",
        slot=3,
        default=(-1.0, 0.0),
    ),
    Parameter(
        name="W_cdeg2",
        units="0.0001 degree2",
        description="Gaussian instrument term W of Caglioti's formula",
        slot=4,
        default=(0.0, 4.0),
    ),
    Parameter(
        name="X_cdeg",
        units="0.01 degree",
        description="Lorentzian instrument width X / cos(theta)",
        slot=5,
        probability_slot=32,
        effect="an instrument width X",
        default=(0.0, 0.0),
        realistic=(0.0, 2.0),
        domain="non-negative",
        neutral=0.0,
    ),
    Parameter(
        name="Y_cdeg",
        units="0.01 degree",
        description="Lorentzian instrument width Y tan(theta)",
        slot=6,
        probability_slot=33,
        effect="an instrument width Y",
        default=(0.0, 0.0),
        realistic=(0.0, 5.0),
        domain="non-negative",
        neutral=0.0,
    ),
    Parameter(
        name="zero_shift_deg",
        units="degree",
        description="Shift of all peaks",
        slot=7,
        probability_slot=34,
        effect="a zero shift",
        default=(0.0, 0.0),
        realistic=(-0.02, 0.02),
        neutral=0.0,
        note="The diffractometer's zero.",
    ),
    Parameter(
        name="displacement_um",
        units="micrometer",
        description="Displacement of the sample",
        slot=8,
        probability_slot=35,
        effect="a displaced sample",
        default=(0.0, 0.0),
        realistic=(-100.0, 100.0),
        neutral=0.0,
        note="Moves peaks by the instrument's geometry and radius.",
    ),
    Parameter(
        name="march_r",
        units="1",
        description="March-Dollase coefficient of preferred orientation, 1 for none",
        slot=9,
        probability_slot=36,
        effect="preferred orientation",
        default=(1.0, 1.0),
        realistic=(0.4, 2.5),
        domain="positive",
        neutral=1.0,
        draw=log_uniform,
        note="Below 1: platelets lying flat.",
    ),
    Parameter(
        name="march_hkl",
        units="1",
        description="Preferred plane, indices of the crystal's own cell",
        slot=10,
        neutral=(0, 0, 1),
        draw=low_index_plane,
        part_of="march_r",
        axis=("hkl", 3),
    ),
    Parameter(
        name="impurity_peaks",
        units="1",
        description="Number of foreign peaks, both ends included, at uniform positions",
        slot=11,
        probability_slot=37,
        effect="foreign peaks, their number then as drawn",
        default=(0, 0),
        realistic=(0, 4),
        domain="count",
        neutral=0.0,
        draw=whole_number,
        stored=False,
    ),
    Parameter(
        name="impurity_height",
        units="1",
        description="Foreign peaks, of the highest point without them; 0 for none",
        slot=24,
        default=(0.01, 0.01),
        realistic=(0.002, 0.05),
        domain="positive",
        neutral=0.0,
        draw=log_uniform,
        part_of="impurity_peaks",
        axis=("impurity", MAX_IMPURITY_PEAKS),
    ),
    Parameter(
        name="impurity_position",
        units="1",
        description="Where foreign peaks lie, 0 to 1 over the range of 2theta",
        slot=16,
        neutral=0.0,
        part_of="impurity_peaks",
        axis=("impurity", MAX_IMPURITY_PEAKS),
    ),
    Parameter(
        name="hump_height",
        units="1",
        description="Amorphous hump, of the highest point without it",
        slot=12,
        probability_slot=38,
        effect="an amorphous hump",
        default=(0.0, 0.0),
        realistic=(0.0, 0.1),
        domain="non-negative",
        neutral=0.0,
        note="A Gaussian.",
    ),
    Parameter(
        name="hump_d_A",
        units="angstrom",
        description="Centre of the hump as a d spacing",
        slot=13,
        default=(3.0, 5.0),
        domain="positive",
        neutral=4.0,
        part_of="hump_height",
        note="By default nearest-neighbour distances of glasses.",
    ),
    Parameter(
        name="hump_fwhm_deg",
        units="degree",
        description="Full width of the hump at half its maximum",
        slot=14,
        default=(3.0, 8.0),
        domain="positive",
        neutral=5.0,
        part_of="hump_height",
    ),
)
"""Every parameter, in the order of settings and stored variables."""


def always_stored() -> tuple[Parameter, ...]:
    """Return the parameters that every dataset stores: those that always have an effect."""
    return tuple(p for p in PARAMETERS if p.neutral is None)


def optionally_stored() -> tuple[Parameter, ...]:
    """Return the parameters that a dataset stores if they can have an effect."""
    return tuple(p for p in PARAMETERS if p.neutral is not None and p.stored)


def realistic_ranges() -> dict[str, Range]:
    """Return what the preset `realistic` changes."""
    return {p.name: p.realistic for p in PARAMETERS if p.realistic is not None}


def stream_length(parameters: Iterable[Parameter]) -> int:
    """Return the number of slots of an augmentation's random stream."""
    return max(slot for p in parameters for slot in p.slots) + 1
