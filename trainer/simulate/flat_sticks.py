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

    def __len__(self) -> int:
        return len(self.first) - 1

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
    )


def _joined(firsts: Sequence[Tensor]) -> Tensor:
    """Return the limits of ranges that follow one another, from those of each part."""
    counts = torch.cat([first.diff() for first in firsts])
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])
