"""Patterns of the same crystal at another scale, which give a small dataset more cells to train on.

All d spacings are multiplied by one factor: peaks move by Bragg's law, sin(theta) -> sin(theta) / factor, lengths of
the cell scale, angles and symmetry do not change. Positions are exact, intensities are kept, and no peak enters from
outside the range.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from trainer.data.sources import PatternBatch, StickBatch
from trainer.simulate.broaden import Sticks

LARGEST_SINE = 0.999
"""Reflections beyond it are dropped."""


@dataclass(frozen=True)
class Strain:
    """Scales each crystal by a factor, log-uniform in 1 / (1 + largest) .. 1 + largest.

    The factor is limited so that the highest peak stays in the range and no pattern becomes empty.
    """

    largest: float
    two_theta_min_deg: float
    two_theta_max_deg: float

    def __call__(
        self, batch: PatternBatch | StickBatch, generator: torch.Generator | None
    ) -> PatternBatch | StickBatch:
        """Scale the patterns and labels of a batch."""
        draw = torch.rand(len(batch), dtype=torch.float64, device=batch.lattice.device, generator=generator)
        factor = (1.0 + self.largest) ** (2.0 * draw - 1.0)
        return self.scaled(batch, self.within_range(batch, factor))

    def within_range(self, batch: PatternBatch | StickBatch, factor: Tensor) -> Tensor:
        """Limit the factors (batch) so that the highest peak stays in the range."""
        low, high = (_sine(torch.tensor(x).double()) for x in (self.two_theta_min_deg, self.two_theta_max_deg))
        if isinstance(batch, StickBatch):
            highest = _highest_stick(batch, float(low), float(high))
        else:
            grid = self._grid(batch.pattern)
            highest = _sine(grid)[batch.pattern.argmax(dim=1)]
        clamped = torch.minimum(torch.maximum(factor, highest / high), highest / low)
        return torch.where(highest > 0, clamped, torch.ones_like(factor))

    def scaled(self, batch: PatternBatch | StickBatch, factor: Tensor) -> PatternBatch | StickBatch:
        """Scale a batch by the factors (batch)."""
        lattice = torch.cat([batch.lattice[:, :3] * factor[:, None].float(), batch.lattice[:, 3:]], dim=1)
        if isinstance(batch, StickBatch):
            return replace(batch, sticks=_scaled_sticks(batch, factor), lattice=lattice)
        return replace(batch, pattern=self._scaled_patterns(batch.pattern.float(), factor), lattice=lattice)

    def _scaled_patterns(self, pattern: Tensor, factor: Tensor) -> Tensor:
        """Interpolate linearly, with zeros outside the original range; widths stretch with the angles."""
        points = pattern.shape[1]
        sine = _sine(self._grid(pattern))[None] * factor[:, None]
        source = torch.rad2deg(2 * sine.clamp_max(1.0).asin())
        place = (source - self.two_theta_min_deg) / (self.two_theta_max_deg - self.two_theta_min_deg) * (points - 1)
        rounding = 1e-6  # keeps the ends of an unscaled pattern inside
        outside = (place < -rounding) | (place > points - 1 + rounding)
        place = place.clamp(0, points - 1)
        left = place.long().clamp_max(points - 2)
        fraction = (place - left).to(pattern.dtype)
        value = pattern.gather(1, left) * (1 - fraction) + pattern.gather(1, left + 1) * fraction
        return value.masked_fill(outside, 0.0)

    def _grid(self, pattern: Tensor) -> Tensor:
        ends = self.two_theta_min_deg, self.two_theta_max_deg
        return torch.linspace(*ends, pattern.shape[1], dtype=torch.float64, device=pattern.device)


def _scaled_sticks(batch: StickBatch, factor: Tensor) -> Sticks:
    """Move reflections; those beyond 180 degrees get no area."""
    sticks = batch.sticks
    sine = _sine(sticks.two_theta_deg) / factor[sticks.pattern.long()]
    beyond = sine > LARGEST_SINE
    members = sticks.members
    if members is not None:
        members = replace(
            members,
            intensity=members.intensity.masked_fill(beyond[members.stick], 0.0),
            reciprocal_metric=members.reciprocal_metric / factor.square()[:, None, None],
        )
    return replace(
        sticks,
        two_theta_deg=torch.rad2deg(2 * sine.clamp_max(LARGEST_SINE).asin()),
        intensity=sticks.intensity.masked_fill(beyond, 0.0),
        members=members,
    )


def _highest_stick(batch: StickBatch, low: float, high: float) -> Tensor:
    """Return sin(theta) of the strongest reflection between two sines for each pattern; 0 without one."""
    sticks, owner = batch.sticks, batch.sticks.pattern.long()
    sine = _sine(sticks.two_theta_deg)
    area = torch.where((sine >= low) & (sine <= high), sticks.intensity.double(), 0.0)
    none = torch.zeros(len(batch), dtype=torch.float64, device=sine.device)
    strongest = none.scatter_reduce(0, owner, area, "amax")
    is_it = (area == strongest[owner]) & (area > 0)
    return none.scatter_reduce(0, owner, torch.where(is_it, sine, 0.0), "amax")


def _sine(two_theta_deg: Tensor) -> Tensor:
    return torch.deg2rad(two_theta_deg / 2).sin()
