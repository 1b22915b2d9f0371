from __future__ import annotations

import csv
import gzip
from collections.abc import Iterable
from pathlib import Path

import gemmi
import numpy as np
import pytest
from pydantic import ValidationError

from catalogs.record import DensityRef
from curation.crystal import Crystal
from datagen.simulate.density.grid import DensityGrid
from datagen.simulate.density.independent_atoms import independent_atom_density
from datagen.simulate.density.make import Density, DensitySettings, check, make_density, refusal_variables
from datagen.simulate.density.resample import resample
from datagen.store.density_codes import CODES, DENSITY_REASONS, DensityRefused

LATTICE = np.array([[4.0, 0.0, 0.0], [0.5, 5.0, 0.0], [0.2, -0.3, 6.0]])
CRYSTAL = Crystal.canonical(
    LATTICE, ["Mg2+", "O2-"], np.ones(2), np.array([[0.1, 0.2, 0.3], [0.6, 0.7, 0.8]]), np.array([0.02, 0.03])
)
VOLUME = CRYSTAL.volume_A3


def band_limited(shape: tuple[int, int, int], highest: int = 4) -> np.ndarray:
    """A density with known Fourier coefficients, sampled on any grid."""
    rng = np.random.default_rng(3)
    x, y, z = np.meshgrid(*(np.arange(n) / n for n in shape), indexing="ij")
    total = np.full(shape, 0.12)
    for _ in range(12):
        h, k, m = rng.integers(-highest, highest + 1, 3)
        total += 0.005 * np.cos(2 * np.pi * (h * x + k * y + m * z) + rng.uniform(0, 6))
    return total


def grid_of(values: np.ndarray, amounts: tuple[tuple[str, int], ...] = (("Mg", 1), ("O", 1))) -> DensityGrid:
    return DensityGrid(values, LATTICE, amounts)


def refusal(grid: DensityGrid, **settings: float) -> str:
    with pytest.raises(DensityRefused) as refused:
        check(grid, CRYSTAL, DensitySettings(**settings))
    return refused.value.code


@pytest.mark.parametrize("shape", [(12, 15, 24), (64, 60, 9), (50, 50, 50), (81, 80, 10)])
def test_fourier_resampling_is_exact_for_band_limited_densities(shape: tuple[int, int, int]) -> None:
    resampled = resample(grid_of(band_limited(shape)), "fourier")
    np.testing.assert_allclose(resampled, band_limited((50, 50, 50)), atol=1e-12)


@pytest.mark.parametrize("shape", [(24, 30, 27), (8, 8, 8), (61, 64, 72)])
def test_fourier_resampling_keeps_the_electrons_of_any_density(shape: tuple[int, int, int]) -> None:
    values = np.random.default_rng(0).random(shape)
    assert resample(grid_of(values), "fourier").mean() == pytest.approx(values.mean(), rel=1e-12)


def test_even_grids_are_interpolated_without_favouring_a_direction() -> None:
    """The highest frequency of an even axis belongs half to either sign: reversing the axes must commute."""
    values = np.random.default_rng(1).random((20, 24, 22))

    def reverse(a: np.ndarray) -> np.ndarray:
        return np.roll(a[::-1], 1, axis=0)

    ours = resample(grid_of(reverse(values)), "fourier")
    np.testing.assert_allclose(ours, reverse(resample(grid_of(values), "fourier")), atol=1e-12)


@pytest.mark.parametrize("name", ["Al_fcc", "BN_hex", "Fe_bcc", "Si", "ZrO2_baddeleyite"])
def test_both_methods_give_the_reference_results(shared_data: Path, name: str) -> None:
    from datagen.simulate.density.read import read_density

    folder = shared_data / "densities"
    grid = read_density(DensityRef(folder / "ours" / f"{name}.CHGCAR.gz", "chgcar"))
    exact = np.load(folder / "ours_reference" / "exact_fourier" / f"{name}.npy")
    crystalnet = np.load(folder / "ours_reference" / f"{name}.npy")
    np.testing.assert_allclose(resample(grid, "fourier"), exact, atol=2e-7 * exact.max())
    np.testing.assert_allclose(resample(grid, "crystalnet"), crystalnet, atol=2e-7 * crystalnet.max())


def test_every_real_density_is_accepted_and_keeps_its_electrons(shared_data: Path) -> None:
    from pymatgen.io.vasp import Poscar

    folder = shared_data / "densities" / "ours"
    with (folder / "INDEX.csv").open(newline="") as file:
        index = list(csv.DictReader(file))
    for entry in index:
        path = folder / f"{entry['name']}.CHGCAR.gz"
        with gzip.open(path, "rt") as text:
            crystal = Crystal.from_pymatgen(Poscar.from_str("".join(_header(text))).structure)
        density = make_density(DensityRef(path, "chgcar"), crystal, DensitySettings())
        assert density.values.shape == (50, 50, 50)
        assert density.electrons_before == pytest.approx(float(entry["integral"]), abs=2e-5)
        assert density.electrons_after == pytest.approx(density.electrons_before, rel=1e-6)
    assert len(index) == 29


