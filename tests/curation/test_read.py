from __future__ import annotations

import numpy as np
import pytest

from curation.composition import element_amounts
from curation.read import read_structure
from curation.reasons import Refused
from curation.settings import CurationSettings

DEFAULTS = CurationSettings()
CELL = "".join(f"_cell_length_{k} {v}\n" for k, v in zip("abc", (6, 7, 8), strict=True))
CELL += "".join(f"_cell_angle_{k} 90\n" for k in ("alpha", "beta", "gamma"))
CUBIC = CELL.replace(" 7", " 6").replace(" 8", " 6")
HEXAGONAL = CUBIC.replace("gamma 90", "gamma 120")
P1 = "loop_\n_symmetry_equiv_pos_as_xyz\nx,y,z\n"
SITES = "loop_\n_atom_site_label\n_atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"
PARTLY = SITES + "_atom_site_occupancy\n"


def read(*parts: str, settings: CurationSettings = DEFAULTS):
    row: dict = {}
    reading = read_structure("data_test\n" + "".join(parts), "cif", settings, row)
    # Most crystals here are made up, and implausible; TestPlausible looks at that.
    row["warnings"] = tuple(w for w in row["warnings"] if w not in ("contact_too_short", "volume_implausible"))
    return reading.atoms, row


def refusal(*parts: str, settings: CurationSettings = DEFAULTS) -> Refused:
    with pytest.raises(Refused) as caught:
        read(*parts, settings=settings)
    return caught.value


def amounts(atoms):
    return element_amounts(atoms.amounts())


def operators(*triplets: str) -> str:
    return "loop_\n_space_group_symop_operation_xyz\n" + "".join(f"'{t}'\n" for t in triplets)


class TestCell:
    def test_uncertainties_are_put_aside(self):
        atoms, _ = read(CELL.replace("_a 6", "_a 6.0123(4)"), P1, SITES, "Fe1 Fe 0.1234(5) 0 0\n")
        assert atoms.lattice_A[0, 0] == 6.0123
        assert atoms.fractional[0, 0] == 0.1234

    def test_angles_left_out_are_ninety_degrees(self):
        atoms, _ = read(CELL.split("_cell_angle_alpha")[0], P1, SITES, "Fe1 Fe 0 0 0\n")
        assert atoms.volume_A3 == pytest.approx(6 * 7 * 8)

    @pytest.mark.parametrize("text", ["?", "."])
    def test_an_unknown_length_is_no_cell(self, text):
        assert refusal(CELL.replace("_a 6", f"_a {text}"), P1, SITES, "Fe1 Fe 0 0 0\n").code == "no_cell"

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("_a 6", "_a -6"),
            ("_a 6", "_a nan"),
            ("_a 6", "_a inf"),
            ("_a 6", "_a 0"),
            ("_a 6", "_a 1e300"),
            ("_a 6", "_a six"),
            ("alpha 90", "alpha 180"),
            ("alpha 90", "alpha 10\n_ignored 1"),
        ],
    )
    def test_an_impossible_cell_is_refused(self, old, new):
        cell = CELL.replace(old, new)
        if "ignored" in new:
            cell = cell.replace("beta 90", "beta 60").replace("gamma 90", "gamma 120")
        assert refusal(cell, P1, SITES, "Fe1 Fe 0 0 0\n").code == "bad_cell"

    def test_a_contradicting_volume_is_remarked(self):
        _, row = read(CELL, "_cell_volume 400\n", P1, SITES, "Fe1 Fe 0 0 0\n")
        assert row["warnings"] == ("volume_contradiction",)


