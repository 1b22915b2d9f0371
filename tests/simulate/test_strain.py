"""Strained cells: what symmetry leaves free, and the patterns and labels that follow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import datagen
from curation.atoms import cell_parameters
from curation.crystal import Crystal
from datagen.inspect.replay import replay
from datagen.inspect.verify import verify
from datagen.simulate import native
from datagen.simulate.augmentation import AugmentationSettings, draw
from datagen.simulate.instrument import PRESETS
from datagen.simulate.reflections import point_group
from datagen.simulate.strain import largest_strain, strained_lattices
from tests.datagen.small_runs import write_cifs
from tests.simulate.crystals import one_augmentation, rock_salt, rutile, triclinic
from trainer import PatternDataset

INSTRUMENT = PRESETS["cu_kalpha1"].model_copy(update={"n_points": 4096})
STRAINED = AugmentationSettings(count=8, strain_isotropic=(-0.02, 0.02), strain_anisotropic=(-0.01, 0.01))


def cells(crystal: Crystal, settings: AugmentationSettings = STRAINED) -> NDArray[np.float64]:
    drawn = draw(settings, 0, crystal.structure_hash(), range(settings.count))
    lattices = strained_lattices(crystal.lattice_A, point_group(crystal, INSTRUMENT), drawn)
    return np.array([cell_parameters(lattice) for lattice in lattices])


def test_a_cubic_cell_changes_its_length_alone() -> None:
    found = cells(rock_salt())
    np.testing.assert_allclose(found[:, 3:], 60.0, atol=1e-9)
    np.testing.assert_allclose(found[:, :3], found[:, :1].repeat(3, axis=1), rtol=1e-12)
    drawn = draw(STRAINED, 0, rock_salt().structure_hash(), range(8))
    before = cell_parameters(rock_salt().lattice_A)[0]
    np.testing.assert_allclose(found[:, 0], before * (1 + drawn.strain_isotropic), rtol=1e-12)


def test_a_tetragonal_cell_keeps_two_edges_equal_and_right_angles() -> None:
    found = cells(rutile())
    np.testing.assert_allclose(found[:, 3:], 90.0, atol=1e-9)
    a, b, c = cell_parameters(rutile().lattice_A)[:3]
    np.testing.assert_allclose(found[:, 0] / a, found[:, 1] / b, rtol=1e-12)
    assert np.abs(found[:, 2] / c / (found[:, 0] / a) - 1).max() > 1e-3


def test_a_triclinic_cell_changes_in_all_six() -> None:
    before = np.array(cell_parameters(triclinic().lattice_A))
    assert (np.abs(cells(triclinic()) - before) > 1e-6).all(axis=0).any()
    assert (np.abs(cells(triclinic()) - before).max(axis=0) > 1e-3).all()


@hypothesis_settings(max_examples=25, deadline=None)
@given(st.floats(0, 0.05), st.floats(0, 0.02), st.integers(0, 5))
def test_no_d_spacing_changes_more_than_the_stated_bound(isotropic: float, anisotropic: float, seed: int) -> None:
    settings = AugmentationSettings(
        count=4, strain_isotropic=(-isotropic, isotropic), strain_anisotropic=(-anisotropic, anisotropic)
    )
    crystal = triclinic(seed=seed)
    drawn = draw(settings, seed, "h", range(4))
    lattices = strained_lattices(crystal.lattice_A, np.eye(3, dtype=np.int8)[None], drawn)
    hkl = np.array([[h, k, m] for h in range(3) for k in range(-2, 3) for m in range(-2, 3) if (h, k, m) != (0, 0, 0)])

    def spacing(lattice: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(1 / np.linalg.norm(hkl @ np.linalg.inv(lattice).T, axis=1))

    for lattice in lattices:
        change = spacing(lattice) / spacing(crystal.lattice_A) - 1
        assert np.abs(change).max() <= largest_strain(settings) * (1 + largest_strain(settings)) + 1e-12


def test_peaks_lie_where_the_strained_cell_has_them() -> None:
    """The 101 of rutile by Bragg's law from the cell that is the label."""
    drawn = one_augmentation(strain_isotropic=0.015)
    made = native.simulate(rutile(), INSTRUMENT, drawn)
    assert made.lattices_A is not None
    a, _, c, *_ = cell_parameters(made.lattices_A[0])
    assert a == pytest.approx(4.5937 * 1.015, rel=1e-6)
    d = 1 / np.sqrt(1 / a**2 + 1 / c**2)
    expected = 2 * np.degrees(np.arcsin(INSTRUMENT.lines[0].wavelength_A / 2 / d))
    near = np.abs(INSTRUMENT.two_theta_deg - expected) < 0.5
    at = INSTRUMENT.two_theta_deg[near][made.intensity[0][near].argmax()]
    assert at == pytest.approx(expected, abs=1.5 * INSTRUMENT.step_deg)


