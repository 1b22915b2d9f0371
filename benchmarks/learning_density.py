"""Scores of CrystalNet after a short training on model densities, compared with constant answers.

The densities are sums of free atoms (``density.method = "independent_atoms"``), no calculation: whether the chain from
dataset to network works is measured, not what the network would make of DFT. Best-of-n and rotations look at the truth
and are left out; scores are of a single sample as it is, on every second grid point.
"""

from __future__ import annotations

import csv
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trainer.data.store import open_dataset
from trainer.evaluation.densities import evaluate_crystalnet
from trainer.evaluation.models import load_models
from trainer.models.crystalnet import CrystalNetConfig
from trainer.training.config import CrystalNetTraining
from trainer.training.datasets import choose_rows
from trainer.training.distributed import Place
from trainer.training.fit import BEST, fit
from trainer.training.schedules import WarmRestarts
from trainer.training.similarity import psnr, ssim

DENSITY_SETTINGS = """[density]
method = "independent_atoms"
[store]
xrd_peaks = "with_density"
[simulation.augmentation]
count = 1
"""
DENSITY_EPOCHS = 200
DENSITY_FIGURES = ("ssim", "ssim_margin", "psnr", "psnr_margin")
CUBIC = (7,)
"""One of the paper's two models knows these alone."""
POINTS = 25
MODEL = CrystalNetConfig(
    width=96,
    fusion_width=192,
    growth=4,
    dense_blocks=2,
    fourier_frequencies=64,
    fourier_sigma=1.0,
    regressor_blocks=2,
    regressor_layers=3,
)


def trained_on_densities(path: Path, out: Path, epochs: int) -> dict[str, Any]:
    """Train once; return SSIM and PSNR on the test split, and margins over constant answers."""
    config = CrystalNetTraining(
        epochs=epochs,
        batch_size=32,
        learning_rate=2e-3,
        schedule=WarmRestarts(first_cycle_epochs=epochs),
        divisions=8,
        validation_guesses=1,
        validation_points=POINTS,
        validate_every_epochs=max(1, epochs // 10),
        crystal_systems=CUBIC,
        workers=2,
        model=MODEL,
    )
    begun, core_begun = time.perf_counter(), time.process_time()
    if not fit(config, path, out, reporter=None).finished:
        sys.exit("stopped before the end of training: no figures")
    seconds, core_seconds = time.perf_counter() - begun, time.process_time() - core_begun
    place = Place(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    models, _ = load_models([out / BEST], place.device)
    report = evaluate_crystalnet(models, [config], open_dataset(path), place, guesses=1, points=POINTS).report
    found = {name: report[name]["mean"] for name in ("ssim", "psnr")}
    constants = constant_answers(config, path)
    for name, value in list(found.items()):
        found[f"{name}_margin"] = value - constants["mean"][name]
        found[f"{name}_margin_over_best_constant"] = value - max(scores[name] for scores in constants.values())
    return {
        **found,
        "constants": constants,
        "densities": "independent_atoms",
        "crystal_systems": list(config.crystal_systems),
        "train_structures": len(choose_rows(config, open_dataset(path), "train")),
        "test_structures": report["structures"],
        "epochs": epochs,
        "training_seconds": round(seconds, 1),
        "training_core_seconds": round(core_seconds, 1),
        "curve": curve(out / "log.csv"),
    }


def constant_answers(config: CrystalNetTraining, path: Path) -> dict[str, dict[str, float]]:
    """Return SSIM and PSNR on the test split of the mean and median training density and of zero."""
    dataset = open_dataset(path)
    step = 50 // POINTS

    def densities(split: str) -> torch.Tensor:
        rows = choose_rows(config, dataset, split)
        return torch.from_numpy(np.stack([dataset.density(int(row))[::step, ::step, ::step] for row in rows]))

    train, truth = densities("train"), densities("test")
    answers = {"mean": train.mean(dim=0), "median": train.median(dim=0).values, "zero": torch.zeros_like(train[0])}
    return {
        name: {
            "ssim": float(ssim(truth, answer.expand_as(truth)).mean()),
            "psnr": float(psnr(truth, answer.expand_as(truth)).mean()),
        }
        for name, answer in answers.items()
    }


def curve(log: Path) -> dict[str, list[float]]:
    """Return the validation scores of every epoch that has them."""
    found: dict[str, list[float]] = {}
    with log.open(newline="") as rows:
        for row in csv.DictReader(rows):
            if row["name"].startswith("validation_"):
                found.setdefault(row["name"], []).append(round(float(row["value"]), 5))
    return found
