"""The figure of docs/augmentations.md: barite with each artefact alone, beside a measured scan of barite.

    python -m benchmarks.artefacts [--scan FILE.xy] [--out docs/augmentations.png]

The scan is that of RRUFF's barite R040036 in the test data unless another one is given.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

import datagen
from benchmarks._data import data_folder
from catalogs.example_set import FOLDER
from curation.crystal import Crystal
from datagen.simulate import native
from datagen.simulate.augmentation import Augmentations, AugmentationSettings, draw
from datagen.simulate.instrument import Instrument
from datagen.simulate.phase_library import library

Array = NDArray[np.float64]
INSTRUMENT = Instrument.preset("cu_kalpha").model_copy(update={"two_theta_max_deg": 70.0, "n_points": 6001})
PLAIN = {"U_cdeg2": 12.05, "V_cdeg2": -13.67, "W_cdeg2": 5.0, "microstrain": 1000.0, "crystallite_size_um": 0.26}
"""About the median of RRUFF's scans (`datagen calibrate`)."""
ARTEFACTS: dict[str, dict[str, Any]] = {
    "strain_isotropic 0.008": {"strain_isotropic": 0.008},
    "strain_anisotropic xx -0.008, zz 0.008": {"strain_anisotropic": (-0.008, 0, 0.008, 0, 0, 0)},
    "overall_B_A2 3": {"overall_B_A2": 3.0},
    "size_ratio 0.3 along 0 0 1, width 60 nm": {"size_ratio": 0.3, "size_hkl": (0, 0, 1), "crystallite_size_um": 0.06},
    "march_r 0.6 along 1 0 0": {"march_r": 0.6, "march_hkl": (1, 0, 0)},
    "further_lines 0": {"further_lines": 0.0},
    "roughness 0.5": {"roughness": 0.5, "roughness_depth": 0.15},
    "absorption_mu_r 1, in transmission": {"absorption_mu_r": 1.0, "geometry": "transmission"},
    "displacement_um 185": {"displacement_um": 185.0},
    "zero_shift_deg 0.02": {"zero_shift_deg": 0.02},
    "X_cdeg 2, Y_cdeg 5": {"X_cdeg": 2.0, "Y_cdeg": 5.0},
    "impurity_peaks 3": {"impurity_height": (0.05, 0.04, 0.03), "impurity_position": (0.06, 0.37, 0.71)},
    "second_phases: 20 % quartz, 10 % calcite": {
        "phase_fraction": (0.2, 0.1, 0.0),
        "phase_number": ("quartz", "calcite", None),
        "phase_microstrain": (1000.0, 1000.0, 0.0),
        "phase_size_um": (0.3, 0.3, 0.0),
    },
    "background_height 0.15, air_height 0.3": {
        "background_height": 0.15,
        "background_chebyshev": (-0.3, 0.2, -0.1),
        "air_height": 0.3,
        "air_decay_deg": 6.0,
    },
    "hump_height 0.1, second_hump_height 0.05": {
        "hump_height": 0.1,
        "hump_fwhm_deg": 8.0,
        "second_hump_height": 0.05,
        "second_hump_fwhm_deg": 14.0,
    },
    "background_window 0.025, of both backgrounds": {
        "background_height": 0.15,
        "background_chebyshev": (-0.3, 0.2, -0.1),
        "air_height": 0.3,
        "air_decay_deg": 6.0,
        "hump_height": 0.1,
        "hump_fwhm_deg": 8.0,
        "background_window": 0.025,
    },
}
"""What each panel has beside `PLAIN`."""
VIEWS: dict[str, tuple[float, float]] = {
    "strain_isotropic": (40.0, 50.0),
    "strain_anisotropic": (40.0, 50.0),
    "overall_B_A2": (40.0, 70.0),
    "further_lines": (41.5, 45.0),
    "roughness": (14.0, 34.0),
    "absorption_mu_r": (59.0, 70.0),
    "displacement_um": (24.0, 30.0),
    "zero_shift_deg": (24.0, 30.0),
    "X_cdeg": (24.0, 30.0),
    "impurity_peaks": (10.0, 45.0),
    "second_phases": (19.0, 34.0),
}
"""Angles of a panel by the first word of its title; the others show the whole range."""
COUNTS = 1450
"""At the maximum of the patterns with noise: the median of RRUFF's scans."""


