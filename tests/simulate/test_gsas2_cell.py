"""What GSAS-II is handed has the atoms, the symmetry and the indices of the crystal it was made from."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
import spglib
from pymatgen.core import Lattice, Structure

from curation.crystal import Crystal
from datagen.simulate.gsas2.cell import cell_parameters, gsas2_hall_number, p1, quiet_spglib, symmetric
from tests.simulate.groups import crystal_in_group


def test_every_group_has_the_setting_that_gsas2_takes() -> None:
    for number in range(1, 231):
        with quiet_spglib():
            found = spglib.get_spacegroup_type(gsas2_hall_number(number))
        assert found is not None
        assert found.number == number
        reference = gemmi.find_spacegroup_by_number(number)
        setting = gemmi.find_spacegroup_by_ops(gemmi.GroupOps(_operations(number)))
        # gemmi calls it the reference setting: origin choice 2, hexagonal axes, unique axis b, cell choice 1.
        assert setting.hm == reference.hm
        assert setting.ext in ("\0", "2", "H"), number


def _operations(number: int) -> list[gemmi.Op]:
    with quiet_spglib():
        found = spglib.get_symmetry_from_database(gsas2_hall_number(number))
    assert found is not None
    operations = []
    for rotation, translation in zip(found["rotations"], found["translations"], strict=True):
        op = gemmi.Op()
        op.rot = (rotation * gemmi.Op.DEN).tolist()
        op.tran = np.rint(translation * gemmi.Op.DEN).astype(int).tolist()
        operations.append(op)
    return operations


@pytest.mark.parametrize("number", range(1, 231))
def test_the_asymmetric_unit_holds_all_atoms_and_reflections(number: int) -> None:
    crystal = crystal_in_group(number)
    whole, unit = p1(crystal), symmetric(crystal)
    assert unit.space_group == number
    ratio = unit.volume_A3 / whole.volume_A3
    assert ratio == pytest.approx(round(ratio), abs=1e-5)
    for species in set(crystal.species):
        atoms = [m for s, m in zip(unit.species, unit.multiplicity, strict=True) if s == species]
        assert sum(atoms) == round(ratio) * crystal.species.count(species)
    # A star's members have the length of the reflection they come from, in the crystal's own cell.
    metric = np.linalg.inv(crystal.lattice_A @ crystal.lattice_A.T)
    lattice = _lattice(unit.cell)
    hkl = np.array([[2.0, 4.0, 10.0]])
    star, pairs = unit.equivalents(hkl)
    own = star @ unit.to_crystal_hkl
    assert pairs.tolist() == [len(star)]
    expected = hkl[0] @ np.linalg.inv(lattice @ lattice.T) @ hkl[0]
    np.testing.assert_allclose(np.einsum("ni,ij,nj->n", own, metric, own), expected, rtol=1e-5)
    np.testing.assert_allclose(own, np.rint(own), atol=1e-6)


def _lattice(cell: tuple[float, ...]) -> np.ndarray:
    return np.array(Lattice.from_parameters(*cell).matrix)


def test_positions_never_lie_a_rounding_below_the_cell() -> None:
    for number in (38, 39, 46, 125):
        fractional = symmetric(crystal_in_group(number)).fractional
        assert (fractional >= 0).all()
        assert (fractional < 1).all()


def test_a_shared_site_stays_shared() -> None:
    salt = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(6.0), [{"Na": 0.6, "K": 0.3}, "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    unit = symmetric(Crystal.from_pymatgen(salt))
    assert sorted(zip(unit.species, unit.occupancy.tolist(), unit.multiplicity.tolist(), strict=True)) == [
        ("Cl", 1.0, 4),
        ("K", 0.3, 4),
        ("Na", 0.6, 4),
    ]


def test_cell_parameters_are_lengths_and_angles() -> None:
    lattice = Lattice.from_parameters(4.0, 5.0, 6.0, 80.0, 95.0, 110.0)
    assert cell_parameters(np.array(lattice.matrix)) == pytest.approx((4.0, 5.0, 6.0, 80.0, 95.0, 110.0))