class TestSymmetry:
    CONTRADICTED = (CELL, "_space_group_IT_number 47\n", operators("x,y,z", "-x,-y,-z"))
    ONE_SITE = SITES + "Fe1 Fe 0.1 0.2 0.3\n"

    def test_operators_win_over_a_name_where_they_make_the_formula_z_times(self):
        stated = "_chemical_formula_sum Fe\n_cell_formula_units_Z 2\n"
        atoms, row = read(*self.CONTRADICTED, stated, self.ONE_SITE)
        assert atoms.n_sites == 2
        assert row["warnings"] == ("symmetry_contradiction",)
        assert row["stated_space_group"] == 47

    def test_a_name_wins_over_operators_where_it_makes_the_formula_z_times(self):
        stated = "_chemical_formula_sum Fe\n_cell_formula_units_Z 8\n"
        atoms, row = read(*self.CONTRADICTED, stated, self.ONE_SITE)
        assert atoms.n_sites == 8
        assert row["warnings"] == ("operators_replaced",)

    @pytest.mark.parametrize(
        "stated", ["", "_chemical_formula_sum Fe\n", "_chemical_formula_sum Fe\n_cell_formula_units_Z 3\n"]
    )
    def test_a_contradiction_that_nothing_settles_is_refused(self, stated):
        refused = refusal(*self.CONTRADICTED, stated, self.ONE_SITE)
        assert refused.code == "symmetry_contradicted"
        assert "2 by the list, 8 by the name" in refused.detail

    def test_a_name_that_changes_nothing_about_the_atoms_is_remarked(self):
        atoms, row = read(*self.CONTRADICTED, SITES, "Fe1 Fe 0 0 0\n")
        assert atoms.n_sites == 1
        assert row["warnings"] == ("symmetry_contradiction",)

    @pytest.mark.parametrize("z", ["", "_cell_formula_units_Z 4\n"])
    def test_halite_without_its_operators_is_halite_or_refused(self, z):
        """With the whole list of 192 operators lost but the identity, halite is a primitive cubic cell of 2 atoms."""
        cell = CUBIC.replace(" 6", " 5.64")
        stated = "_space_group_name_H-M_alt 'F m -3 m'\n_space_group_IT_number 225\n_chemical_formula_sum 'Cl Na'\n"
        parts = (cell, stated, z, P1, SITES, "Na1 Na 0 0 0\nCl1 Cl 0.5 0.5 0.5\n")
        if z:
            atoms, row = read(*parts)
            assert amounts(atoms) == {"Na": 4, "Cl": 4}
            assert row["warnings"] == ("operators_replaced",)
        else:
            assert refusal(*parts).code == "symmetry_contradicted"

    def test_rutile_with_two_of_its_operators_is_rutile(self):
        cell = CUBIC.replace("c 6", "c 2.959").replace(" 6", " 4.594")
        stated = "_symmetry_space_group_name_H-M 'P 42/m n m'\n_chemical_formula_sum 'O2 Ti'\n_cell_formula_units_Z 2\n"
        sites = "Ti1 Ti 0 0 0\nO1 O 0.3053 0.3053 0\n"
        atoms, row = read(cell, stated, operators("x,y,z", "-x,-y,-z"), SITES, sites)
        assert amounts(atoms) == {"Ti": 2, "O": 4}
        assert row["warnings"] == ("operators_replaced",)

    def test_a_translation_alone_is_no_symmetry(self):
        stated = "_symmetry_space_group_name_H-M 'P 1 21/n 1'\n_chemical_formula_sum Fe\n_cell_formula_units_Z 4\n"
        atoms, row = read(CELL, stated, operators("x-1,y-1,z"), self.ONE_SITE)
        assert atoms.n_sites == 4
        assert row["warnings"] == ("operators_replaced",)

    def test_one_mistyped_operator_is_replaced_where_the_name_makes_the_formula_z_times(self):
        triplets = operators("x,y,z", "-x,y+1/2,-z+1/2", "-x,-y,-z", "x,-y+1/2,z+1/3")
        stated = "_symmetry_space_group_name_H-M 'P 1 21/c 1'\n_chemical_formula_sum Fe\n_cell_formula_units_Z 4\n"
        atoms, row = read(CELL, stated, triplets, self.ONE_SITE)
        assert atoms.n_sites == 4
        assert row["warnings"] == ("operators_replaced",)
        assert refusal(CELL, stated.replace("Z 4", "Z 5"), triplets, self.ONE_SITE).code == "bad_symmetry"

    def test_lost_operators_show_in_an_empty_cell_where_no_name_is_stated(self):
        """One formula unit of four in the volume of all: not a wrong Z but operators that are gone."""
        cell = CUBIC.replace(" 6", " 5.64")
        stated = "_chemical_formula_sum 'Cl Na'\n_cell_formula_units_Z 4\n"
        refused = refusal(cell, stated, P1, SITES, "Na1 Na 0 0 0\nCl1 Cl 0.5 0.5 0.5\n")
        assert refused.code == "operators_missing"
        assert "holds 1 formula units, the CIF states Z = 4" in refused.detail

    def test_a_modulated_crystal_without_operators_says_so(self):
        modulated = "_cell_modulation_dimension 1\n_space_group_ssg_name 'Pbam(0a0)000'\n"
        assert refusal(CELL, modulated, self.ONE_SITE).code == "modulated"

    @pytest.mark.parametrize(
        "stated",
        [
            "_symmetry_space_group_name_H-M 'P m m m'\n",
            "_space_group_name_H-M_alt 'Pmmm'\n",
            "_space_group_name_Hall '-P 2 2'\n",
            "_symmetry_Int_Tables_number 47\n",
        ],
    )
    def test_a_name_or_number_stands_in_for_operators(self, stated):
        atoms, _ = read(CELL, stated, SITES, "Fe1 Fe 0.1 0.2 0.3\n")
        assert atoms.n_sites == 8

    def test_missing_operators_are_completed(self):
        atoms, row = read(CELL, operators("x,y,z", "-x,y,z", "x,-y,z"), SITES, "Fe1 Fe 0.1 0.2 0.3\n")
        assert atoms.n_sites == 4
        assert row["warnings"] == ("operators_completed",)

    def test_the_rhombohedral_setting_of_a_name_follows_the_cell(self):
        cell = CUBIC.replace(" 90", " 70")
        atoms, _ = read(cell, "_space_group_name_H-M_alt 'R -3 m'\n", SITES, "Fe1 Fe 0 0 0\n")
        assert atoms.n_sites == 1
        atoms, _ = read(HEXAGONAL, "_space_group_name_H-M_alt 'R -3 m'\n", SITES, "Fe1 Fe 0 0 0\n")
        assert atoms.n_sites == 3

    def test_hexagonal_operators_on_another_cell_are_refused(self):
        assert (
            refusal(CELL, operators("x,y,z", "-y,x-y,z", "-x+y,-x,z"), SITES, "Fe1 Fe 0 0 0\n").code == "bad_symmetry"
        )

    @pytest.mark.parametrize("triplet", ["x,y", "2x,y,z", "x,x,z", "a man,a plan,a canal", "x+0.3,y,z"])
    def test_an_operator_that_is_none_is_refused(self, triplet):
        assert refusal(CELL, operators("x,y,z", triplet), SITES, "Fe1 Fe 0 0 0\n").code == "bad_symmetry"

    def test_no_symmetry_is_p1_only_where_formula_and_z_say_so(self):
        stated = "_chemical_formula_sum 'Fe O'\n_cell_formula_units_Z 1\n"
        atoms, row = read(CELL, stated, SITES, "Fe1 Fe 0 0 0\nO1 O 0.5 0.5 0.5\n")
        assert atoms.n_sites == 2
        assert "symmetry_missing" in row["warnings"]
        assert refusal(CELL, SITES, "Fe1 Fe 0 0 0\n").code == "no_symmetry"

    def test_an_open_origin_is_the_one_that_gives_formula_times_z(self):
        """Magnetite: the sites of origin choice 2; choice 1 would give another content."""
        cell = CUBIC.replace(" 6", " 8.394")
        stated = "_space_group_name_H-M_alt 'F d -3 m'\n_chemical_formula_sum 'Fe3 O4'\n_cell_formula_units_Z 8\n"
        sites = "Fe1 Fe 0.125 0.125 0.125\nFe2 Fe 0.5 0.5 0.5\nO1 O 0.2547 0.2547 0.2547\n"
        atoms, row = read(cell, stated, SITES, sites)
        assert amounts(atoms) == {"Fe": 24, "O": 32}
        assert "origin_assumed" in row["warnings"]

    HALITE = (CUBIC.replace(" 6", " 5.64"), SITES, "Na1 Na 0 0 0\nCl1 Cl 0.5 0.5 0.5\n")

    @pytest.mark.parametrize(
        "names",
        [
            "_space_group_name_H-M_alt 'P 1'\n_symmetry_Int_Tables_number 225\n",
            "_space_group_name_H-M_alt 'F m -3 m'\n_space_group_name_Hall 'P 1'\n",
            "_space_group_name_H-M_alt 'F m -3 m'\n_symmetry_space_group_name_H-M 'P 1'\n",
        ],
    )
    def test_names_that_contradict_each_other_are_settled_by_formula_and_z_or_refused(self, names):
        cell, *sites = self.HALITE
        assert refusal(cell, names, *sites).code == "symmetry_contradicted"
        assert refusal(cell, names, "_chemical_formula_sum 'Cl Na'\n", *sites).code == "symmetry_contradicted"
        stated = "_chemical_formula_sum 'Cl Na'\n_cell_formula_units_Z 4\n"
        atoms, row = read(cell, names, stated, *sites)
        assert amounts(atoms) == {"Na": 4, "Cl": 4}
        assert row["warnings"] == ("names_contradict",)

    def test_a_hall_symbol_that_cannot_be_read_leaves_the_name(self):
        cell, *sites = self.HALITE
        atoms, _ = read(cell, "_space_group_name_H-M_alt 'F m -3 m'\n_space_group_name_Hall nonsense\n", *sites)
        assert atoms.n_sites == 8

    @pytest.mark.parametrize("stated", ["", "_chemical_formula_sum C\n"])
    def test_a_truncated_list_on_another_origin_is_a_contradiction(self, stated):
        cell = CUBIC.replace(" 6", " 3.567")
        names = "_space_group_name_H-M_alt 'F d -3 m:1'\n_space_group_IT_number 227\n"
        short = operators("x,y,z", "-x+1/4,-y+1/4,-z+1/4")
        refused = refusal(cell, names, stated, short, SITES, "C1 C 0 0 0\n")
        assert refused.code == "symmetry_contradicted"
        assert "of space group 2, the CIF names 227" in refused.detail
        z = "_chemical_formula_sum C\n_cell_formula_units_Z 8\n"
        atoms, row = read(cell, names, z, short, SITES, "C1 C 0 0 0\n")
        assert atoms.n_sites == 8
        assert row["warnings"] == ("operators_replaced",)

    def test_a_whole_list_on_another_origin_is_none(self):
        shifted = ("x,y,z", "-x+1/4,y+1/2,-z+3/4", "-x+1/4,-y+1/4,-z+1/4", "x,-y+3/4,z+1/2")
        _, row = read(CELL, "_space_group_name_H-M_alt 'P 1 21/c 1'\n", operators(*shifted), self.ONE_SITE)
        assert row["warnings"] == ()

    @pytest.mark.parametrize(
        ("name", "cell", "stated", "sites"),
        [
            ("F d -3 m", CUBIC, "", "C1 C 0.125 0.125 0.125\n"),
            ("F d -3 m", CUBIC, "_chemical_formula_sum C\n", "C1 C 0.125 0.125 0.125\n"),
            ("P n -3 m", CUBIC, "", "Cu1 Cu 0 0 0\nO1 O 0.25 0.25 0.25\n"),
            (
                "I 41/a",
                CELL.replace(" 6", " 12").replace(" 7", " 12"),
                "_chemical_formula_sum 'C O'\n_cell_formula_units_Z 16\n",
                "C1 C 0.11 0.07 0.2\nO1 O 0.33 0.21 0.46\n",
            ),
            ("F d -3 m", CUBIC, "_chemical_formula_sum C\n_cell_formula_units_Z 3\n", "C1 C 0.125 0.125 0.125\n"),
        ],
    )
    def test_an_open_origin_is_not_guessed(self, name, cell, stated, sites):
        parts = (cell, f"_space_group_name_H-M_alt '{name}'\n", stated, SITES, sites)
        assert refusal(*parts).code == "symmetry_ambiguous"
        for origin in "12":
            _, row = read(*(part.replace(name, f"{name}:{origin}") for part in parts))
            assert "origin_assumed" not in row["warnings"]

    def test_an_explicit_origin_is_binding(self):
        """Cuprite in the wrong origin is another crystal, and its formula says so."""
        sites = "Cu1 Cu 0 0 0\nO1 O 0.25 0.25 0.25\n"
        stated = "_space_group_name_H-M_alt 'P n -3 m'\n_chemical_formula_sum 'Cu2 O'\n"
        atoms, row = read(CUBIC, stated, SITES, sites)
        assert amounts(atoms) == {"Cu": 4, "O": 2}
        assert row["warnings"] == ("origin_assumed",)
        assert refusal(CUBIC, stated.replace("-3 m", "-3 m:1"), SITES, sites).code == "formula_mismatch"
        for name in ("-3 m:2", "-3 m Z"):
            atoms, row = read(CUBIC, stated.replace("-3 m", name), SITES, sites)
            assert (amounts(atoms), row["warnings"]) == ({"Cu": 4, "O": 2}, ())

    def test_a_number_leaves_the_axes_open(self):
        cell, number = CELL.replace("beta 90", "beta 100"), "_symmetry_Int_Tables_number 14\n"
        refused = refusal(cell, number, self.ONE_SITE)
        assert refused.code == "symmetry_ambiguous"
        assert "4 by P 1 21/c 1, 4 by P 1 21/n 1, 4 by P 1 21/a 1" in refused.detail
        atoms, _ = read(cell, number, "_symmetry_space_group_name_H-M 'P 1 21/n 1'\n", self.ONE_SITE)
        assert atoms.n_sites == 4

    def test_a_number_means_no_enlarged_cell(self):
        atoms, row = read(CELL, "_symmetry_Int_Tables_number 1\n", self.ONE_SITE)
        assert (atoms.n_sites, row["warnings"]) == (1, ())

    @pytest.mark.parametrize(("cell", "n"), [(HEXAGONAL, 3), (CUBIC.replace(" 90", " 70"), 1)])
    def test_the_axes_of_a_rhombohedral_number_follow_the_cell(self, cell, n):
        atoms, row = read(cell, "_symmetry_Int_Tables_number 166\n", SITES, "Fe1 Fe 0 0 0\n")
        assert (atoms.n_sites, row["warnings"]) == (n, ())

    def test_a_hall_symbol_fixes_the_origin(self):
        names = "_space_group_name_H-M_alt 'F d -3 m'\n_space_group_name_Hall '-F 4vw 2vw 3'\n"
        atoms, row = read(CUBIC, names, SITES, "C1 C 0.125 0.125 0.125\n")
        assert (atoms.n_sites, row["warnings"]) == (8, ())

    def test_names_of_one_group_and_two_settings_are_both_possible(self):
        cell = CELL.replace("beta 90", "beta 100")
        names = "_space_group_name_H-M_alt 'P 1 21/c 1'\n_space_group_name_Hall '-P 2yn'\n"
        assert refusal(cell, names, self.ONE_SITE).code == "symmetry_ambiguous"
        assert refusal(cell, names, SITES, "Fe1 Fe 0 0 0\n").code == "symmetry_ambiguous"

    def test_a_name_of_as_many_atoms_elsewhere_is_a_contradiction(self):
        cell = CELL.replace("beta 90", "beta 100")
        name, listed = "_space_group_name_H-M_alt 'P 1 21 1'\n", operators("x,y,z", "-x,-y,-z")
        sites = SITES + "Fe1 Fe 0.1 0.2 0.3\nO1 O 0.4 0.15 0.37\n"
        assert refusal(cell, name, listed, sites).code == "symmetry_contradicted"
        stated = "_chemical_formula_sum 'Fe O'\n_cell_formula_units_Z 2\n"
        assert refusal(cell, name, listed, stated, sites).code == "symmetry_contradicted"

    def test_magnetic_operators_give_the_crystal(self):
        tag = "_space_group_symop_magn_operation"
        magnetic = f"loop_\n{tag}.id\n{tag}.xyz\n1 x,y,z,+1\n2 -x,-y,-z,-1\n"
        atoms, _ = read(CELL, magnetic, SITES, "Fe1 Fe 0.1 0.2 0.3\n")
        assert atoms.n_sites == 2


