"""Every artefact has one physics: the engine's patterns and those of the trainer's device code are the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from curation.crystal import Crystal
from datagen.simulate import native
from datagen.simulate.augmentation import Augmentations, AugmentationSettings, draw
from datagen.simulate.instrument import Instrument
from datagen.simulate.parameters import PARAMETERS
from datagen.simulate.phase_library import density_g_cm3, library
from datagen.simulate.strain import largest_strain
from datagen.steps.row import strained_cells as cells_of_engine
from tests.contract.test_reflections import CRYSTALS, stored
from trainer.data.reflections import Sticks, on_instrument
from trainer.data.sources import stick_tensors
from trainer.simulate.broaden import broaden
from trainer.simulate.parameters import Instrument as DeviceInstrument
from trainer.simulate.parameters import Parameters
from trainer.simulate.second_phases import Phases
from trainer.simulate.strained import strained_cells

N = 3
LABORATORY = Instrument.preset("cu_kalpha").model_copy(update={"n_points": 2048, "two_theta_max_deg": 70.0})
TRANSMISSION = LABORATORY.model_copy(update={"geometry": "transmission"})
CASES: dict[str, dict[str, Any]] = {
    "strain_isotropic": {"strain_isotropic": (-0.02, 0.02)},
    "strain_anisotropic": {"strain_anisotropic": (-0.01, 0.01), "strain_isotropic": (-0.01, 0.01), "march_r": (0.5, 2)},
    "overall_B_A2": {"overall_B_A2": (1.0, 3.0)},
    "size_ratio": {"size_ratio": (0.3, 0.5), "crystallite_size_um": (0.02, 0.03)},
    "further_lines": {"further_lines": (0.0, 0.5)},
    "roughness": {"roughness": (0.3, 0.6)},
    "absorption_mu_r": {"absorption_mu_r": (0.5, 1.0)},
    "background_height": {"background_height": (0.1, 0.3)},
    "air_height": {"air_height": (0.2, 0.5)},
    "second_hump_height": {"second_hump_height": (0.1, 0.2)},
    "hump_height": {"hump_height": (0.1, 0.2)},
    "background_window": {"background_height": (0.1, 0.3), "background_window": (0.02, 0.03)},
    "second_phases": {"second_phases": (1, 3), "phase_fraction": (0.05, 0.2), "strain_isotropic": (-0.02, 0.02)},
    "impurity_peaks": {"impurity_peaks": (1, 4), "impurity_height": (0.02, 0.05)},
    "march_r": {"march_r": (0.4, 0.7)},
    "displacement_um": {"displacement_um": (100.0, 200.0)},
    "zero_shift_deg": {"zero_shift_deg": (0.05, 0.1)},
    "X_cdeg": {"X_cdeg": (3.0, 5.0)},
    "Y_cdeg": {"Y_cdeg": (5.0, 9.0)},
}
"""Ranges in which each effect is large."""


def parameters_of(drawn: Augmentations) -> Parameters:
    columns = {name: torch.from_numpy(np.asarray(values, np.float64)) for name, values in drawn.columns().items()}
    return Parameters(**{name: columns[name] for name in Parameters.__dataclass_fields__})


def read(of: Crystal, instrument: Instrument, strain: float) -> Sticks:
    d_min_A = instrument.d_min_A / (1.0 + strain)
    return on_instrument(stored(of, instrument, d_min_A), instrument.model_dump(), members=True, strain=strain)


def on_device(of: Crystal, instrument: Instrument, drawn: Augmentations, settings: AugmentationSettings) -> Any:
    """Patterns and cells from stored reflections; second phases are those of the library that were drawn."""
    sticks = stick_tensors([read(of, instrument, largest_strain(settings))] * len(drawn))
    chosen = np.unique(drawn.phase_number[drawn.phase_number >= 0])
    phases = None
    if len(chosen):
        crystals = [library()[number].crystal for number in chosen.tolist()]
        numbers = np.where(drawn.phase_number >= 0, np.searchsorted(chosen, drawn.phase_number), 0)
        drawn = drawn.changed(phase_number=numbers)
        density = torch.tensor([density_g_cm3(each) for each in crystals])
        own = torch.full((len(drawn),), density_g_cm3(of))
        phases = Phases(stick_tensors([read(each, instrument, 0.0) for each in crystals]), density, own)
    parameters = parameters_of(drawn)
    device = DeviceInstrument.of_attributes(instrument.model_dump())
    cells = strained_cells(sticks, parameters, torch.zeros(len(drawn), 6, dtype=torch.float64))
    return broaden(sticks, parameters, device, phases).numpy(), cells.numpy()


def test_every_artefact_has_a_case() -> None:
    assert set(CASES) == {p.name for p in PARAMETERS if p.is_augmentation}


@pytest.mark.parametrize("name", CASES)
def test_the_device_makes_the_pattern_of_the_engine(name: str) -> None:
    of = CRYSTALS["hexagonal"][0]
    instrument = TRANSMISSION if name == "absorption_mu_r" else LABORATORY
    settings = AugmentationSettings(count=N, **CASES[name])
    drawn = draw(settings, 1, of.structure_hash(), range(N))
    made = native.simulate(of, instrument, drawn)
    found, cells = on_device(of, instrument, drawn, settings)
    top = made.maximum[:, None]
    worst = (np.abs(found - made.intensity) / top).max()
    assert worst < 3e-4
    plain = draw(AugmentationSettings(count=N), 1, of.structure_hash(), range(N))
    without = native.simulate(of, instrument, plain)
    # The effect is far larger than the difference.
    change = (np.abs(made.intensity / top - without.intensity / without.maximum[:, None])).max()
    assert change > max(30 * worst, 2e-3)
    if settings.strain_isotropic != (0, 0):
        np.testing.assert_allclose(cells, cells_of_engine(made, drawn, of), rtol=1e-9)


def test_all_artefacts_together_are_the_same_on_both_sides() -> None:
    of = CRYSTALS["pyrite"][0]
    settings = AugmentationSettings(preset="measured", count=4)
    drawn = draw(settings, 5, of.structure_hash(), range(4))
    made = native.simulate(of, LABORATORY, drawn)
    found, _ = on_device(of, LABORATORY, drawn, settings)
    assert (np.abs(found - made.intensity) / made.maximum[:, None]).max() < 3e-4
