"""Fast sums of many peaks on a grid: single precision, far tails evaluated at coarse nodes.

A Lorentzian tail is smooth where it is far from its centre. The grid is cut into blocks of 32 points and superblocks of
256. A peak is evaluated at every point in its own block and the two beside it; at 8 Chebyshev nodes of each block
farther away; at 8 nodes of each superblock beyond the neighbouring ones. When all peaks are in, the polynomials through
the nodes are evaluated once: superblocks onto the nodes of their blocks, blocks onto their points. Blocks that a peak's
summing range cuts are evaluated point by point, so the range is kept exactly. The interpolation error stays below
1.1e-5 of the tail, itself a small part of the peak.

Every loop over points is element by element, without reordered sums and without fused multiply-add, so the result does
not depend on the width of the processor's vectors. One file, because numba's cache notices changes of the caller's
file only.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from catalogs.compiled import compiled, inlined
from datagen.simulate.axial import Quadrature

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

BLOCK = 32
NODES = 8
FANOUT = 8
SUPERBLOCK = BLOCK * FANOUT

WIDE_LORENTZIAN = 48.0
"""Half width in points from which a Lorentzian is smooth over a block even at its centre."""
WIDE_GAUSSIAN = 24.0
"""Standard deviation in points from which a Gaussian is smooth over a block."""
GAUSSIAN_REACH = 5.2
"""Standard deviations beyond which a Gaussian, below 1.4e-6 of its height, is left out."""

_ONE = np.float32(1.0)
_ZERO = np.float32(0.0)


class Basis(NamedTuple):
    """Positions of points and nodes, and the matrices that evaluate polynomials, for one length of grid."""

    point_ramp: F32
    """Distances of points from the start of the middle block; a peak uses the part centred on it."""
    block_ramp: F32
    """Distances of the nodes of blocks, likewise."""
    super_ramp: F32
    """Distances of the nodes of superblocks from the start of the middle superblock."""
    to_points: F32
    """(node, point): matrix from a block's nodes to its points."""
    to_blocks: F32
    """(node, block node): matrix from a superblock's nodes to the nodes of its blocks."""


class Sums(NamedTuple):
    """Running sums at points, at nodes of blocks and at nodes of superblocks."""

    points: F32
    blocks: F32
    supers: F32