class TestSites:
    def test_rounded_thirds_lie_on_their_axis(self):
        ops = operators("x,y,z", "-y,x-y,z", "-x+y,-x,z")
        atoms, row = read(HEXAGONAL, ops, SITES, "Fe1 Fe 0.333 0.667 0.25\n")
        assert atoms.n_sites == 1
        np.testing.assert_allclose(atoms.fractional[0], [1 / 3, 2 / 3, 0.25], atol=1e-9)
        assert row["warnings"] == ()

    def test_a_full_atom_beside_a_mirror_is_moved_onto_it(self):
        atoms, row = read(CELL, operators("x,y,z", "-x,y,z"), SITES, "Fe1 Fe 0.01234 0.2 0.3\n")
        assert atoms.n_sites == 1
        assert atoms.fractional[0, 0] == 0
        assert row["warnings"] == ("special_position_snapped",)

    def test_but_not_where_the_cif_counts_it_twice(self):
        table = SITES + "_atom_site_symmetry_multiplicity\n"
        found = refusal(CELL, operators("x,y,z", "-x,y,z"), table, "Fe1 Fe 0.01234 0.2 0.3 2\n")
        assert found.code == "atoms_overlap"

    def test_half_atoms_beside_a_mirror_are_alternatives(self):
        atoms, row = read(CELL, operators("x,y,z", "-x,y,z"), PARTLY, "Fe1 Fe 0.02 0.2 0.3 0.5\n")
        assert atoms.n_sites == 2
        assert amounts(atoms) == {"Fe": 1}
        assert row["warnings"] == ("split_positions",)

    def test_atoms_on_top_of_each_other_are_refused_with_their_distance(self):
        found = refusal(CELL, P1, SITES, "Fe1 Fe 0 0 0\nO1 O 0.05 0 0\n")
        assert found.code == "atoms_overlap"
        assert found.values["min_distance_A"] == pytest.approx(0.3)

    def test_overlap_is_seen_across_the_cell_s_faces(self):
        assert refusal(CELL, P1, SITES, "Fe1 Fe 0.99 0 0\nO1 O 0.01 0 0\n").code == "atoms_overlap"

    def test_overlap_is_seen_in_a_skewed_cell(self):
        cell = CUBIC.replace("alpha 90", "alpha 25").replace("beta 90", "beta 25").replace("gamma 90", "gamma 25")
        reading = read_structure("data_x\n" + cell + P1 + SITES + "Fe1 Fe 0 0 0\nO1 O 0.5 0.5 0\n", "cif", DEFAULTS, {})
        lattice = reading.atoms.lattice_A
        shifts = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3, indexing="ij"), -1).reshape(-1, 3)
        apart = np.linalg.norm((shifts + np.array([0.5, 0.5, 0])) @ lattice, axis=1).min()
        own = np.sort(np.linalg.norm(shifts @ lattice, axis=1))[1]
        assert reading.min_distance_A == pytest.approx(min(apart, own))

    def test_species_that_share_a_site_are_one_site(self):
        atoms, row = read(CELL, P1, PARTLY, "Fe1 Fe3+ 0 0 0 0.25\nAl1 Al3+ 0 0 0 0.75\n")
        assert atoms.n_sites == 1
        assert atoms.amounts() == {"Al3+": 0.75, "Fe3+": 0.25}
        assert row["max_occupancy"] == 1.0

    def test_occupancies_slightly_over_one_are_scaled(self):
        atoms, row = read(CELL, P1, PARTLY, "Fe1 Fe 0 0 0 0.53\nAl1 Al 0 0 0 0.5\n")
        assert sum(atoms.amounts().values()) == pytest.approx(1)
        assert row["warnings"] == ("occupancy_scaled",)
        assert row["max_occupancy"] == pytest.approx(1.03)

    def test_occupancies_far_over_one_are_refused(self):
        found = refusal(CELL, P1, PARTLY, "Fe1 Fe 0 0 0 0.8\nAl1 Al 0 0 0 0.5\n")
        assert found.code == "occupancy_above_one"
        assert found.values["max_occupancy"] == pytest.approx(1.3)

    def test_the_same_atom_listed_twice_counts_once(self):
        atoms, row = read(
            CELL, P1, SITES, "Fe1 Fe 0.1 0.2 0.3\nFe2 Fe 0.1 0.2 0.3\nFe3 Fe 1.1 -0.8 0.3\nO1 O 0.6 0.6 0.6\n"
        )
        assert amounts(atoms) == {"Fe": 1, "O": 1}
        assert row["warnings"] == ("sites_listed_twice",)

    def test_two_elements_in_full_on_one_site_are_refused(self):
        assert refusal(CELL, P1, SITES, "Fe1 Fe 0.1 0.2 0.3\nCo1 Co 0.1 0.2 0.3\n").code == "occupancy_above_one"

    def test_the_whole_cell_listed_beside_its_operators_counts_once(self):
        atoms, row = read(CELL, operators("x,y,z", "-x,-y,-z"), SITES, "Fe1 Fe 0.1 0.2 0.3\nFe2 Fe 0.9 0.8 0.7\n")
        assert atoms.n_sites == 2
        assert row["warnings"] == ("sites_listed_twice",)

    @pytest.mark.parametrize("text", ["-0.5", "nan", "lots"])
    def test_an_occupancy_that_is_none_is_refused(self, text):
        assert refusal(CELL, P1, PARTLY, f"Fe1 Fe 0 0 0 {text}\n").code == "bad_occupancy"

    @pytest.mark.parametrize("text", ["?", "."])
    def test_an_occupancy_left_open_is_one(self, text):
        assert amounts(read(CELL, P1, PARTLY, f"Fe1 Fe 0 0 0 {text}\n")[0]) == {"Fe": 1}

    def test_empty_and_dummy_sites_are_passed_over_with_a_remark(self):
        table = PARTLY + "_atom_site_calc_flag\n"
        atoms, row = read(CELL, P1, table, "Fe1 Fe 0 0 0 1 d\nFe2 Fe 0.5 0 0 0 d\nCg Cg 0 0.5 0 1 dum\n")
        assert amounts(atoms) == {"Fe": 1}
        assert row["warnings"] == ("dummy_sites_skipped", "empty_sites_skipped")

    @pytest.mark.parametrize(
        ("site", "code"),
        [
            ("X1 X 0 0 0", "dummy_site"),
            ("Du1 Du 0 0 0", "dummy_site"),
            ("Q1 Q 0 0 0", "dummy_site"),
            ("J1 J 0 0 0", "unknown_element"),
            ("12 ? 0 0 0", "unknown_element"),
            ("Og1 Og 0 0 0", "no_form_factor"),
            ("Fe1 Fe ? ? ?", "bad_coordinates"),
            ("Fe1 Fe 0 0 nan", "bad_coordinates"),
        ],
    )
    def test_a_site_that_cannot_be_used_has_its_own_reason(self, site, code):
        assert refusal(CELL, P1, SITES, f"{site}\nO1 O 0.5 0.5 0.5\n").code == code

    def test_hydrogens_without_coordinates_are_missing_hydrogens(self):
        atoms, row = read(CELL, P1, SITES, "O1 O 0 0 0\nH1 H ? ? ?\n")
        assert amounts(atoms) == {"O": 1}
        assert row["warnings"] == ("hydrogens_missing",)

    def test_cartesian_coordinates_alone_are_refused(self):
        table = SITES.replace("fract_", "Cartn_")
        assert refusal(CELL, P1, table, "Fe1 Fe 0 0 0\n").code == "cartesian_only"

    def test_no_atoms(self):
        assert refusal(CELL, P1).code == "no_atoms"


