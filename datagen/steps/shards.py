"""Assignment of accepted structures to rows and shards."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

SMALLEST_SHARD = 16
LARGEST_SHARD = 128
SHARDS_AIMED_AT = 64
"""Enough shards to share among workers, each small enough for a worker's memory."""


@dataclass(frozen=True)
class Shard:
    """Rows that one task simulates, compresses and writes."""

    index: int
    first_row: int
    members: tuple[int, ...]
    """Position of each row's structure in the list of accepted structures."""
    key: str
    """Content key: a hash of the settings and members. A receipt is valid only with the same key."""


def shard_length(n_structures: int, asked: int | None) -> int:
    """Return the structures per shard: as configured, or by the number of structures, never by that of workers."""
    return asked or min(max(n_structures // SHARDS_AIMED_AT, SMALLEST_SHARD), LARGEST_SHARD)


def fill_holes(accepted: range, quarantined: Collection[int]) -> list[int]:
    """Return the accepted structure of each row when some of them cannot be simulated.

    Each hole is filled by the last structure that is not quarantined, so that only its own shard and the last ones
    change; the order depends on which structures are quarantined, not on when they were.
    """
    missing = {i for i in quarantined if i in accepted}
    good = accepted[: len(accepted) - len(missing)]
    holes = sorted(missing & set(good))
    fillers = [i for i in reversed(accepted[len(good) :]) if i not in missing]
    order = dict(zip(good, good, strict=True))
    order.update(zip(holes, fillers, strict=True))
    return list(order.values())


def cut_shards(order: Sequence[int], hashes: Sequence[str], length: int, settings_key: str) -> list[Shard]:
    """Cut the rows into shards of equal length, the last one shorter."""
    shards = []
    for index, first in enumerate(range(0, len(order), length)):
        members = tuple(order[first : first + length])
        shards.append(Shard(index, first, members, _key(settings_key, index, [hashes[m] for m in members])))
    return shards


def first_of_each(
    hashes: Sequence[str], with_density: Sequence[bool], versions: Sequence[int] | None = None
) -> list[int]:
    """Return for each structure the one that is kept of its hash: the first with a density, else the first.

    `versions` are the versions of the dataset that the structures came with: one that is kept stays.
    """
    chosen: dict[str, int] = {}
    for i, structure_hash in enumerate(hashes):
        before = chosen.setdefault(structure_hash, i)
        of_one_version = versions is None or versions[i] == versions[before]
        if with_density[i] and not with_density[before] and of_one_version:
            chosen[structure_hash] = i
    return [chosen[structure_hash] for structure_hash in hashes]


def _key(settings_key: str, index: int, members: list[str]) -> str:
    return hashlib.sha256("\n".join([settings_key, str(index), *members]).encode()).hexdigest()[:32]
