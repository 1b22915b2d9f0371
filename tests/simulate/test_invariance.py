"""A powder pattern knows nothing of how its crystal is written down: cell, origin, setting, order of atoms."""

from __future__ import annotations

import zipfile
from pathlib import Path

import gemmi
import numpy as np
import pytest
import spglib
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from curation.crystal import Crystal
from datagen.simulate.instrument import Instrument
from datagen.simulate.native import simulate
from tests.simulate.crystals import one_augmentation, rutile, triclinic, zincblende

PAPER = Instrument.preset("alphadiffract")
CLOSE = 2e-5
"""Of the maximum. Crystals are stored rounded, 1e-6 A and 1e-7 of an edge: it is what that leaves."""

Cell = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intc]]


def _pattern(crystal: Crystal) -> NDArray[np.float64]:
    return simulate(crystal, PAPER, one_augmentation()).intensity[0].astype(np.float64)


def _difference(a: Crystal, b: Crystal) -> float:
    """The same absolute intensities are asked for, not only the same shape."""
    first, second = _pattern(a), _pattern(b)
    return float(np.abs(first - second).max() / first.max())


def _transformed(crystal: Crystal, matrix: NDArray[np.int64]) -> Crystal:
    """The cell with axes matrix @ (a, b, c), with all atoms it then holds."""
    lattice = matrix @ crystal.lattice_A
    corners = np.array(list(np.ndindex(2, 2, 2))) @ matrix
    shifts = np.array(list(np.ndindex(*(np.ptp(corners, axis=0) + 1)))) + corners.min(axis=0)
    species, occupancy, u_iso, kept = [], [], [], []
    for i in range(len(crystal.species)):
        xyz = (crystal.fractional[i] + shifts) @ np.linalg.inv(matrix)
        inside = np.unique(np.round(np.mod(xyz, 1.0), 9) % 1.0, axis=0)
        kept.append(inside)
        species += [crystal.species[i]] * len(inside)
        occupancy += [crystal.occupancy[i]] * len(inside)
        u_iso += [crystal.u_iso_A2[i]] * len(inside)
    n = round(abs(np.linalg.det(matrix)))
    assert len(species) == n * len(crystal.species)
    return Crystal.canonical(lattice, species, np.array(occupancy), np.concatenate(kept), np.array(u_iso))


@pytest.mark.parametrize("make", [zincblende, rutile, triclinic])
@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_origin_and_order_of_atoms_do_not_matter(make, seed: int) -> None:  # type: ignore[no-untyped-def]
    crystal: Crystal = make()
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(crystal.species))
    moved = Crystal.canonical(
        crystal.lattice_A,
        [crystal.species[i] for i in order],
        crystal.occupancy[order],
        crystal.fractional[order] + rng.random(3),
        crystal.u_iso_A2[order],
    )
    assert _difference(crystal, moved) < CLOSE


@pytest.mark.parametrize("make", [zincblende, rutile, lambda: triclinic(6, edge_A=5.0)])
@given(entries=st.lists(st.integers(-2, 2), min_size=9, max_size=9))
@settings(max_examples=25, deadline=None)
def test_any_other_cell_or_supercell_gives_the_same_pattern(make, entries: list[int]) -> None:  # type: ignore[no-untyped-def]
    matrix = np.array(entries).reshape(3, 3)
    if not 1 <= round(abs(np.linalg.det(matrix))) <= 4:
        return
    crystal: Crystal = make()
    assert _difference(crystal, _transformed(crystal, matrix)) < CLOSE


def test_a_turned_crystal_gives_the_same_pattern() -> None:
    crystal = triclinic()
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    turned = Crystal.canonical(
        crystal.lattice_A @ turn, crystal.species, crystal.occupancy, crystal.fractional, crystal.u_iso_A2
    )
    assert _difference(crystal, turned) < CLOSE


def test_atoms_split_into_parts_of_the_same_place_are_the_same_atoms() -> None:
    crystal = zincblende()
    split = Crystal.canonical(
        crystal.lattice_A,
        [*crystal.species, *crystal.species],
        np.array([0.3, 0.6, 0.7, 0.4]),
        np.concatenate([crystal.fractional, crystal.fractional]),
    )
    assert _difference(crystal, split) < CLOSE


