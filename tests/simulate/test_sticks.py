"""Sticks against what can be derived by hand, against gemmi's structure factors and against pymatgen's calculator."""

from __future__ import annotations

import json
from pathlib import Path

import gemmi
import numpy as np
import pymatgen.analysis.diffraction.xrd as pymatgen_xrd
import pytest

from curation.crystal import Crystal
from curation.reflections import f_squared, half_sphere, merge_groups
from datagen.simulate.instrument import Instrument
from datagen.simulate.refusal import NoFormFactor, NoReflections
from datagen.simulate.scattering import dispersion, scattering_table
from datagen.simulate.sticks import compute_sticks, lorentz_polarisation
from tests.simulate.crystals import rock_salt, rutile, silicon, triclinic, zincblende

PAPER = Instrument.preset("alphadiffract")
CU = Instrument.preset("cu_kalpha1")


def test_silicon_has_the_lines_of_silicon() -> None:
    """Bragg angles by hand from a = 5.43102 A; 200 and 222 absent from a diamond lattice of spherical atoms."""
    sticks = compute_sticks(silicon(), CU)
    families = np.array([3, 8, 11, 16, 19, 24])  # h^2 + k^2 + l^2 of 111, 220, 311, 400, 331, 422
    expected = 2 * np.degrees(np.arcsin(1.5405929 * np.sqrt(families) / (2 * 5.43102)))
    np.testing.assert_allclose(sticks.two_theta_deg, expected, atol=1e-5)
    np.testing.assert_array_equal(2 * np.diff(sticks.member_start), [8, 12, 24, 6, 24, 24])  # multiplicities


def test_rock_salt_intensities_follow_from_sums_and_differences_of_form_factors() -> None:
    sticks = compute_sticks(rock_salt(), PAPER)
    odd, even = sticks.two_theta_deg[0], sticks.two_theta_deg[1]  # 111 and 200
    table = scattering_table(("Cl", "Na"), 0.619921)

    def intensity(two_theta_deg: float, sign: int, multiplicity: int) -> float:
        theta = np.radians(two_theta_deg / 2)
        s2 = (np.sin(theta) / 0.619921) ** 2
        f = table.f0(np.array([s2]))[:, 0] + table.f1 + 1j * table.f2
        f2 = abs((f[0] + sign * f[1]) * np.exp(-8 * np.pi**2 * 0.01 * s2)) ** 2
        volume = 5.6402**3 / 4
        polarisation = 0.01 * np.cos(2 * theta) ** 2 + 0.99
        return float(multiplicity * f2 * polarisation / (2 * np.sin(theta) ** 2 * np.cos(theta)) / volume**2)

    assert sticks.intensity[0] == pytest.approx(intensity(odd, -1, 8), rel=1e-5)
    assert sticks.intensity[1] == pytest.approx(intensity(even, 1, 6), rel=1e-5)


@pytest.mark.parametrize("make", [silicon, rock_salt, zincblende, rutile, triclinic])
def test_structure_factors_are_gemmis(make) -> None:  # type: ignore[no-untyped-def]
    """With f' but without f'', which gemmi's calculator does not take."""
    crystal = make()
    hkl, q2 = half_sphere(crystal.lattice_A, 0.1, 1.2)
    table = scattering_table(crystal.species, 0.7)
    found = f_squared(
        hkl,
        q2,
        crystal.fractional,
        crystal.occupancy,
        crystal.u_iso_A2,
        table.f0(q2 / 4) + table.f1[:, None],
        np.zeros_like(table.f2),
        table.index,
    )
    metric = crystal.lattice_A @ crystal.lattice_A.T
    a, b, c = np.sqrt(np.diag(metric))
    angles = [metric[1, 2] / (b * c), metric[0, 2] / (a * c), metric[0, 1] / (a * b)]
    small = gemmi.SmallStructure()
    small.cell = gemmi.UnitCell(a, b, c, *np.degrees(np.arccos(angles)))
    small.spacegroup_hm = "P 1"
    small.determine_and_set_spacegroup("S")
    for name, xyz, occupancy, u_iso in zip(
        crystal.species, crystal.fractional, crystal.occupancy, crystal.u_iso_A2, strict=True
    ):
        site = gemmi.SmallStructure.Site()
        site.element = gemmi.Element(name.rstrip("0123456789+-"))
        site.charge = {"Fe3+": 3, "O2-": -2}.get(name, 0)
        site.fract, site.occ, site.u_iso = gemmi.Fractional(*xyz), occupancy, u_iso
        small.add_site(site)
    ignored = gemmi.IT92_get_ignore_charge()
    gemmi.IT92_set_ignore_charge(False)
    try:
        calculator = gemmi.StructureFactorCalculatorX(small.cell)
        for z in {site.element.atomic_number for site in small.sites}:
            calculator.addends.set(gemmi.Element(z), dispersion(z, 0.7)[0])
        expected = [abs(calculator.calculate_sf_from_small_structure(small, h)) ** 2 for h in hkl.tolist()]
    finally:
        gemmi.IT92_set_ignore_charge(ignored)
    np.testing.assert_allclose(found, expected, atol=1e-6 * max(expected))