@pytest.mark.parametrize(("name", "electrons"), [("GaAs_noncollinear", 8), ("Ga_spin", 12), ("H2", 2), ("Si", 8)])
def test_densities_written_by_vasp_itself_are_accepted(shared_data: Path, name: str, electrons: int) -> None:
    """Spin, non-collinear magnetism, augmentation blocks, and the negative values of pseudised cores."""
    from pymatgen.io.vasp import Poscar

    path = shared_data / "densities" / "vasp" / f"{name}.CHGCAR.gz"
    with gzip.open(path, "rt") as text:
        crystal = Crystal.from_pymatgen(Poscar.from_str("".join(_header(text))).structure)
    density = make_density(DensityRef(path, "chgcar"), crystal, DensitySettings())
    assert density.electrons_before == pytest.approx(electrons, abs=1e-4)
    assert density.electrons_after == pytest.approx(electrons, abs=1e-4)


def _header(text: Iterable[str]) -> list[str]:
    lines: list[str] = []
    for line in text:
        if lines and not line.strip():
            return lines
        lines.append(line)
    return lines


def test_electrons_lost_beyond_the_tolerance_are_a_refusal(shared_data: Path) -> None:
    ref = DensityRef(shared_data / "densities" / "ours" / "Mg_hcp.CHGCAR.gz", "chgcar")
    lattice = np.array([[3.2, 0, 0], [-1.6, 2.771, 0], [0, 0, 5.24]])
    crystal = Crystal.canonical(
        lattice, ["Mg", "Mg"], np.ones(2), np.array([[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]])
    )
    kept = make_density(ref, crystal, DensitySettings(method="crystalnet"))
    assert kept.electrons_after / kept.electrons_before - 1 == pytest.approx(1.26e-3, rel=0.01)
    with pytest.raises(DensityRefused, match=r"electrons_changed: .* tolerance 0.001"):
        make_density(ref, crystal, DensitySettings(method="crystalnet", electron_tolerance=1e-3))


def test_a_density_of_something_else_is_refused() -> None:
    good = band_limited((12, 12, 12))
    check(grid_of(good), CRYSTAL, DensitySettings())
    check(grid_of(good, (("", 1), ("", 1))), CRYSTAL, DensitySettings())  # VASP 4 names no elements
    assert refusal(grid_of(good, (("Mg", 1), ("S", 1)))) == "wrong_composition"
    assert refusal(grid_of(good, (("Mg", 2), ("O", 1)))) == "wrong_composition"
    assert refusal(grid_of(good, (("", 2), ("", 1)))) == "wrong_composition"
    assert refusal(DensityGrid(good, LATTICE * 1.05, (("Mg", 1), ("O", 1)))) == "wrong_volume"
    assert refusal(grid_of(good * 50)) == "impossible_electrons"
    assert refusal(grid_of(good - good.mean() - 1.0)) == "impossible_electrons"
    assert refusal(grid_of(good - 0.11), max_negative=0.01) == "negative"


def test_a_supercell_of_the_structure_is_accepted() -> None:
    doubled = DensityGrid(band_limited((24, 12, 12)), LATTICE * [[2], [1], [1]], (("Mg", 2), ("O", 2)))
    check(doubled, CRYSTAL, DensitySettings())


def test_no_density_given_is_a_reason_of_its_own() -> None:
    with pytest.raises(DensityRefused, match="none_given") as refused:
        make_density(None, CRYSTAL, DensitySettings())
    assert refusal_variables(refused.value) == {"density_reason": 1}


def test_reasons_keep_their_numbers() -> None:
    """They are in every dataset; a new one may only be appended."""
    assert [r.code for r in DENSITY_REASONS] == [
        "none_given",
        "unreadable",
        "truncated",
        "bad_format",
        "too_large",
        "not_finite",
        "bad_cell",
        "grid_mismatch",
        "wrong_composition",
        "wrong_volume",
        "impossible_electrons",
        "negative",
        "electrons_changed",
        "no_form_factor",
    ]
    assert CODES["accepted"] == 0


def test_independent_atoms_have_the_fourier_coefficients_of_the_form_factors() -> None:
    density = independent_atom_density(CRYSTAL)
    coefficients = np.fft.fftn(density) / density.size * VOLUME
    reciprocal = np.linalg.inv(LATTICE)
    for hkl in [(0, 0, 0), (1, 0, 0), (2, -3, 1), (0, 4, -5), (-7, 1, 2)]:
        s2 = float(np.sum((reciprocal @ hkl) ** 2)) / 4
        expected = 0j
        for name, u, xyz in zip(CRYSTAL.species, CRYSTAL.u_iso_A2, CRYSTAL.fractional, strict=True):
            table = gemmi.Element(name[:2].rstrip("0123456789")).it92
            factor = sum(a * np.exp(-b * s2) for a, b in zip(table.a, table.b, strict=True)) + table.c
            expected += factor * np.exp(-8 * np.pi**2 * u * s2) * np.exp(2j * np.pi * np.dot(hkl, xyz))
        # numpy's transform carries exp(-2 pi i h.x): it gives F(-h), the conjugate.
        np.testing.assert_allclose(coefficients[hkl], np.conj(expected), atol=1e-9)


def test_independent_atoms_stand_in_only_when_asked_for_by_name() -> None:
    density = make_density(None, CRYSTAL, DensitySettings(method="independent_atoms"))
    assert isinstance(density, Density)
    assert density.electrons_before == 20
    assert density.electrons_after == pytest.approx(20, rel=1e-3)
    peak = np.array(np.unravel_index(density.values.argmax(), density.values.shape)) / 50
    np.testing.assert_allclose(peak, [0.1, 0.2, 0.3], atol=0.011)
    with pytest.raises(ValidationError):
        DensitySettings(method="atoms")  # type: ignore[arg-type]
