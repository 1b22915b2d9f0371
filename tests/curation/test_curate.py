from __future__ import annotations

import json
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from catalogs.record import Defect, Record
from curation.atoms import cell_parameters
from curation.composition import atomic_fractions
from curation.crystal import Crystal
from curation.curate import curate_record
from curation.reasons import REASONS, WARNINGS
from curation.settings import CurationSettings
from curation.verdict import Verdict
from tests.curation.cells import QUARTZ, Cell, cif
from tests.curation.cifs import record, rock_salt

DEFAULTS = CurationSettings()


def block(cell: tuple[float, ...], sites: list[str], symmetry: str = "_space_group_name_H-M_alt 'P 1'\n") -> str:
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    return (
        "data_test\n"
        + "".join(f"_cell_{n} {v!r}\n" for n, v in zip(names, cell, strict=True))
        + symmetry
        + "loop_\n_atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"
        + "".join(f"{s}\n" for s in sites)
    )


def curate(cif: str, settings: CurationSettings = DEFAULTS) -> Verdict:
    return curate_record(record("test", cif), settings)


class TestAccepted:
    salt = curate(rock_salt())

    def test_rock_salt_has_its_labels(self):
        v = self.salt
        assert (v.status, v.reason, v.detail, v.warnings) == ("accepted", "", "", ())
        assert (v.formula, v.space_group, v.crystal_system, v.bravais_lattice) == ("NaCl", 225, 7, "cF")
        assert (v.n_atoms, v.n_atoms_conventional, v.n_atoms_read) == (2, 8, 8)
        assert v.volume == pytest.approx(5.64**3 / 4)
        assert v.volume_conventional == pytest.approx(5.64**3)
        assert v.niggli == pytest.approx((5.64 / 2**0.5,) * 3 + (60.0,) * 3)
        assert v.group == "ClNa_225"
        assert v.split in ("train", "validation", "test")

    def test_every_check_s_value_is_kept(self):
        v = self.salt
        assert v.symprec_A == (0.01, 0.01, 0.1, 0.1)
        assert v.angle_tolerance_deg == (0.1, 5.0, 0.1, 5.0)
        assert v.space_group_at == (225,) * 4
        assert v.n_primitive_at == (2,) * 4
        assert v.min_distance_A == pytest.approx(2.82)
        assert v.max_occupancy == 1.0
        assert v.niggli_determinant == pytest.approx(1.0)
        assert v.niggli_volume_ratio == pytest.approx(1.0)
        assert v.niggli_idempotence == pytest.approx(0.0, abs=1e-9)
        assert v.lattice_character == 1
        assert v.lattice_deviation == pytest.approx(0.0, abs=1e-9)

    def test_reflections_of_rock_salt_up_to_twenty_degrees_at_20_kev(self):
        """sin(theta) = lambda sqrt(h^2 + k^2 + l^2) / 2a: N = 3, 4, 8, with 11 (20.99 deg) beyond."""
        assert self.salt.n_reflections == 3

    def test_the_stored_crystal_is_the_labelled_cell(self):
        crystal = self.salt.crystal
        assert crystal.structure_hash() == self.salt.structure_hash
        assert crystal.volume_A3 == pytest.approx(self.salt.volume, rel=1e-6)
        assert crystal.lattice_A[0, 1] == crystal.lattice_A[0, 2] == crystal.lattice_A[1, 2] == 0
        assert (np.diag(crystal.lattice_A) > 0).all()
        fractions = atomic_fractions(dict(zip(crystal.species, crystal.occupancy.tolist(), strict=True)))
        assert fractions.shape == (118,)
        assert fractions[10] == fractions[16] == 0.5

    def test_a_row_survives_json(self):
        assert Verdict.from_row(json.loads(json.dumps(self.salt.to_row()))) == self.salt

    def test_provenance_is_carried(self):
        original = Record("mine", "a b/ü.cif", rock_salt(), "zip!ü", "ICSD", source_metadata={"code": "1"})
        v = curate_record(original, DEFAULTS)
        assert (v.source, v.source_id, v.origin, v.licence, v.source_metadata) == (
            "mine",
            "a b/ü.cif",
            "zip!ü",
            "ICSD",
            {"code": "1"},
        )

    def test_a_disordered_alloy_is_accepted(self):
        cif = rock_salt().replace("_atom_site_fract_z\n", "_atom_site_fract_z\n_atom_site_occupancy\n")
        cif = cif.replace("Na1 Na 0 0 0", "Na1 Na 0 0 0 0.6\nK1 K 0 0 0 0.4").replace("0.5 0.5 0.5", "0.5 0.5 0.5 1")
        v = curate(cif)
        assert v.accepted
        assert (v.space_group, v.n_atoms, v.formula) == (225, 2, "K2Na3Cl5")

    def test_quartz_of_either_hand_is_in_one_group(self):
        mirrored = curate(cif(Cell(QUARTZ.lattice, QUARTZ.symbols, -QUARTZ.fractional)))
        hands = (curate(cif(QUARTZ)), mirrored)
        assert {v.space_group for v in hands} == {152, 154}
        assert {v.group for v in hands} == {"O2Si_152"}
        assert len({v.split for v in hands}) == 1

    def test_formula_and_group_do_not_depend_on_the_cell_listed(self):
        """13 half-occupied atoms and 8 full ones are whole numbers only in a doubled cell."""
        chance = np.random.default_rng(3)
        places = np.array([[x, y, z] for x in range(3) for y in range(3) for z in range(3)])[:21] / 3
        places = places + chance.uniform(-0.03, 0.03, places.shape)
        atoms = [("Fe", 0.5)] * 13 + [("O", 1.0)] * 8

        def listed(copies):
            sites = [
                f"{name} {(x + i) / copies:.10f} {y:.10f} {z:.10f} {occupancy}"
                for i in range(copies)
                for (name, occupancy), (x, y, z) in zip(atoms, places, strict=True)
            ]
            text = block((9 * copies, 9.5, 10, 90, 95, 90), sites)
            return curate(text.replace("_atom_site_fract_z\n", "_atom_site_fract_z\n_atom_site_occupancy\n"))

        one, two = listed(1), listed(2)
        assert one.structure_hash == two.structure_hash
        assert (one.formula, one.group, one.split) == (two.formula, two.group, two.split)
        assert one.formula == "FeO1.231"

    def test_the_formula_is_that_of_the_conventional_cell(self):
        """Pentlandite: its metals are whole numbers only in four times the primitive cell."""
        sites = [
            ("0.5 0.5 0.5", ("Fe", 19 / 36), ("Ni", 17 / 36)),
            ("0.126 0.126 0.126", ("Fe", 19 / 36), ("Ni", 17 / 36)),
        ]
        sites += [("0.25 0.25 0.25", ("S", 1.0)), ("0.263 0 0", ("S", 1.0))]
        listed = "".join(f"{e}{i} {e} {xyz} {x:.8f}\n" for i, (xyz, *here) in enumerate(sites) for e, x in here)
        cif = rock_salt(10.07).replace("_atom_site_fract_z\n", "_atom_site_fract_z\n_atom_site_occupancy\n")
        v = curate(cif[: cif.index("Na1 Na")] + listed)
        stored = v.crystal
        rows = zip(stored.species, stored.fractional.tolist(), stored.occupancy.tolist(), strict=True)
        text = block(cell_parameters(stored.lattice_A), [f"{e} {x} {y} {z} {n}" for e, (x, y, z), n in rows])
        again = curate(text.replace("_atom_site_fract_z\n", "_atom_site_fract_z\n_atom_site_occupancy\n"))
        assert (v.n_atoms, again.n_atoms, again.n_atoms_read) == (17, 17, 17)
        assert (v.formula, again.formula) == ("Fe19Ni17S32",) * 2
        assert (v.group, again.group) == ("Fe19Ni17S32_225",) * 2

    def test_order_of_species_makes_a_difference_to_symmetry(self):
        """Half the anions replaced along the diagonal: spglib must tell the kinds apart."""
        sites = ["Cs 0 0 0", "Cl 0.5 0.5 0.5"]
        assert curate(block((4.1, 4.1, 4.1, 90, 90, 90), sites)).space_group == 221
        assert curate(block((4.1, 4.1, 4.1, 90, 90, 90), ["Cs 0 0 0", "Cs 0.5 0.5 0.5"])).space_group == 229


