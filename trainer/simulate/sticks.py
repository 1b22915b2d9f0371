"""Reflections of a batch of patterns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

from torch import Tensor


@dataclass(frozen=True)
class Members:
    """Friedel pairs of the reflections, which preferred orientation weighs one by one.

    `hkl` (pair, 3), `intensity` its share, `stick` the index of its reflection, and the reciprocal metric
    (pattern, 3, 3). `rotations` (pattern, 24, 3, 3), padded with zeros, are those of the point group, where cells are
    strained.
    """

    hkl: Tensor
    intensity: Tensor
    stick: Tensor
    reciprocal_metric: Tensor
    rotations: Tensor | None = None


@dataclass(frozen=True)
class Sticks:
    """Reflections of a batch in the order of their patterns; `pattern` is the index of the pattern.

    `two_theta_deg` is in double precision; `line` is the index of the wavelength.
    """

    two_theta_deg: Tensor
    intensity: Tensor
    line: Tensor
    pattern: Tensor
    n_patterns: int
    members: Members | None = None

    def each(self, change: Callable[[Tensor], Tensor]) -> Sticks:
        """Apply a function to every tensor, such as a copy to a device."""
        columns = self.two_theta_deg, self.intensity, self.line, self.pattern
        two_theta_deg, intensity, line, pattern = map(change, columns)
        members = self.members
        if members is not None:
            values = (getattr(members, f.name) for f in fields(Members))
            members = Members(*(None if value is None else change(value) for value in values))  # type: ignore[arg-type]
        return Sticks(two_theta_deg, intensity, line, pattern, self.n_patterns, members)