quiet_spglib = pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")
"""spglib, about its own coming API."""


@quiet_spglib
def test_every_setting_of_every_space_group_gives_the_same_pattern() -> None:
    """230 groups, 530 settings: rhombohedral and hexagonal axes, both origins, every unique axis and cell choice."""
    halls = _hall_numbers()
    differences = {number: _over_settings(_made_up(halls[number][0]), halls[number]) for number in halls}
    assert len(differences) == 230
    assert sum(map(len, differences.values())) == 530
    assert {number: max(found) for number, found in differences.items() if max(found) > CLOSE} == {}


@quiet_spglib
def test_every_setting_of_real_crystals_gives_the_same_pattern(shared_data: Path) -> None:
    halls = _hall_numbers()
    differences = {
        number: _over_settings(cell, halls[number]) for number, cell in _one_cell_per_group(shared_data).items()
    }
    assert len(differences) > 220
    # spglib moves atoms onto their special positions, in each setting a little differently: up to 8e-5.
    assert {number: max(found) for number, found in differences.items() if max(found) > 2e-4} == {}


def _over_settings(cell: Cell, halls: list[int]) -> list[float]:
    """Difference of each setting's pattern from that of the primitive cell."""
    primitive = _crystal(spglib.standardize_cell(cell, to_primitive=True, no_idealize=False, symprec=1e-3))
    found = [spglib.get_symmetry_dataset(cell, symprec=1e-3, hall_number=hall) for hall in halls]
    assert {dataset.hall_number for dataset in found} == set(halls)
    return [_difference(primitive, _crystal((d.std_lattice, d.std_positions, d.std_types))) for d in found]


def _made_up(hall: int) -> Cell:
    """Two kinds of atoms in general positions of the group."""
    number = spglib.get_spacegroup_type(hall).number
    a, b, c, beta, gamma = 7.0, 8.1, 9.3, 90.0, 90.0
    if number <= 15:
        beta = 103.0
    elif number >= 75:
        b = a
        if number >= 195:
            c = a
        elif number >= 143:
            gamma = 120.0
    lattice = np.array(gemmi.UnitCell(a, b, c, 82.0 if number <= 2 else 90.0, beta, gamma).orth.mat.tolist()).T
    operations = spglib.get_symmetry_from_database(hall)
    rng = np.random.default_rng(number)
    orbits = [operations["rotations"] @ xyz + operations["translations"] for xyz in rng.random((2, 3))]
    numbers = np.repeat([26, 8], len(orbits[0]))
    return lattice, np.concatenate(orbits) % 1.0, numbers.astype(np.intc)


def _hall_numbers() -> dict[int, list[int]]:
    """The settings of each group."""
    settings_of: dict[int, list[int]] = {}
    for hall in range(1, 531):
        settings_of.setdefault(spglib.get_spacegroup_type(hall).number, []).append(hall)
    return settings_of


def _one_cell_per_group(shared_data: Path) -> dict[int, Cell]:
    """The smallest cell of each group in the archive, as spglib sees it."""
    cells: dict[int, Cell] = {}
    with zipfile.ZipFile(shared_data / "structures" / "all_space_groups.zip") as archive:
        for name in sorted(n for n in archive.namelist() if n.endswith(".cif")):
            block = gemmi.cif.read_string(archive.read(name).decode()).sole_block()
            small = gemmi.make_small_structure_from_block(block)
            sites = small.get_all_unit_cell_sites()
            lattice = np.array(small.cell.orth.mat.tolist()).T
            xyz = np.array([site.fract.tolist() for site in sites])
            cell = lattice, xyz, np.array([site.element.atomic_number for site in sites], dtype=np.intc)
            found = spglib.get_symmetry_dataset(cell, symprec=1e-3)
            if found.number not in cells or len(sites) < len(cells[found.number][2]):
                cells[found.number] = cell
    return cells


def _crystal(cell: Cell) -> Crystal:
    lattice, xyz, numbers = cell
    return Crystal.canonical(lattice, [gemmi.Element(int(z)).name for z in numbers], np.ones(len(numbers)), xyz)