class TestHash:
    SITES = (
        "Ti 0 0 0",
        "Ti 0.5 0.5 0.5",
        "O 0.3053 0.3053 0",
        "O 0.6947 0.6947 0",
        "O 0.8053 0.1947 0.5",
        "O 0.1947 0.8053 0.5",
    )
    CELL = (4.594, 4.594, 2.959, 90.0, 90.0, 90.0)
    rutile = curate(block(CELL, list(SITES)))

    def test_it_does_not_know_name_order_or_number_format(self):
        for seed in range(5):
            sites = list(self.SITES)
            random.Random(seed).shuffle(sites)
            sites = [s.replace("0.5", "0.50000").replace("0.3053", ".3053(2)") for s in sites]
            cif = block(self.CELL, sites).replace("data_test", "data_other").replace("4.594", "4.594(1)")
            assert curate(cif).structure_hash == self.rutile.structure_hash

    def test_it_does_not_know_whether_symmetry_wrote_the_atoms(self):
        cif = block(self.CELL, ["Ti 0 0 0", "O 0.3053 0.3053 0"], "_space_group_name_H-M_alt 'P 42/m n m'\n")
        assert curate(cif).structure_hash == self.rutile.structure_hash

    def test_it_does_not_know_the_cell_in_which_it_was_written(self):
        a, _, c, *angles = self.CELL
        doubled = [s.split() for s in self.SITES]
        sites = [f"{e} {x} {y} {(float(z) + n) / 2!r}" for e, x, y, z in doubled for n in (0, 1)]
        v = curate(block((a, a, 2 * c, *angles), sites))
        assert v.n_atoms_read == 12
        assert v.structure_hash == self.rutile.structure_hash

    def test_it_knows_a_moved_atom(self):
        moved = [s.replace("0.3053", "0.3054").replace("0.6947", "0.6946") for s in self.SITES]
        assert curate(block(self.CELL, moved)).structure_hash != self.rutile.structure_hash

    def test_the_stored_json_gives_it_back(self):
        assert Crystal.from_json(self.rutile.structure).structure_hash() == self.rutile.structure_hash