class TestFormula:
    SITES = SITES + "Fe1 Fe 0 0 0\nO1 O 0.5 0.5 0.5\n"

    def test_a_small_contradiction_is_a_remark(self):
        _, row = read(CELL, "_chemical_formula_sum 'Fe2 O3'\n", P1, self.SITES)
        assert row["warnings"] == ("formula_mismatch",)
        assert row["formula_difference"] == pytest.approx(0.1)

    def test_the_limit_can_be_moved(self):
        strict = CurationSettings(max_formula_difference=0.05)
        refused = refusal(CELL, "_chemical_formula_sum 'Fe2 O3'\n", P1, self.SITES, settings=strict)
        assert refused.code == "formula_mismatch"
        _, row = read(
            CELL, "_chemical_formula_sum 'Ni5'\n", P1, self.SITES, settings=CurationSettings(max_formula_difference=1)
        )
        assert row["warnings"] == ("formula_mismatch",)

    @pytest.mark.parametrize(("stated", "part"), [("Fe O5", "differs by 0.333"), ("Fe Co", "not in it: O")])
    def test_half_of_the_atoms_missing_or_a_foreign_element_is_refused(self, stated, part):
        refused = refusal(CELL, f"_chemical_formula_sum '{stated}'\n", P1, self.SITES)
        assert refused.code == "formula_mismatch"
        assert part in refused.detail

    def test_more_hydrogen_than_stated_is_a_remark(self):
        sites = self.SITES + "H1 H 0.2 0.2 0.2\nH2 H 0.8 0.8 0.8\n"
        _, row = read(CELL, "_chemical_formula_sum 'Fe O'\n", P1, sites)
        assert row["warnings"] == ("formula_mismatch",)

    def test_missing_hydrogens_are_no_contradiction(self):
        _, row = read(CELL, "_chemical_formula_sum 'Fe O H2'\n_cell_formula_units_Z 1\n", P1, self.SITES)
        assert row["warnings"] == ("hydrogens_missing",)

    def test_another_z_is_remarked(self):
        _, row = read(CELL, "_chemical_formula_sum 'Fe O'\n_cell_formula_units_Z 1.4\n", P1, self.SITES)
        assert row["warnings"] == ("z_contradiction",)

    def test_the_content_of_the_whole_cell_may_be_the_formula(self):
        sites = SITES + "Fe1 Fe 0 0 0\nFe2 Fe 0.5 0.5 0\nO1 O 0 0.5 0.5\nO2 O 0.5 0 0.5\n"
        _, row = read(CELL, "_chemical_formula_sum 'Fe2 O2'\n_cell_formula_units_Z 2\n", P1, sites)
        assert row["warnings"] == ()

    @pytest.mark.parametrize("text", ["NaCl", "'Na Cl'"])
    def test_it_may_be_written_without_blanks(self, text):
        refused = refusal(CELL, f"_chemical_formula_sum {text}\n", P1, SITES, "Na1 Na 0 0 0\n")
        assert refused.code == "formula_mismatch"

    @pytest.mark.parametrize("text", ["'Fe2-x O'", "unknown", "'FE O'", "'Ca (O H)2'", "'Fe. O'"])
    def test_one_that_cannot_be_read_is_remarked(self, text):
        _, row = read(CELL, f"_chemical_formula_sum {text}\n", P1, self.SITES)
        assert row["warnings"] == ("formula_unread",)
        assert row["stated_formula"] == text.strip("'")

    @pytest.mark.parametrize("text", ["?", ".", "'?'", "'.'", "''", "' '"])
    def test_one_that_is_left_open_is_not_stated(self, text):
        _, row = read(CELL, f"_chemical_formula_sum {text}\n", P1, self.SITES)
        assert row["warnings"] == ()
        assert row["stated_formula"] is None

    def test_labels_are_read_in_its_light(self):
        table = SITES.replace("_atom_site_type_symbol\n", "")
        atoms, _ = read(CELL, "_chemical_formula_sum 'C Ca'\n", P1, table, "CA1 0 0 0\nC1 0.5 0.5 0.5\n")
        assert amounts(atoms) == {"C": 1, "Ca": 1}
        atoms, _ = read(CELL, "_chemical_formula_sum 'C2'\n", P1, table, "CA1 0 0 0\nC1 0.5 0.5 0.5\n")
        assert amounts(atoms) == {"C": 2}