def test_a_pattern_alone_is_the_same_as_among_others() -> None:
    """Strained or not: half of these are, by either strain."""
    shares = {"strain_isotropic": 0.4, "strain_anisotropic": 0.4, "background_height": 0.5, "size_ratio": 0.5}
    settings = AugmentationSettings(preset="measured", probability=shares)
    drawn = draw(settings, 3, rutile().structure_hash(), range(8))
    together = native.simulate(rutile(), INSTRUMENT, drawn)
    for i in range(8):
        alone = native.simulate(rutile(), INSTRUMENT, drawn[np.array([i])])
        np.testing.assert_array_equal(together.intensity[i], alone.intensity[0])
        if alone.lattices_A is not None:
            np.testing.assert_array_equal(together.lattices_A[i], alone.lattices_A[0])  # type: ignore[index]
        else:
            np.testing.assert_array_equal(together.lattices_A[i], rutile().lattice_A)  # type: ignore[index]


def test_a_run_stores_the_cell_of_each_pattern_and_everything_follows_it(tmp_path: Path) -> None:
    cifs = write_cifs(tmp_path / "cifs", ["rutile", "halite"])
    augmentation = {
        "count": 4,
        "strain_isotropic": [-0.02, 0.02],
        "strain_anisotropic": [-0.01, 0.01],
        "probability": {"strain_isotropic": 0.6, "strain_anisotropic": 0.6},
    }
    instrument = {"base": "cu_kalpha1", "n_points": 1024}
    content = {
        "catalog": [{"kind": "folder", "path": str(cifs)}],
        "simulation": {"augmentation": augmentation, "instrument": instrument},
    }
    out = tmp_path / "out.zarr"
    datagen.run(content, out, cluster="inline")
    made = datagen.open_dataset(out)
    assert made["strained_cell"].dims == ("structure", "augmentation", "niggli_parameter")
    for row in range(made.sizes["structure"]):
        cell, niggli = made["strained_cell"][row].values, made["niggli"][row].values
        strained = (made["strain_isotropic"][row] != 0).values | made["strain_anisotropic"][row].values.any(axis=1)
        np.testing.assert_allclose(cell[~strained], np.tile(niggli, (int((~strained).sum()), 1)), rtol=1e-6)
        found = replay(out, str(made["source_id"][row].values), 2)
        assert found.difference_steps == 0
        assert float(found.facts["strained_cell"].split()[0]) == pytest.approx(cell[2, 0], rel=1e-5)
    checked = verify(out, sample=4)
    assert not checked.mistakes
    assert checked.regenerated
    # Labels of the trainer, from stored patterns and from reflections.
    patterns = PatternDataset(out, split=None)
    for i in range(len(patterns)):
        item = patterns[i]
        expected = made["strained_cell"][int(item["row"]), i % 4].values
        np.testing.assert_allclose(item["niggli"].numpy(), expected, rtol=1e-6)
    fresh = PatternDataset(out, split=None, input="sticks", samples=8, seed=1)
    changes = [(fresh[i]["niggli"].numpy() / made["niggli"][int(fresh[i]["row"])].values - 1) for i in range(8)]
    assert 1e-3 < np.abs(changes).max() < 0.06
