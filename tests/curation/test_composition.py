from __future__ import annotations

import pytest
from pymatgen.core import Composition

from curation.composition import (
    SYMBOLS,
    atomic_fractions,
    element_of,
    formula_difference,
    in_hill_order,
    parse_formula,
    reduced_formula,
)
from curation.reasons import Refused
from curation.species import species_of, species_of_symbol


def test_traces_have_no_exponents_that_hills_order_would_lose() -> None:
    formula = reduced_formula({"Al": 1.0, "O": 1.5, "Cr": 1e-5})
    assert formula == "Al100000CrO150000"
    assert in_hill_order(formula) == formula
    assert reduced_formula({"Al": 1.0, "O": 1.5, "Cr": 1e-6}) != formula


def test_there_are_118_elements_in_their_order():
    assert len(SYMBOLS) == 118
    assert [SYMBOLS[i] for i in (0, 5, 25, 91, 117)] == ["H", "C", "Fe", "U", "Og"]


@pytest.mark.parametrize(
    ("species", "element"), [("Fe3+", "Fe"), ("O2-", "O"), ("D", "H"), ("Cl-", "Cl"), ("Na+", "Na")]
)
def test_a_species_has_its_element(species, element):
    assert element_of(species) == element


def test_fractions_count_isotopes_and_charges_as_their_element():
    vector = atomic_fractions({"D": 1.0, "H": 1.0, "Fe2+": 1.0, "Fe3+": 1.0})
    assert vector.sum() == pytest.approx(1)
    assert vector[0] == vector[25] == 0.5


@pytest.mark.parametrize(
    ("amounts", "formula"),
    [
        ({"Na": 4, "Cl": 4}, "NaCl"),
        ({"Al": 12, "O": 18}, "Al2O3"),
        ({"C": 2, "H": 6, "O": 1}, "H6C2O"),
        ({"H": 2, "O": 1}, "H2O"),
        ({"Fe2+": 8, "Fe3+": 16, "O2-": 32}, "Fe3O4"),
        ({"Fe": 0.5, "Al": 0.5, "O": 1.5}, "AlFeO3"),
        ({"Na": 0.6, "K": 0.4, "Cl": 1}, "K2Na3Cl5"),
        ({"Si": 1}, "Si"),
    ],
)
def test_formulas_are_reduced(amounts, formula):
    assert reduced_formula(amounts) == formula


@pytest.mark.filterwarnings("ignore:No Pauling electronegativity")
def test_elements_stand_as_the_materials_project_has_them():
    for symbol in SYMBOLS:
        for other in ("O", "Si", "Na", "He"):
            if symbol != other:
                assert reduced_formula({other: 1.0, symbol: 2.0}) == Composition({other: 1, symbol: 2}).formula.replace(
                    " ", ""
                ).replace(f"{other}1", other)


@pytest.mark.parametrize(
    ("formula", "hill"),
    [
        ("NaCl", "ClNa"),
        ("CaCO3", "CCaO3"),
        ("H6C2O", "C2H6O"),
        ("K2Na3Cl5", "Cl5K2Na3"),
        ("Ti0.93O", "OTi0.93"),
        ("", ""),
    ],
)
def test_hills_order_rests_on_the_alphabet(formula, hill):
    assert in_hill_order(formula) == hill


def test_a_formula_does_not_know_the_number_of_units_or_their_order():
    once = {"Ca": 1.0, "Ti": 0.93, "O": 3.0}
    fourfold = {"O": 12.0, "Ti": 3.72, "Ca": 4.0}
    assert reduced_formula(once) == reduced_formula(fourfold)