def main() -> None:
    """Draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scan", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/augmentations.png"))
    given = parser.parse_args()
    crystal = datagen.curate(FOLDER / "barite.cif").crystal
    assert crystal is not None
    figure = Figure(figsize=(13, 18), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(7, 3).ravel()
    _scan(axes[0], given.scan)
    _plain(axes[1], crystal)
    _together(axes[2], crystal, 0)
    for axis, (title, values) in zip(axes[3:], ARTEFACTS.items(), strict=False):
        _one(axis, crystal, title, values)
    for number, axis in enumerate(axes[3 + len(ARTEFACTS) :], start=1):
        _together(axis, crystal, number)
    figure.supxlabel("2θ (degrees, Cu Kα)", fontsize=10)
    figure.supylabel("square root of the intensity", fontsize=10)
    figure.savefig(given.out, dpi=110)


def _one(axis: Axes, crystal: Crystal, title: str, values: dict[str, Any]) -> None:
    before, after = (_pattern(crystal, given) for given in ({}, values))
    low, high = VIEWS.get(title.split()[0].rstrip(":"), (INSTRUMENT.two_theta_min_deg, INSTRUMENT.two_theta_max_deg))
    angle = INSTRUMENT.two_theta_deg
    shown = (angle >= low) & (angle <= high)
    axis.plot(angle[shown], np.sqrt(before[shown]), color="black", linewidth=0.7)
    axis.plot(angle[shown], np.sqrt(after[shown]), color="tab:red", linewidth=0.8, alpha=0.8)
    _frame(axis, title, (low, high))


def _plain(axis: Axes, crystal: Crystal) -> None:
    axis.plot(INSTRUMENT.two_theta_deg, np.sqrt(_pattern(crystal, {})), color="black", linewidth=0.7)
    _frame(axis, "simulated, without artefacts")


def _together(axis: Axes, crystal: Crystal, number: int) -> None:
    settings = AugmentationSettings(preset="measured", probability={"background_window": 0.0})
    drawn = draw(settings, 4, crystal.structure_hash(), [number])
    pattern = native.simulate(crystal, INSTRUMENT, drawn).intensity[0].astype(np.float64)
    counts = np.random.default_rng(number).poisson(COUNTS * pattern / pattern.max())
    axis.plot(INSTRUMENT.two_theta_deg, np.sqrt(counts / counts.max()), color="tab:blue", linewidth=0.5)
    _frame(axis, f"preset measured, number {number}, with counting noise")


def _scan(axis: Axes, path: Path | None) -> None:
    if path is None:
        with zipfile.ZipFile(data_folder() / "measured" / "rruff_raw.zip") as archive:
            text = archive.read("BaSO4_62.xy").decode()
    else:
        text = path.read_text()
    angle, intensity = np.loadtxt(io.StringIO(text), unpack=True)
    shown = (angle >= INSTRUMENT.two_theta_min_deg) & (angle <= INSTRUMENT.two_theta_max_deg)
    axis.plot(angle[shown], np.sqrt(intensity[shown] / intensity[shown].max()), color="tab:green", linewidth=0.5)
    _frame(axis, "measured: RRUFF R040036, barite")


def _pattern(crystal: Crystal, values: dict[str, Any]) -> Array:
    """Return a pattern relative to the highest point of the one without artefacts."""
    numbers = {phase.name: number for number, phase in enumerate(library())}
    instrument = INSTRUMENT.model_copy(update={"geometry": values.get("geometry", INSTRUMENT.geometry)})
    given = {**PLAIN, **{name: value for name, value in values.items() if name != "geometry"}}
    if "phase_number" in given:
        given["phase_number"] = [-1 if name is None else numbers[name] for name in given["phase_number"]]
    for name in ("impurity_height", "impurity_position"):
        if name in given:
            given[name] = (*given[name], *(0.0,) * (8 - len(given[name])))
    plain, made = (
        native.simulate(crystal, instrument, Augmentations.of(**{k: np.array([v]) for k, v in each.items()}))
        for each in (PLAIN, given)
    )
    return np.asarray(made.intensity[0] / plain.maximum[0], dtype=np.float64)


def _frame(axis: Axes, title: str, view: tuple[float, float] | None = None) -> None:
    axis.set_title(title, fontsize=9)
    axis.set_xlim(view or (INSTRUMENT.two_theta_min_deg, INSTRUMENT.two_theta_max_deg))
    axis.set_yticks([])


if __name__ == "__main__":
    main()
