"""What varies from one pattern of a structure to the next: the ranges, the draws, and every drawn value."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from datagen.simulate.rng import uniforms

Array = NDArray[np.float64]


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


Range = Annotated[tuple[FiniteFloat, FiniteFloat], AfterValidator(_ordered)]
PositiveRange = Annotated[tuple[FiniteFloat, FiniteFloat], AfterValidator(_ordered_and_positive)]
NonNegativeRange = Annotated[tuple[FiniteFloat, FiniteFloat], AfterValidator(_ordered_and_not_negative)]

MAX_IMPURITY_PEAKS = 8

_REALISTIC: dict[str, Any] = {
    "X_cdeg": (0.0, 2.0),
    "Y_cdeg": (0.0, 5.0),
    "zero_shift_deg": (-0.02, 0.02),
    "displacement_um": (-100.0, 100.0),
    "march_r": (0.4, 2.5),
    "impurity_peaks": (0, 4),
    "impurity_height": (0.002, 0.05),
    "hump_height": (0.0, 0.1),
}


class AugmentationSettings(BaseModel):
    """The range of every parameter; a range of zero width fixes it. Uniform draws, log-uniform where said.

    `preset = "alphadiffract"` is Table 5 of the paper. `"realistic"` adds what measured patterns have and those lack.
    Fields given beside a preset replace the preset's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    preset: Literal["alphadiffract", "realistic"] = "alphadiffract"
    """Ranges by default: `alphadiffract`, the paper's Table 5; `realistic` adds what measured patterns have."""
    count: int = Field(default=100, ge=1, le=100_000)
    """Patterns per structure."""

    microstrain: NonNegativeRange = (500.0, 10_000.0)
    """Isotropic microstrain, as in GSAS-II."""
    crystallite_size_um: PositiveRange = (0.1, 1.0)
    """Isotropic crystallite size."""
    U_cdeg2: Range = (0.0, 3.0)
    """Gaussian instrument term U of Caglioti's formula."""
    V_cdeg2: Range = (-1.0, 0.0)
    """Gaussian instrument term V of Caglioti's formula."""
    W_cdeg2: Range = (0.0, 4.0)
    """Gaussian instrument term W of Caglioti's formula."""

    X_cdeg: NonNegativeRange = (0.0, 0.0)
    """Instrument's Lorentzian width X / cos(theta), centidegrees."""
    Y_cdeg: NonNegativeRange = (0.0, 0.0)
    """Instrument's Lorentzian width Y tan(theta), centidegrees."""
    zero_shift_deg: Range = (0.0, 0.0)
    """Zero shift of the diffractometer."""
    displacement_um: Range = (0.0, 0.0)
    """Sample displacement; moves peaks as the instrument's geometry and radius say."""
    march_r: PositiveRange = (1.0, 1.0)
    """March-Dollase coefficient, drawn log-uniform; 1 is a random powder, below 1 platelets lying flat."""
    impurity_peaks: tuple[int, int] = (0, 0)
    """How many foreign peaks, both ends included, at uniform positions."""
    impurity_height: PositiveRange = (0.01, 0.01)
    """Of the highest point of the pattern without them; drawn log-uniform for each peak."""
    hump_height: NonNegativeRange = (0.0, 0.0)
    """Amorphous hump (a Gaussian), of the highest point of the pattern without it."""
    hump_d_A: PositiveRange = (3.0, 5.0)
    """Where the hump's centre lies, as a d spacing: nearest-neighbour distances of glasses."""
    hump_fwhm_deg: PositiveRange = (3.0, 8.0)
    """Full width of the hump at half maximum."""

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("preset") == "realistic":
            return {**_REALISTIC, **given}
        return given

    @model_validator(mode="after")
    def _impurities_fit(self) -> AugmentationSettings:
        low, high = self.impurity_peaks
        if not 0 <= low <= high <= MAX_IMPURITY_PEAKS:
            raise ValueError(
                f"impurity_peaks: expected 0 <= minimum <= maximum <= {MAX_IMPURITY_PEAKS}, found {low, high}"
            )
        return self


