"""Statistics of known crystals for `[[catalog]] kind = "generated"`: counts and quantiles, no structure.

python -m benchmarks.count_crystals CURATION.parquet > catalogs/generated/statistics.json

`CURATION.parquet` is the table of `datagen curate`. Each distinct structure is counted once; disordered ones and those
of an unknown licence are left out.
"""

from __future__ import annotations

import collections
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import pyarrow.parquet as pq
import spglib

from catalogs.generated.groups import N_GROUPS, group
from curation.composition import element_of
from curation.crystal import Crystal

SOURCE = (
    "Counts over {n} distinct ordered crystals, accepted by curation, of open collections: Materials Project (subsets "
    "MP-20, MP-40 and 3DSC; CC-BY-4.0), Kyoto phonondb (CC-BY-4.0), Crystallography Open Database (CC0-1.0) and "
    "OpenChemistry."
)
QUANTILES = np.linspace(0.0, 1.0, 41)
"""Of distributions; in place of 0 and 1, 0.5 and 99.5 %."""
MOST_ORBITS = 60
SHORTEST_CONTACT_QUANTILE = 0.1
FEWEST_CONTACTS = 10
REACH_A = 6.0
SHIFTS = np.array(list(itertools.product(range(-2, 3), repeat=3)))
NEAR_A = 0.15
"""Distance from a Wyckoff position within which an atom is on it."""


class Counts:
    """Running counts."""

    def __init__(self) -> None:
        self.n = 0
        self.groups = np.zeros(N_GROUPS, dtype=int)
        self.orbits: dict[int, collections.Counter[int]] = collections.defaultdict(collections.Counter)
        self.positions = {n: np.zeros(len(group(n).multiplicity), dtype=int) for n in range(1, N_GROUPS + 1)}
        self.elements: collections.Counter[str] = collections.Counter()
        self.element_orbits: collections.Counter[str] = collections.Counter()
        self.element_share: collections.Counter[str] = collections.Counter()
        self.pairs: collections.Counter[tuple[str, str]] = collections.Counter()
        self.n_elements: dict[int, collections.Counter[int]] = collections.defaultdict(collections.Counter)
        self.compositions: list[tuple[dict[str, int], float]] = []
        self.shapes: dict[str, list[list[float]]] = collections.defaultdict(list)
        self.contacts: dict[tuple[str, str], list[float]] = collections.defaultdict(list)

    def add(self, crystal: Crystal, number: int, lattice: str) -> None:
        """Count a crystal of a space group and Bravais lattice."""
        symbols = [element_of(s) for s in crystal.species]
        cell = (crystal.lattice_A, crystal.fractional, [gemmi.Element(s).atomic_number for s in symbols])
        found = spglib.get_symmetry_dataset(cell, symprec=0.05)
        if found is None or found.number != number:
            return
        reps = np.unique(found.crystallographic_orbits)
        xyz = crystal.fractional[reps] @ found.transformation_matrix.T + found.origin_shift
        sizes = [int((found.crystallographic_orbits == r).sum()) for r in reps]
        where = [position_of(number, x, size, found.std_lattice) for x, size in zip(xyz, sizes, strict=True)]
        if None in where:
            return
        self.n += 1
        self.groups[number - 1] += 1
        self.orbits[number][min(len(reps), MOST_ORBITS)] += 1
        for index in where:
            self.positions[number][index] += 1
        kinds = sorted(set(symbols))
        self.n_elements[min(len(reps), MOST_ORBITS)][len(kinds)] += 1
        self.elements.update(kinds)
        self.element_orbits.update(symbols[r] for r in reps)
        amounts = dict(collections.Counter(symbols))
        for e, n in amounts.items():
            self.element_share[e] += n / len(symbols)
        self.pairs.update(itertools.combinations(kinds, 2))
        self.compositions.append((amounts, crystal.volume_A3))
        self.shapes[lattice].append(shape(found.std_lattice))
        self._contacts(crystal, symbols)

    def _contacts(self, crystal: Crystal, symbols: list[str]) -> None:
        if len(symbols) > 40:
            return
        shifts = np.array(list(itertools.product((-1, 0, 1), repeat=3)))
        d = crystal.fractional[:, None] - crystal.fractional
        d = (d - np.rint(d))[:, :, None] + shifts
        r = np.linalg.norm(d @ crystal.lattice_A, axis=3)
        r[r < 0.1] = np.inf
        nearest = r.min(axis=2)
        names = np.array(symbols)
        for a, b in itertools.combinations_with_replacement(sorted(set(symbols)), 2):
            shortest = float(nearest[np.ix_(names == a, names == b)].min())
            if shortest < REACH_A:
                self.contacts[a, b].append(shortest / (radius_A(a) + radius_A(b)))


def radius_A(symbol: str) -> float:
    """Return the covalent radius."""
    return float(gemmi.Element(symbol).covalent_r)


def shape(lattice: Any) -> list[float]:
    """Return ln(b/a), ln(c/a), and the angles in degrees, of a conventional cell."""
    a, b, c = np.linalg.norm(lattice, axis=1)
    cosines = [
        float(lattice[i] @ lattice[j] / np.linalg.norm(lattice[i]) / np.linalg.norm(lattice[j]))
        for i, j in ((1, 2), (0, 2), (0, 1))
    ]
    return [float(np.log(b / a)), float(np.log(c / a)), *np.degrees(np.arccos(cosines)).tolist()]


