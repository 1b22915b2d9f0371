"""A scan of a crystal with another cell gives that cell back, with its uncertainties; so does Le Bail's extraction."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import datagen
from catalogs.example_set import FOLDER
from curation.crystal import Crystal
from curation.settings import CurationSettings
from datagen.commands.app import app
from datagen.errors import DatagenError
from datagen.identification.refinement.measurement import SYNCHROTRON, TUBE, measurement_of
from datagen.identification.refinement.model import Measurement, Model, parameters_of
from datagen.identification.refinement.phase import phase_of
from datagen.identification.refinement.refine import refine
from datagen.inspect.structure_input import record_of
from datagen.inspect.subject import subject_of
from datagen.simulate import native
from datagen.simulate.augmentation import AugmentationSettings, draw
from datagen.simulate.instrument import Instrument, Line

ANGLES = np.arange(15.0, 85.0, 0.04)
LINES = (1.5405929, 1.5444274)
runner = CliRunner()


def crystal_of(name: str) -> Crystal:
    found = subject_of(record_of(FOLDER / f"{name}.cif"), CurationSettings.model_validate({})).crystal
    assert found is not None
    return found


def scan_of(name: str, *, strain: list[float], march_r: float = 1.0, seed: int = 0, **changes: float) -> Measurement:
    """Return counts of a crystal with these strains, drawn from the model itself, with a background and noise."""
    empty = Measurement(ANGLES, np.ones(len(ANGLES)), np.ones(len(ANGLES)), LINES, (2 / 3, 1 / 3), TUBE)
    phase = phase_of(crystal_of(name), name, LINES[0], empty.q_range)
    values = {p.name: p.start for p in parameters_of(phase)}
    values |= {"U_cdeg2": 3.0, "V_cdeg2": -1.0, "W_cdeg2": 8.0, "X_cdeg": 4.0, "Y_cdeg": 3.0} | changes
    values |= {f"strain_{k}": s for k, s in enumerate(strain)} | {"march_r": march_r}
    axis = np.array([0.0, 0, 1]) if march_r != 1 else None
    pattern = Model(phase, empty, texture_axis=axis).pattern(values)
    expected = 12_000 * pattern / pattern.max() + 300 - 2 * (ANGLES - 15)
    counts = np.random.default_rng(seed).poisson(expected).astype(float)
    return Measurement(ANGLES, counts, np.sqrt(np.maximum(counts, 1)), LINES, (2 / 3, 1 / 3), TUBE)


def true_cell(name: str, strain: list[float]) -> np.ndarray:
    phase = phase_of(crystal_of(name), name, LINES[0], (0.1, 0.9))
    return phase.conventional_cell(np.array(strain))


@pytest.mark.parametrize(
    ("name", "strain"),
    [
        ("halite", [0.012]),
        ("quartz", [-0.009, 0.002]),
        ("aragonite", [0.004, 0.001, -0.002]),
    ],
)
def test_the_cell_of_a_strained_crystal_comes_out(name: str, strain: list[float]) -> None:
    measured = scan_of(name, strain=strain, zero_deg=0.03)
    phase = phase_of(crystal_of(name), name, LINES[0], measured.q_range)
    assert len(phase.strains) == len(strain)
    found = refine(phase, measured)
    wanted = true_cell(name, strain)
    np.testing.assert_allclose(found.cell[:3], wanted[:3], rtol=2e-4)
    off = np.abs(found.cell - wanted)[:3] / found.cell_uncertainty[:3]
    assert off.max() < 5
    assert found.fit.values["zero_deg"] == pytest.approx(0.03, abs=0.01)
    assert found.goodness == pytest.approx(1.0, abs=0.12)
    assert found.cell_uncertainty[3:].max() < 1e-9


def test_le_bail_needs_no_intensities() -> None:
    measured = scan_of("quartz", strain=[0.004, 0.001], march_r=0.6)
    phase = phase_of(crystal_of("quartz"), "quartz", LINES[0], measured.q_range)
    by_structure, le_bail = refine(phase, measured), refine(phase, measured, le_bail=True)
    np.testing.assert_allclose(le_bail.cell[:3], true_cell("quartz", [0.004, 0.001])[:3], rtol=3e-4)
    assert le_bail.r_wp < 0.8 * by_structure.r_wp


def test_texture_comes_out() -> None:
    measured = scan_of("quartz", strain=[0.0, 0.0], march_r=0.7)
    phase = phase_of(crystal_of("quartz"), "quartz", LINES[0], measured.q_range)
    found = refine(phase, measured, texture_axis=(0, 0, 1))
    assert found.fit.values["march_r"] == pytest.approx(0.7, abs=0.02)
    assert found.goodness == pytest.approx(1.0, abs=0.12)


def test_a_displaced_sample_is_told_from_a_zero_shift(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = scan_of("aragonite", strain=[0.0, 0.0, 0.0], displacement_um=150.0)
    phase = phase_of(crystal_of("aragonite"), "aragonite", LINES[0], measured.q_range)
    displaced, zero = refine(phase, measured, shift="displacement_um"), refine(phase, measured)
    assert displaced.fit.values["displacement_um"] == pytest.approx(150, abs=40)
    assert displaced.fit.chi2 < zero.fit.chi2
    np.testing.assert_allclose(displaced.cell[:3], true_cell("aragonite", [0.0, 0.0, 0.0])[:3], rtol=2e-4)
    assert displaced.to_dict()["radius_mm"] == 200.0
    assert "radius_mm" not in zero.to_dict()
    given: dict[str, object] = {}
    monkeypatch.setattr("datagen.api.refine", lambda *_, **options: given.update(options) or displaced)
    shown = runner.invoke(app, ["refine", "scan.xy", "a.cif", "--shift", "displacement", "--radius", "200"])
    assert given["radius_mm"] == 200.0
    assert "displacement for a goniometer radius of 200 mm (--radius)" in shown.output


def test_the_model_is_the_engines_pattern() -> None:
    """Without background and shift it agrees with a simulated pattern of the same widths."""
    instrument = Instrument(
        lines=(Line(wavelength_A=LINES[0], weight=2 / 3), Line(wavelength_A=LINES[1], weight=1 / 3)),
        polarisation=TUBE,
        sh_over_l=0.01,
        two_theta_min_deg=15.0,
        two_theta_max_deg=float(ANGLES[-1]),
        n_points=len(ANGLES),
    )
    crystal = crystal_of("rutile")
    drawn = draw(AugmentationSettings(microstrain=(1.0, 1.0), crystallite_size_um=(1.0, 1.0)), 0, "x", [0])
    simulated = native.simulate(crystal, instrument, drawn).intensity[0]
    empty = Measurement(ANGLES, simulated, simulated, LINES, (2 / 3, 1 / 3), TUBE)
    phase = phase_of(crystal, "rutile", LINES[0], empty.q_range)
    values = {p.name: p.start for p in parameters_of(phase)}
    values |= {name: float(getattr(drawn, name)[0]) for name in ("U_cdeg2", "V_cdeg2", "W_cdeg2", "X_cdeg", "Y_cdeg")}
    # Size and microstrain as X and Y: 0.018 degrees per unit of lambda / (pi size), 0.018 / pi cdeg of microstrain.
    values["X_cdeg"] += 1.8 * LINES[0] / (np.pi * float(drawn.crystallite_size_um[0]))
    values["Y_cdeg"] += 0.018 * float(drawn.microstrain[0]) / np.pi
    model = Model(phase, empty).pattern(values)
    np.testing.assert_allclose(model / model.max(), simulated / simulated.max(), atol=2e-3)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    measured = scan_of("quartz", strain=[0.003, 0.0])
    np.savetxt(tmp_path / "quartz.xy", np.column_stack([measured.two_theta_deg, measured.intensity]), fmt="%.3f %d")
    return tmp_path


def test_the_command_and_python(files: Path) -> None:
    command = ["refine", str(files / "quartz.xy"), str(FOLDER / "quartz.cif"), "--wavelength", "CuKa"]
    plain = runner.invoke(app, [*command, "--plot", str(files / "q.png")])
    assert plain.exit_code == 0, plain.output
    assert "goodness of fit" in plain.output
    assert (files / "q.png").stat().st_size > 10_000
    found = json.loads(runner.invoke(app, [*command, "--json"]).stdout)
    again = datagen.refine(files / "quartz.xy", FOLDER / "quartz.cif", wavelength="CuKa")
    assert found["cell"]["a"] == pytest.approx(again.cell[0])
    assert found["r_wp"] == pytest.approx(again.r_wp)
    assert repr(again).startswith("<Refinement quartz")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "states no wavelength"),
        ({"wavelength": "CuKa", "shift": "left"}, "expected zero, displacement, both"),
        ({"wavelength": "nothing"}, "expected a length"),
        ({"wavelength": 25.0}, "expected a length"),
        ({"wavelength": "CuKa", "le_bail": True, "texture": (0, 0, 1)}, "texture has no effect"),
        ({"wavelength": "CuKa", "radius_mm": 150.0}, "has no effect on a zero shift"),
        ({"wavelength": "CuKa", "radius_mm": 0.0, "shift": "both"}, "expected more than 0 mm"),
    ],
)
def test_mistakes_are_sentences(files: Path, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(DatagenError, match=message):
        datagen.refine(files / "quartz.xy", FOLDER / "quartz.cif", **arguments)  # type: ignore[arg-type]


def test_the_polarisation_follows_the_wavelength(files: Path) -> None:
    scan = files / "quartz.xy"
    assert measurement_of(scan, "CuKa1").polarisation == TUBE
    assert measurement_of(scan, "20keV").polarisation == SYNCHROTRON
    assert measurement_of(scan, "CuKa").wavelengths_A == LINES
    assert measurement_of(scan, "CuKa1", 0.7).polarisation == 0.7


def test_a_displacement_is_that_of_the_goniometers_radius(files: Path) -> None:
    far = measurement_of(files / "quartz.xy", "CuKa1")
    near = measurement_of(files / "quartz.xy", "CuKa1", radius_mm=100.0)
    assert far.radius_mm == 200.0
    phase = phase_of(crystal_of("quartz"), "quartz", LINES[0], far.q_range)
    values = {p.name: p.start for p in parameters_of(phase)}
    displaced = [Model(phase, m).pattern(values | {"displacement_um": m.radius_mm}) for m in (far, near)]
    np.testing.assert_allclose(displaced[0], displaced[1], rtol=1e-9)