@pytest.mark.parametrize(
    ("text", "amounts"),
    [
        ("Al2 O3", {"Al": 2, "O": 3}),
        ("Al2O3", {"Al": 2, "O": 3}),
        ("NaCl", {"Na": 1, "Cl": 1}),
        ("C18H36EuFeN10O8", {"C": 18, "H": 36, "Eu": 1, "Fe": 1, "N": 10, "O": 8}),
        ("C5 H17Al N2", {"C": 5, "H": 17, "Al": 1, "N": 2}),
        ("H2O", {"H": 2, "O": 1}),
        ("CO2", None),
        ("SI O2", None),
        ("NACL", None),
        ("CaCO3", {"Ca": 1, "C": 1, "O": 3}),
        ("Na.Cl", None),
        ("NaCl?", None),
        ("Fe2-xO", None),
        ("C6 H12 O6", {"C": 6, "H": 12, "O": 6}),
        ("Fe0.95 O", {"Fe": 0.95, "O": 1}),
        ("D2 O", {"H": 2, "O": 1}),
        ("(Fe.9 Mg.1) O", {"Fe": 0.9, "Mg": 0.1, "O": 1}),
        ("Ca (O H)2", None),
        ("unknown", None),
        ("", None),
    ],
)
def test_stated_formulas_are_read_where_they_are_plain(text, amounts):
    assert parse_formula(text) == amounts


def test_formulas_are_compared_by_atomic_fraction():
    assert formula_difference({"Fe": 4, "O": 6}, {"Fe": 2, "O": 3}) == (0.0, 2.0)
    assert formula_difference({"Fe": 1, "O": 1}, {"Fe": 2, "O": 3})[0] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("type_symbol", "label", "formula", "species"),
    [
        ("Fe3+", "Fe1", "", "Fe3+"),
        ("Fe+3", "Fe1", "", "Fe3+"),
        ("Na1+", "Na1", "", "Na+"),
        ("Cl-", "Cl1", "", "Cl-"),
        ("Fe0+", "Fe1", "", "Fe"),
        ("FE", "FE1", "", "Fe"),
        ("D", "D1", "", "D"),
        ("Cval", "C1", "", "C"),
        ("Cval", "A1", "C O", "C"),
        ("CO3+", "A1", "", "Co3+"),
        ("CO", "A1", "", "Co"),
        ("Co3", "A1", "", "Co"),
        ("CO3", "Co1", "", "Co"),
        ("CO3", "C1", "Co O", "Co"),
        ("CO3", "C1", "Ca C O", "C"),
        ("FE1", None, "Fe O", "Fe"),
        ("Wat", "Wat", "", "O"),
        ("OH", "OH1", "", "O"),
        (None, "Fe12a", "", "Fe"),
        (None, "CA1", "C H", "C"),
        (None, "CA1", "Ca O", "Ca"),
        (None, "HO1", "C H O", "H"),
        (None, "Ho1", "Ho O", "Ho"),
        (None, "W1", "Ca H O", "O"),
        (None, "W1", "W O", "W"),
        (None, "O1A", "", "O"),
    ],
)
def test_species_are_found_from_type_or_label(type_symbol, label, formula, species):
    assert species_of(type_symbol, label, frozenset(formula.split()), set()) == species


@pytest.mark.parametrize(
    ("type_symbol", "label", "formula"),
    [
        ("CO3", "C1", ""),
        ("CO3", "CO1", ""),
        ("CO3", "C1", "Ca"),
        ("Vo", "Vo1", ""),
        ("Vo", "X1", "Na Cl"),
        ("Coord", "A1", ""),
        (None, "CA1", ""),
        (None, "CO2", ""),
    ],
)
def test_two_readings_that_nothing_decides_are_refused(type_symbol, label, formula):
    with pytest.raises(Refused, match="names no element with certainty"):
        species_of(type_symbol, label, frozenset(formula.split()), set())


@pytest.mark.parametrize(
    ("symbol", "species"), [("Fe", "Fe"), ("Fe3+", "Fe3+"), ("Na+", "Na+"), ("D", "D"), ("O2-", "O2-")]
)
def test_formats_with_symbols_name_them_exactly(symbol, species):
    assert species_of_symbol(symbol) == species


@pytest.mark.parametrize("symbol", ["Vo", "CO3", "FE", "T", "Fe1", "OH", "", "Ow", "Fe3"])
def test_what_is_no_symbol_there_is_refused(symbol):
    with pytest.raises(Refused, match="expected the symbol of an element"):
        species_of_symbol(symbol)


@pytest.mark.parametrize(
    ("type_symbol", "code"), [("X", "dummy_site"), ("Du", "dummy_site"), ("Jj", "unknown_element")]
)
def test_what_is_no_element_is_refused(type_symbol, code):
    with pytest.raises(Refused) as caught:
        species_of(type_symbol, "A1", frozenset(), set())
    assert caught.value.code == code
