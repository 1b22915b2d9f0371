"""`datagen calibrate`: known parameters come back, Rwp is that of counting, and a classifier sees what differs."""

from __future__ import annotations

import csv
import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from catalogs.record import Record
from curation.curate import curate_record
from curation.settings import CurationSettings
from curation.verdict import Verdict
from datagen.commands.app import app
from datagen.config.config import parse_config
from datagen.config.measured import MeasuredSettings
from datagen.errors import DatagenError, StoreError
from datagen.measured.curate import examine
from datagen.measured.fit import fit_scan
from datagen.measured.laboratory import fit_dataset, ranges_of
from datagen.measured.two_sample import auc
from datagen.measured.write import write_measured
from datagen.simulate import native
from datagen.simulate.augmentation import Augmentations
from datagen.simulate.instrument import Instrument
from tests.measured.test_curate import cif
from trainer.scans.scan import Scan

WIDE = Instrument.preset("cu_kalpha").model_copy(
    update={"two_theta_min_deg": 8.0, "two_theta_max_deg": 95.0, "n_points": 4351, "sh_over_l": 0.02}
)
NAMES = ("quartz", "halite", "rutile")
TRUE = {
    "U_cdeg2": 5.0,
    "V_cdeg2": -5.0,
    "W_cdeg2": 6.0,
    "crystallite_size_um": 0.15,
    "microstrain": 1200.0,
    "displacement_um": -80.0,
}


def labels(name: str) -> Verdict:
    return curate_record(Record("test", name, cif(name), name, "CC0-1.0"), CurationSettings.model_validate({}))


def counts(name: str, seed: int, **changed: float) -> np.ndarray:
    values = {key: [value] for key, value in {**TRUE, **changed}.items()}
    planes = {"march_hkl": np.array([[0, 0, 1]])} if "march_r" in changed else {}
    pattern = native.simulate(labels(name).crystal, WIDE, Augmentations.of(**values, **planes)).intensity[0]
    x = WIDE.two_theta_deg
    expected = 20_000 * pattern / pattern.max() + 150 + 900 / x
    return np.random.default_rng(seed).poisson(expected).astype(float)


def scan(name: str, seed: int = 0, **changed: float) -> Scan:
    return Scan.from_arrays(WIDE.two_theta_deg, counts(name, seed, **changed), 1.5405929, unit="counts")


@pytest.mark.parametrize("name", NAMES)
def test_known_parameters_come_back_and_rwp_is_that_of_counting(name: str) -> None:
    found = fit_scan(scan(name), 1.5405929, labels(name), Instrument.preset("cu_kalpha"))
    assert found.rwp < 1.15 * found.expected
    assert found.parameters["crystallite_size_um"] == pytest.approx(0.15, rel=0.25)
    assert found.parameters["microstrain"] == pytest.approx(1200, rel=0.5)
    assert found.parameters["sh_over_l"] == pytest.approx(0.02, rel=0.4)
    assert found.parameters["march_r"] == pytest.approx(1.0, abs=0.05)
    # A changed cell does part of what a displaced sample does.
    assert found.parameters["displacement_um"] == pytest.approx(-80, abs=25)
    assert found.parameters["alpha2_ratio"] == pytest.approx(0.5, abs=0.05)
    assert found.cell_change < 5e-4
    assert found.counts == pytest.approx(20_000, rel=0.1)


def test_texture_is_found() -> None:
    found = fit_scan(scan("quartz", march_r=0.6), 1.5405929, labels("quartz"), Instrument.preset("cu_kalpha"))
    assert found.parameters["march_r"] == pytest.approx(0.6, abs=0.08)
    assert found.march_hkl == (0, 0, 1)
    assert found.rwp < 1.2 * found.expected


