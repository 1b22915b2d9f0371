"""Form factors of atoms, ions and isotopes."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from datagen.simulate.refusal import NoFormFactor
from datagen.simulate.scattering import scatterer, scattering_table

WAVELENGTH_A = 0.619921


@pytest.mark.parametrize(
    ("species", "electrons"), [("Fe", 26), ("Fe3+", 23), ("Fe2+", 24), ("O2-", 10), ("Si4+", 10), ("U", 92), ("Cf", 98)]
)
def test_forward_scattering_counts_the_electrons(species: str, electrons: int) -> None:
    table = scattering_table((species,), WAVELENGTH_A)
    assert table.f0(np.zeros(1))[0, 0] == pytest.approx(electrons, abs=0.05)


def test_deuterium_scatters_as_hydrogen() -> None:
    d, h = scatterer("D", WAVELENGTH_A), scatterer("H", WAVELENGTH_A)
    assert (d.a, d.b, d.c, d.f1, d.f2) == (h.a, h.b, h.c, h.f1, h.f2)


@pytest.mark.parametrize("species", ["Fe0+", "Fe"])
def test_a_neutral_atom_needs_no_remark(species: str) -> None:
    assert scatterer(species, WAVELENGTH_A).warning == ""


@pytest.mark.parametrize(("species", "neutral"), [("Fe9+", "Fe"), ("Fe2.5+", "Fe"), ("N3-", "N"), ("P3-", "P")])
def test_an_ion_that_is_not_tabulated_scatters_as_its_atom_and_says_so(species: str, neutral: str) -> None:
    ion, atom = scatterer(species, WAVELENGTH_A), scatterer(neutral, WAVELENGTH_A)
    assert ion.a == atom.a
    assert f"neutral {neutral} used" in ion.warning


def test_a_spin_state_does_not_hide_the_charge() -> None:
    assert scatterer("Fe3+,spin=5", WAVELENGTH_A).a == scatterer("Fe3+", WAVELENGTH_A).a


def test_elements_beyond_uranium_say_that_dispersion_is_missing() -> None:
    assert "no dispersion" in scatterer("Pu", WAVELENGTH_A).warning
    assert scatterer("U", WAVELENGTH_A).warning == ""


@pytest.mark.parametrize("species", ["Es", "X", "Vac", "", "1+"])
def test_what_is_not_tabulated_is_refused(species: str) -> None:
    with pytest.raises(NoFormFactor):
        scatterer(species, WAVELENGTH_A)


def test_dispersion_is_that_of_the_wavelength() -> None:
    assert scatterer("Fe", 1.5405929).f2 == pytest.approx(3.2, abs=0.1)  # Cu K-alpha lies above the iron edge
    assert scatterer("Fe", 1.789).f2 == pytest.approx(0.57, abs=0.1)  # Co K-alpha lies below


def test_looking_up_ions_leaves_gemmis_own_setting_alone() -> None:
    before = gemmi.IT92_get_ignore_charge()
    scatterer("Ti4+", 0.5)
    assert gemmi.IT92_get_ignore_charge() == before
