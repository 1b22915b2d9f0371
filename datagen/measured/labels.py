"""Labels of a scan: those of its curated structure, or what is stated of its space group and cell."""

from __future__ import annotations

import math
import re
from typing import Any

import gemmi
import numpy as np
from numpy.typing import NDArray

from catalogs.record import Record
from curation.composition import atomic_fractions, parse_formula, reduced_formula
from curation.labels import N_ELEMENTS, crystal_system_of
from curation.lattice_rules import bravais_lattice, lattice_deviation
from curation.niggli import Metric, metric_of, reduce_metric
from curation.settings import CurationSettings
from curation.split import group_of, split_of
from curation.verdict import Verdict
from datagen.measured.truth import Cell, Truth
from datagen.steps.labels import composition
from datagen.store.schema import SPLITS, UNKNOWN

NIGGLI = ("niggli_a", "niggli_b", "niggli_c", "niggli_alpha", "niggli_beta", "niggli_gamma")


def verdict_of_statements(record: Record, truth: Truth) -> Verdict:
    """Return an accepted verdict with the labels that follow from a stated space group, cell and formula."""
    group, found = truth.space_group, {}
    amounts = parse_formula(" ".join(_spaced(truth.formula))) if truth.formula else None
    formula = reduced_formula(amounts) if amounts else None
    system = crystal_system_of(group) if group else truth.crystal_system
    if group is not None and truth.cell is not None:
        metric = primitive_metric(truth.cell, group)
        reduced = reduce_metric(metric_of(_vectors(metric)))
        lattice = reduced @ _vectors(metric)
        found = dict(zip(NIGGLI, _parameters(lattice), strict=True)) | {"volume": float(abs(np.linalg.det(lattice)))}
    key = group_of(formula, group) if formula and group else None
    return Verdict.about(
        record, status="accepted", formula=formula, space_group=group, crystal_system=system, group=key, **found
    )


def lattice_misfit(cell: Cell, space_group: int) -> float:
    """Return the largest relative deviation of a stated cell from the equalities of its Bravais lattice."""
    vectors = _vectors(primitive_metric(cell, space_group))
    reduced = reduce_metric(metric_of(vectors), 1e-4) @ vectors
    symbol = gemmi.find_spacegroup_by_number(space_group).hm
    deviation, _ = lattice_deviation(metric_of(reduced), bravais_lattice(space_group, symbol))
    return float(deviation)


def primitive_metric(cell: Cell, space_group: int) -> Metric:
    """Return the metric of the primitive cell of a conventional cell, in the standard setting of its group.

    A trigonal cell with equal lengths and angles is that of rhombohedral axes, which is primitive.
    """
    a, b, c, alpha, _, gamma = cell
    centring = gemmi.find_spacegroup_by_number(space_group).hm[0]
    rhombohedral = abs(a / c - 1) < 1e-3 and abs(alpha - gamma) < 0.1 and abs(a / b - 1) < 1e-3
    to_primitive = np.eye(3) if centring == "R" and rhombohedral else _CENTRINGS[centring]
    return metric_of(to_primitive @ _vectors_of_cell(cell))


_CENTRINGS: dict[str, NDArray[np.float64]] = {
    "P": np.eye(3),
    "A": np.array([[1, 0, 0], [0, 0.5, 0.5], [0, -0.5, 0.5]]),
    "C": np.array([[0.5, 0.5, 0], [-0.5, 0.5, 0], [0, 0, 1]]),
    "I": np.array([[-0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.5, 0.5, -0.5]]),
    "F": np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]),
    "R": np.array([[2, 1, 1], [-1, 1, 1], [-1, -2, 1]]) / 3,
}
"""Rows: vectors of a primitive cell in terms of the conventional one."""


def columns_of(verdicts: list[Verdict], split: str) -> dict[str, Any]:
    """Return a column for each of `schema.LABELS`; what is not known is 0 or NaN."""
    seed, shares = (settings := CurationSettings.model_validate({})).seed, settings.split
    names = [split if split != "by_group" else v.split or split_of(v.group or "", seed, shares) for v in verdicts]
    return {
        "source": [v.source for v in verdicts],
        "source_id": [v.source_id for v in verdicts],
        "licence": [v.licence for v in verdicts],
        "structure_hash": [v.structure_hash or "" for v in verdicts],
        "group": [v.group or "" for v in verdicts],
        "formula": [v.formula or "" for v in verdicts],
        "split": np.array([SPLITS.index(name) for name in names], dtype=np.uint8),
        "crystal_system": np.array([v.crystal_system or UNKNOWN for v in verdicts], dtype=np.uint8),
        "space_group": np.array([v.space_group or UNKNOWN for v in verdicts], dtype=np.uint8),
        "niggli": np.array([v.niggli or (math.nan,) * 6 for v in verdicts], dtype=np.float64).reshape(-1, 6),
        "volume": np.array([v.volume or math.nan for v in verdicts], dtype=np.float64),
        "n_atoms": np.array([v.n_atoms or UNKNOWN for v in verdicts], dtype=np.int32),
        "composition": np.array([_composition(v) for v in verdicts], dtype=np.float32).reshape(-1, N_ELEMENTS),
    }


def _composition(verdict: Verdict) -> NDArray[np.float32]:
    if verdict.structure is not None:
        return composition(verdict.crystal)
    amounts = parse_formula(" ".join(_spaced(verdict.formula))) if verdict.formula else None
    return atomic_fractions(amounts or {}).astype(np.float32)


def _spaced(formula: str) -> list[str]:
    """Split `Ag3AsS3` into its elements with their amounts; a formula with blanks stays as it is."""
    return formula.split() if " " in formula else re.findall(r"[A-Z][a-z]?[\d.]*|.", formula)


def _vectors_of_cell(cell: Cell) -> NDArray[np.float64]:
    return np.array(gemmi.UnitCell(*cell).orth.mat.tolist(), dtype=np.float64).T


def _vectors(metric: Metric) -> NDArray[np.float64]:
    aa, bb, cc, bc, ac, ab = metric
    return np.linalg.cholesky(np.array([[aa, ab, ac], [ab, bb, bc], [ac, bc, cc]]))


def _parameters(lattice: NDArray[np.float64]) -> tuple[float, ...]:
    lengths = np.linalg.norm(lattice, axis=1)
    cosines = [lattice[i] @ lattice[j] / (lengths[i] * lengths[j]) for i, j in ((1, 2), (0, 2), (0, 1))]
    return (*map(float, lengths), *(float(np.degrees(np.arccos(c))) for c in cosines))
