"""How a few hundred peaks become 8192 points in microseconds: single precision, far tails on coarse nodes.

A Lorentzian tail is smooth where it is far from its centre. The grid is cut into blocks of 32 points and superblocks of
256. A peak is evaluated at every point in its own block and the two beside it; at 8 Chebyshev nodes of each block
farther away; at 8 nodes of each superblock beyond the neighbouring ones. When all peaks are in, the polynomials through
the nodes are evaluated once: superblocks onto the nodes of their blocks, blocks onto their points. Blocks that a peak's
summing range cuts are evaluated point by point, so the range is kept exactly. The interpolation error stays below
1.1e-5 of the tail it stands for, itself a small part of the peak.

Every loop over points is element by element, without reordering of sums and without fused multiply-add: the result is
the same on every processor that computes in IEEE arithmetic, whatever the width of its vectors.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

BLOCK = 32
NODES = 8
FANOUT = 8
SUPERBLOCK = BLOCK * FANOUT

WIDE_LORENTZIAN = np.float32(48.0)
"""Half width in points from which a Lorentzian is smooth over a block even at its centre."""
WIDE_GAUSSIAN = np.float32(24.0)
"""The same for a Gaussian's standard deviation."""
GAUSSIAN_REACH = 5.2
"""Standard deviations; beyond, a Gaussian is below 1.4e-6 of its height."""

_ONE = np.float32(1.0)


def _chebyshev_nodes(span: int) -> F64:
    """NODES Chebyshev points on [0, span - 1], ascending."""
    k = np.arange(NODES)
    return (span - 1) / 2 * (1 - np.cos((2 * k + 1) * np.pi / (2 * NODES)))


def _interpolation(nodes: F64, points: F64) -> F64:
    """Matrix (node, point) of the polynomial through the nodes."""
    matrix = np.empty((nodes.size, points.size))
    for k in range(nodes.size):
        others = np.delete(nodes, k)
        matrix[k] = np.prod((points[:, None] - others) / (nodes[k] - others), axis=1)
    return matrix


_BLOCK_NODES = _chebyshev_nodes(BLOCK)
_SUPERBLOCK_NODES = _chebyshev_nodes(SUPERBLOCK)
_NODES_OF_BLOCKS = (np.arange(FANOUT)[:, None] * BLOCK + _BLOCK_NODES).ravel()
TO_POINTS = _interpolation(_BLOCK_NODES, np.arange(BLOCK, dtype=np.float64)).astype(np.float32)
TO_BLOCKS = _interpolation(_SUPERBLOCK_NODES, _NODES_OF_BLOCKS).astype(np.float32)