def position_of(number: int, x: Any, n_primitive: int, lattice: Any) -> int | None:
    """Return the Wyckoff position of a point: of those with its multiplicity, the nearest to one of its images."""
    g = group(number)
    candidates = np.flatnonzero(g.multiplicity == n_primitive).tolist()
    if len(candidates) < 2:
        return candidates[0] if candidates else None
    images = np.unique(np.round((g.rotations @ x + g.translations) % 1.0, 3), axis=0)
    best = (NEAR_A, -1)
    for index in candidates:
        off = images - g.origin[index]
        if g.n_free[index] == 0:
            off = (off - np.rint(off)) @ lattice
        else:
            off = (off[:, None, :] + SHIFTS).reshape(-1, 3) @ lattice
            basis = g.directions[index][:, np.any(g.directions[index] != 0, axis=0)].T @ lattice
            q = np.linalg.qr(basis.T)[0]
            off = off - off @ q @ q.T
        best = min(best, (float(np.linalg.norm(off, axis=1).min()), index))
    return None if best[1] < 0 else best[1]


def volumes(compositions: list[tuple[dict[str, int], float]]) -> tuple[dict[str, float], list[float]]:
    """Return the volume of an atom of each element that fits best, A^3, and all ratios of volume to their sum."""
    names = sorted({e for amounts, _ in compositions for e in amounts})
    index = {e: i for i, e in enumerate(names)}
    A = np.zeros((len(compositions), len(names)))
    for row, (amounts, _) in enumerate(compositions):
        for e, n in amounts.items():
            A[row, index[e]] = n
    volume = np.array([v for _, v in compositions])
    A, weight, prior = A / volume[:, None], np.ones(len(A)), 20.0
    v = np.full(len(names), prior)
    for _ in range(60):
        w = A * weight[:, None]
        v = np.linalg.solve(w.T @ A + 1e-3 / prior**2 * np.eye(len(names)), w.sum(axis=0) + 1e-3 / prior)
        v = np.clip(v, 4.0, 80.0)
        weight = 1.0 / (1.0 + ((A @ v - 1.0) / 0.1) ** 2)
    return {e: round(float(v[i]), 1) for e, i in index.items()}, (1.0 / (A @ v)).tolist()


def quantiles(values: Any) -> list[float]:
    """Return the quantiles of a sample, rounded to three decimals."""
    inner = np.clip(QUANTILES, 0.005, 0.995)
    return [round(float(v), 3) for v in np.quantile(np.asarray(values), inner)]


def histogram(counter: collections.Counter[int]) -> list[int]:
    """Return counts of 1, 2, 3, ..."""
    return [counter[i] for i in range(1, max(counter, default=0) + 1)]


def report(counts: Counts) -> dict[str, Any]:
    """Return everything as plain values."""
    volume, ratios = volumes(counts.compositions)
    return {
        "source": SOURCE.format(n=counts.n),
        "space_groups": counts.groups.tolist(),
        "orbits": [histogram(counts.orbits[n]) for n in range(1, N_GROUPS + 1)],
        "positions": [counts.positions[n].tolist() for n in range(1, N_GROUPS + 1)],
        "n_elements": [histogram(counts.n_elements[n]) for n in range(1, MOST_ORBITS + 1)],
        "elements": dict(sorted(counts.elements.items())),
        "element_orbits": dict(sorted(counts.element_orbits.items())),
        "element_share": {e: round(s / counts.elements[e], 3) for e, s in sorted(counts.element_share.items())},
        "pairs": {"-".join(pair): n for pair, n in sorted(counts.pairs.items())},
        "atomic_volume_A3": volume,
        "volume_ratio": quantiles(ratios),
        "shapes": {k: [quantiles(c) for c in zip(*v, strict=True)] for k, v in sorted(counts.shapes.items())},
        "contact_ratio": {
            "-".join(pair): round(float(np.quantile(v, SHORTEST_CONTACT_QUANTILE)), 2)
            for pair, v in sorted(counts.contacts.items())
            if len(v) >= FEWEST_CONTACTS
        },
    }


def main() -> None:
    """Print the statistics of a curation table as JSON."""
    counts, seen = Counts(), set()
    columns = ["status", "source_id", "licence", "source_metadata", "structure", "structure_hash", "space_group"]
    for path in map(Path, sys.argv[1:]):
        for row in pq.read_table(path, columns=[*columns, "bravais_lattice"]).to_pylist():
            licence = json.loads(row["source_metadata"] or "{}").get("licence", row["licence"])
            if row["status"] != "accepted" or row["structure_hash"] in seen or "unknown" in licence.lower():
                continue
            seen.add(row["structure_hash"])
            crystal = Crystal.from_json(row["structure"])
            if (crystal.occupancy == 1.0).all():
                counts.add(crystal, row["space_group"], row["bravais_lattice"])
    print(json.dumps(report(counts), separators=(",", ":")).replace('],"', '],\n"').replace('},"', '},\n"'))


if __name__ == "__main__":
    main()
