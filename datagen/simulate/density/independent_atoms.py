"""Density of independent atoms: the sum of free, thermally smeared atoms."""

from __future__ import annotations

import gemmi
import numpy as np
from numpy.typing import NDArray

from curation.composition import element_of
from curation.crystal import Crystal
from datagen.store.density_codes import DensityRefused
from datagen.store.schema import DENSITY_POINTS


def independent_atom_density(crystal: Crystal) -> NDArray[np.float64]:
    """Return the density of all electrons at 50^3 points of the crystal's own cell, e/A^3.

    rho(r) = 1/V sum_hkl F(hkl) exp(-2 pi i hkl.r) with F from neutral atoms' form factors (International Tables' four
    Gaussians), occupancies and displacements, over the hkl that the grid resolves. Fourier coefficients are exact, the
    electron count is F(000), and the density ripples close to heavy nuclei, as every truncated series does.
    """
    n = DENSITY_POINTS
    h = np.fft.fftfreq(n, 1 / n)
    half = np.arange(n // 2)  # without the Nyquist plane, which has no partner
    reciprocal = np.linalg.inv(crystal.lattice_A)  # columns are a*, b*, c*
    metric = reciprocal.T @ reciprocal
    hkl = np.stack(np.meshgrid(h, h, half, indexing="ij"), axis=-1)
    s2 = np.einsum("...i,ij,...j->...", hkl, metric, hkl) / 4  # (sin(theta) / lambda)^2
    factors = np.zeros(s2.shape, dtype=np.complex128)
    for key in sorted({(element_of(s), u) for s, u in zip(crystal.species, crystal.u_iso_A2.tolist(), strict=True)}):
        element, u_iso = key
        phases = np.zeros(s2.shape, dtype=np.complex128)
        for species, u, occupancy, xyz in zip(
            crystal.species, crystal.u_iso_A2.tolist(), crystal.occupancy.tolist(), crystal.fractional, strict=True
        ):
            if (element_of(species), u) == key:
                x, y, z = (
                    np.exp(2j * np.pi * indices * t) for indices, t in zip((h, h, half), xyz.tolist(), strict=True)
                )
                phases += occupancy * x[:, None, None] * y[None, :, None] * z[None, None, :]
        factors += phases * _form_factor(element, s2) * np.exp(-8 * np.pi**2 * u_iso * s2)
    factors[n // 2] = 0.0
    factors[:, n // 2] = 0.0
    spectrum = np.zeros((n, n, n // 2 + 1), dtype=np.complex128)
    # F(hkl) has exp(+2 pi i hkl.x), and so has numpy's inverse transform; the density needs the other sign.
    spectrum[:, :, : n // 2] = factors.conj()
    return np.asarray(np.fft.irfftn(spectrum, s=(n, n, n), axes=(0, 1, 2)) * n**3 / crystal.volume_A3, dtype=np.float64)


def _form_factor(element: str, s2: NDArray[np.float64]) -> NDArray[np.float64]:
    found = gemmi.Element(element)
    table = found.it92
    if table is None:
        raise DensityRefused("no_form_factor", f"{element} is not in International Tables")
    total = np.full(s2.shape, table.c)
    for a, b in zip(table.a, table.b, strict=True):
        total += a * np.exp(-b * s2)
    return total