def ramps(n_points: int) -> tuple[F32, F32, F32]:
    """Distances of points, block nodes and superblock nodes from the start of the block 'in the middle'."""
    supers = -(-n_points // SUPERBLOCK)
    points = np.arange(-supers * SUPERBLOCK, supers * SUPERBLOCK, dtype=np.float64)
    blocks = np.arange(-supers * FANOUT, supers * FANOUT)[:, None] * float(BLOCK) + _BLOCK_NODES
    superblocks = np.arange(-supers, supers)[:, None] * float(SUPERBLOCK) + _SUPERBLOCK_NODES
    return points.astype(np.float32), blocks.ravel().astype(np.float32), superblocks.ravel().astype(np.float32)


@numba.njit(cache=True, error_model="numpy", inline="always")
def _lorentzian(out, ramp, offset, inverse, height):  # type: ignore[no-untyped-def]
    for j in range(out.size):
        x = (ramp[j] - offset) * inverse
        out[j] += height / (_ONE + x * x)


@numba.njit(cache=True, error_model="numpy", inline="always")
def _gaussian(out, ramp, offset, inverse, height):  # type: ignore[no-untyped-def]
    """Height exp(-16 z) with 16 z = x^2 / 2: a fifth-order series and four squarings, within 2e-7 of the height."""
    for j in range(out.size):
        x = (ramp[j] - offset) * inverse
        z = min(x * x, np.float32(1.8))
        p = _ONE - z * (
            _ONE
            - z
            * (
                np.float32(1 / 2)
                - z * (np.float32(1 / 6) - z * (np.float32(1 / 24) - z * np.float32(1 / 120)))
            )
        )
        p *= p
        p *= p
        p *= p
        p *= p
        out[j] += height * p


@numba.njit(cache=True, error_model="numpy")
def _add_peak(points, blocks, supers, ramp0, ramp1, ramp2, centre, fwhm, eta, area, low, high):  # type: ignore[no-untyped-def]
    """Add area x pseudo-Voigt at points low..high - 1; centre and FWHM in points."""
    middle = ramp0.size // 2
    b0 = int(math.floor(centre / BLOCK))
    s0 = b0 // FANOUT if b0 >= 0 else -((-b0 + FANOUT - 1) // FANOUT)
    half = np.float32(0.5 * fwhm)
    inverse = np.float32(2.0 / fwhm)
    height = np.float32(area * eta * 2.0 / (math.pi * fwhm))

    near_low = (b0 - 1) * BLOCK
    near_high = (b0 + 2) * BLOCK
    if half >= WIDE_LORENTZIAN:
        near_low = near_high = b0 * BLOCK
    near_low = min(max(near_low, low), high)
    near_high = min(max(near_high, low), high)
    # Distances are kept from a block's start near the peak: single precision then has digits to spare.
    start = b0 * BLOCK
    offset = np.float32(centre - start)

    _far(points, blocks, supers, ramp0, ramp1, ramp2, middle, start, s0, offset, inverse, height, low, near_low, centre)
    _far(
        points, blocks, supers, ramp0, ramp1, ramp2, middle, start, s0, offset, inverse, height, near_high, high, centre
    )
    if near_high > near_low:
        _lorentzian(
            points[near_low:near_high],
            ramp0[middle + near_low - start : middle + near_high - start],
            offset,
            inverse,
            height,
        )

    sigma = fwhm / math.sqrt(8.0 * math.log(2.0))
    reach = GAUSSIAN_REACH * sigma
    height = np.float32(area * (1.0 - eta) / (sigma * math.sqrt(2.0 * math.pi)))
    inverse = np.float32(1.0 / (sigma * math.sqrt(32.0)))
    first = max(low, int(math.ceil(centre - reach)))
    last = min(high, int(math.floor(centre + reach)) + 1)
    if last <= first:
        return
    if sigma >= WIDE_GAUSSIAN:
        first_block, last_block = -(-first // BLOCK), last // BLOCK
        if last_block > first_block:
            a, b = NODES * first_block, NODES * last_block
            shift = ramp1.size // 2 - NODES * b0
            _gaussian(blocks[a:b], ramp1[a + shift : b + shift], offset, inverse, height)
            a, b = BLOCK * first_block, BLOCK * last_block
            shift = middle - start
            _gaussian(points[first:a], ramp0[first + shift : a + shift], offset, inverse, height)
            _gaussian(points[b:last], ramp0[b + shift : last + shift], offset, inverse, height)
            return
    shift = middle - start
    _gaussian(points[first:last], ramp0[first + shift : last + shift], offset, inverse, height)


@numba.njit(cache=True, error_model="numpy")
def _far(points, blocks, supers, ramp0, ramp1, ramp2, middle, start, s0, offset, inverse, height, low, high, centre):  # type: ignore[no-untyped-def]
    """A Lorentzian tail on points low..high - 1, none of them in the peak's neighbourhood."""
    if high <= low:
        return
    shift0 = middle - start
    first_block, last_block = -(-low // BLOCK), high // BLOCK
    if last_block <= first_block:
        _lorentzian(points[low:high], ramp0[low + shift0 : high + shift0], offset, inverse, height)
        return
    a, b = BLOCK * first_block, BLOCK * last_block
    if a > low:
        _lorentzian(points[low:a], ramp0[low + shift0 : a + shift0], offset, inverse, height)
    if high > b:
        _lorentzian(points[b:high], ramp0[b + shift0 : high + shift0], offset, inverse, height)

    # Superblocks beyond the neighbours of the peak's own; the tail lies on one side of the peak.
    first_super, last_super = -(-first_block // FANOUT), last_block // FANOUT
    if low < centre:
        last_super = min(last_super, s0 - 1)
    if high > centre:
        first_super = max(first_super, s0 + 2)
    shift1 = ramp1.size // 2 - NODES * (start // BLOCK)
    if last_super <= first_super:
        a, b = NODES * first_block, NODES * last_block
        _lorentzian(blocks[a:b], ramp1[a + shift1 : b + shift1], offset, inverse, height)
        return
    a, b = NODES * first_block, NODES * FANOUT * first_super
    if b > a:
        _lorentzian(blocks[a:b], ramp1[a + shift1 : b + shift1], offset, inverse, height)
    a, b = NODES * FANOUT * last_super, NODES * last_block
    if b > a:
        _lorentzian(blocks[a:b], ramp1[a + shift1 : b + shift1], offset, inverse, height)
    a, b = NODES * first_super, NODES * last_super
    shift2 = ramp2.size // 2 - NODES * s0
    distance = np.float32(offset + np.float32(start - s0 * SUPERBLOCK))
    _lorentzian(supers[a:b], ramp2[a + shift2 : b + shift2], distance, inverse, height)


@numba.njit(cache=True, error_model="numpy", inline="always")
def _evaluate(matrix, c, out):  # type: ignore[no-untyped-def]
    """Add the polynomial with node values c at the points of matrix (node, point)."""
    c0, c1, c2, c3, c4, c5, c6, c7 = c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]
    m0, m1, m2, m3, m4, m5, m6, m7 = (
        matrix[0],
        matrix[1],
        matrix[2],
        matrix[3],
        matrix[4],
        matrix[5],
        matrix[6],
        matrix[7],
    )
    for j in range(out.size):
        out[j] += ((m0[j] * c0 + m1[j] * c1) + (m2[j] * c2 + m3[j] * c3)) + (
            (m4[j] * c4 + m5[j] * c5) + (m6[j] * c6 + m7[j] * c7)
        )


@numba.njit(cache=True, error_model="numpy")
def _collect(points, blocks, supers, to_points, to_blocks, out):  # type: ignore[no-untyped-def]
    """Evaluate all polynomials, write the pattern, clear the accumulators, return the maximum."""
    width = NODES * FANOUT
    for s in range(supers.size // NODES):
        _evaluate(to_blocks, supers[NODES * s : NODES * (s + 1)], blocks[width * s : width * (s + 1)])
    highest = np.zeros(BLOCK, np.float32)
    for b in range(blocks.size // NODES):
        here = points[BLOCK * b : BLOCK * (b + 1)]
        _evaluate(to_points, blocks[NODES * b : NODES * (b + 1)], here)
        there = out[BLOCK * b : min(BLOCK * (b + 1), out.size)]
        for j in range(there.size):
            # Interpolation may leave a point of an almost empty pattern a rounding error below zero.
            value = max(here[j], np.float32(0.0))
            there[j] = value
            highest[j] = max(highest[j], value)
    points[:] = np.float32(0.0)
    blocks[:] = np.float32(0.0)
    supers[:] = np.float32(0.0)
    return highest.max()


@numba.njit(cache=True, error_model="numpy")
def _quadrature_terms(two_theta, lowest, gamma, terms):  # type: ignore[no-untyped-def]
    """Which of GSAS-II's Gauss-Legendre sets the axial divergence of this peak takes: number in the table."""
    wanted = int(300.0 * abs(two_theta - lowest) / gamma)
    n = 0
    while n < terms.size - 1 and wanted > terms[n]:
        n += 1
    return n


@numba.njit(cache=True, error_model="numpy")
def broaden(  # type: ignore[no-untyped-def]
    bragg,
    wavelength,
    intensity,
    shift,
    U,
    V,
    W,
    size_um,
    microstrain,
    X,
    Y,
    sh_over_l,
    floor,
    grid_start,
    step,
    terms,
    term_start,
    term_x,
    term_w,
    ramp0,
    ramp1,
    ramp2,
    to_points,
    to_blocks,
    out,
    maximum,
):
    """Patterns of all augmentations. Angles in degrees; intensity and shift are (1 or augmentation, stick)."""
    n_points = out.shape[1]
    points = np.zeros(ramp0.size // 2, np.float32)
    blocks = np.zeros(ramp1.size // 2, np.float32)
    supers = np.zeros(ramp2.size // 2, np.float32)
    n = bragg.size
    tangent, cosine, cos2, lowest = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    for i in range(n):
        theta = math.radians(0.5 * bragg[i])
        tangent[i], cosine[i], cos2[i] = math.tan(theta), math.cos(theta), math.cos(2.0 * theta)
        reached = math.sqrt(1.0 + sh_over_l * sh_over_l) * cos2[i]
        lowest[i] = math.degrees(math.acos(min(1.0, max(-1.0, reached))))
    ln2_8 = 8.0 * math.log(2.0)
    for a in range(out.shape[0]):
        row = min(a, intensity.shape[0] - 1)
        shift_row = min(a, shift.shape[0] - 1)
        strain = 0.018 * microstrain[a] / math.pi + Y[a]
        for i in range(n):
            t = tangent[i]
            variance = max(U[a] * t * t + V[a] * t + W[a], floor)
            gamma = max((1.8 * wavelength[i] / (math.pi * size_um[a]) + X[a]) / cosine[i] + strain * t, floor)
            g = math.sqrt(ln2_8 * variance)
            total = (
                ((((g + 2.69269 * gamma) * g + 2.42843 * gamma**2) * g + 4.47163 * gamma**3) * g + 0.07842 * gamma**4)
                * g
                + gamma**5
            ) ** 0.2
            r = gamma / total
            eta = ((0.11116 * r - 0.47719) * r + 1.36603) * r

            place = bragg[i] + shift[shift_row, i]
            reach = (2.355 * math.sqrt(variance) + gamma) / 100.0
            below = 50.0 * (reach + sh_over_l * abs(cos2[i]))
            above = 75.0 * reach
            if place > 90.0:
                below, above = above, below
            low = int(min(max(math.ceil((place - below - grid_start) / step), 0.0), float(n_points)))
            high = int(min(max(math.ceil((place + above - grid_start) / step), 0.0), float(n_points)))
            if high <= low:
                continue
            fwhm = total / 100.0 / step
            area = intensity[row, i] / step
            table = _quadrature_terms(bragg[i], lowest[i], gamma, terms)
            if table == 0:
                centre = lowest[i] + (bragg[i] - lowest[i]) * term_x[0] + shift[shift_row, i]
                where = (centre - grid_start) / step
                _add_peak(points, blocks, supers, ramp0, ramp1, ramp2, where, fwhm, eta, area, low, high)
                continue
            norm = 0.0
            for k in range(term_start[table], term_start[table + 1]):
                norm += term_w[k] * _axial_weight(lowest[i] + (bragg[i] - lowest[i]) * term_x[k], cos2[i], sh_over_l)
            for k in range(term_start[table], term_start[table + 1]):
                delta = lowest[i] + (bragg[i] - lowest[i]) * term_x[k]
                share = area * term_w[k] * _axial_weight(delta, cos2[i], sh_over_l) / norm
                where = (delta + shift[shift_row, i] - grid_start) / step
                _add_peak(points, blocks, supers, ramp0, ramp1, ramp2, where, fwhm, eta, share, low, high)
        maximum[a] = _collect(points, blocks, supers, to_points, to_blocks, out[a])


@numba.njit(cache=True, error_model="numpy")
def _axial_weight(delta, cos2, sh_over_l):  # type: ignore[no-untyped-def]
    """W / (h cos(2phi)) of Finger, Cox and Jephcoat, J. Appl. Cryst. 27 (1994) 892, for S = H."""
    c = math.cos(math.radians(delta))
    excess = c * c - cos2 * cos2
    h = abs(cos2) / math.sqrt(excess) if excess > 0.0 else 0.0
    return (sh_over_l * h - 1.0) / abs(c)
