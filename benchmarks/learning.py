"""Does a dataset teach? Trains AlphaDiffract from both inputs and judges it on held-out groups, beside the baselines.

    python -m benchmarks.learning [--dataset PATH] [--epochs N] [--out docs/learning.json]

Without ``--dataset`` one is made by ``datagen run`` from the Materials Project crystals of the test data, 100 patterns
each. The network is reduced so that it trains on a CPU and on a thousand crystals: fewer channels, smaller heads, and
less pooling (64 points instead of 7 reach the heads, so that a peak's place need not be learnt first). The
squared angles have a small weight, without which they drown everything else. Noise and optimiser are the paper's.
Prints JSON: accuracies, margins over the majority class, mean absolute errors beside those of always predicting the
mean, all on the test side of the split, for each input; and the validation curves.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks._data import data_folder
from trainer.config import AlphaDiffractTraining
from trainer.distributed import Place
from trainer.evaluate import evaluate_alphadiffract, load_models
from trainer.fit import BEST, fit
from trainer.models.alphadiffract import AlphaDiffractConfig
from trainer.plots import figure
from trainer.schedules import Cyclic
from trainer.store import Dataset, open_dataset

MODEL = AlphaDiffractConfig(
    channels=(8, 16, 32),
    kernels=(50, 25, 9),
    strides=(8, 4, 4),
    second_pool=None,
    crystal_system_hidden=(256, 128),
    space_group_hidden=(256, 128),
    lattice_hidden=(256, 128),
    length_bounds_A=(0.0, 40.0),
    drop_path=0.0,
)


def main() -> None:
    """Train both inputs, evaluate, print."""
    options = argparse.ArgumentParser(description="Does a dataset teach?")
    options.add_argument("--dataset", type=Path)
    options.add_argument("--epochs", type=int, default=16)
    options.add_argument("--samples", type=int, default=2, help="patterns of each structure in an epoch")
    options.add_argument("--inputs", default="patterns,sticks")
    options.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options.add_argument("--out", type=Path, help="also write the JSON here, and the curves beside it as PNG")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as scratch:
        path = given.dataset or made_dataset(Path(scratch))
        result: dict[str, Any] = {"dataset": facts(path), "epochs": given.epochs, "samples": given.samples}
        for name in given.inputs.split(","):
            result[name] = trained(name, path, Path(scratch) / name, given.epochs, given.samples)
    best = max((result[name] for name in given.inputs.split(",")), key=lambda r: r["crystal_system_accuracy"])
    for name in ("crystal_system_accuracy", "crystal_system_margin", "space_group_accuracy", "space_group_margin"):
        result[name] = best[name]
    text = json.dumps(result)
    print(text)
    if given.out:
        given.out.write_text(json.dumps(result, indent=1) + "\n")
        plot_curves(result, given.out.with_suffix(".png"))


def trained(name: str, path: Path, out: Path, epochs: int, samples: int) -> dict[str, Any]:
    """One run: its figures on the test side, its curve on the validation side."""
    config = AlphaDiffractTraining(
        epochs=epochs,
        batch_size=32,
        learning_rate=1.5e-3,
        angle_weight=0.01,
        schedule=Cyclic(half_cycle_epochs=epochs / 2),
        input=name,
        samples_per_structure=samples,
        validation_samples=2,
        model=MODEL,
        workers=2,
    )
    begun = time.perf_counter()
    if not fit(config, path, out, reporter=None).finished:
        sys.exit("stopped before the end of training: no figures")
    seconds = time.perf_counter() - begun
    place = Place(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    models, states = load_models([out / BEST], place.device)
    configs = [replace(config, model=states[0].config.model)]  # type: ignore[arg-type]
    report = evaluate_alphadiffract(models, configs, open_dataset(path), place, input="patterns", samples=8).report
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
        "angle_mae_deg": angles["mae"],
        "angle_mae_margin_deg": angles["mean_baseline_mae"] - angles["mae"],
        "angle_mean_baseline_mae_deg": angles["mean_baseline_mae"],
        "test_structures": report["structures"],
        "training_seconds": round(seconds, 1),
        "curve": curve(out / "log.csv"),
    }


def curve(log: Path) -> dict[str, list[float]]:
    """Validation figures after each epoch."""
    found: dict[str, list[float]] = {}
    with log.open(newline="") as rows:
        for row in csv.DictReader(rows):
            if row["name"].startswith("validation_"):
                found.setdefault(row["name"], []).append(round(float(row["value"]), 5))
    return found


def plot_curves(result: dict[str, Any], path: Path) -> None:
    """Validation accuracies and length errors over epochs, with their baselines."""
    panels = (
        ("validation_crystal_system_accuracy", "crystal system, accuracy"),
        ("validation_space_group_accuracy", "space group, accuracy"),
        ("validation_length_mae_A", "lengths, MAE in Å"),
        ("validation_angle_mae_deg", "angles, MAE in degrees"),
    )
    made, axes = figure(9, 5.6, 2, 2)
    for axis, (name, title) in zip(axes.flat, panels, strict=True):
        for kind in ("patterns", "sticks"):
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
    """What was trained on."""
    dataset = open_dataset(path)
    sides = {side: len(dataset.rows(side)) for side in ("train", "validation", "test")}
    return {
        "structures": dataset.n_structures,
        "patterns_each": dataset.n_augmentations,
        **sides,
        "validation_baselines": validation_baselines(dataset),
    }


def validation_baselines(dataset: Dataset) -> dict[str, float]:
    """What always answering with the training side's commonest class, or mean, scores on the validation side."""
    train, held_out = dataset.rows("train"), dataset.rows("validation")
    found = {}
    for name in ("crystal_system", "space_group"):
        classes = dataset.column(name)
        commonest = np.bincount(classes[train]).argmax()
        found[f"validation_{name}_accuracy"] = float((classes[held_out] == commonest).mean())
    cells = dataset.column("niggli")
    error = np.abs(cells[held_out] - cells[train].mean(axis=0)).mean(axis=0)
    return {
        **found,
        "validation_length_mae_A": float(error[:3].mean()),
        "validation_angle_mae_deg": float(error[3:].mean()),
    }


def made_dataset(scratch: Path) -> Path:
    """A dataset of the Materials Project crystals among the shared test data."""
    shared = data_folder()
    archive = shared / "structures" / "materials_project.zip"
    if not archive.exists():
        sys.exit(f"{archive} not found: set PXRD_SHARED_DATA, or name a dataset with --dataset")
    config = scratch / "learning.toml"
    config.write_text(
        f'[[catalog]]\nkind = "zip"\npath = {json.dumps(str(archive))}\nlicence = "CC-BY-4.0"\n'
        '[store]\nxrd_peaks = "none"\n'
    )
    out = scratch / "learning.zarr"
    subprocess.run([sys.executable, "-m", "datagen", "run", str(config), "--out", str(out)], check=True, stdout=2)
    return out


if __name__ == "__main__":
    main()