class TestRefused:
    def test_a_defect_of_the_source_is_handed_on(self):
        v = curate_record(Record("s", "i", "", "o", "l", defect=Defect("binary_file", "starts with GIF")), DEFAULTS)
        assert (v.status, v.reason, v.detail) == ("refused", "binary_file", "starts with GIF")

    def test_a_space_group_that_depends_on_the_tolerance(self):
        v = curate(
            block(
                (4.0, 4.0, 4.0, 90, 90, 90),
                ["Ba 0 0 0", "Ti 0.5 0.5 0.51", "O 0.5 0.5 0", "O 0.5 0 0.5", "O 0 0.5 0.5"],
            )
        )
        assert v.reason == "symmetry_unstable"
        assert v.space_group_at == (99, 99, 221, 221)
        assert "99 at 0.01 A, 0.1 deg" in v.detail
        assert v.space_group is None

    def test_but_not_where_only_one_tolerance_is_asked(self):
        tight = CurationSettings(symprec_A=(0.01,), angle_tolerance_deg=(0.1,))
        sites = ["Ba 0 0 0", "Ti 0.5 0.5 0.51", "O 0.5 0.5 0", "O 0.5 0 0.5", "O 0 0.5 0.5"]
        assert curate(block((4.0, 4.0, 4.0, 90, 90, 90), sites), tight).space_group == 99

    def test_a_strained_cell(self):
        """0.009 A between a and b: one space group at every tolerance, but not the lengths of a cubic lattice."""
        v = curate(block((4.0, 4.009, 4.0, 90, 90, 90), ["Cs 0 0 0", "Cl 0.5 0.5 0.5"]))
        assert (v.reason, v.bravais_lattice) == ("lattice_mismatch", "cP")
        assert v.lattice_deviation == pytest.approx(0.009 / 4, rel=0.02)
        assert curate(
            block((4.0, 4.009, 4.0, 90, 90, 90), ["Cs 0 0 0", "Cl 0.5 0.5 0.5"]),
            CurationSettings(lattice_tolerance=3e-3),
        ).accepted

    def test_the_conventional_cell_counts(self):
        few = CurationSettings(max_atoms=7)
        assert curate(rock_salt(), few).reason == "too_many_atoms"
        assert curate(rock_salt(), CurationSettings(max_atoms=8)).accepted
        assert curate(rock_salt(), CurationSettings(max_volume_A3=179.4)).reason == "volume_too_large"
        assert curate(rock_salt(), CurationSettings(max_volume_A3=179.5)).accepted

    def test_what_no_symmetry_can_make_small_is_refused_before_the_search(self):
        rng = np.random.default_rng(1)
        grid = [(i, j, k) for i in range(8) for j in range(8) for k in range(8)]
        sites = [
            f"{'Fe' if n else 'O'} " + " ".join(f"{(v + 0.2 * rng.random()) / 8:.5f}" for v in g)
            for n, g in enumerate(grid)
        ]
        v = curate(block((24.0, 24.0, 24.0, 90, 90, 90), sites))
        assert v.reason == "too_many_atoms"
        assert v.space_group_at == ()

    def test_a_supercell_of_a_small_crystal_is_not(self):
        grid = [(i, j, k) for i in range(8) for j in range(8) for k in range(8)]
        v = curate(block((22.4, 22.4, 22.4, 90, 90, 90), [f"Po {i / 8} {j / 8} {k / 8}" for i, j, k in grid]))
        assert v.accepted
        assert (v.n_atoms_read, v.n_atoms, v.space_group) == (512, 1, 221)

    def test_nothing_to_see(self):
        v = curate(block((1.5, 1.5, 1.5, 90, 90, 90), ["H 0 0 0"]))
        assert (v.reason, v.n_reflections) == ("no_reflections", 0)

    def test_reasons_are_in_the_book(self):
        cifs = ["", "data_x", "data_x\n_cell_length_a 1", rock_salt(a=-1), rock_salt(a=1), rock_salt(cation="Zz")]
        for v in map(curate, cifs):
            assert v.reason in REASONS
            assert set(v.warnings) <= set(WARNINGS)
            assert v.detail


@hypothesis_settings(max_examples=80, deadline=None, derandomize=True)
@given(
    cuts=st.lists(st.tuples(st.integers(0, 600), st.integers(0, 30), st.text(max_size=6)), min_size=1, max_size=4),
)
def test_mangled_text_gets_a_verdict_and_never_an_error(cuts):
    text = rock_salt()
    for start, length, new in cuts:
        text = text[:start] + new + text[start + length :]
    assert curate(text).reason != "internal_error"


def test_a_flaw_of_our_own_costs_one_record_and_shows(monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("curation.curate.read_structure", broken)
    v = curate(rock_salt())
    assert v.reason == "internal_error"
    assert "ZeroDivisionError: oh" in v.detail