@pytest.mark.parametrize("make", [silicon, rock_salt, zincblende, rutile, lambda: triclinic(6, edge_A=4.0)])
def test_positions_and_intensities_are_pymatgens_given_its_form_factors(make) -> None:  # type: ignore[no-untyped-def]
    """pymatgen has its own form factors, no dispersion, and no displacement: with these the two agree."""
    crystal = make()
    element = tuple(name.rstrip("0123456789+-") for name in crystal.species)
    plain = Crystal(crystal.lattice_A, element, crystal.occupancy, crystal.fractional, crystal.u_iso_A2)
    wavelength = 1.5405929
    pattern = pymatgen_xrd.XRDCalculator(wavelength, symprec=0).get_pattern(
        plain.to_pymatgen(), scaled=False, two_theta_range=(10, 90)
    )

    names = sorted(set(element))
    q_limits = 2 * np.sin(np.radians([5.0, 45.0])) / wavelength
    hkl, q2 = half_sphere(plain.lattice_A, *q_limits)
    parameters = json.loads((Path(pymatgen_xrd.__file__).parent / "atomic_scattering_params.json").read_text())
    factors = []
    for name in names:
        z = gemmi.Element(name).atomic_number
        a, b = np.array(parameters[name]).T
        factors.append(z - 41.78214 * q2 / 4 * (a * np.exp(-b * q2[:, None] / 4)).sum(axis=1))
    f2 = f_squared(
        hkl,
        q2,
        plain.fractional,
        plain.occupancy,
        np.zeros(len(element)),
        np.array(factors),
        np.zeros(len(names)),
        np.array([names.index(name) for name in element]),
    )
    order = np.argsort(q2, kind="stable")
    q = np.sqrt(q2[order])
    two_theta = 2 * np.arcsin(wavelength * q / 2)
    group = merge_groups(q)
    intensity = np.bincount(group, weights=(f2[order] * lorentz_polarisation(two_theta, 0.5)))
    position = np.degrees(np.bincount(group, weights=two_theta) / np.bincount(group))

    # pymatgen leaves out what is below 1e-3 of the strongest, and joins what is closer than 1e-5 degrees; we join a
    # little farther, so that two of its peaks may be one of ours.
    strong = intensity > 2e-3 * intensity.max()
    same = np.abs(np.asarray(pattern.x)[:, None] - position[strong]) < 5e-4
    assert same.any(axis=0).all()
    theirs = np.asarray(pattern.y) @ same
    np.testing.assert_allclose(intensity[strong] / intensity.max(), theirs / theirs.max(), rtol=1e-3)


def test_friedel_mates_are_averaged() -> None:
    """A crystal and its mirror image scatter alike, though |F(hkl)| and |F(-h-k-l)| differ by dispersion."""
    crystal = triclinic()
    inverse = Crystal.canonical(
        crystal.lattice_A, crystal.species, crystal.occupancy, -crystal.fractional, crystal.u_iso_A2
    )
    here, there = compute_sticks(crystal, PAPER), compute_sticks(inverse, PAPER)
    np.testing.assert_allclose(here.intensity, there.intensity, rtol=1e-5, atol=1e-6 * here.intensity.max())


