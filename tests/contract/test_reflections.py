"""Reflections of the crystal, as datagen stores them and the trainer reads them, are those of the engine."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from curation.atoms import cell_parameters
from curation.crystal import Crystal
from datagen.simulate.augmentation import AugmentationSettings, draw
from datagen.simulate.instrument import Instrument
from datagen.simulate.native import from_sticks
from datagen.simulate.reflections import crystal_reflections, lattice_rotations
from datagen.simulate.sticks import compute_sticks
from trainer.data.reflections import Reflections, Sticks, on_instrument
from trainer.data.sources import stick_tensors
from trainer.simulate.broaden import broaden
from trainer.simulate.parameters import Instrument as DeviceInstrument
from trainer.simulate.parameters import Parameters

THIRD = 1 / 3


def crystal(lattice: NDArray[np.float64], species: list[str], places: list[list[float]]) -> Crystal:
    return Crystal.canonical(lattice, species, np.ones(len(species)), np.array(places))


HEXAGONAL = np.array([[4.9, 0, 0], [-2.45, 2.45 * np.sqrt(3), 0], [0, 0, 5.4]])
U = 0.385
PYRITE = [[0, 0, 0], [0.5, 0, 0.5], [0, 0.5, 0.5], [0.5, 0.5, 0]]
SULPHUR = [
    [s * x % 1 for s, x in zip((a, b, c), place, strict=True)]
    for a, b, c in ((1, 1, 1), (-1, -1, -1))
    for place in ([U, U, U], [0.5 - U, -U % 1, 0.5 + U], [-U % 1, 0.5 + U, 0.5 - U], [0.5 + U, 0.5 - U, -U % 1])
]
CRYSTALS = {
    # name: crystal, rotations of its point group, of its lattice
    "rock salt": (
        crystal(np.array([[0, 2.82, 2.82], [2.82, 0, 2.82], [2.82, 2.82, 0]]), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3]),
        (24, 24),
    ),
    "pyrite": (crystal(5.42 * np.eye(3), ["Fe"] * 4 + ["S"] * 8, [*PYRITE, *SULPHUR]), (12, 24)),
    "hexagonal": (
        crystal(HEXAGONAL, ["Ti", "O", "O"], [[0, 0, 0], [THIRD, 2 * THIRD, 0.3], [2 * THIRD, THIRD, 0.7]]),
        (6, 12),
    ),
    "cubic cell, no symmetry": (
        crystal(4.2 * np.eye(3), ["Na", "Cl", "O"], [[0, 0, 0], [0.13, 0.27, 0.41], [0.52, 0.66, 0.91]]),
        (1, 24),
    ),
}


def stored(of: Crystal, instrument: Instrument, d_min_A: float | None = None) -> Reflections:
    """What a reader finds, in the types of the store."""
    wavelengths = [line.wavelength_A for line in instrument.lines]
    found = crystal_reflections(of, d_min_A or instrument.d_min_A, wavelengths)
    return Reflections(
        found.d_A.astype(np.float32),
        found.f2.astype(np.float32),
        found.f2_lines.astype(np.float32),
        found.hkl.astype(np.int16),
        found.rotations,
        np.array(cell_parameters(of.lattice_A)),
        of.volume_A3,
    )


def read(of: Crystal, instrument: Instrument) -> Sticks:
    # Reflections beyond the range of the instrument are stored as well, and left out.
    return on_instrument(stored(of, instrument, 0.7), instrument.model_dump(), members=True)


@pytest.mark.parametrize("name", CRYSTALS)
def test_rotations_are_those_of_the_point_group(name: str) -> None:
    of, (point_group, lattice) = CRYSTALS[name]
    found = crystal_reflections(of, 1.0, [1.54])
    assert len(lattice_rotations(of.lattice_A)) == lattice
    assert len(found.rotations) == point_group
    np.testing.assert_array_equal(found.rotations[0], np.eye(3))
    assert (np.diff(found.d_A) <= 0).all()
    assert found.d_A[-1] >= 1.0


@pytest.mark.parametrize("preset", ["alphadiffract", "cu_kalpha"])
@pytest.mark.parametrize("name", CRYSTALS)
def test_what_the_trainer_reads_is_what_the_engine_computes(name: str, preset: str) -> None:
    """The old form of a dataset's reflections, position by position and area by area."""
    of, instrument = CRYSTALS[name][0], Instrument.preset(preset)
    exact, found = compute_sticks(of, instrument), read(of, instrument)
    for line in range(len(instrument.lines)):
        here, there = found.line == line, exact.line == line
        np.testing.assert_allclose(found.two_theta_deg[here], exact.two_theta_deg[there], atol=2e-5)
        np.testing.assert_allclose(
            found.intensity[here], exact.intensity[there], rtol=1e-6, atol=1e-7 * exact.intensity.max()
        )
    assert found.members is not None
    # The engine keeps members that symmetry forbids beside others of equal d; they have no intensity.
    allowed = (exact.member_intensity > 1e-9 * exact.member_intensity.max()).astype(np.int64)
    np.testing.assert_array_equal(np.sort(found.members), np.sort(np.add.reduceat(allowed, exact.member_start[:-1])))


@pytest.mark.parametrize("name", ["pyrite", "hexagonal"])
def test_texture_on_the_device_agrees_with_the_engine(name: str) -> None:
    of, instrument = CRYSTALS[name][0], Instrument.preset("alphadiffract").model_copy(update={"n_points": 1024})
    settings = AugmentationSettings(count=2, march_r=(0.4, 0.9))
    drawn = draw(settings, 3, of.structure_hash(), range(2))
    exact = from_sticks(compute_sticks(of, instrument), instrument, drawn, of).intensity
    columns = {n: torch.from_numpy(np.asarray(v, np.float64)) for n, v in drawn.columns().items()}
    parameters = Parameters(**{n: columns[n] for n in Parameters.__dataclass_fields__})
    sticks = stick_tensors([read(of, instrument)] * 2)
    found = broaden(sticks, parameters, DeviceInstrument.of_attributes(instrument.model_dump())).numpy()
    assert np.abs(found - exact).max() < 1e-3 * exact.max()
    assert np.abs(found[0] / found[0].max() - found[1] / found[1].max()).max() > 1e-2  # texture had an effect


def test_a_symmetry_that_the_atoms_break_is_not_used() -> None:
    of, _ = CRYSTALS["rock salt"]
    moved = of.fractional.copy()
    moved[1] += [0.01, 0.0, 0.0]
    lower = Crystal.canonical(of.lattice_A, of.species, of.occupancy, moved)
    assert len(crystal_reflections(lower, 1.0, [1.54]).rotations) < 24
