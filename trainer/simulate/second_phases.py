"""Second phases on the device: patterns of other crystals, added by weight fraction on the scale of the first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.simulate.parameters import Instrument, Parameters
from trainer.simulate.sticks import Sticks

DALTON_G_CM3 = 1.66053906660
"""1 dalton per A^3 in g/cm^3."""
# fmt: off
ATOMIC_MASSES = (
    1.0079, 4.0026, 6.941, 9.0122, 10.811, 12.0107, 14.0067, 15.9994, 18.9984, 20.1797, 22.9898, 24.305, 26.9815,
    28.0855, 30.9738, 32.065, 35.453, 39.948, 39.0983, 40.078, 44.9559, 47.867, 50.9415, 51.9961, 54.938, 55.845,
    58.9332, 58.6934, 63.546, 65.38, 69.723, 72.64, 74.9216, 78.96, 79.904, 83.798, 85.4678, 87.62, 88.9059, 91.224,
    92.9064, 95.95, 98, 101.07, 102.906, 106.42, 107.868, 112.411, 114.818, 118.71, 121.76, 127.6, 126.904, 131.293,
    132.905, 137.327, 138.905, 140.116, 140.908, 144.24, 145, 150.36, 151.964, 157.25, 158.925, 162.5, 164.93,
    167.259, 168.934, 173.05, 174.967, 178.49, 180.948, 183.84, 186.207, 190.23, 192.217, 195.084, 196.967, 200.59,
    204.383, 207.2, 208.98, 209, 210, 222, 223, 226, 227, 232.038, 231.036, 238.029, 237, 244, 243, 247, 247, 251,
    252, 257, 258, 259, 262, 267, 268, 271, 272, 270, 276, 281, 280, 285, 284, 289, 288, 293, 294, 294,
)
# fmt: on
"""Of the elements 1 to 118, daltons."""


@dataclass(frozen=True)
class Phases:
    """Crystals that second phases are taken from, and the densities of mixtures."""

    sticks: Sticks
    """Each phase is one "pattern" of these."""
    density: Tensor
    """(phase,), g/cm^3."""
    own_density: Tensor
    """(pattern,): densities of the crystals that the phases are added to."""

    @classmethod
    def of_batch(cls, sticks: Sticks, density: Tensor | None) -> Phases | None:
        """Return the crystals of a batch as phases of one another."""
        return None if density is None else cls(sticks, density, density)


def density_g_cm3(
    composition: NDArray[np.float32], n_atoms: NDArray[np.int32], volume_A3: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return mass densities from atomic fractions (structure, element), sites and volumes of cells, all sites full."""
    mean_mass = composition[:, : len(ATOMIC_MASSES)].astype(np.float64) @ np.array(ATOMIC_MASSES)
    return np.asarray(DALTON_G_CM3 * mean_mass * n_atoms / volume_A3, dtype=np.float64)


def add_second_phases(
    pattern: Tensor,
    phases: Phases | None,
    parameters: Parameters,
    instrument: Instrument,
    volume_ratio: Tensor,
    summed: Callable[[Sticks, Parameters], Tensor],
) -> Tensor:
    """Add to each pattern its phases with the factor (w / rho) / (w_0 / rho_0), the index 0 for the crystal itself.

    `volume_ratio` is the volume of a strained cell over the crystal's; `summed` makes patterns of sticks. Phases have
    neither preferred orientation nor strain.
    """
    if phases is None or not parameters.phase_fraction.any():
        return pattern
    p = parameters
    weight = 1 - p.phase_fraction.sum(dim=1)
    density = phases.own_density.double() / volume_ratio
    for k in range(p.phase_fraction.shape[1]):
        rows = (p.phase_fraction[:, k] > 0).nonzero().squeeze(1)
        if not len(rows):
            continue
        number = p.phase_number[rows, k].long()
        own = Parameters(**{f.name: getattr(p, f.name)[rows] for f in fields(Parameters)})
        own = replace(
            own,
            microstrain=own.phase_microstrain[:, k],
            crystallite_size_um=own.phase_size_um[:, k],
            overall_B_A2=torch.zeros_like(own.overall_B_A2),
        )
        added = summed(chosen(phases.sticks, number, instrument), own)
        factor = p.phase_fraction[rows, k] / weight[rows] * density[rows] / phases.density.double()[number]
        pattern[rows] += (factor[:, None] * added).to(pattern.dtype)
    return pattern


def chosen(sticks: Sticks, numbers: Tensor, instrument: Instrument) -> Sticks:
    """Return the reflections of the crystals of these numbers in the range, without their members."""
    counts = torch.bincount(sticks.pattern.long(), minlength=sticks.n_patterns)
    first = counts.cumsum(0) - counts
    sizes = counts[numbers]
    owner = torch.repeat_interleave(torch.arange(len(numbers), device=numbers.device), sizes)
    before = sizes.cumsum(0) - sizes
    at = torch.arange(len(owner), device=numbers.device) - before[owner] + first[numbers][owner]
    angle = sticks.two_theta_deg[at]
    inside = (angle >= instrument.two_theta_min_deg) & (angle <= instrument.two_theta_max_deg)
    area = torch.where(inside, sticks.intensity[at], 0.0)
    return Sticks(angle, area, sticks.line[at], owner, len(numbers))
