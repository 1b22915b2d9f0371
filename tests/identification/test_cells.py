"""Cells of candidates: the conventional one, and uncertainties that cover the errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from curation.atoms import cell_parameters
from datagen.identification.identify import POLISHED, identify
from datagen.identification.index import Index
from tests.identification.scans import observed, stretched
from tests.identification.test_identify import crystals, names_of

ANGLES = {"halite": (90.0, 90.0, 90.0), "quartz": (90.0, 90.0, 120.0), "aragonite": (90.0, 90.0, 90.0)}


def conventional(library: Path, index: Index, name: str) -> np.ndarray:
    """Return the conventional cell of a mineral as the index knows it."""
    change = index.conventional[names_of(index).index(name)].astype(np.float64)
    return np.array(cell_parameters(change @ crystals(library)[name].lattice_A))


@pytest.mark.parametrize("name", sorted(ANGLES))
def test_conventional_cells_have_the_angles_of_their_system(library: Path, index: Index, name: str) -> None:
    (found,) = identify([index], [(name, observed(crystals(library)[name]))])
    best = found.candidates[0]
    assert best.conventional is not None
    assert best.conventional_uncertainty is not None
    np.testing.assert_allclose(best.conventional[3:], ANGLES[name], atol=1e-3)
    assert best.conventional_uncertainty[3:] == (0.0, 0.0, 0.0)
    assert min(best.conventional_uncertainty[:3]) > 0
    np.testing.assert_allclose(best.conventional, conventional(library, index, name), rtol=3e-3)
    if name == "halite":  # the primitive cell is a third of the size
        assert best.conventional[0] == pytest.approx(best.niggli[0] * np.sqrt(2), rel=1e-6)
    assert found.candidates[POLISHED].niggli_uncertainty is None


def test_uncertainties_cover_the_errors(library: Path, index: Index) -> None:
    known, off = crystals(library), []
    for seed, name in enumerate(("quartz", "rutile", "aragonite", "barite", "calcite", "halite", "zincite", "anatase")):
        for size in (-0.01, 0.006):
            crystal = stretched(known[name], size * np.eye(3))
            (found,) = identify([index], [(name, observed(crystal, seed=seed))])
            best = next(c for c in found.candidates if c.source_id == f"{name}.cif")
            assert best.conventional is not None
            assert best.conventional_uncertainty is not None
            wanted = conventional(library, index, name)[:3] * (1 + size)
            off += (np.abs(np.array(best.conventional[:3]) - wanted) / best.conventional_uncertainty[:3]).tolist()
    assert np.median(off) < 2
    assert np.mean(np.array(off) < 4) > 0.9
