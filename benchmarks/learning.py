"""Accuracy of reduced networks after a short training: AlphaDiffract from both inputs, and CrystalNet.

    python -m benchmarks.learning [--parts patterns,sticks,densities] [--dataset PATH] [--out docs/learning.json]

Without ``--dataset`` one is made by ``datagen run`` from the Materials Project crystals of the test data, 100 patterns
each. CrystalNet's part is `benchmarks.learning_density`. With ``--out``, parts that are not run again keep the figures
that the file has of the same dataset and epochs.

AlphaDiffract's network is reduced so that it trains on a CPU and on a thousand crystals: points averaged by sixteens,
fewer channels, smaller heads, and less pooling (32 points instead of 7 reach the heads, so that a peak's place need not
be learnt first). It deviates from the paper in what MODEL and DEVIATIONS say; noise and optimiser are the paper's.

Prints JSON: accuracies, margins over the majority class, mean absolute errors beside those of always predicting the
mean and the median of the training split, all on the test split, for each input; and the validation curves,
by which every setting was chosen.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks._data import data_folder
from benchmarks.learning_density import DENSITY_EPOCHS, DENSITY_FIGURES, DENSITY_SETTINGS, curve, trained_on_densities
from trainer.data.store import Dataset, open_dataset
from trainer.evaluation.lattices import evaluate_alphadiffract
from trainer.evaluation.models import load_models
from trainer.evaluation.plots import figure
from trainer.models.alphadiffract import AlphaDiffractConfig
from trainer.training.config import INPUTS, AlphaDiffractTraining
from trainer.training.distributed import Place
from trainer.training.fit import BEST, fit
from trainer.training.schedules import Cyclic

MODEL = AlphaDiffractConfig(
    input_pool=16,
    standardise_input=True,
    channels=(32, 64, 64),
    kernels=(25, 15, 9),
    strides=(4, 2, 2),
    second_pool=None,
    crystal_system_hidden=(256, 128),
    space_group_hidden=(256, 128),
    lattice_hidden=(256, 128),
    length_bounds_A=(0.0, 40.0),
    lattice_start="training",
    drop_path=0.1,
)
DEVIATIONS: dict[str, Any] = {
    "learning_rate": 3e-3,
    "weight_decay": 0.05,
    "batch_size": 32,
    "lattice_loss": "standardised-mae",
    "cell_strain": 0.05,
    "best_by": "all",
}
TARGETS = ("crystal_system_", "space_group_", "length_", "angle_")


def main() -> None:
    """Train both inputs, evaluate, print."""
    options = argparse.ArgumentParser(description="Does a dataset teach?")
    options.add_argument("--dataset", type=Path)
    options.add_argument("--density-dataset", type=Path)
    options.add_argument("--epochs", type=int, default=60)
    options.add_argument("--samples", type=int, default=2, help="patterns of each structure in an epoch")
    options.add_argument("--density-epochs", type=int, default=DENSITY_EPOCHS)
    options.add_argument("--parts", default="patterns,sticks,densities")
    options.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options.add_argument("--keep", type=Path, help="folder for the checkpoints, to score them on other datasets")
    options.add_argument("--out", type=Path, help="also write the JSON here, and the curves beside it as PNG")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as scratch:
        parts = given.parts.split(",")
        result: dict[str, Any] = json.loads(given.out.read_text()) if given.out and given.out.exists() else {}
        if inputs := [name for name in INPUTS if name in parts]:
            path = given.dataset or made_dataset(Path(scratch))
            made = {"dataset": facts(path), "epochs": given.epochs, "samples": given.samples}
            if any(result.get(name) != value for name, value in made.items()):
                result = {name: value for name, value in result.items() if name.startswith("crystalnet")}
            result |= made
            for name in inputs:
                result[name] = trained(name, path, (given.keep or Path(scratch)) / name, given.epochs, given.samples)
        if "densities" in parts:
            path = given.density_dataset or made_dataset(Path(scratch), "densities")
            result["crystalnet"] = trained_on_densities(path, Path(scratch) / "crystalnet", given.density_epochs)
            result |= {f"crystalnet_{name}": result["crystalnet"][name] for name in DENSITY_FIGURES}
    if done := [result[name] for name in INPUTS if name in result]:
        best = max(done, key=lambda r: float(r["crystal_system_accuracy"]))
        result |= {name: best[name] for name in best if name.startswith(TARGETS)}
    text = json.dumps(result)
    print(text)
    if given.out:
        given.out.write_text(json.dumps(result, indent=1) + "\n")
        if set(INPUTS) & set(result):
            plot_curves(result, given.out.with_suffix(".png"))


def trained(name: str, path: Path, out: Path, epochs: int, samples: int) -> dict[str, Any]:
    """Train once; return results on the test split and the curve on the validation split."""
    config = AlphaDiffractTraining(
        **DEVIATIONS,
        epochs=epochs,
        schedule=Cyclic(half_cycle_epochs=epochs / 2),
        input=name,
        samples_per_structure=samples,
        validation_samples=2,
        model=MODEL,
        workers=2,
    )
    begun, core_begun = time.perf_counter(), time.process_time()
    if not fit(config, path, out, reporter=None).finished:
        sys.exit("stopped before the end of training: no figures")
    seconds, core_seconds = time.perf_counter() - begun, time.process_time() - core_begun
    place = Place(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    models, states = load_models([out / BEST], place.device)
    configs = [replace(config, model=states[0].config.model)]  # type: ignore[arg-type]
    dataset = open_dataset(path)
    report = evaluate_alphadiffract(models, configs, dataset, place, input="patterns", samples=8).report
    medians = lattice_errors(dataset, "test", np.median)
    system, group, lengths, angles = (report[k] for k in ("crystal_system", "space_group", "lengths", "angles"))
    return {
        "crystal_system_accuracy": system["accuracy"],
        "crystal_system_margin": system["margin"],
        "crystal_system_majority": system["majority_baseline"],
        "space_group_accuracy": group["accuracy"],
        "space_group_margin": group["margin"],
        "space_group_majority": group["majority_baseline"],
        "space_group_within_one_step": report["graph_distance"]["cumulative"][1],
        "length_mae_A": lengths["mae"],
        "length_mae_margin_A": lengths["mean_baseline_mae"] - lengths["mae"],
        "length_mean_baseline_mae_A": lengths["mean_baseline_mae"],
        "length_median_baseline_mae_A": medians[0],
        "angle_mae_deg": angles["mae"],
        "angle_mae_margin_deg": angles["mean_baseline_mae"] - angles["mae"],
        "angle_mean_baseline_mae_deg": angles["mean_baseline_mae"],
        "angle_median_baseline_mae_deg": medians[1],
        "test_structures": report["structures"],
        "training_seconds": round(seconds, 1),
        "training_core_seconds": round(core_seconds, 1),
        "curve": curve(out / "log.csv"),
    }


def plot_curves(result: dict[str, Any], path: Path) -> None:
    """Plot validation accuracies and length errors over epochs, with their baselines."""
    panels = (
        ("validation_crystal_system_accuracy", "crystal system, accuracy"),
        ("validation_space_group_accuracy", "space group, accuracy"),
        ("validation_length_mae_A", "lengths, MAE in Å"),
        ("validation_angle_mae_deg", "angles, MAE in degrees"),
    )
    made, axes = figure(9, 5.6, 2, 2)
    for axis, (name, title) in zip(axes.flat, panels, strict=True):
        for kind in INPUTS:
            if kind in result:
                values = result[kind]["curve"][name]
                axis.plot(range(1, len(values) + 1), values, marker=".", label=f"--input {kind}")
        level = result["dataset"]["validation_baselines"][name]
        axis.axhline(level, color="grey", linestyle="--", label="majority class, or mean")
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("epoch")
    axes[0, 0].legend(fontsize=8)
    made.savefig(path, dpi=120)


def facts(path: Path) -> dict[str, Any]:
    """Return the facts of the dataset that results depend on."""
    dataset = open_dataset(path)
    sides = {side: len(dataset.rows(side)) for side in ("train", "validation", "test")}
    return {
        "structures": dataset.n_structures,
        "patterns_each": dataset.n_augmentations,
        **sides,
        "validation_baselines": validation_baselines(dataset),
    }


def validation_baselines(dataset: Dataset) -> dict[str, float]:
    """Return validation scores of the training split's commonest class and mean lattice as constant answers."""
    train, held_out = dataset.rows("train"), dataset.rows("validation")
    found = {}
    for name in ("crystal_system", "space_group"):
        classes = dataset.column(name)
        commonest = np.bincount(classes[train]).argmax()
        found[f"validation_{name}_accuracy"] = float((classes[held_out] == commonest).mean())
    lengths, angles = lattice_errors(dataset, "validation", np.mean)
    return {**found, "validation_length_mae_A": lengths, "validation_angle_mae_deg": angles}


