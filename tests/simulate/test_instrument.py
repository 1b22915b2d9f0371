"""The instrument: presets, grid and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from curation.settings import HC_KEV_A
from datagen.errors import EngineError
from datagen.simulate import engine
from datagen.simulate.instrument import PRESETS, Instrument


def test_the_papers_instrument_is_the_papers() -> None:
    instrument = Instrument.preset("alphadiffract")
    grid = instrument.two_theta_deg
    assert (grid[0], grid[-1], grid.size) == (5.0, 20.0, 8192)
    assert HC_KEV_A / instrument.lines[0].wavelength_A == pytest.approx(20.0, abs=1e-4)
    assert np.diff(grid) == pytest.approx(instrument.step_deg)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_a_round_trip_through_text(name: str) -> None:
    instrument = Instrument.preset(name)
    assert Instrument.model_validate_json(instrument.model_dump_json()) == instrument


@pytest.mark.parametrize(
    "change", [{"two_theta_max_deg": 4.0}, {"lines": ()}, {"wavelenght": 1}, {"polarisation": 1.2}]
)
def test_unusable_instruments_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Instrument.model_validate({**Instrument.preset("alphadiffract").model_dump(), **change})


def test_an_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="cu_kalpha1"):
        Instrument.preset("copper")


def test_an_unknown_engine_names_the_known_ones() -> None:
    with pytest.raises(EngineError, match="native, gsas2"):
        engine("fullprof")