def test_a_wrong_cell_is_corrected() -> None:
    off = labels("halite")
    text = cif("halite").replace("5.64056", "5.66")
    assert text != cif("halite")
    wrong = curate_record(Record("test", "h", text, "h", "CC0-1.0"), CurationSettings.model_validate({}))
    found = fit_scan(scan("halite"), 1.5405929, wrong, Instrument.preset("cu_kalpha"))
    right = fit_scan(scan("halite"), 1.5405929, off, Instrument.preset("cu_kalpha"))
    assert found.rwp == pytest.approx(right.rwp, rel=0.1)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("calibrate") / "scans"
    folder.mkdir()
    rng = np.random.default_rng(3)
    for number in range(2):
        for name in NAMES:
            size = float(rng.uniform(0.08, 0.2))
            y = counts(name, number, crystallite_size_um=size, displacement_um=float(rng.uniform(-150, -50)))
            lines = "\n".join(f"{a:.4f} {b:.0f}" for a, b in zip(WIDE.two_theta_deg, y, strict=True))
            (folder / f"{name}{number}.xy").write_text("# wavelength 1.5405929\n" + lines)
            (folder / f"{name}{number}.cif").write_text(cif(name))
    instrument = Instrument.preset("cu_kalpha").model_copy(update={"n_points": 4096})
    write_measured(folder, folder.with_suffix(".zarr"), MeasuredSettings.model_validate({}), instrument, "ours")
    return folder.with_suffix(".zarr")


def test_the_command_writes_ranges_that_a_configuration_takes(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "laboratory"
    result = CliRunner().invoke(app, ["calibrate", str(dataset), "--out", str(out), "--workers", "1"])
    assert result.exit_code == 0, result.output
    found = json.loads((out / "calibration.json").read_text())
    assert (found["scans"], found["fitted"], found["good_fits"]) == (6, 6, 6)
    assert found["median_rwp"] < 1.2 * found["median_rwp_by_counting"]
    low, high = found["ranges"]["displacement_um"]
    assert -180 < low < high < -20
    low, high = found["ranges"]["crystallite_size_um"]
    assert 0.06 < low < high < 0.26
    assert set(found["two_sample_area"]) == {"alphadiffract", "realistic", "calibrated"}
    content = tomllib.loads((out / "simulation.toml").read_text())
    content["catalog"] = [{"kind": "examples"}]
    config = parse_config(content, where="test", base=tmp_path)
    assert list(config.simulation.augmentation.displacement_um) == found["ranges"]["displacement_um"]
    assert config.simulation.instrument.sh_over_l == found["sh_over_l"]
    with (out / "fits.csv").open(newline="") as source:
        rows = list(csv.DictReader(source))
    assert [row["scan"] for row in rows] == sorted(f"{name}{i}.xy" for name in NAMES for i in range(2))
    assert all(0 < float(row["rwp"]) < 0.2 for row in rows)
    assert (out / "fits.png").stat().st_size > 10_000
    assert (out / "distributions.png").exists()
    again = CliRunner().invoke(app, ["calibrate", str(dataset), "--out", str(out)])
    assert "exists already" in str(again.exception)


def test_ranges_need_good_fits(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(DatagenError, match="expected at least 3 good fits"):
        ranges_of([])
    from tests.trainer import datasets

    datasets.make(tmp_path / "simulated")
    with pytest.raises(StoreError, match="expected a dataset of measured patterns"):
        fit_dataset(tmp_path / "simulated")


def test_a_classifier_tells_wide_peaks_from_narrow_ones_and_nothing_from_nothing() -> None:
    x = np.arange(2000)
    rng = np.random.default_rng(0)

    def patterns(width: float, count: int) -> list[np.ndarray]:
        found = []
        for _ in range(count):
            at, height = rng.uniform(0, 2000, 20), rng.random(20)
            y = (height * np.exp(-0.5 * ((x[:, None] - at) / width) ** 2)).sum(axis=1)
            y = rng.poisson(y * 500 + 20).astype(float)
            found.append(y / y.max())
        return found

    groups = [str(i) for i in range(60)]
    assert auc(patterns(4, 60), patterns(9, 60), groups) > 0.95
    assert 0.3 < auc(patterns(4, 60), patterns(4, 60), groups) < 0.7


@pytest.mark.parametrize(("folder", "rwp"), [("pbso4", 0.10), ("fluorapatite", 0.11)])
def test_published_scans_are_fitted(shared_data: Path, folder: str, rwp: float) -> None:
    """Unrefined, with scale and background only, they are at 0.27 and 0.113."""
    (found,) = examine(shared_data / "measured" / folder, MeasuredSettings.model_validate({}))
    assert found.labels.accepted
    assert found.verdict.wavelength_A == 1.5405
    fit = fit_scan(found.entry.read(), 1.5405, found.labels, Instrument.preset("cu_kalpha"))
    assert fit.rwp < rwp