def lattice_errors(dataset: Dataset, split: str, centre: Callable[..., Any]) -> tuple[float, float]:
    """Return mean absolute errors (Å, deg) of the training split's mean and median lattice as constant answers."""
    cells = dataset.column("niggli")
    error = np.abs(cells[dataset.rows(split)] - centre(cells[dataset.rows("train")], axis=0)).mean(axis=0)
    return float(error[:3].mean()), float(error[3:].mean())


def made_dataset(scratch: Path, kind: str = "patterns") -> Path:
    """Make a dataset of the Materials Project crystals of the test data, with patterns or model densities."""
    shared = data_folder()
    archive = shared / "structures" / "materials_project.zip"
    if not archive.exists():
        sys.exit(f"{archive} not found: set PXRD_SHARED_DATA, or name a dataset with --dataset")
    config = scratch / f"{kind}.toml"
    config.write_text(
        f'[[catalog]]\nkind = "zip"\npath = {json.dumps(str(archive))}\nlicence = "CC-BY-4.0"\n'
        + (DENSITY_SETTINGS if kind == "densities" else '[store]\nxrd_peaks = "none"\n')
    )
    out = scratch / f"{kind}.zarr"
    subprocess.run([sys.executable, "-m", "datagen", "run", str(config), "--out", str(out)], check=True, stdout=2)
    return out


if __name__ == "__main__":
    main()
