"""The table of augmentation parameters, and what follows from one more entry."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import datagen
from datagen.simulate.augmentation import Augmentations, AugmentationSettings, draw
from datagen.simulate.parameter import MAX_IMPURITY_PEAKS
from datagen.simulate.parameters import PARAMETERS, stream_length
from datagen.steps.layout import known_draws
from tests.datagen.small_runs import write_cifs

ROOT = Path(__file__).resolve().parents[2]
SLOTS = {
    "microstrain": 0,
    "crystallite_size_um": 1,
    "U_cdeg2": 2,
    "V_cdeg2": 3,
    "W_cdeg2": 4,
    "X_cdeg": 5,
    "Y_cdeg": 6,
    "zero_shift_deg": 7,
    "displacement_um": 8,
    "march_r": 9,
    "march_hkl": 10,
    "impurity_peaks": 11,
    "hump_height": 12,
    "hump_d_A": 13,
    "hump_fwhm_deg": 14,
    "impurity_position": 16,
    "impurity_height": 24,
    "second_phases": 39,
    "phase_fraction": 41,
    "phase_number": 44,
    "phase_microstrain": 47,
    "phase_size_um": 50,
    "strain_isotropic": 53,
    "strain_anisotropic": 55,
    "overall_B_A2": 62,
    "size_ratio": 64,
    "size_hkl": 66,
    "further_lines": 67,
    "roughness": 69,
    "roughness_depth": 71,
    "absorption_mu_r": 72,
    "background_height": 74,
    "background_chebyshev": 76,
    "air_height": 79,
    "air_decay_deg": 81,
    "second_hump_height": 82,
    "second_hump_d_A": 84,
    "second_hump_fwhm_deg": 85,
    "background_window": 86,
}
PROBABILITY_SLOTS = {
    "X_cdeg": 32,
    "Y_cdeg": 33,
    "zero_shift_deg": 34,
    "displacement_um": 35,
    "march_r": 36,
    "impurity_peaks": 37,
    "hump_height": 38,
    "second_phases": 40,
    "strain_isotropic": 54,
    "strain_anisotropic": 61,
    "overall_B_A2": 63,
    "size_ratio": 65,
    "further_lines": 68,
    "roughness": 70,
    "absorption_mu_r": 73,
    "background_height": 75,
    "air_height": 80,
    "second_hump_height": 83,
    "background_window": 87,
}


def test_the_slots_of_the_stream_are_those_of_published_datasets_and_do_not_overlap() -> None:
    assert {p.name: p.slot for p in PARAMETERS if p.name in SLOTS} == SLOTS
    assert {p.name: p.probability_slot for p in PARAMETERS if p.name in PROBABILITY_SLOTS} == PROBABILITY_SLOTS
    taken = [slot for p in PARAMETERS for slot in p.slots]
    assert len(taken) == len(set(taken))
    assert stream_length(PARAMETERS) == 88


def test_draws_are_those_of_published_datasets() -> None:
    drawn = draw(AugmentationSettings(preset="realistic"), 3, "ab" * 16, [0, 41])
    assert drawn.microstrain.tolist() == [2872.9442929366487, 1691.2628135488146]
    assert drawn.march_r.tolist() == pytest.approx([0.9846684554429072, 0.526879327622557], rel=1e-14)
    assert drawn.march_hkl.tolist() == [[0, 0, 1], [1, 1, 0]]
    assert np.count_nonzero(drawn.impurity_height, axis=1).tolist() == [0, 2]
    assert drawn.impurity_height[1, :2].tolist() == pytest.approx([0.03148471242357788, 0.005339824061765077], 1e-14)


def test_values_settings_and_stored_variables_are_those_of_the_table() -> None:
    settings = AugmentationSettings()
    given = [p.name for p in PARAMETERS if p.default is not None]
    assert list(AugmentationSettings.model_fields) == ["preset", "count", "phase_library", *given, "probability"]
    assert list(type(settings.probability).model_fields) == [p.name for p in PARAMETERS if p.is_augmentation]
    stored = [p.name for p in PARAMETERS if p.stored]
    assert list(draw(settings, 0, "h", [0]).columns()) == ["index", *stored]
    assert {d.name for d in known_draws()} == {*stored, "strained_cell"}
    heights = next(d for d in known_draws() if d.name == "impurity_height")
    assert heights.axis == ("impurity", MAX_IMPURITY_PEAKS)


def test_given_values_are_checked_by_name() -> None:
    width = {"microstrain": [1], "crystallite_size_um": [1], "U_cdeg2": [0], "V_cdeg2": [0], "W_cdeg2": [1]}
    with pytest.raises(TypeError, match="unknown parameter 'microstrian'"):
        Augmentations.of(**width, microstrian=[1])
    with pytest.raises(TypeError, match="'W_cdeg2' is missing"):
        Augmentations.of(**{name: value for name, value in width.items() if name != "W_cdeg2"})
    with pytest.raises(TypeError, match="no parameter 'march'"):
        Augmentations.of(**width).changed(march=np.ones(1))
    with pytest.raises(AttributeError, match="no parameter 'march'"):
        Augmentations.of(**width).march  # noqa: B018


def test_a_new_entry_of_the_table_is_a_setting_a_draw_and_a_stored_variable(tmp_path: Path) -> None:
    cifs = write_cifs(tmp_path / "cifs", ["halite"])
    command = [sys.executable, "-m", "tests.simulate.new_parameter", str(cifs), str(tmp_path / "out.zarr")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    values = np.array(found["values"])
    assert values.shape == (3,)
    assert (values >= 0.1).all()
    assert (values <= 0.2).all()
    assert len(set(values)) == 3
    assert found["attributes"]["long_name"] == "Flat background, of the highest point without it"
    assert found["attributes"]["units"] == "1"
    assert found["steps"] == 0
    assert float(found["replayed"]) == pytest.approx(values[1], rel=1e-5)
    assert found["documented"]
    # The pattern has it, and every other parameter keeps the value it had.
    assert found["lowest"] == pytest.approx(values / (1 + values), abs=1e-2)
    structure_hash = datagen.curate(next(cifs.glob("*.cif"))).structure_hash
    unchanged = draw(AugmentationSettings(), 0, structure_hash, range(3))
    assert found["microstrain"] == unchanged.microstrain.tolist()
