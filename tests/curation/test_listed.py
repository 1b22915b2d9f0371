"""Structures that list every atom: POSCAR, extended XYZ, and JSON of pymatgen, OPTIMADE and ASE."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from catalogs.record import Format, Record
from curation.curate import curate_record
from curation.read import read_structure
from curation.reasons import Refused
from curation.settings import CurationSettings
from curation.verdict import Verdict
from tests.curation.cells import HALITE, QUARTZ, WRITERS, Cell, ase, cif, extxyz, optimade, poscar, pymatgen

SETTINGS = CurationSettings()


def curated(text: str, kind: Format) -> Verdict:
    return curate_record(Record("s", "x", text, "x", "CC0-1.0", format=kind), SETTINGS)


def refusal(text: str, kind: Format) -> str:
    with pytest.raises(Refused) as refused:
        read_structure(text, kind, SETTINGS, {})
    return str(refused.value)


def rotation(seed: int) -> NDArray[np.float64]:
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return np.asarray(q * math.copysign(1.0, float(np.linalg.det(q))))


@pytest.mark.parametrize("name", WRITERS)
def test_halite_in_every_format(name: str) -> None:
    kind, write = WRITERS[name]
    verdict = curated(write(HALITE), kind)
    assert (verdict.accepted, verdict.space_group, verdict.formula) == (True, 225, "NaCl")
    assert verdict.n_atoms == 2
    assert verdict.structure_hash == curated(cif(HALITE), "cif").structure_hash


@settings(max_examples=12, deadline=None)
@given(
    lengths=st.tuples(*[st.floats(4.0, 7.0)] * 3),
    angles=st.tuples(*[st.floats(75.0, 105.0)] * 3),
    sites=st.lists(st.tuples(*[st.integers(0, 5)] * 3), min_size=1, max_size=4, unique=True),
    symbols=st.lists(st.sampled_from(["Si", "Fe", "Cs"]), min_size=4, max_size=4),
    turn=st.integers(0, 1000),
)
def test_a_crystal_has_one_hash_whatever_its_format(
    lengths: tuple[float, ...], angles: tuple[float, ...], sites: list[tuple[int, ...]], symbols: list[str], turn: int
) -> None:
    from curation.atoms import cell_matrix

    lattice = cell_matrix(*lengths, *angles) @ rotation(turn)
    chosen = sorted(symbols[: len(sites)])
    cell = Cell(lattice, chosen, np.array(sites) / 6 + 0.013)
    found = {name: curated(write(cell), kind) for name, (kind, write) in WRITERS.items()}
    assert len({(v.reason, v.structure_hash) for v in found.values()}) == 1, {k: v.reason for k, v in found.items()}


def test_a_left_handed_cell_keeps_its_hand() -> None:
    """Quartz of one hand, with a left-handed set of vectors, is not its mirror image."""
    right, cell = QUARTZ.lattice, QUARTZ
    swapped = Cell(right[[1, 0, 2]], cell.symbols, cell.fractional[:, [1, 0, 2]])
    mirrored = Cell(right * [1, 1, -1], cell.symbols, cell.fractional)
    assert np.linalg.det(swapped.lattice) < 0
    assert curated(poscar(cell), "poscar").space_group == curated(poscar(swapped), "poscar").space_group
    assert {curated(poscar(c), "poscar").space_group for c in (cell, mirrored)} == {152, 154}


def test_forms_of_poscar() -> None:
    text = poscar(HALITE)
    whole = curated(text, "poscar").structure_hash
    negative = text.replace("\n1.0\n", f"\n{-(5.64**3)!r}\n", 1)
    three = text.replace("\n1.0\n", "\n1.0 1.0 1.0\n", 1)
    potentials = text.replace("Na Cl", "Na_pv Cl/af6e1", 1)
    version_4 = text.replace("made by a test", "Na Cl", 1).replace("Na Cl\n4 4", "4 4", 1)
    windows = text.replace("\n", "\r\n")
    velocities = text + "\n" + "0.0 0.0 0.0\n" * 8
    for other in (negative, three, potentials, version_4, windows, velocities):
        assert curated(other, "poscar").structure_hash == whole
    frozen = text.replace("Direct", "Selective dynamics\nDirect", 1)
    verdict = curated(frozen, "poscar")
    assert (verdict.structure_hash, verdict.warnings) == (whole, ("constraints_ignored",))


def poscar_4(first: str, after: Sequence[str], *, frozen: bool) -> str:
    """Halite without its line of symbols, with words after the coordinates of both elements."""
    lines = poscar(HALITE).replace("made by a test", first, 1).replace("Na Cl\n4 4", "4 4", 1).rstrip().split("\n")
    rows = [f"{row} {after[i // 4]}" for i, row in enumerate(lines[-8:])]
    return "\n".join([*lines[:-9], *(["Selective dynamics"] if frozen else []), lines[-9], *rows]) + "\n"


@pytest.mark.parametrize(
    ("first", "after", "frozen"),
    [
        ("Na Cl", ("F F F", "F F F"), True),
        ("Na Cl", (".FALSE. .TRUE. T", "t f f"), True),
        ("Na Cl", ("F F F", "F F F"), False),
        ("a title", ("F F F Na", "T T F Cl"), True),
        ("a title", ("Na", "Cl"), False),
        ("Na Cl", ("T T T Na", "T T T Cl"), True),
        ("a title", ("Na ! 1", "Cl ! 2"), False),
    ],
)
def test_flags_of_frozen_atoms_are_no_fluorine(first: str, after: Sequence[str], frozen: bool) -> None:
    verdict = curated(poscar_4(first, after, frozen=frozen), "poscar")
    assert (verdict.formula, verdict.space_group) == ("NaCl", 225)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (poscar_4("a title", ("F F F", "F F F"), frozen=True), "unknown_element: a POSCAR of VASP 4"),
        (poscar_4("a title", ("F F F", "F F F"), frozen=False), "unknown_element: a POSCAR of VASP 4"),
        (poscar_4("a title", ("Na F F", "Cl F F"), frozen=True), "unknown_element: a POSCAR of VASP 4"),
        (poscar_4("Na Cl", ("F", "F"), frozen=False), "bad_format: line 1 names Na where the lines of coordinates"),
        (poscar_4("Na Cl", ("T T T Cl", "T T T Na"), frozen=True), "bad_format: line 1 names Na where"),
        (poscar_4("a title", ("Na", "Cl"), frozen=False).replace(" Na\n", " K\n", 1), "bad_format: atoms 1 to 4"),
        (poscar(HALITE).replace("0.0 0.0 0.0\n", "0.0 0.0 0.0 K\n", 1), "bad_format: line 6 names Na where"),
        (poscar(HALITE).replace("Na Cl", "Na", 1), "bad_format: 1 elements are named, 2 numbers of atoms follow"),
    ],
)
def test_a_poscar_that_names_two_elements_for_one_atom_is_refused(text: str, expected: str) -> None:
    assert refusal(text, "poscar").startswith(expected)


def test_shared_sites_vacancies_and_charges() -> None:
    species = [
        {"name": "M", "chemical_symbols": ["Na", "K", "vacancy"], "concentration": [0.5, 0.25, 0.25]},
        {"name": "Cl", "chemical_symbols": ["Cl"], "concentration": [1.0]},
    ]
    mixed = Cell(HALITE.lattice, ["M"] * 4 + ["Cl"] * 4, HALITE.fractional)
    verdict = curated(optimade(mixed, species=species, dimension_types=[1, 1, 1]), "json")
    assert (verdict.space_group, verdict.formula) == (225, "KNa2Cl4")
    charged = json.loads(pymatgen(HALITE))
    for site, charge in zip(charged["sites"], [1] * 4 + [-1] * 4, strict=True):
        site["species"][0]["oxidation_state"] = charge
        site["properties"] = {"magmom": 0.1}
    verdict = curated(json.dumps(charged), "json")
    assert verdict.crystal is not None
    assert set(verdict.crystal.species) == {"Na+", "Cl-"}
    assert verdict.warnings == ("magnetic",)
    charged["sites"][0]["species"][0]["oxidation_state"] = 0.5
    row: dict[str, Any] = {}
    read_structure(json.dumps(charged), "json", SETTINGS, row)
    assert row["warnings"] == ("charges_ignored", "magnetic")


def warnings_of(text: str, kind: Format) -> tuple[str, ...]:
    row: dict[str, Any] = {}
    read_structure(text, kind, SETTINGS, row)
    found: tuple[str, ...] = row["warnings"]
    return found


def framed(header: str, columns: str, cells: str) -> str:
    """Return halite with more in its header, and more columns."""
    first, second, *rows = extxyz(HALITE).rstrip().split("\n")
    second = second.replace("pos:R:3", f"pos:R:3:{columns}") + f" {header}"
    return "\n".join([first, second, *(f"{row} {cells}" for row in rows)]) + "\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (framed("", "magmoms:R:1", "0.0"), ()),
        (framed("", "magmoms:R:1", "-1.5e-1"), ("magnetic",)),
        (framed("", "initial_magmoms:R:3", "0 0 2"), ("magnetic",)),
        (framed("", "initial_charges:R:1", "1"), ("charges_ignored",)),
        (framed("", "move_mask:L:1", "F"), ("constraints_ignored",)),
        (framed("", "forces:R:3", "1 2 3"), ()),
    ],
)
def test_columns_of_a_frame_that_have_no_effect_are_remarked(text: str, expected: tuple[str, ...]) -> None:
    assert warnings_of(text, "extxyz") == expected


def test_shared_sites_of_a_frame_as_ase_writes_them() -> None:
    shares = json.dumps({"0": {"Na": 0.5, "K": 0.25}, "1": {"Cl": 1.0}}).replace('"', '\\"')
    rows = framed(f'occupancy="_JSON {shares}"', "spacegroup_kinds:I:1", "0").split("\n")
    rows = [row[:-1] + "1" if row.startswith("Cl") else row for row in rows]
    verdict = curated("\n".join(rows), "extxyz")
    assert (verdict.formula, verdict.space_group) == ("KNa2Cl4", 225)
    full = json.dumps({"0": {"Na": 1.0}}).replace('"', '\\"')
    assert curated(framed(f'occupancy="_JSON {full}"', "forces:R:3", "0 0 0"), "extxyz").formula == "NaCl"
    for text, words in (
        (framed(f'occupancy="_JSON {shares}"', "forces:R:3", "0 0 0"), "no column spacegroup_kinds"),
        (framed(f'occupancy="_JSON {shares}"', "spacegroup_kinds:I:1", "2"), "does not state the kind '2'"),
        (framed('occupancy="_JSON {"', "spacegroup_kinds:I:1", "2"), "no object of objects"),
        (framed('occupancy="_JSON [1]"', "spacegroup_kinds:I:1", "2"), "no object of objects"),
    ):
        assert words in refusal(text, "extxyz")


def test_what_pymatgen_states_beside_the_atoms_is_remarked() -> None:
    def changed(site: dict[str, Any] | None = None, species: dict[str, Any] | None = None, **more: Any) -> str:
        content = json.loads(pymatgen(HALITE)) | more
        content["sites"][0]["properties"] = site or {}
        content["sites"][0]["species"][0] |= species or {}
        return json.dumps(content)

    for text, expected in (
        (changed({"magmom": 0.0}), ()),
        (changed({"magmom": [0, 0, 1]}), ("magnetic",)),
        (changed({"magmom": {"@class": "Magmom", "moment": 2.0}}), ("magnetic",)),
        (changed(species={"spin": 5}), ("magnetic",)),
        (changed(species={"properties": {"spin": 5}}), ("magnetic",)),
        (changed({"charge": 0.7}), ("charges_ignored",)),
        (changed(charge=1), ("charges_ignored",)),
        (changed({"selective_dynamics": [True, True, True]}), ()),
        (changed({"selective_dynamics": [True, False, True]}), ("constraints_ignored",)),
    ):
        assert warnings_of(text, "json") == expected, text[-200:]


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("poscar", "one\ntwo\n", "bad_format: a POSCAR has at least 8 lines"),
        ("poscar", poscar(HALITE).replace("5.64 0.0", "x 0.0", 1), "bad_format: line 3: expected 3 numbers"),
        ("poscar", poscar(HALITE).replace("Na Cl", "Na Qq", 1), "unknown_element: line 6"),
        ("poscar", poscar(HALITE).replace("4 4", "4 40", 1), "bad_format: 44 atoms are announced, 8 lines follow"),
        ("poscar", poscar(HALITE).replace("4 4", "4 999999999", 1), "bad_format: 1000000003 atoms are announced"),
        ("poscar", poscar(HALITE).replace("4 4", "4", 1), "bad_format: 2 elements are named, 1 numbers"),
        ("poscar", poscar(HALITE).replace("Direct", "Whatever", 1), "bad_format: line 8: expected Direct or Cartesian"),
        ("poscar", poscar(HALITE).replace("0.0 5.64 0.0", "0.0 0.0 0.0", 1), "bad_cell"),
        ("poscar", poscar(HALITE).replace("0.0 5.64 0.0", "5.64 0.0 0.0", 1), "bad_cell"),
        ("poscar", poscar(HALITE).replace("\n0.5 0.5 0.5\n", "\n0.5 nan 0.5\n", 1), "bad_coordinates"),
        ("extxyz", extxyz(HALITE).replace("Lattice", "Cell", 1), "no_cell"),
        ("extxyz", extxyz(HALITE).replace("T T T", "T T F", 1), "not_periodic"),
        ("extxyz", extxyz(HALITE).replace("pos:R:3", "pos:R:3:forces:R:3", 1), "bad_format: atom 1"),
        ("extxyz", extxyz(HALITE).replace("Na", "7777"), "unknown_element"),
        ("extxyz", extxyz(HALITE).replace("Na", "²"), "unknown_element"),
        ("extxyz", extxyz(HALITE).replace("8", "²", 1), "bad_format"),
        ("extxyz", extxyz(HALITE).replace("8", "8" * 5000, 1), "bad_format"),
        ("extxyz", extxyz(HALITE).replace("pos:R:3", "pos:R:" + "3" * 5000, 1), "bad_format"),
        ("extxyz", extxyz(HALITE).replace("0.0 0.0 0.0\n", "1e999 0 0\n", 1), "bad_coordinates"),
        ("poscar", poscar(HALITE).replace("5.64 0.0", "1e300 0.0", 1), "bad_cell"),
        ("json", optimade(HALITE).replace("5.64", "1e308", 1), "bad_cell"),
        ("json", optimade(HALITE).replace("2.82", "NaN", 1), "bad_coordinates"),
        ("json", optimade(HALITE).replace("2.82", "9" * 5000, 1), "bad_format"),
        ("json", ase(HALITE, numbers=[11.5] * 8), "bad_format"),
        ("json", ase(HALITE, numbers={"__ndarray__": [[8], "int64"]}), "bad_format"),
        ("json", ase(HALITE, positions={"__ndarray__": [[10**9, 10**9], "float64", [0]]}), "bad_format"),
        ("json", "{", "bad_format"),
        ("json", "[]", "bad_format: expected a JSON object"),
        ("json", '{"sites": [], "lattice": {"matrix": [[1,0,0],[0,1,0],[0,0,1]]}}', "no_atoms"),
        ("json", '{"sites": [{}], "lattice": {"matrix": [[9,0,0],[0,9,0],[0,0,9]]}}', "bad_format: a structure"),
        ("json", optimade(HALITE, species_at_sites=["Vo"] * 8), "unknown_element: expected the symbol"),
        ("json", pymatgen(HALITE).replace('"Na"', '"Vo"'), "unknown_element: expected the symbol"),
        ("extxyz", extxyz(HALITE).replace("Na", "CO3"), "unknown_element: expected the symbol"),
        ("json", optimade(HALITE, dimension_types=[1, 1, 0]), "not_periodic"),
        ("json", optimade(HALITE, species_at_sites=["Na"]), "bad_format: 1 species_at_sites for 8"),
        ("json", ase(HALITE, pbc=[True, True, False]), "not_periodic"),
        ("json", "[" * 100_000, "bad_format: RecursionError"),
    ],
)  # fmt: skip
def test_what_is_no_structure_is_refused_with_its_place(kind: Format, text: str, expected: str) -> None:
    assert refusal(text, kind).startswith(expected)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(WRITERS)), st.integers(0, 2**32 - 1))
def test_damaged_texts_are_refused_or_read_but_never_raise(name: str, seed: int) -> None:
    kind, write = WRITERS[name]
    chance = np.random.default_rng(seed)
    text = write(HALITE)
    for _ in range(int(chance.integers(1, 4))):
        at, length = int(chance.integers(len(text))), int(chance.integers(0, 20))
        text = text[:at] + "".join(map(chr, chance.integers(32, 127, int(chance.integers(0, 4))))) + text[at + length :]
    verdict = curated(text, kind)
    assert verdict.reason != "internal_error", verdict.detail
