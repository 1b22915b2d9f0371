"""Average of a peak over axial divergence with the Gauss-Legendre sets of GSAS-II."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MIN_SH_OVER_L = 0.002
"""Smaller values act as this one, as in GSAS-II."""

TERMS = (2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120, 140, 160, 180,
         200, 220, 240, 260, 280, 300, 400)  # fmt: skip
"""Sizes of the sets. The first not below 300 (2theta - 2phi_min) / gamma(cdeg) is used, of its terms the half with
positive abscissa: the integrand is steepest at that end."""


def axial_terms(bragg_deg: float, gamma_cdeg: float, sh_over_l: float) -> tuple[Array, Array]:
    """Return the angles (degrees) at which axially divergent rays place a peak, and its share at each.

    Finger, Cox and Jephcoat, J. Appl. Cryst. 27 (1994) 892, with S = H: intensity between the lowest angle, where
    cos(2phi_min) = sqrt(1 + (SH/L)^2) cos(2theta), and 2theta, with density W / (h cos(2phi)) and
    h = |cos(2theta)| / sqrt(cos^2(2phi) - cos^2(2theta)). With two terms it is a shift: one node at 1/sqrt(3).
    """
    terms, start, x, w = quadrature()
    cos2 = np.cos(np.radians(bragg_deg))
    lowest = np.degrees(np.arccos(np.clip(np.sqrt(1 + sh_over_l**2) * cos2, -1.0, 1.0)))
    wanted = int(300 * abs(bragg_deg - lowest) / gamma_cdeg)
    table = min(int(np.searchsorted(terms, wanted)), len(terms) - 1)
    here = slice(start[table], start[table + 1])
    delta = lowest + (bragg_deg - lowest) * x[here]
    c = np.cos(np.radians(delta))
    weight = w[here] * (sh_over_l * np.abs(cos2) / np.sqrt(c * c - cos2 * cos2) - 1) / np.abs(c)
    return delta, weight / weight.sum()


class Quadrature(NamedTuple):
    """The positive halves of all Gauss-Legendre sets, one after the other."""

    terms: NDArray[np.int64]
    """Size of each set, both halves."""
    start: NDArray[np.int64]
    """Set k is start[k]:start[k + 1]."""
    x: Array
    w: Array


@lru_cache(maxsize=1)
def quadrature() -> Quadrature:
    """Return the sets of `TERMS`."""
    halves = [np.polynomial.legendre.leggauss(n) for n in TERMS]
    return Quadrature(
        np.array(TERMS, dtype=np.int64),
        np.concatenate([[0], np.cumsum([n // 2 for n in TERMS])]).astype(np.int64),
        np.concatenate([x[n // 2 :] for n, (x, _) in zip(TERMS, halves, strict=True)]),
        np.concatenate([w[n // 2 :] for n, (_, w) in zip(TERMS, halves, strict=True)]),
    )
