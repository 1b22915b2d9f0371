"""Cartesian coordinates of CIFs, and structures under the names of mmCIF."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from catalogs.record import Record
from curation.curate import curate_record
from curation.read import read_structure
from curation.reasons import Refused
from curation.settings import CurationSettings
from curation.verdict import Verdict
from tests.curation.cells import HALITE, TRICLINIC, Cell, cif, mmcif, numbers

SETTINGS = CurationSettings()


def curated(text: str) -> Verdict:
    return curate_record(Record("s", "x", text, "x", "CC0-1.0"), SETTINGS)


def refusal(text: str) -> str:
    with pytest.raises(Refused) as refused:
        read_structure(text, "cif", SETTINGS, {})
    return str(refused.value)


EXPECTED = curated(cif(TRICLINIC)).structure_hash
INVERSE = np.linalg.inv(TRICLINIC.lattice)


def cartesian(cell: Cell, tags: str, dotted: bool) -> str:
    """Write coordinates in the cell's own orientation, shifted by 1, 2, 3 A."""
    head, _, rows = mmcif(cell, cartesian=True).partition("loop_\n")
    header = "".join(f"{line}\n" for line in rows.split("\n") if line.startswith("_"))
    shifted = cell.cartesian + np.array([1.0, 2.0, 3.0])
    body = "".join(f"{i} {e} {e}{i} {numbers(x)}\n" for i, (e, x) in enumerate(zip(cell.symbols, shifted, strict=True)))
    text = f"{head}{tags}loop_\n{header}{body}"
    return text if dotted else re.sub(r"^(_\w+)\.", r"\1_", text, flags=re.MULTILINE)


def tags(pattern: str, vector: str, kind: str, matrix: Any, shift: Any) -> str:
    lines = [f"_atom_sites{pattern.format(kind, i + 1, j + 1)} {matrix[i][j]!r}" for i in range(3) for j in range(3)]
    lines += [f"_atom_sites{vector.format(kind, i + 1)} {shift[i]!r}" for i in range(3)]
    return "\n".join(lines).replace("np.float64(", "").replace(")", "") + "\n"


CORE = ("_{}_tran_matrix_{}{}", "_{}_tran_vector_{}")
MMCIF = (".{}_transf_matrix[{}][{}]", ".{}_transf_vector[{}]")
TO_FRACTIONAL = (INVERSE.T, -INVERSE.T @ np.array([1.0, 2.0, 3.0]))
TO_CARTESIAN = (TRICLINIC.lattice.T, np.array([1.0, 2.0, 3.0]))


@pytest.mark.parametrize(("dotted", "names"), [(False, CORE), (True, MMCIF)])
@pytest.mark.parametrize(("kind", "affine"), [("fract", TO_FRACTIONAL), ("Cartn", TO_CARTESIAN)])
def test_a_stated_matrix_is_used(dotted: bool, names: tuple[str, str], kind: str, affine: Any) -> None:
    text = cartesian(TRICLINIC, tags(*names, kind, *affine), dotted)
    verdict = curated(text)
    assert (verdict.reason, verdict.structure_hash) == ("", EXPECTED)
    wrong = cartesian(TRICLINIC, tags(*names, kind, affine[0] * 1.1, affine[1]), dotted)
    assert refusal(wrong).startswith("bad_cell: the matrix of Cartesian coordinates belongs to another cell")
    lacking = cartesian(TRICLINIC, tags(*names, kind, *affine).split("\n", 1)[1], dotted)
    assert refusal(lacking).startswith("bad_cell: the matrix")


def test_without_a_matrix_only_mmcif_defines_the_axes() -> None:
    assert curated(mmcif(TRICLINIC, cartesian=True)).structure_hash == EXPECTED
    assert refusal(cartesian(TRICLINIC, "", dotted=False)).startswith("cartesian_only")


def test_a_matrix_of_zeros_is_refused() -> None:
    text = cartesian(TRICLINIC, tags(*MMCIF, "Cartn", np.zeros((3, 3)), np.zeros(3)), dotted=True)
    assert "has no inverse" in refusal(text)


@pytest.mark.parametrize("tag", ["_atom_site.group_PDB", "_entity.id", "_struct_asym.id", "_entity_poly.entity_id"])
def test_macromolecules_are_refused(tag: str) -> None:
    assert refusal(mmcif(HALITE, cartesian=True) + f"{tag} 1\n").startswith("mmcif")


def test_symmetry_charges_and_labels_under_the_names_of_mmcif() -> None:
    text = """data_salt
_cell.length_a 5.64
_cell.length_b 5.64
_cell.length_c 5.64
_cell.angle_alpha 90
_cell.angle_beta 90
_cell.angle_gamma 90
_symmetry.space_group_name_H-M 'F m -3 m'
_symmetry.Int_Tables_number 225
_chemical_formula.sum 'Na Cl'
loop_
_atom_site.label_atom_id
_atom_site.type_symbol
_atom_site.pdbx_formal_charge
_atom_site.Cartn_x
_atom_site.Cartn_y
_atom_site.Cartn_z
_atom_site.occupancy
NA1 Na 1 0.000 0.000 0.000 1.0
CL1 Cl -1 2.820 2.820 2.820 1.0
"""
    verdict = curated(text)
    assert verdict.crystal is not None, verdict.detail
    assert (verdict.formula, verdict.space_group) == ("NaCl", 225)
    assert set(verdict.crystal.species) == {"Na+", "Cl-"}
    assert curated(text.replace("Cl -1", "Cl ?")).crystal.species == ("Cl", "Na+")  # type: ignore[union-attr]
    assert curated(text.replace("2.820 2.820 2.820", "2.820 x 2.820")).reason == "bad_coordinates"
