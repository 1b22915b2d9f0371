"""Random numbers of each augmentation: a counter-based stream, of which any part is computed on its own."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from catalogs.compiled import compiled

BLOCK = 4
"""64-bit words that Philox makes from one counter value."""


def uniforms(seed: int, structure_hash: str, indices: NDArray[np.int64], n_slots: int) -> NDArray[np.float64]:
    """Return uniform numbers in [0, 1), (augmentation, slot), a pure function of (seed, structure, index, slot).

    Philox4x64-10 (Salmon et al., SC'11) with the first 128 bits of SHA-256("seed:structure_hash") as key and
    (slot // 4, augmentation index, 0, 0) as counter; the upper 53 bits of word slot % 4, times 2^-53. Written out
    here, so that no change of a library changes the numbers.
    """
    digest = hashlib.sha256(f"{seed}:{structure_hash}".encode()).digest()
    key0, key1 = int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:16], "little")
    index = np.ascontiguousarray(indices, dtype=np.uint64)
    words = np.empty((index.size, -(-n_slots // BLOCK) * BLOCK), dtype=np.uint64)
    _philox(np.uint64(key0), np.uint64(key1), index, words)
    return np.asarray((words[:, :n_slots] >> np.uint64(11)) * 2.0**-53, dtype=np.float64)


@compiled
def _multiply_high(a: np.uint64, b: np.uint64) -> np.uint64:
    low32 = np.uint64(0xFFFFFFFF)
    s = np.uint64(32)
    a0, a1, b0, b1 = a & low32, a >> s, b & low32, b >> s
    middle = a1 * b0 + ((a0 * b0) >> s)
    return a1 * b1 + (middle >> s) + (((middle & low32) + a0 * b1) >> s)


@compiled
def _philox(key0: np.uint64, key1: np.uint64, index: NDArray[np.uint64], words: NDArray[np.uint64]) -> None:
    m0, m1 = np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157)
    w0, w1 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBB67AE8584CAA73B)
    for i in range(index.size):
        for block in range(words.shape[1] // 4):
            c0, c1, c2, c3 = np.uint64(block), index[i], np.uint64(0), np.uint64(0)
            k0, k1 = key0, key1
            for _ in range(10):
                high0, low0 = _multiply_high(m0, c0), m0 * c0
                high1, low1 = _multiply_high(m1, c2), m1 * c2
                c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
                k0 += w0
                k1 += w1
            words[i, 4 * block] = c0
            words[i, 4 * block + 1] = c1
            words[i, 4 * block + 2] = c2
            words[i, 4 * block + 3] = c3
