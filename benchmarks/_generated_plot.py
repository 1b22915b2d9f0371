"""Curated generated crystals beside known ones: counts, reasons, and a plot of distributions."""

from __future__ import annotations

import collections
import itertools
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curation.composition import element_of
from curation.crystal import Crystal
from trainer.evaluation.plots import figure

Floats = NDArray[np.float64]

SAMPLE = 1500
"""Crystals of each table whose distances are computed; the other distributions are of all."""
MOST_ATOMS = 100
SHIFTS = np.array(list(itertools.product((-1, 0, 1), repeat=3)), dtype=np.float64)


def compare(generated: Path, known: Path | None, plot: Path | None) -> dict[str, Any]:
    """Return counts of a table of generated crystals, and medians of both; write the plot."""
    table = columns_of(generated, ["status", "reason", "space_group", "stated_space_group"])
    is_accepted = table["status"] == "accepted"
    is_drawn = is_accepted & (table["space_group"] == table["stated_space_group"])
    counts = np.bincount(table["space_group"][is_drawn].astype(int), minlength=231)[1:]
    result: dict[str, Any] = {
        "rows": len(is_drawn),
        "accepted_share": round(float(is_drawn.mean()), 5),
        "groups": int(np.count_nonzero(counts)),
        "fewest_of_a_group": int(counts.min()),
        "most_of_a_group": int(counts.max()),
        "reasons": dict(collections.Counter(table["reason"][~is_accepted].tolist())),
        "another_group": int((is_accepted & ~is_drawn).sum()),
    }
    if known is None or plot is None:
        return result
    tables = {"generated": distributions(generated), "open structures": distributions(known)}
    for name, values in tables.items():
        for what, sample in values.items():
            result[f"{name.split()[0]}_{what}"] = [round(float(q), 3) for q in np.quantile(sample, [0.1, 0.5, 0.9])]
    draw(tables, plot)
    return result


def columns_of(path: Path, names: list[str]) -> dict[str, NDArray[Any]]:
    """Return columns of a Parquet table."""
    table = pq.read_table(path, columns=names)
    return {name: table.column(name).to_numpy(zero_copy_only=False) for name in names}


def distributions(path: Path) -> dict[str, Floats]:
    """Return samples of properties of a table's distinct accepted crystals."""
    table = columns_of(path, ["status", "structure_hash", "volume", "n_atoms", "n_reflections", "structure"])
    rows = np.flatnonzero(table["status"] == "accepted")
    rows = rows[np.unique(table["structure_hash"][rows].astype(str), return_index=True)[1]]
    volume, atoms = table["volume"][rows].astype(float), table["n_atoms"][rows].astype(float)
    small = rows[atoms <= MOST_ATOMS]
    chosen = np.random.default_rng(0).choice(small, min(SAMPLE, len(small)), replace=False)
    return {
        "volume_per_atom_A3": volume / atoms,
        "nearest_ratio": np.concatenate([nearest_ratios(Crystal.from_json(table["structure"][i])) for i in chosen]),
        "lines": table["n_reflections"][rows].astype(float),
        "atoms": atoms,
    }


def nearest_ratios(crystal: Crystal) -> Floats:
    """Return each atom's shortest distance to another relative to the sum of their covalent radii."""
    radii = np.array([gemmi.Element(element_of(s)).covalent_r for s in crystal.species])
    d = crystal.fractional[:, None] - crystal.fractional
    r = np.linalg.norm(((d - np.rint(d))[:, :, None] + SHIFTS) @ crystal.lattice_A, axis=3)
    r[r < 0.1] = np.inf
    found: Floats = (r.min(axis=2) / (radii[:, None] + radii)).min(axis=1)
    # Equally many values of every crystal: quantiles of its atoms.
    return np.quantile(found, np.linspace(0.05, 0.95, 10))


def draw(tables: dict[str, dict[str, Floats]], path: Path) -> None:
    """Plot the distributions of both."""
    panels = (
        ("volume_per_atom_A3", "volume per atom, Å³", np.linspace(4, 50, 47)),
        ("nearest_ratio", "nearest neighbour / sum of covalent radii", np.linspace(0.6, 1.8, 49)),
        ("lines", "lines of a pattern, 5 to 20° at 20 keV", np.geomspace(2, 5000, 41)),
        ("atoms", "atoms in the primitive cell", np.geomspace(1, 200, 31)),
    )
    made, axes = figure(9, 5.6, 2, 2)
    for axis, (name, title, edges) in zip(axes.flat, panels, strict=True):
        for label, values in tables.items():
            counts = np.histogram(values[name], edges)[0] / len(values[name])
            is_made = label == "generated"
            axis.stairs(100 * counts, edges, label=label, fill=is_made, alpha=0.6 if is_made else 1.0)
        axis.set_title(title, fontsize=10)
        axis.set_ylabel("%")
        if edges[-1] / edges[0] > 100:
            axis.set_xscale("log")
    axes[0, 0].legend(fontsize=8)
    made.savefig(path, dpi=120)