class TestDisplacement:
    TABLE = SITES + "_atom_site_U_iso_or_equiv\n"
    FROM_CIF = CurationSettings(displacement="cif")

    def u(self, *parts, settings=FROM_CIF):
        atoms, row = read(*parts, settings=settings)
        return atoms.occupants[0][0][2], row["warnings"]

    def test_it_is_fixed_by_default(self):
        assert self.u(CELL, P1, self.TABLE, "Fe1 Fe 0 0 0 0.03\n", settings=DEFAULTS) == (0.01, ())

    def test_u_is_taken_if_asked(self):
        assert self.u(CELL, P1, self.TABLE, "Fe1 Fe 0 0 0 0.03(1)\n") == (0.03, ())

    def test_b_is_converted(self):
        u, _ = self.u(CELL, P1, self.TABLE.replace("U_iso", "B_iso"), f"Fe1 Fe 0 0 0 {8 * np.pi**2 * 0.02}\n")
        assert u == pytest.approx(0.02)

    def test_anisotropic_displacements_give_their_mean(self):
        tensor = "loop_\n_atom_site_aniso_label\n" + "".join(
            f"_atom_site_aniso_U_{k}\n" for k in (11, 22, 33, 12, 13, 23)
        )
        u, _ = self.u(CELL, P1, SITES, "Fe1 Fe 0 0 0\n", tensor, "Fe1 0.01 0.02 0.03 0 0 0\n")
        assert u == pytest.approx(0.02)

    @pytest.mark.parametrize("text", ["?", "-0.01", "5"])
    def test_an_unusable_value_is_replaced_with_a_remark(self, text):
        assert self.u(CELL, P1, self.TABLE, f"Fe1 Fe 0 0 0 {text}\n") == (0.01, ("displacement_assumed",))


