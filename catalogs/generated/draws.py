"""Random numbers in compiled code: the streams of numpy's Philox, and draws from distributions."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Stream = NDArray[np.uint64]

_MULTIPLIERS = (np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157))
_INCREMENTS = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBB67AE8584CAA73B))
_ROUNDS = 10
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_SPARE_BITS = np.uint64(11)
_ONE = np.uint64(1)


def stream(seed: int, number: int) -> Stream:
    """Return the random numbers of a crystal, which depend on nothing but seed and number.

    They are those of `numpy.random.Philox(key=seed, counter=[0, 0, 0, number])`, a generator that compiled code takes
    thirty times as long to open. The values: two of the key, four of the counter, four random ones, those used.
    """
    return np.array([seed, 0, 0, 0, 0, number, 0, 0, 0, 0, 4], dtype=np.uint64)


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _product(a: np.uint64, b: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Return the high and the low 64 bits of a product."""
    a0, a1, b0, b1 = a & _LOW, a >> _HALF, b & _LOW, b >> _HALF
    middle = a1 * b0 + ((a0 * b0) >> _HALF)
    other = a0 * b1 + (middle & _LOW)
    return a1 * b1 + (middle >> _HALF) + (other >> _HALF), a * b


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _next_block(s: Stream) -> None:
    s[2] += _ONE
    k0, k1 = s[0], s[1]
    c0, c1, c2, c3 = s[2], s[3], s[4], s[5]
    for _ in range(_ROUNDS):
        high0, low0 = _product(_MULTIPLIERS[0], c0)
        high1, low1 = _product(_MULTIPLIERS[1], c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0 += _INCREMENTS[0]
        k1 += _INCREMENTS[1]
    s[6], s[7], s[8], s[9] = c0, c1, c2, c3
    s[10] = np.uint64(0)


@numba.njit(cache=True, error_model="numpy", nogil=True)
def uniform(s: Stream) -> float:
    """Return the next number of a stream, from 0 to 1."""
    if s[10] == np.uint64(4):
        _next_block(s)
    value = s[6 + np.int64(s[10])] >> _SPARE_BITS
    s[10] += _ONE
    return np.float64(value) * 2.0**-53


@numba.njit(cache=True, error_model="numpy", nogil=True)
def normal(s: Stream) -> float:
    """Return a number of the standard normal distribution."""
    radius = math.sqrt(-2.0 * math.log(1.0 - uniform(s)))
    return radius * math.cos(2.0 * math.pi * uniform(s))


@numba.njit(cache=True, error_model="numpy", nogil=True)
def pick(weights: Floats, s: Stream) -> int:
    """Return an index with a probability proportional to its weight, -1 if all weights are 0."""
    total = 0.0
    for w in weights:
        total += w
    at, last = uniform(s) * total, -1
    for i in range(len(weights)):
        if weights[i] > 0.0:
            last = i
            at -= weights[i]
            if at < 0.0:
                break
    return last


@numba.njit(cache=True, error_model="numpy", nogil=True)
def quantile(quantiles: Floats, s: Stream) -> float:
    """Return a value of the distribution with these equally spaced quantiles."""
    at = uniform(s) * (len(quantiles) - 1)
    i = min(int(at), len(quantiles) - 2)
    return float(quantiles[i] + (at - i) * (quantiles[i + 1] - quantiles[i]))