def test_doubling_all_occupancies_makes_four_times_the_intensity() -> None:
    crystal = triclinic()
    double = Crystal.canonical(
        crystal.lattice_A, crystal.species, 2 * crystal.occupancy, crystal.fractional, crystal.u_iso_A2
    )
    np.testing.assert_allclose(
        compute_sticks(double, PAPER).intensity, 4 * compute_sticks(crystal, PAPER).intensity, rtol=1e-12
    )


def test_a_shared_site_scatters_as_the_average_atom() -> None:
    """Half Mg and half Zn on one site is not the mean of the two patterns but the pattern of the mean atom."""
    shared = Crystal.canonical(3.0 * np.eye(3), ["Mg", "Zn"], np.array([0.5, 0.5]), np.zeros((2, 3)))
    table = scattering_table(("Mg", "Zn"), 0.619921)
    sticks = compute_sticks(shared, PAPER)
    s2 = (np.sin(np.radians(sticks.two_theta_deg[0] / 2)) / 0.619921) ** 2
    f = table.f0(np.array([s2]))[:, 0] + table.f1 + 1j * table.f2
    single = compute_sticks(Crystal.canonical(3.0 * np.eye(3), ["Zn"], np.ones(1), np.zeros((1, 3))), PAPER)
    ratio = sticks.intensity[0] / single.intensity[0]
    assert ratio == pytest.approx(abs(f.mean()) ** 2 / abs(f[1]) ** 2, rel=1e-9)


def test_a_doublet_gives_every_reflection_twice_with_its_own_share() -> None:
    doublet = compute_sticks(rutile(), Instrument.preset("cu_kalpha"))
    single = compute_sticks(rutile(), CU)
    first = doublet.line == 0
    np.testing.assert_allclose(doublet.two_theta_deg[first], single.two_theta_deg)
    np.testing.assert_allclose(doublet.intensity[first], single.intensity * 2 / 3, rtol=1e-12)
    assert np.all(np.diff(doublet.two_theta_deg) >= 0)
    assert np.count_nonzero(first) == np.count_nonzero(~first)
    np.testing.assert_allclose(
        np.add.reduceat(doublet.member_intensity, doublet.member_start[:-1]), doublet.intensity, rtol=1e-12
    )


def test_members_add_up_and_lie_where_their_stick_is() -> None:
    crystal = triclinic()
    sticks = compute_sticks(crystal, PAPER)
    np.testing.assert_allclose(
        np.add.reduceat(sticks.member_intensity, sticks.member_start[:-1]), sticks.intensity, rtol=1e-12
    )
    q = np.sqrt(np.einsum("ij,jk,ik->i", sticks.member_hkl, sticks.reciprocal_metric, sticks.member_hkl))
    position = 2 * np.degrees(np.arcsin(q * 0.619921 / 2))
    np.testing.assert_allclose(position, np.repeat(sticks.two_theta_deg, np.diff(sticks.member_start)), atol=1e-4)


def test_nothing_in_range_is_a_refusal_with_its_reason() -> None:
    tiny = Crystal.canonical(1.5 * np.eye(3), ["Fe"], np.ones(1), np.zeros((1, 3)))
    with pytest.raises(NoReflections, match=r"no reflection between 5\.0 and 20\.0 degrees") as caught:
        compute_sticks(tiny, PAPER)
    assert caught.value.reason == "no_reflections"


def test_an_element_without_form_factors_is_a_refusal_with_its_reason() -> None:
    unknown = Crystal.canonical(5.0 * np.eye(3), ["Es"], np.ones(1), np.zeros((1, 3)))
    with pytest.raises(NoFormFactor, match="'Es'") as caught:
        compute_sticks(unknown, PAPER)
    assert caught.value.reason == "no_form_factor"


def test_an_unknown_ion_is_reported_with_the_sticks() -> None:
    ionic = Crystal.canonical(5.0 * np.eye(3), ["Fe7+"], np.ones(1), np.zeros((1, 3)))
    assert compute_sticks(ionic, PAPER).warnings == ("Fe7+: no form factor for this ion, neutral Fe used",)