class TestGrammar:
    def test_mmcif_is_refused(self):
        text = "_cell.length_a 6\n_cell.length_b 6\nloop_\n_atom_site.group_PDB\n_atom_site.Cartn_x\nATOM 1.0\n"
        assert refusal(text).code == "mmcif"

    def test_names_of_the_newer_dictionary_are_understood(self):
        text = (CELL + P1 + SITES + "Fe1 Fe 0 0 0\n").replace("_cell_", "_cell.").replace("_atom_site_", "_atom_site.")
        assert amounts(read(text)[0]) == {"Fe": 1}

    def test_a_quotation_left_open_is_repaired(self):
        atoms, row = read("_publ_section_title 'It's an 'open question\n", CELL, P1, SITES, "Fe1 Fe 0 0 0\n")
        assert amounts(atoms) == {"Fe": 1}
        assert row["warnings"] == ("syntax_repaired",)

    def test_a_torn_loop_of_atoms_is_not_guessed_at(self):
        assert refusal(CELL, P1, SITES, "Fe1 Fe 0 0 0\nO1 O 0.5\n").code == "bad_syntax"

    def test_tags_may_be_written_in_capitals(self):
        assert amounts(read((CELL + P1).upper(), SITES, "Fe1 Fe 0 0 0\n")[0]) == {"Fe": 1}

    def test_a_tag_given_twice_counts_once(self):
        atoms, _ = read("_cell_length_a 6\n", CELL, P1, SITES, "Fe1 Fe 0 0 0\n")
        assert atoms.lattice_A[0, 0] == 6

    @pytest.mark.parametrize("text", ["", "no cif at all", "\x00\x01\x02", "data"])
    def test_text_without_a_block_is_refused(self, text):
        with pytest.raises(Refused) as caught:
            read_structure(text, "cif", DEFAULTS, {})
        assert caught.value.code == "no_data_block"


