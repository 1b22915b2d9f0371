"""Instrument and augmentation parameters of a pattern, as a dataset describes them; draws on the device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainer.errors import TrainerError


@dataclass(frozen=True)
class Instrument:
    """The diffractometer, as far as the shape of a pattern depends on it."""

    wavelengths_A: tuple[float, ...]
    sh_over_l: float
    two_theta_min_deg: float
    two_theta_max_deg: float
    n_points: int
    geometry: str = "transmission"
    goniometer_radius_mm: float = 200.0
    polarisation: float = 0.5

    @classmethod
    def of_attributes(cls, instrument: Mapping[str, Any]) -> Instrument:
        """Return the instrument that a dataset's attributes describe."""
        try:
            return cls(
                wavelengths_A=tuple(float(line["wavelength_A"]) for line in instrument["lines"]),
                sh_over_l=float(instrument["sh_over_l"]),
                two_theta_min_deg=float(instrument["two_theta_min_deg"]),
                two_theta_max_deg=float(instrument["two_theta_max_deg"]),
                n_points=int(instrument["n_points"]),
                geometry=str(instrument.get("geometry", "transmission")),
                goniometer_radius_mm=float(instrument.get("goniometer_radius_mm", 200.0)),
                polarisation=float(instrument.get("polarisation", 0.5)),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise TrainerError(
                f"the dataset's attributes do not describe its instrument ({error!r}); "
                "training from sticks needs it: use --input patterns"
            ) from error

    @property
    def step_deg(self) -> float:
        """Distance between neighbouring points."""
        return (self.two_theta_max_deg - self.two_theta_min_deg) / (self.n_points - 1)


@dataclass(frozen=True)
class Parameters:
    """Instrument and sample of each pattern of a batch: (pattern,), or one more axis where said; double precision."""

    microstrain: Tensor
    crystallite_size_um: Tensor
    U_cdeg2: Tensor
    V_cdeg2: Tensor
    W_cdeg2: Tensor
    X_cdeg: Tensor
    Y_cdeg: Tensor
    zero_shift_deg: Tensor
    displacement_um: Tensor
    march_r: Tensor
    march_hkl: Tensor
    """(pattern, 3): normal of the preferred plane."""
    impurity_height: Tensor
    """(pattern, peak): of the highest point without them; 0 for none."""
    impurity_position: Tensor
    """(pattern, peak): 0..1 over the range of 2theta."""
    hump_height: Tensor
    hump_d_A: Tensor
    hump_fwhm_deg: Tensor
    phase_fraction: Tensor
    """(pattern, phase): weight fraction of each second phase; 0 for none."""
    phase_number: Tensor
    """(pattern, phase): which of the phases that there are."""
    phase_microstrain: Tensor
    phase_size_um: Tensor
    strain_isotropic: Tensor
    strain_anisotropic: Tensor
    """(pattern, 6): xx, yy, zz, yz, xz, xy with a along x and b in the xy plane, before symmetry."""
    overall_B_A2: Tensor
    size_ratio: Tensor
    size_hkl: Tensor
    """(pattern, 3): normal of the plane along which crystallites are longer."""
    further_lines: Tensor
    roughness: Tensor
    roughness_depth: Tensor
    absorption_mu_r: Tensor
    background_height: Tensor
    background_chebyshev: Tensor
    """(pattern, 3)"""
    air_height: Tensor
    air_decay_deg: Tensor
    second_hump_height: Tensor
    second_hump_d_A: Tensor
    second_hump_fwhm_deg: Tensor
    background_window: Tensor
    """Share of the range; 0: not subtracted."""


UNIFORM = ("microstrain", "crystallite_size_um", "U_cdeg2", "V_cdeg2", "W_cdeg2", "X_cdeg", "Y_cdeg", "zero_shift_deg",
           "displacement_um", "hump_height", "hump_d_A", "hump_fwhm_deg")  # fmt: skip
LATER: dict[str, tuple[str, ...]] = {
    "strain_isotropic": (),
    "strain_anisotropic": (),
    "overall_B_A2": (),
    "size_ratio": (),
    "further_lines": (),
    "roughness": ("roughness_depth",),
    "absorption_mu_r": (),
    "background_height": ("background_chebyshev",),
    "air_height": ("air_decay_deg",),
    "second_hump_height": ("second_hump_d_A", "second_hump_fwhm_deg"),
    "background_window": (),
}
"""Effects and their details that are drawn after the others, and only if they vary."""
WIDE = {"strain_anisotropic": 6, "background_chebyshev": 3}
"""Numbers of each pattern, where it is not one."""
LOG_UNIFORM = ("march_r", "impurity_height", "phase_fraction", "size_ratio")
NEUTRAL: dict[str, tuple[float, float]] = {
    **dict.fromkeys(UNIFORM, (0.0, 0.0)),
    "hump_d_A": (4.0, 4.0),
    "hump_fwhm_deg": (5.0, 5.0),
    "march_r": (1.0, 1.0),
    "impurity_peaks": (0, 0),
    "impurity_height": (0.01, 0.01),
    "second_phases": (0, 0),
    "phase_fraction": (0.01, 0.01),
    "phase_microstrain": (1000.0, 1000.0),
    "phase_size_um": (1.0, 1.0),
    **{name: (0.0, 0.0) for effect, parts in LATER.items() for name in (effect, *parts)},
    "size_ratio": (1.0, 1.0),
    "further_lines": (1.0, 1.0),
    "roughness_depth": (0.1, 0.1),
    "air_decay_deg": (5.0, 5.0),
    "second_hump_d_A": (2.2, 2.2),
    "second_hump_fwhm_deg": (8.0, 8.0),
}
"""Ranges in which a parameter has no effect. Datasets state the ranges of what varies, not these."""
PHASE_PARAMETERS = ("phase_fraction", "phase_number", "phase_microstrain", "phase_size_um")
STRAINED_CELL = "strained_cell"
"""Variable of the cell of each stored pattern, where cells are strained."""
PREFERRED_PLANES = np.array([hkl for hkl in product((0, 1), (-1, 0, 1), (-1, 0, 1)) if hkl > (0, 0, 0)])
"""Planes with indices -1, 0, 1, one of each Friedel pair."""


@dataclass(frozen=True)
class Augmentation:
    """What parameters are drawn from: the dataset's settings."""

    ranges: Mapping[str, tuple[float, float]]
    """A parameter without a range has no effect."""
    probability: Mapping[str, float] = field(default_factory=dict)
    """Share of the patterns in which a parameter has an effect, where it is not 1."""

    @property
    def mixes(self) -> bool:
        """Return whether patterns may have second phases."""
        return self.ranges.get("second_phases", (0, 0))[1] > 0 and self.probability.get("second_phases", 1.0) > 0

    @classmethod
    def of_attributes(cls, attributes: Mapping[str, Any]) -> Augmentation:
        """Return what a dataset's parameters were drawn from, or raise if one of them is unknown here."""
        try:
            given = attributes["configuration"]["simulation"]["augmentation"]
            ranges = {name: (float(given[name][0]), float(given[name][1])) for name in NEUTRAL if name in given}
            shares = given.get("probability", {})
            probability = {name: float(shares[name]) for name in NEUTRAL if shares.get(name, 1) < 1}
        except (AttributeError, TypeError, KeyError, ValueError, IndexError):
            raise TrainerError(
                "its attributes do not say from which ranges its parameters were drawn; use --input patterns"
            ) from None
        drawn = attributes.get("layout", {}).get("extra_augmentations", [])
        known = {*Parameters.__dataclass_fields__, STRAINED_CELL}
        if unknown := [name for name in drawn if name not in known]:
            raise TrainerError(
                f"its patterns vary in {unknown[0]}, which this version of the trainer cannot simulate; "
                "use --input patterns"
            )
        return cls(ranges, probability)


def draw_parameters(
    augmentation: Augmentation,
    n_patterns: int,
    device: torch.device,
    generator: torch.Generator | None = None,
    n_phases: int = 0,
) -> Parameters:
    """Return a draw for each pattern: uniform, but log-uniform for those of `LOG_UNIFORM`.

    Second phases are taken of `n_phases` crystals; there are none if that is 0.
    """
    bounds = {**NEUTRAL, **augmentation.ranges}
    most = int(bounds["impurity_peaks"][1])

    def uniform(*more: int) -> Tensor:
        return torch.rand(n_patterns, *more, dtype=torch.float64, device=device, generator=generator)

    def between(name: str, *more: int) -> Tensor:
        low, high = bounds[name]
        if name in LOG_UNIFORM:
            return low * (high / low) ** uniform(*more)
        return low + (high - low) * uniform(*more)

    planes = torch.tensor(PREFERRED_PLANES, dtype=torch.float64, device=device)
    drawn = {name: between(name) for name in UNIFORM}
    drawn["march_r"] = between("march_r")
    drawn["march_hkl"] = planes[(len(planes) * uniform()).long()]
    fewest = int(bounds["impurity_peaks"][0])
    drawn["impurity_peaks"] = fewest + ((most - fewest + 1) * uniform()).floor()
    heights, drawn["impurity_position"] = between("impurity_height", most), uniform(most)
    for name, share in augmentation.probability.items():
        if name not in LATER and name != "second_phases":
            drawn[name] = torch.where(uniform() < share, drawn[name], NEUTRAL[name][0])
    count = drawn.pop("impurity_peaks")
    drawn["impurity_height"] = heights * (torch.arange(most, device=device) < count[:, None])
    drawn["size_hkl"] = planes[:1].expand(n_patterns, 3)
    for effect, parts in LATER.items():
        varies = tuple(bounds[effect]) != NEUTRAL[effect]
        for name in (effect, *parts):
            more = (WIDE[name],) if name in WIDE else ()
            drawn[name] = (
                between(name, *more) if varies else drawn["march_r"].new_full((n_patterns, *more), NEUTRAL[name][0])
            )
        if varies and effect == "size_ratio":
            drawn["size_hkl"] = planes[(len(planes) * uniform()).long()]
        if varies and effect in augmentation.probability:
            has = uniform() < augmentation.probability[effect]
            values = drawn[effect]
            drawn[effect] = torch.where(has if values.ndim == 1 else has[:, None], values, NEUTRAL[effect][0])
    fewest, most = (int(end) for end in bounds["second_phases"]) if n_phases else (0, 0)
    drawn |= {name: between(name, most) for name in ("phase_fraction", "phase_microstrain", "phase_size_um")}
    drawn["phase_number"] = (n_phases * uniform(most)).floor()
    if most:
        count = fewest + ((most - fewest + 1) * uniform()).floor()
        if "second_phases" in augmentation.probability:
            count = torch.where(uniform() < augmentation.probability["second_phases"], count, 0.0)
        drawn["phase_fraction"] = drawn["phase_fraction"] * (torch.arange(most, device=device) < count[:, None])
    return Parameters(**drawn)


def _filled(*shape: int, like: Tensor, name: str) -> Tensor:
    """Return values without effect."""
    return like.new_full(shape, NEUTRAL[name][0])
