"""Crystals whose cells differ from pattern to pattern in what their symmetry leaves free."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from trainer.simulate.parameters import Instrument, Parameters
from trainer.simulate.sticks import Members, Sticks

VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
"""Places of the six components in the tensor: xx, yy, zz, yz, xz, xy."""
EDGE = 1e-7
"""Single precision of d: a reflection this fraction beyond the range is in it."""


def strained(sticks: Sticks, parameters: Parameters, instrument: Instrument) -> Sticks:
    """Return the reflections in the strained cells, those outside of the range without area.

    |F|^2 of each hkl is kept. Each stick must be one family of equivalent reflections, and reflections beyond the range
    by the largest strain must be among them.
    """
    members = sticks.members
    if members is None or members.rotations is None:
        return sticks
    metric = torch.linalg.inv(strained_metrics(members, parameters))
    owner = sticks.pattern.long()
    before, after = (_mean_q2(members, each, len(owner), owner) for each in (members.reciprocal_metric, metric))
    ratio = torch.linalg.det(metric) / torch.linalg.det(members.reciprocal_metric)  # of squared reciprocal volumes
    old = torch.deg2rad(sticks.two_theta_deg / 2).sin()
    sine = old * (after / before).sqrt()
    low, high = (
        math.sin(math.radians(end / 2)) for end in (instrument.two_theta_min_deg, instrument.two_theta_max_deg)
    )
    inside = (sine >= low * (1 - EDGE)) & (sine <= high * (1 + EDGE))
    sine = sine.clamp(max=1.0)
    factor = _lorentz_polarisation(sine, instrument) / _lorentz_polarisation(old, instrument) * ratio[owner]
    factor = torch.where(inside, factor, 0.0)
    return replace(
        sticks,
        two_theta_deg=torch.rad2deg(2 * sine.asin()),
        intensity=sticks.intensity * factor,
        members=replace(members, intensity=members.intensity * factor[members.stick], reciprocal_metric=metric),
    )


def volume_ratio(before: Sticks, after: Sticks) -> Tensor:
    """Return the volumes of cells after straining over those before, (pattern,)."""
    if before.members is None or after.members is None:
        return torch.ones(before.n_patterns, dtype=torch.float64, device=before.intensity.device)
    old, new = (torch.linalg.det(each.reciprocal_metric) for each in (before.members, after.members))
    ratio: Tensor = (old / new).sqrt()
    return ratio


def strained_cells(sticks: Sticks, parameters: Parameters, cells: Tensor) -> Tensor:
    """Return a, b, c in A and the angles in degrees of each pattern's cell, of the crystals' `cells` (pattern, 6)."""
    members = sticks.members
    if members is None or members.rotations is None:
        return cells
    return cells_of(strained_metrics(members, parameters)).to(cells.dtype)


def strained_metrics(members: Members, parameters: Parameters) -> Tensor:
    """Return the metric tensors (pattern, 3, 3) of the strained cells, A^2.

    The mean of the drawn strain over the point group is its part that keeps the symmetry; its trace is replaced by the
    isotropic strain.
    """
    assert members.rotations is not None
    frame = torch.linalg.cholesky(torch.linalg.inv(members.reciprocal_metric))
    tensor = symmetric(parameters.strain_anisotropic.to(frame.dtype))
    rotations = members.rotations.to(frame.dtype)
    number_of = rotations.abs().amax(dim=(2, 3)).sum(dim=1)  # the rest are zeros
    turned = torch.linalg.inv(frame)[:, None] @ rotations @ frame[:, None]
    kept = (turned.transpose(2, 3) @ tensor[:, None] @ turned).sum(dim=1) / number_of[:, None, None]
    trace = kept.diagonal(dim1=1, dim2=2).sum(dim=1)
    identity = torch.eye(3, dtype=frame.dtype, device=frame.device)
    kept = kept + (parameters.strain_isotropic - trace / 3)[:, None, None] * identity
    cells = frame @ (identity + kept)
    found: Tensor = cells @ cells.transpose(1, 2)
    return found


def symmetric(components: Tensor) -> Tensor:
    """Return symmetric tensors (pattern, 3, 3) of components (pattern, 6) in the order of `VOIGT`."""
    tensor = components.new_zeros(len(components), 3, 3)
    for number, (i, j) in enumerate(VOIGT):
        tensor[:, i, j] = tensor[:, j, i] = components[:, number]
    return tensor


def cells_of(metrics: Tensor) -> Tensor:
    """Return a, b, c in A and the angles in degrees (pattern, 6) of metric tensors."""
    lengths = metrics.diagonal(dim1=1, dim2=2).sqrt()
    cosines = [metrics[:, i, j] / (lengths[:, i] * lengths[:, j]) for i, j in ((1, 2), (0, 2), (0, 1))]
    return torch.cat([lengths, torch.rad2deg(torch.stack(cosines, dim=1).clamp(-1, 1).acos())], dim=1)


def _mean_q2(members: Members, metric: Tensor, n_sticks: int, owner: Tensor) -> Tensor:
    """Return the mean of 1/d^2 over the members of each stick."""
    hkl = members.hkl.to(metric.dtype)
    q2 = torch.einsum("mi,mij,mj->m", hkl, metric[owner[members.stick]], hkl)
    total = torch.zeros(n_sticks, dtype=metric.dtype, device=metric.device)
    count = total.index_add(0, members.stick, torch.ones_like(q2))
    return total.index_add(0, members.stick, q2) / count


def _lorentz_polarisation(sine: Tensor, instrument: Instrument) -> Tensor:
    """Return ((1 - P) cos^2(2theta) + P) / (2 sin^2(theta) cos(theta))."""
    polarised = (1 - instrument.polarisation) * (1 - 2 * sine.square()).square() + instrument.polarisation
    return polarised / (2 * sine.square() * (1 - sine.square()).clamp(min=1e-12).sqrt())