class TestPlausible:
    """Crystals that cannot exist."""

    def found(self, *parts: str, settings: CurationSettings = DEFAULTS):
        row: dict = {}
        read_structure("data_test\n" + "".join(parts), "cif", settings, row)
        return row

    def test_a_contact_far_below_covalent_radii_is_named(self):
        row = self.found(CELL, P1, SITES, "Pb1 Pb 0 0 0\nPb2 Pb 0.2 0 0\n")
        assert row["contact"] == "Pb-Pb 1.200 A"
        assert row["contact_ratio"] == pytest.approx(1.2 / 2.92, abs=1e-3)
        assert "contact_too_short" in row["warnings"]

    def test_contacts_across_faces_and_to_a_copy_count(self):
        row = self.found(CELL, P1, SITES, "Pb1 Pb 0.05 0.5 0.5\nPb2 Pb 0.95 0.5 0.5\n")
        assert row["contact"] == "Pb-Pb 0.600 A"
        row = self.found(CELL.replace("a 6", "a 1.3"), P1, SITES, "Pb1 Pb 0 0 0\n")
        assert row["contact"] == "Pb-Pb 1.300 A"

    def test_alternatives_of_one_atom_have_no_contact(self):
        row = self.found(CELL, P1, PARTLY, "Pb1 Pb 0 0 0 0.5\nPb2 Pb 0.15 0 0 0.5\nO1 O 0.5 0.5 0.5 1\n")
        assert row["contact_ratio"] > 1

    def test_twice_the_density_of_lead_bromide_is_remarked(self):
        cell = CELL.replace("a 6", "a 4.77").replace("b 7", "b 8.05").replace("c 8", "c 4.72")
        sites = "".join(
            f"Pb{i} Pb {x} {y} 0.25\n" for i, (x, y) in enumerate([(0, 0), (0.5, 0.3), (0, 0.6), (0.5, 0.9)])
        )
        sites += "".join(f"Br{i} Br {0.1 * i} {0.12 * i} 0.75\n" for i in range(8))
        row = self.found(cell, P1, SITES, sites)
        assert row["volume_ratio"] < 0.5
        assert "volume_implausible" in row["warnings"]

    def test_a_cell_too_large_for_its_atoms_is_remarked(self):
        assert "volume_implausible" in self.found(CELL, P1, SITES, "Fe1 Fe 0 0 0\n")["warnings"]

    def test_both_are_refusals_if_asked(self):
        strict = CurationSettings(implausible="refuse")
        with pytest.raises(Refused) as caught:
            self.found(CELL, P1, SITES, "Pb1 Pb 0 0 0\nPb2 Pb 0.2 0 0\n", settings=strict)
        assert caught.value.code == "contact_too_short"
        with pytest.raises(Refused) as caught:
            self.found(CELL, P1, SITES, "Fe1 Fe 0 0 0\n", settings=strict)
        assert caught.value.code == "volume_implausible"

    def test_a_real_crystal_is_not_remarked(self):
        cell = CUBIC.replace(" 6", " 5.64")
        row = self.found(cell, "_space_group_name_H-M_alt 'F m -3 m'\n", SITES, "Na1 Na 0 0 0\nCl1 Cl 0.5 0.5 0.5\n")
        assert row["warnings"] == ()
        assert row["contact"] == "Cl-Na 2.820 A"


@pytest.mark.parametrize("tag", ["_space_group_symop_magn_operation.xyz", "_space_group_symop_magn_centering.xyz"])
def test_an_operator_of_a_magnetic_group_that_cannot_be_read_is_refused(tag: str) -> None:
    lists = {"_space_group_symop_magn_operation.xyz": "'x,y,z,+1'", tag: "'x,q7,foo,+1'"}
    loops = "".join(f"loop_\n{name}\n{operator}\n" for name, operator in lists.items())
    found = refusal(CELL, loops, SITES, "Fe1 Fe 0.1 0.2 0.3\n")
    assert found.code == "bad_symmetry"
    assert "an operator cannot be read" in found.detail