@dataclass(frozen=True, eq=False)
class Augmentations:
    """One entry per augmentation, every drawn value kept: with the sticks they rebuild the pattern."""

    index: NDArray[np.int64]
    microstrain: Array
    crystallite_size_um: Array
    U_cdeg2: Array
    V_cdeg2: Array
    W_cdeg2: Array
    X_cdeg: Array
    Y_cdeg: Array
    zero_shift_deg: Array
    displacement_um: Array
    march_r: Array
    march_hkl: NDArray[np.int64]
    """(augmentation, 3): normal of the preferred plane, indices of the crystal's (primitive Niggli) cell."""
    impurity_height: Array
    """(augmentation, MAX_IMPURITY_PEAKS): 0 where there is no peak."""
    impurity_position: Array
    """(augmentation, MAX_IMPURITY_PEAKS): 0..1 over the 2theta range."""
    hump_height: Array
    hump_d_A: Array
    hump_fwhm_deg: Array

    def __len__(self) -> int:
        return int(self.index.size)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Every array by name, for storing."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def __getitem__(self, which: slice | NDArray[np.int64]) -> Augmentations:
        return Augmentations(**{name: values[which] for name, values in self.columns().items()})

    @classmethod
    def of(
        cls,
        *,
        microstrain: Sequence[float] | Array,
        crystallite_size_um: Sequence[float] | Array,
        U_cdeg2: Sequence[float] | Array,
        V_cdeg2: Sequence[float] | Array,
        W_cdeg2: Sequence[float] | Array,
        **more: Any,
    ) -> Augmentations:
        """Augmentations of given values; whatever is not named has no effect on the pattern."""
        n = len(microstrain)
        values: dict[str, Any] = {
            "index": np.arange(n),
            "march_hkl": np.tile([0, 0, 1], (n, 1)),
            "march_r": np.ones(n),
            "impurity_height": np.zeros((n, MAX_IMPURITY_PEAKS)),
            "impurity_position": np.zeros((n, MAX_IMPURITY_PEAKS)),
            "hump_d_A": np.full(n, 4.0),
            "hump_fwhm_deg": np.full(n, 5.0),
        }
        for name in ("X_cdeg", "Y_cdeg", "zero_shift_deg", "displacement_um", "hump_height"):
            values[name] = np.zeros(n)
        given = {
            "microstrain": microstrain,
            "crystallite_size_um": crystallite_size_um,
            "U_cdeg2": U_cdeg2,
            "V_cdeg2": V_cdeg2,
            "W_cdeg2": W_cdeg2,
            **more,
        }
        whole = ("index", "march_hkl")
        values.update({k: np.asarray(v, dtype=np.int64 if k in whole else np.float64) for k, v in given.items()})
        return cls(**values)


# A parameter's slots in an augmentation's stream. Never renumber: a parameter that comes later takes a free slot, so
# that all others keep the values they had.
_SLOT = {
    "microstrain": 0,
    "crystallite_size_um": 1,
    "U_cdeg2": 2,
    "V_cdeg2": 3,
    "W_cdeg2": 4,
    "X_cdeg": 5,
    "Y_cdeg": 6,
    "zero_shift_deg": 7,
    "displacement_um": 8,
    "march_r": 9,
    "march_hkl": 10,
    "impurity_peaks": 11,
    "hump_height": 12,
    "hump_d_A": 13,
    "hump_fwhm_deg": 14,
    "impurity_position": 16,  # 16..23
    "impurity_height": 24,  # 24..31
}
_N_SLOTS = 32

LOW_INDEX = np.array([hkl for hkl in itertools.product((0, 1), (-1, 0, 1), (-1, 0, 1)) if hkl > (0, 0, 0)])
"""The 13 planes with indices -1, 0, 1, one of each Friedel pair, that preferred orientation chooses from."""


def draw(
    settings: AugmentationSettings, seed: int, structure_hash: str, indices: Sequence[int] | NDArray[np.int64]
) -> Augmentations:
    """The augmentations of these indices: number 37 is the same alone as among a hundred."""
    index = np.asarray(indices, dtype=np.int64)
    u = uniforms(seed, structure_hash, index, _N_SLOTS)

    def uniform(name: str) -> Array:
        low, high = getattr(settings, name)
        return np.asarray(low + (high - low) * u[:, _SLOT[name]], dtype=np.float64)

    def log_uniform(name: str, columns: slice) -> Array:
        low, high = getattr(settings, name)
        return np.asarray(low * (high / low) ** u[:, columns], dtype=np.float64)

    peaks = slice(_SLOT["impurity_position"], _SLOT["impurity_position"] + MAX_IMPURITY_PEAKS)
    heights = slice(_SLOT["impurity_height"], _SLOT["impurity_height"] + MAX_IMPURITY_PEAKS)
    fewest, most = settings.impurity_peaks
    n_peaks = fewest + np.floor((most - fewest + 1) * u[:, _SLOT["impurity_peaks"]])
    present = np.arange(MAX_IMPURITY_PEAKS) < n_peaks[:, None]
    return Augmentations(
        index=index,
        microstrain=uniform("microstrain"),
        crystallite_size_um=uniform("crystallite_size_um"),
        U_cdeg2=uniform("U_cdeg2"),
        V_cdeg2=uniform("V_cdeg2"),
        W_cdeg2=uniform("W_cdeg2"),
        X_cdeg=uniform("X_cdeg"),
        Y_cdeg=uniform("Y_cdeg"),
        zero_shift_deg=uniform("zero_shift_deg"),
        displacement_um=uniform("displacement_um"),
        march_r=log_uniform("march_r", slice(_SLOT["march_r"], _SLOT["march_r"] + 1))[:, 0],
        march_hkl=LOW_INDEX[np.floor(len(LOW_INDEX) * u[:, _SLOT["march_hkl"]]).astype(np.int64)],
        impurity_height=np.where(present, log_uniform("impurity_height", heights), 0.0),
        impurity_position=np.where(present, u[:, peaks], 0.0),
        hump_height=uniform("hump_height"),
        hump_d_A=uniform("hump_d_A"),
        hump_fwhm_deg=uniform("hump_fwhm_deg"),
    )
