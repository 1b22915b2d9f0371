"""Factors of the areas and widths of peaks, on the device: texture, shape of crystallites, displacement, absorption."""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.simulate.parameters import Instrument, Parameters
from trainer.simulate.sticks import Members, Sticks


def textured(sticks: Sticks, parameters: Parameters) -> Tensor:
    """Return areas weighted by March-Dollase, (r^2 cos^2 + sin^2 / r)^(-3/2) for each Friedel pair."""
    members = sticks.members
    if members is None:
        return sticks.intensity.double()
    owner = sticks.pattern.long()[members.stick]
    cos2, r = _cosines_squared(members, owner, parameters.march_hkl), parameters.march_r[owner]
    share = members.intensity * (r**2 * cos2 + (1 - cos2) / r) ** -1.5
    return torch.zeros_like(sticks.intensity, dtype=torch.float64).index_add_(0, members.stick, share)


def size_factors(sticks: Sticks, parameters: Parameters) -> Tensor | float:
    """Return what multiplies the broadening by size: the mean over Friedel pairs of width over length along hkl.

    Crystallites are ellipsoids of revolution: 1 / L^2 = cos^2 / (ratio S)^2 + sin^2 / S^2.
    """
    members = sticks.members
    if members is None or not (parameters.size_ratio != 1.0).any():
        return 1.0
    owner = sticks.pattern.long()[members.stick]
    cos2 = _cosines_squared(members, owner, parameters.size_hkl)
    inverse = (cos2 / parameters.size_ratio[owner].square() + 1 - cos2).sqrt()
    none = torch.zeros_like(sticks.intensity, dtype=torch.float64)
    weight = none.index_add(0, members.stick, members.intensity.double())
    total = none.index_add(0, members.stick, members.intensity * inverse)
    return torch.where(weight > 0, total / weight.clamp(min=1e-300), 1.0)


def area_factors(
    two_theta_deg: Tensor, wavelength_A: Tensor, sticks: Sticks, parameters: Parameters, instrument: Instrument
) -> Tensor:
    """Return the factor of each area: displacement, further lines, roughness (Suortti) and absorption (Hewat)."""
    p, owner = parameters, sticks.pattern.long()
    sine = torch.deg2rad(two_theta_deg / 2).sin()
    factor = (-2.0 * p.overall_B_A2[owner] * (sine / wavelength_A).square()).exp()
    factor = torch.where(sticks.line > 0, factor * p.further_lines[owner], factor)
    if instrument.geometry == "reflection":
        rough, depth = p.roughness[owner], p.roughness_depth[owner]
        left = 1.0 - rough + rough * (-depth / sine).exp()
        return factor * left / (1.0 - rough + rough * (-depth).exp())
    mu_r = p.absorption_mu_r[owner]
    return factor * (sine.square() * (0.0368 * mu_r + 0.375 * mu_r.square())).exp()


def _cosines_squared(members: Members, owner: Tensor, axis: Tensor) -> Tensor:
    """Return cos^2 of the angle between each pair's hkl and the axis of its pattern, both plane normals."""
    hkl, metric, along = members.hkl.double(), members.reciprocal_metric[owner], axis.double()[owner]

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return torch.einsum("mi,mij,mj->m", a, metric, b)

    return (dot(hkl, along) ** 2 / (dot(hkl, hkl) * dot(along, along))).clamp_max(1.0)
