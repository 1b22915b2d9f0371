"""Preferred orientation: March and Dollase's correction, averaged over the equivalents of the axis."""

from __future__ import annotations

import numpy as np
import pytest
import spglib
from numpy.typing import NDArray

from curation.crystal import Crystal
from datagen.simulate.instrument import Instrument
from datagen.simulate.native import simulate
from datagen.simulate.profile import march_dollase
from datagen.simulate.sticks import compute_sticks
from datagen.simulate.texture import textured_intensity
from tests.simulate.crystals import one_augmentation, rock_salt, rutile, silicon, triclinic

PAPER = Instrument.preset("alphadiffract")


def _textured(axis: tuple[int, int, int], r: float):  # type: ignore[no-untyped-def]
    return one_augmentation(march_r=r).changed(march_hkl=np.array([axis]))


def _rotations(crystal: Crystal) -> NDArray[np.intc]:
    numbers = [sorted(set(crystal.species)).index(name) for name in crystal.species]
    found = spglib.get_symmetry_dataset((crystal.lattice_A, crystal.fractional, numbers), symprec=1e-4)
    return np.unique(found.rotations, axis=0)


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")
@pytest.mark.parametrize("make", [silicon, rock_salt, rutile])
@pytest.mark.parametrize("axis", [(0, 0, 1), (1, 0, 0), (1, 1, 0), (1, -1, 1)])
def test_it_is_the_mean_over_the_symmetry_equivalents_of_the_axis(make, axis) -> None:  # type: ignore[no-untyped-def]
    crystal = make()
    sticks = compute_sticks(crystal, PAPER)
    found = textured_intensity(sticks, _textured(axis, 0.5))[0]
    # hkl transform with the inverse transpose of the rotations of coordinates; the set of both is the same group.
    equivalents = np.unique(np.array([np.array(axis) @ w for w in _rotations(crystal)]), axis=0)
    expected = np.zeros(len(sticks))
    for i in range(len(sticks)):
        members = slice(sticks.member_start[i], sticks.member_start[i + 1])
        stars = np.unique(np.round(sticks.member_intensity[members] / sticks.member_intensity.max(), 9))
        for share in stars:
            here = np.isclose(sticks.member_intensity[members] / sticks.member_intensity.max(), share, atol=2e-9)
            one = sticks.member_hkl[members][here][:1]
            weights = [march_dollase(one, sticks.reciprocal_metric, a, 0.5)[0] for a in equivalents]
            expected[i] += sticks.member_intensity[members][here].sum() * np.mean(weights)
    # Of several stars at one |Q| and strength only one is looked at above: such sticks are left out.
    single = np.array(
        [
            len(_star(crystal, sticks.member_hkl[sticks.member_start[i]])) == np.diff(sticks.member_start)[i]
            for i in range(len(sticks))
        ]
    )
    assert single.sum() >= 2
    np.testing.assert_allclose(found[single], expected[single], rtol=1e-6)


def _star(crystal: Crystal, hkl: NDArray[np.int32]) -> set[tuple[int, ...]]:
    """One of each Friedel pair."""
    return {max(tuple(h), tuple(-h)) for h in np.array([hkl @ w for w in _rotations(crystal)])}


def test_equivalent_axes_give_the_same_pattern() -> None:
    a, b = (simulate(rutile(), PAPER, _textured(axis, 0.4)).intensity for axis in ((1, 0, 0), (0, -1, 0)))
    np.testing.assert_allclose(a, b, atol=1e-6 * a.max())


def test_a_random_powder_is_left_as_it_is() -> None:
    sticks = compute_sticks(triclinic(), PAPER)
    np.testing.assert_allclose(textured_intensity(sticks, _textured((1, 0, 0), 1.0))[0], sticks.intensity, rtol=1e-12)


def test_platelets_lying_flat_show_their_own_planes_more() -> None:
    sticks = compute_sticks(rutile(), PAPER)
    ratio = textured_intensity(sticks, _textured((0, 0, 1), 0.5))[0] / sticks.intensity
    planes = sticks.member_hkl[sticks.member_start[:-1]]
    assert ratio[np.flatnonzero((planes == [0, 0, 2]).all(axis=1))] == pytest.approx(0.5**-3)
    assert ratio[np.flatnonzero(planes[:, 2] == 0)] == pytest.approx(0.5**1.5)


def test_the_correction_is_one_on_average_over_the_sphere() -> None:
    """So texture moves intensity between peaks and does not make it."""
    cosine = np.linspace(0, 1, 20_001)
    for r in (0.4, 0.8, 2.5):
        assert np.trapezoid((r * r * cosine**2 + (1 - cosine**2) / r) ** -1.5, cosine) == pytest.approx(1, abs=1e-6)
