"""Reflections of many structures as flat arrays that stay on the device: d-spacings, |F|^2 and the members of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class FlatSticks:
    """Structures one after another; reflections of structure i are `first[i]:first[i + 1]`, in ascending q."""

    first: Tensor
    q: Tensor
    """2 pi / d, 1/A."""
    f_squared: Tensor
    """Multiplicity times |F|^2 relative to the strongest line of the structure, without Lorentz factor."""
    member_first: Tensor
    """Members of reflection j are `member_first[j]:member_first[j + 1]`."""
    member_hkl: Tensor
    member_share: Tensor
    reciprocal_metric: Tensor
    """(structure, 3, 3), 1/A^2."""
    allowed: Tensor
    """(structure, 6, 6): the part of a change of the reciprocal metric that keeps the symmetry, of and as xx, yy, zz,
    yz, xz, xy; zeros: unknown."""

    def __len__(self) -> int:
        return len(self.first) - 1

    def of(self, structures: Tensor) -> Self:
        """Return those of some structures, by their numbers."""
        reflections = _elements(self.first, structures)
        members = _elements(self.member_first, reflections)
        return type(self)(
            _limits(self.first.diff()[structures]),
            self.q[reflections],
            self.f_squared[reflections],
            _limits(self.member_first.diff()[reflections]),
            self.member_hkl[members],
            self.member_share[members],
            self.reciprocal_metric[structures],
            self.allowed[structures],
        )

    def to(self, device: torch.device) -> Self:
        """Return the arrays on a device."""
        return type(self)(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


def join_sticks(parts: Sequence[FlatSticks]) -> FlatSticks:
    """Return the structures of all parts, one part after another."""
    return FlatSticks(
        _joined([part.first for part in parts]),
        torch.cat([part.q for part in parts]),
        torch.cat([part.f_squared for part in parts]),
        _joined([part.member_first for part in parts]),
        torch.cat([part.member_hkl for part in parts]),
        torch.cat([part.member_share for part in parts]),
        torch.cat([part.reciprocal_metric for part in parts]),
        torch.cat([part.allowed for part in parts]),
    )


def _joined(firsts: Sequence[Tensor]) -> Tensor:
    """Return the limits of ranges that follow one another, from those of each part."""
    return _limits(torch.cat([first.diff() for first in firsts]))


def _limits(counts: Tensor) -> Tensor:
    """Return the limits of ranges of these lengths that follow one another."""
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def _elements(first: Tensor, which: Tensor) -> Tensor:
    """Return the elements of some of the ranges that these limits separate, one range after another."""
    counts = first.diff()[which]
    before = counts.cumsum(0) - counts
    return torch.arange(int(counts.sum()), device=first.device) + torch.repeat_interleave(first[which] - before, counts)
