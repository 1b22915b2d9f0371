"""Evaluation of CrystalNet: similarity of densities beside that of the mean density."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from trainer.data.loader import Loader
from trainer.data.sampler import Sampler
from trainer.data.sources import DensitySource
from trainer.data.store import Dataset
from trainer.errors import TrainerError
from trainer.evaluation.metrics import plain
from trainer.evaluation.models import EVALUATION_SEED, ProgressReport, as_numpy, rows_of_split
from trainer.training.config import CrystalNetTraining
from trainer.training.datasets import choose_rows
from trainer.training.distributed import Place
from trainer.training.similarity import psnr, rotated_scores, ssim
from trainer.training.tasks import guess_densities


@dataclass(frozen=True, eq=False)
class DensityEvaluation:
    """Scores of every crystal, and a few predicted and true densities for plots."""

    row: NDArray[np.int64]
    scores: dict[str, NDArray[np.float64]]
    examples: list[tuple[int, NDArray[np.float32], NDArray[np.float32]]]
    report: dict[str, Any]


@torch.no_grad()
def evaluate_crystalnet(
    models: Sequence[nn.Module],
    configs: Sequence[CrystalNetTraining],
    dataset: Dataset,
    place: Place,
    *,
    split: str = "test",
    guesses: int = 5,
    points: int = 50,
    batch_size: int = 8,
    examples: int = 4,
    progress: ProgressReport | None = None,
) -> DensityEvaluation:
    """Score the first sample as it is, its best rotation, and the best of all samples and rotations.

    Best-of-n scores use the truth; scores of a single sample do not. The models of an ensemble take turns.
    """
    config = configs[0]
    if 50 % points:
        raise TrainerError(f"--points {points}: expected a divisor of 50")
    rows = rows_of_split(config, dataset, split)
    composition = dataset.column("composition").astype(np.float32)
    sampler = Sampler(rows, batch_size, pool_structures=64, shuffle=False)
    loader: Loader[Any, Any] = Loader(DensitySource(dataset, composition), sampler, config.workers)
    generator = torch.Generator(place.device).manual_seed(EVALUATION_SEED)
    mean = _mean_density(config, dataset, points)
    names = ("ssim", "psnr", "rotated_ssim", "rotated_psnr", "best_ssim", "best_psnr", "mean_ssim", "mean_psnr")
    scores: dict[str, list[NDArray[np.float64]]] = {name: [] for name in names}
    shown: list[tuple[int, NDArray[np.float32], NDArray[np.float32]]] = []
    seen: list[NDArray[np.int64]] = []
    for number, batch in enumerate(loader.epoch(0)):
        here = batch.to(place.device)
        truth = here.density[:, :: 50 // points, :: 50 // points, :: 50 // points]
        drawn = [
            guess_densities(models[k % len(models)], here, configs[k % len(models)], 1, points, generator)[0]
            for k in range(guesses)
        ]
        found = [rotated_scores(truth, guess) for guess in drawn]
        first, best = found[0], [torch.cat([pair[k] for pair in found]).amax(dim=0) for k in (0, 1)]
        baseline = mean.to(place.device).expand_as(truth)
        for name, value in (
            ("ssim", first[0][0]),
            ("psnr", first[1][0]),
            ("rotated_ssim", first[0].amax(dim=0)),
            ("rotated_psnr", first[1].amax(dim=0)),
            ("best_ssim", best[0]),
            ("best_psnr", best[1]),
            ("mean_ssim", ssim(truth, baseline)),
            ("mean_psnr", psnr(truth, baseline)),
        ):
            scores[name].append(as_numpy(value))
        seen.append(batch.row.numpy())
        few = range(max(0, min(len(batch), examples - len(shown))))
        shown += [(int(batch.row[i]), truth[i].cpu().numpy(), drawn[0][i].float().cpu().numpy()) for i in few]
        if progress:
            progress(number + 1, sampler.batches_per_epoch)
    joined = {name: np.concatenate(values) for name, values in scores.items()}
    report = {
        "model": "crystalnet",
        "models": len(models),
        "split": split,
        "structures": len(rows),
        "guesses": guesses,
        "points": points,
        "composition": config.model.composition,
        **{name: {"mean": float(values.mean()), "std": float(values.std())} for name, values in joined.items()},
    }
    return DensityEvaluation(np.concatenate(seen), joined, shown, plain(report))


def _mean_density(config: CrystalNetTraining, dataset: Dataset, points: int, most: int = 256) -> torch.Tensor:
    """Return the baseline: the mean density of at most `most` training crystals."""
    rows = choose_rows(config, dataset, "train")
    if len(rows) == 0:
        return torch.zeros(points, points, points)
    chosen = rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(np.int64)]
    step = 50 // points
    total = np.zeros((points, points, points))
    for row in chosen:
        total += dataset.density(int(row))[::step, ::step, ::step]
    return torch.from_numpy((total / len(chosen)).astype(np.float32))
