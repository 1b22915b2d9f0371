"""Reflections of a split kept in memory, so that one pattern per structure is as fast to load as many.

Chunks are decompressed once, in the order of the files. Values equal those of `Dataset.sticks`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from trainer.data.reflections import Sticks, on_instrument
from trainer.data.store import Dataset

MOST_BYTES = 1_000_000_000
"""Larger splits are read structure by structure in every epoch."""
ROWS_AT_ONCE = 128
_BYTES_OF_REFLECTION = 8 + 8 + 1 + 4
_BYTES_OF_MEMBER = 3 * 2 + 8


def read_resident_sticks(
    dataset: Dataset, rows: NDArray[np.int64], most_bytes: int = MOST_BYTES
) -> Mapping[int, Sticks]:
    """Read the reflections of some structures; nothing if they would take more than `most_bytes`."""
    if dataset.of_crystals:
        return _of_crystals(dataset, rows, most_bytes)
    members = dataset.has("member_hkl")
    blocks = _blocks(rows)
    counts: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    size = 0
    for block in blocks:
        dataset.require(block, "n_reflections")
        first, last = int(block[0]), int(block[-1]) + 1
        n = dataset.block("n_reflections", first, last).astype(np.int64)
        m = dataset.block("n_members", first, last).astype(np.int64) if members else np.zeros_like(n)
        size += int(n[block - first].sum()) * _BYTES_OF_REFLECTION + int(m[block - first].sum()) * _BYTES_OF_MEMBER
        if size > most_bytes or min(n.min(), m.min()) < 0:
            return {}
        counts.append((n, m))
    found: dict[int, Sticks] = {}
    for block, (n, m) in zip(blocks, counts, strict=True):
        found.update(_read(dataset, block, n, m, members))
    return found


def _of_crystals(dataset: Dataset, rows: NDArray[np.int64], most_bytes: int) -> dict[int, Sticks]:
    instrument, members, strain = dataset.instrument, dataset.textured, dataset.largest_strain
    found: dict[int, Sticks] = {}
    size = 0
    for block in dataset.by_shard(rows):
        for row, reflections in zip(block.tolist(), dataset.reflections(block.tolist()), strict=True):
            sticks = on_instrument(reflections, instrument, members=members, strain=strain)
            size += len(sticks.intensity) * _BYTES_OF_REFLECTION
            size += 0 if sticks.member_hkl is None else len(sticks.member_hkl) * _BYTES_OF_MEMBER
            found[row] = sticks
        if size > most_bytes:
            return {}
    return found


def _read(
    dataset: Dataset, block: NDArray[np.int64], n: NDArray[np.int64], m: NDArray[np.int64], members: bool
) -> dict[int, Sticks]:
    first, last = int(block[0]), int(block[-1]) + 1
    names = ["reflection_two_theta", "reflection_intensity"]
    names += ["reflection_line"] if dataset.has("reflection_line") else []
    names += ["reflection_members"] if members else []
    wide = [*names, *(["member_hkl", "member_intensity"] if members else [])]
    for name in wide:
        dataset.require(block, name)
    width = {name: int((m if name.startswith("member") else n).max()) for name in wide}
    read = {name: dataset.block(name, first, last, width[name]) for name in wide}
    if any(values.shape[1] != width[name] for name, values in read.items()):
        return {}  # counts beyond the slots: `Dataset.sticks` refuses such a structure
    metric = dataset.block("reciprocal_metric", first, last) if members else None
    found = {}
    for row in block.tolist():
        k = row - first
        line = read["reflection_line"][k, : n[k]] if "reflection_line" in read else np.zeros(n[k])
        sticks = Sticks(
            read["reflection_two_theta"][k, : n[k]].copy(),
            read["reflection_intensity"][k, : n[k]].copy(),
            line.astype(np.uint8),
        )
        if members and metric is not None:
            sticks = Sticks(
                sticks.two_theta_deg,
                sticks.intensity,
                sticks.line,
                read["reflection_members"][k, : n[k]].copy(),
                read["member_hkl"][k, : m[k]].copy(),
                read["member_intensity"][k, : m[k]].copy(),
                metric[k].copy(),
            )
        found[row] = sticks
    return found


def _blocks(rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Group rows, ascending, by blocks of the dataset."""
    ordered = np.unique(rows)
    cuts = np.flatnonzero(np.diff(ordered // ROWS_AT_ONCE)) + 1
    return [block for block in np.split(ordered, cuts) if len(block)]