@lru_cache(maxsize=8)
def basis(n_points: int) -> Basis:
    """Return the basis for patterns of `n_points` points."""
    supers = -(-n_points // SUPERBLOCK)
    block_nodes, super_nodes = _chebyshev_nodes(BLOCK), _chebyshev_nodes(SUPERBLOCK)
    nodes_of_blocks = (np.arange(FANOUT)[:, None] * BLOCK + block_nodes).ravel()
    points = np.arange(-supers * SUPERBLOCK, supers * SUPERBLOCK)
    blocks = np.arange(-supers * FANOUT, supers * FANOUT)[:, None] * BLOCK + block_nodes
    superblocks = np.arange(-supers, supers)[:, None] * SUPERBLOCK + super_nodes
    return Basis(
        points.astype(np.float32),
        blocks.ravel().astype(np.float32),
        superblocks.ravel().astype(np.float32),
        _interpolation(block_nodes, np.arange(BLOCK, dtype=np.float64)).astype(np.float32),
        _interpolation(super_nodes, nodes_of_blocks).astype(np.float32),
    )


@compiled
def broaden(
    two_theta: F64,
    wavelength: F64,
    intensity: F64,
    shift: F64,
    size_factor: F64,
    widths: F64,
    width_floor: float,
    sh_over_l: float,
    grid_start: float,
    step: float,
    quadrature: Quadrature,
    basis: Basis,
    out: F32,
    maximum: F32,
    overlap: F32,
    floored: NDArray[np.int32],
) -> None:
    """Fill patterns, their maxima, the fraction of unresolved neighbours and the count of floored variances.

    Angles in degrees, sticks in ascending order; intensity, shift and the factor of the broadening by size are
    (1 or augmentation, stick), widths are (augmentation, 7): U, V, W, size, microstrain, X, Y. The formulas are those
    of `profile.py` and `axial.py`.
    """
    n, n_points = two_theta.size, out.shape[1]
    tangent, cosine, cos2, lowest = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    for i in range(n):
        theta = math.radians(0.5 * two_theta[i])
        tangent[i], cosine[i], cos2[i] = math.tan(theta), math.cos(theta), math.cos(2.0 * theta)
        reached = math.sqrt(1.0 + sh_over_l * sh_over_l) * cos2[i]
        lowest[i] = math.degrees(math.acos(min(1.0, max(-1.0, reached))))

    sums = Sums(
        np.zeros(basis.point_ramp.size // 2, np.float32),
        np.zeros(basis.block_ramp.size // 2, np.float32),
        np.zeros(basis.super_ramp.size // 2, np.float32),
    )
    for a in range(out.shape[0]):
        U, V, W, size, microstrain, X, Y = widths[a]
        area_row, shift_row = min(a, intensity.shape[0] - 1), min(a, shift.shape[0] - 1)
        size_row = min(a, size_factor.shape[0] - 1)
        strain = 0.018 * microstrain / math.pi + Y
        n_overlapping, n_floored = 0, 0
        previous_fwhm = 0.0
        for i in range(n):
            t = tangent[i]
            variance = U * t * t + V * t + W
            if variance < width_floor:
                variance = width_floor
                n_floored += 1
            by_size = 1.8 * wavelength[i] / (math.pi * size) * size_factor[size_row, i]
            gamma = max((by_size + X) / cosine[i] + strain * t, width_floor)
            total, eta = _thompson_cox_hastings(variance, gamma)
            if i > 0 and two_theta[i] - two_theta[i - 1] < 0.005 * (total + previous_fwhm):
                n_overlapping += 1
            previous_fwhm = total

            place = two_theta[i] + shift[shift_row, i]
            reach = (2.355 * math.sqrt(variance) + gamma) / 100.0
            below, above = 50.0 * (reach + sh_over_l * abs(cos2[i])), 75.0 * reach
            if place > 90.0:
                below, above = above, below
            low = math.ceil(min(max((place - below - grid_start) / step, 0.0), n_points))
            high = math.ceil(min(max((place + above - grid_start) / step, 0.0), n_points))
            if high <= low:
                continue
            fwhm, area = total / 100.0 / step, intensity[area_row, i] / step
            origin, span = lowest[i], two_theta[i] - lowest[i]
            zero = (shift[shift_row, i] - grid_start) / step
            wanted = int(300.0 * abs(span) / gamma)
            table = 0
            while table < quadrature.terms.size - 1 and wanted > quadrature.terms[table]:
                table += 1
            first, last = quadrature.start[table], quadrature.start[table + 1]
            if last - first == 1:
                centre = (origin + span * quadrature.x[first]) / step + zero
                _add_peak(sums, basis, centre, fwhm, eta, area, low, high)
                continue
            norm = 0.0
            for k in range(first, last):
                norm += quadrature.w[k] * _axial_weight(origin + span * quadrature.x[k], cos2[i], sh_over_l)
            for k in range(first, last):
                delta = origin + span * quadrature.x[k]
                share = quadrature.w[k] * _axial_weight(delta, cos2[i], sh_over_l) / norm
                _add_peak(sums, basis, delta / step + zero, fwhm, eta, area * share, low, high)
        maximum[a] = _collect(sums, basis, out[a])
        overlap[a] = n_overlapping / max(n - 1, 1)
        floored[a] = n_floored


@compiled
def add_extras(
    centre: F64,
    fwhm: F64,
    eta: F64,
    height: F64,
    hump_centre: F64,
    hump_fwhm: F64,
    hump_height: F64,
    basis: Basis,
    out: F32,
    maximum: F32,
) -> None:
    """Add foreign peaks (augmentation, peak) and humps (augmentation,), and update `maximum`.

    Positions and widths are in points, heights relative to the highest point of the pattern before.
    """
    n_points = out.shape[1]
    sums = Sums(
        np.zeros(basis.point_ramp.size // 2, np.float32),
        np.zeros(basis.block_ramp.size // 2, np.float32),
        np.zeros(basis.super_ramp.size // 2, np.float32),
    )
    row = np.empty(n_points, np.float32)
    ln2 = math.log(2.0)
    for a in range(out.shape[0]):
        for k in range(centre.shape[1]):
            if height[a, k] > 0.0:
                top = (eta[a, k] * 2.0 / math.pi + (1.0 - eta[a, k]) * math.sqrt(4.0 * ln2 / math.pi)) / fwhm[a, k]
                area = height[a, k] * maximum[a] / top
                _add_peak(sums, basis, centre[a, k], fwhm[a, k], eta[a, k], area, 0, n_points)
        if hump_height[a] > 0.0:
            start = math.floor(min(max(hump_centre[a], 0.0), n_points - 1.0))
            middle = basis.point_ramp.size // 2
            _gaussian(
                sums.points[:n_points],
                basis.point_ramp[middle - start : middle - start + n_points],
                np.float32(hump_centre[a] - start),
                np.float32(math.sqrt(ln2 / 4.0) / hump_fwhm[a]),
                np.float32(hump_height[a] * maximum[a]),
            )
        _collect(sums, basis, row)
        highest = _ZERO
        for j in range(n_points):
            out[a, j] += row[j]
            highest = max(highest, out[a, j])
        maximum[a] = highest


@compiled
def _thompson_cox_hastings(variance: float, gamma: float) -> tuple[float, float]:
    g = math.sqrt(8.0 * math.log(2.0) * variance)
    total = (
        g**5
        + 2.69269 * g**4 * gamma
        + 2.42843 * g**3 * gamma**2
        + 4.47163 * g**2 * gamma**3
        + 0.07842 * g * gamma**4
        + gamma**5
    ) ** 0.2
    r = gamma / total
    return total, 1.36603 * r - 0.47719 * r**2 + 0.11116 * r**3


@compiled
def _axial_weight(delta: float, cos2: float, sh_over_l: float) -> float:
    c = math.cos(math.radians(delta))
    return (sh_over_l * abs(cos2) / math.sqrt(c * c - cos2 * cos2) - 1.0) / abs(c)


@compiled
def _add_peak(
    sums: Sums, basis: Basis, centre: float, fwhm: float, eta: float, area: float, low: int, high: int
) -> None:
    """Add area x pseudo-Voigt on points low..high - 1; centre and FWHM in points."""
    # A peak off the grid is assigned to the first or last block: the ramps end there.
    own = min(max(math.floor(centre / BLOCK), 0), sums.blocks.size // NODES - 1)
    # Distances from the start of the peak's own block are small enough for single precision.
    offset = np.float32(centre - BLOCK * own)
    shift = basis.point_ramp.size // 2 - BLOCK * own

    near_low, near_high = BLOCK * (own - 1), BLOCK * (own + 2)
    if 0.5 * fwhm >= WIDE_LORENTZIAN:
        near_low = near_high = BLOCK * own
    near_low = min(max(near_low, low), high)
    near_high = min(max(near_high, low), high)
    inverse = np.float32(2.0 / fwhm)
    height = np.float32(area * eta * 2.0 / (math.pi * fwhm))
    _add_tail(sums, basis, own, offset, inverse, height, low, near_low, True)
    _add_tail(sums, basis, own, offset, inverse, height, near_high, high, False)
    ramp = basis.point_ramp[near_low + shift : near_high + shift]
    _lorentzian(sums.points[near_low:near_high], ramp, offset, inverse, height)

    sigma = fwhm / math.sqrt(8.0 * math.log(2.0))
    first = max(low, math.ceil(centre - GAUSSIAN_REACH * sigma))
    last = min(high, math.floor(centre + GAUSSIAN_REACH * sigma) + 1)
    if last <= first:
        return
    inverse = np.float32(1.0 / (sigma * math.sqrt(32.0)))
    height = np.float32(area * (1.0 - eta) / (sigma * math.sqrt(2.0 * math.pi)))
    block_low, block_high = -(-first // BLOCK), last // BLOCK
    if sigma < WIDE_GAUSSIAN or block_high <= block_low:
        _gaussian(sums.points[first:last], basis.point_ramp[first + shift : last + shift], offset, inverse, height)
        return
    a, b = BLOCK * block_low, BLOCK * block_high
    _gaussian(sums.points[first:a], basis.point_ramp[first + shift : a + shift], offset, inverse, height)
    _gaussian(sums.points[b:last], basis.point_ramp[b + shift : last + shift], offset, inverse, height)
    a, b = NODES * block_low, NODES * block_high
    shift = basis.block_ramp.size // 2 - NODES * own
    _gaussian(sums.blocks[a:b], basis.block_ramp[a + shift : b + shift], offset, inverse, height)


@compiled
def _add_tail(
    sums: Sums,
    basis: Basis,
    own: int,
    offset: np.float32,
    inverse: np.float32,
    height: np.float32,
    low: int,
    high: int,
    is_left: bool,
) -> None:
    """Add a Lorentzian tail on points low..high - 1, all on one side of the block `own`."""
    if high <= low:
        return
    shift = basis.point_ramp.size // 2 - BLOCK * own
    block_low, block_high = -(-low // BLOCK), high // BLOCK
    if block_high <= block_low:
        _lorentzian(sums.points[low:high], basis.point_ramp[low + shift : high + shift], offset, inverse, height)
        return
    a, b = BLOCK * block_low, BLOCK * block_high
    _lorentzian(sums.points[low:a], basis.point_ramp[low + shift : a + shift], offset, inverse, height)
    _lorentzian(sums.points[b:high], basis.point_ramp[b + shift : high + shift], offset, inverse, height)

    # Whole superblocks that do not touch the peak's own are evaluated at their nodes.
    own_super = own // FANOUT
    super_low, super_high = -(-block_low // FANOUT), block_high // FANOUT
    if is_left:
        super_high = min(super_high, own_super - 1)
    else:
        super_low = max(super_low, own_super + 2)
    shift = basis.block_ramp.size // 2 - NODES * own
    a, b = NODES * block_low, NODES * block_high
    if super_high <= super_low:
        _lorentzian(sums.blocks[a:b], basis.block_ramp[a + shift : b + shift], offset, inverse, height)
        return
    c, d = NODES * FANOUT * super_low, NODES * FANOUT * super_high
    _lorentzian(sums.blocks[a:c], basis.block_ramp[a + shift : c + shift], offset, inverse, height)
    _lorentzian(sums.blocks[d:b], basis.block_ramp[d + shift : b + shift], offset, inverse, height)
    c, d = NODES * super_low, NODES * super_high
    shift = basis.super_ramp.size // 2 - NODES * own_super
    offset = np.float32(offset + BLOCK * (own - FANOUT * own_super))
    _lorentzian(sums.supers[c:d], basis.super_ramp[c + shift : d + shift], offset, inverse, height)


@inlined
def _lorentzian(out: F32, ramp: F32, offset: np.float32, inverse: np.float32, height: np.float32) -> None:
    for j in range(out.size):
        x = (ramp[j] - offset) * inverse
        out[j] += height / (_ONE + x * x)


@inlined
def _gaussian(out: F32, ramp: F32, offset: np.float32, inverse: np.float32, height: np.float32) -> None:
    """Add height exp(-16 z), z = ((ramp - offset) inverse)^2: fifth-order series, four squarings, right to 2e-7."""
    for j in range(out.size):
        x = (ramp[j] - offset) * inverse
        z = min(x * x, np.float32(1.8))
        p = np.float32(1 / 24) - z * np.float32(1 / 120)
        p = np.float32(1 / 6) - z * p
        p = np.float32(1 / 2) - z * p
        p = _ONE - z * (_ONE - z * p)
        p *= p
        p *= p
        p *= p
        p *= p
        out[j] += height * p


@compiled
def _collect(sums: Sums, basis: Basis, out: F32) -> np.float32:
    """Evaluate all polynomials, write the pattern, clear the sums, return the highest point."""
    width = NODES * FANOUT
    for s in range(sums.supers.size // NODES):
        nodes = sums.supers[NODES * s : NODES * (s + 1)]
        _evaluate(basis.to_blocks, nodes, sums.blocks[width * s : width * (s + 1)])
    # One maximum per lane: a single running maximum would keep the loop from using vectors.
    highest = np.zeros(BLOCK, np.float32)
    for b in range(sums.blocks.size // NODES):
        here = sums.points[BLOCK * b : BLOCK * (b + 1)]
        _evaluate(basis.to_points, sums.blocks[NODES * b : NODES * (b + 1)], here)
        there = out[BLOCK * b : min(BLOCK * (b + 1), out.size)]
        for j in range(there.size):
            # Interpolation may give a rounding error below zero where the pattern is almost empty.
            value = max(here[j], _ZERO)
            there[j] = value
            highest[j] = max(highest[j], value)
    sums.points[:] = _ZERO
    sums.blocks[:] = _ZERO
    sums.supers[:] = _ZERO
    return np.float32(highest.max())


@inlined
def _evaluate(matrix: F32, nodes: F32, out: F32) -> None:
    """Add the polynomial with these values at its nodes; matrix is (node, point)."""
    c0, c1, c2, c3, c4, c5, c6, c7 = nodes[0], nodes[1], nodes[2], nodes[3], nodes[4], nodes[5], nodes[6], nodes[7]
    m0, m1, m2, m3 = matrix[0], matrix[1], matrix[2], matrix[3]
    m4, m5, m6, m7 = matrix[4], matrix[5], matrix[6], matrix[7]
    for j in range(out.size):
        out[j] += ((m0[j] * c0 + m1[j] * c1) + (m2[j] * c2 + m3[j] * c3)) + (
            (m4[j] * c4 + m5[j] * c5) + (m6[j] * c6 + m7[j] * c7)
        )


def _chebyshev_nodes(span: int) -> F64:
    """Return NODES Chebyshev points on [0, span - 1], ascending."""
    k = np.arange(NODES)
    return np.asarray((span - 1) / 2 * (1 - np.cos((2 * k + 1) * np.pi / (2 * NODES))), dtype=np.float64)


def _interpolation(nodes: F64, points: F64) -> F64:
    """Return the matrix (node, point) of the Lagrange polynomials through the nodes."""
    matrix = np.empty((nodes.size, points.size))
    for k in range(nodes.size):
        others = np.delete(nodes, k)
        matrix[k] = np.prod((points[:, None] - others) / (nodes[k] - others), axis=1)
    return matrix
