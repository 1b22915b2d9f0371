from __future__ import annotations

import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from curation.crystal import Crystal
from datagen.simulate.xrd_peaks import (
    XrdPeaksRefusedError,
    conventional_cell,
    peaks_of,
    xrd_peaks,
    xrd_peaks_cost_seconds,
    xrd_peaks_terms,
)


def salt(a: float = 5.64, chlorine: str = "Cl-", occupancy: float = 1.0) -> Crystal:
    """Rock salt in its primitive cell."""
    lattice = a / 2 * np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    return Crystal.canonical(
        lattice, ["Na+", chlorine], np.array([1.0, occupancy]), np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]])
    )


def pymatgens(crystal: Crystal) -> NDArray[np.float64]:
    """The definition: pymatgen's pattern of the conventional cell, the largest peak in each bin."""
    from pymatgen.analysis.diffraction.xrd import XRDCalculator

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pattern = XRDCalculator("MoKa").get_pattern(conventional_cell(crystal), two_theta_range=(0, 180))
    vector = np.zeros(1024)
    for angle, height in zip(pattern.x, pattern.y, strict=True):
        number = int(1024 * angle / 180)
        vector[number] = max(vector[number], height / 100)
    return vector


@pytest.mark.parametrize(
    "crystal",
    [
        salt(),
        salt(occupancy=0.7),
        Crystal.canonical(
            np.array([[2.46, 0, 0], [-1.23, 2.13042, 0], [0, 0, 6.7]]),
            ["C"] * 4,
            np.ones(4),
            np.array([[0, 0, 0.25], [0, 0, 0.75], [1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]]),
        ),
        Crystal.canonical(
            np.array([[4.1, 0.0, 0.0], [0.3, 5.2, 0.0], [0.2, -0.4, 6.3]]),
            ["Fe3+", "Fe2+", "O2-", "D"],
            np.array([0.5, 0.5, 1.0, 0.9]),
            np.array([[0.1, 0.2, 0.3], [0.1, 0.2, 0.3], [0.4, 0.6, 0.8], [0.5, 0.1, 0.9]]),
        ),
    ],
)
def test_it_equals_pymatgens_pattern(crystal: Crystal) -> None:
    if "D" not in crystal.species:
        np.testing.assert_allclose(xrd_peaks(crystal), pymatgens(crystal), atol=1e-6)
    else:  # which has no factors for deuterium: as hydrogen
        as_hydrogen = tuple(s.replace("D", "H") for s in crystal.species)
        hydrogen = Crystal.canonical(crystal.lattice_A, as_hydrogen, crystal.occupancy, crystal.fractional)
        np.testing.assert_allclose(xrd_peaks(crystal), pymatgens(hydrogen), atol=1e-6)


def test_it_equals_pymatgens_pattern_for_real_crystals(shared_data: Path) -> None:
    from pymatgen.core import Structure

    with zipfile.ZipFile(shared_data / "structures" / "materials_project.zip") as archive:
        names = sorted(n for n in archive.namelist() if n.endswith(".cif"))[::150]
        for name in names:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                crystal = Crystal.from_pymatgen(Structure.from_str(archive.read(name).decode(), fmt="cif"))
            np.testing.assert_allclose(xrd_peaks(crystal), pymatgens(crystal), atol=1e-6, err_msg=name)


def test_the_first_peak_of_rock_salt_is_200_by_hand() -> None:
    """d = a/2 = 2.82 A at 0.71073 A: 2theta = 2 asin(0.71073 / 5.64) = 14.478 degrees, bin 82."""
    vector = xrd_peaks(salt())
    assert vector.argmax() == 82
    assert vector.max() == 1.0
    assert (vector >= 0).all()
    assert vector.shape == (1024,)


def test_the_choice_of_cell_does_not_show() -> None:
    primitive = salt()
    supercell = Crystal.from_pymatgen(primitive.to_pymatgen().make_supercell([2, 1, 1]))
    np.testing.assert_allclose(xrd_peaks(supercell), xrd_peaks(primitive), atol=1e-5)


def test_absent_reflections_are_left_out() -> None:
    two_theta, intensity = peaks_of(conventional_cell(salt()))
    d = 0.71073 / 2 / np.sin(np.radians(two_theta / 2))
    n = (5.64 / d) ** 2
    np.testing.assert_allclose(n, np.rint(n), atol=1e-6)
    assert set(np.rint(n[:5]).astype(int)) == {3, 4, 8, 11, 12}
    assert (intensity > 0).all()


def test_a_cell_beyond_the_limit_is_refused_and_the_cost_is_known_before() -> None:
    with pytest.raises(XrdPeaksRefusedError, match=r"xrd_peaks_too_large: .* the limit is 10"):
        xrd_peaks(salt(), max_terms=10.0)
    assert xrd_peaks_terms(100_000, 500) < 5e9
    assert 0.001 < xrd_peaks_cost_seconds(200) < 0.05
    assert xrd_peaks_cost_seconds(100_000, 500) < 60
    assert xrd_peaks_cost_seconds(2000) > xrd_peaks_cost_seconds(1000)
