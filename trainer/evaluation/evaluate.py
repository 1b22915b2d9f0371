"""How good is a model, or an ensemble, on the held-out side of a dataset? Figures beside their baselines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from trainer.data.loader import Loader
from trainer.data.sampler import Sampler
from trainer.data.sources import DensitySource, LabelColumns, PatternSource, StickSource
from trainer.data.store import Dataset
from trainer.errors import TrainerError
from trainer.evaluation import metrics
from trainer.evaluation.metrics import LATTICE, plain
from trainer.models.alphadiffract import AlphaDiffract
from trainer.models.crystalnet import CrystalNet
from trainer.training import checkpoint
from trainer.training.checkpoint import Checkpoint
from trainer.training.config import AlphaDiffractTraining, CrystalNetTraining, kind_of
from trainer.training.datasets import build_inputs, choose_rows, dataset_identity, group_hashes
from trainer.training.distributed import Place
from trainer.training.similarity import psnr, rotations, ssim
from trainer.training.tasks import autocast, guess_densities

EVALUATION_SEED = 0xE7A1
Told = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class LatticeEvaluation:
    """Everything predicted, for plots: probabilities (model, sample, class), lattices (model, sample, 6), truths."""

    crystal_system: NDArray[np.float64]
    space_group: NDArray[np.float64]
    lattice: NDArray[np.float64]
    true_crystal_system: NDArray[np.int64]
    true_space_group: NDArray[np.int64]
    true_lattice: NDArray[np.float64]
    structure: NDArray[np.int64]
    names: dict[int, str]
    report: dict[str, Any]


@dataclass(frozen=True, eq=False)
class DensityEvaluation:
    """Scores of every crystal, and a few densities beside their truths for plots."""

    row: NDArray[np.int64]
    scores: dict[str, NDArray[np.float64]]
    examples: list[tuple[int, NDArray[np.float32], NDArray[np.float32]]]
    report: dict[str, Any]


def load_models(paths: Sequence[Path], device: torch.device) -> tuple[list[nn.Module], list[Checkpoint]]:
    """Networks of one kind with their weights, ready to predict."""
    found = [checkpoint.load(path) for path in paths]
    kinds = {kind_of(c.config) for c in found}
    if len(kinds) > 1:
        raise TrainerError(f"an ensemble has models of one kind, found {' and '.join(sorted(kinds))}")
    models: list[nn.Module] = []
    for path, state in zip(paths, found, strict=True):
        config = state.config
        model = AlphaDiffract(config.model) if isinstance(config, AlphaDiffractTraining) else CrystalNet(config.model)
        try:
            model.load_state_dict(state.model)
        except RuntimeError as error:
            raise TrainerError(
                f"{path}: its weights do not fit its configuration ({str(error).splitlines()[0]})"
            ) from error
        models.append(model.to(device).eval())
    return models, found


def refuse_other_instrument(states: Sequence[Checkpoint], dataset: Dataset) -> None:
    """Raise TrainerError if patterns of the dataset are not on the axis that the models were trained on."""
    here = _axis(dataset_identity(dataset))
    for state in states:
        for what, expected in _axis(state.dataset).items():
            found = here[what]
            if len(found) != len(expected) or not np.allclose(found, expected, rtol=1e-6):
                raise TrainerError(
                    f"{dataset.path}: expected patterns like those that the model was trained on, with {what} "
                    f"{expected}, found {found}; evaluate on a dataset of the same instrument and range"
                )


def _axis(identity: dict[str, Any]) -> dict[str, list[float]]:
    lines = identity.get("instrument", {}).get("lines", [])
    return {
        "wavelengths in A": [float(line["wavelength_A"]) for line in lines],
        "2theta from and to": [identity["two_theta_min_deg"], identity["two_theta_max_deg"]],
        "points": [identity["n_points"]],
    }


def structures_of_trained_groups(states: Sequence[Checkpoint], dataset: Dataset, rows: NDArray[np.int64]) -> int | None:
    """Return how many structures have a formula and space group that a model was trained on; None if unknown."""
    kept = [state.dataset["train_groups"].numpy() for state in states if "train_groups" in state.dataset]
    if not kept or len(kept) < len(states):
        return None
    return int(np.isin(group_hashes(dataset, rows), np.concatenate(kept)).sum())


@torch.no_grad()
def evaluate_alphadiffract(
    models: Sequence[nn.Module],
    configs: Sequence[AlphaDiffractTraining],
    dataset: Dataset,
    place: Place,
    *,
    split: str = "test",
    input: str | None = None,  # noqa: A002 - the configuration's name
    samples: int = 1,
    noise: bool = True,
    batch_size: int = 64,
    told: Told | None = None,
) -> LatticeEvaluation:
    """Predict ``samples`` patterns of each structure with every model; all see the same ones with the same noise.

    Patterns are stored ones or broadened sticks as in training, or as ``input`` says.
    """
    if len({c.model.input_points for c in configs}) > 1:
        raise TrainerError("an ensemble's models see patterns of one length; these differ in model.input_points")
    config = replace(configs[0], input=input or configs[0].input, noise=noise)
    rows = _rows(config, dataset, split)
    train = dataset.rows("train")
    labels = LabelColumns(dataset, np.concatenate([rows, train]))
    of_input = PatternSource if config.input == "patterns" else StickSource
    slots = max(dataset.n_augmentations, samples) if config.input == "sticks" else dataset.n_augmentations
    if samples > slots:
        raise TrainerError(f"{dataset.path}: {samples} patterns a structure were asked for, {slots} are stored")
    sampler = Sampler(rows, batch_size, samples, slots, pool_structures=128, shuffle=False)
    loader: Loader[Any, Any] = Loader(of_input(dataset, labels), sampler, config.workers)
    inputs = build_inputs(config, dataset)
    generator = torch.Generator(place.device).manual_seed(EVALUATION_SEED)
    systems: list[NDArray[np.float64]] = []
    groups: list[NDArray[np.float64]] = []
    lattices: list[NDArray[np.float64]] = []
    seen: list[NDArray[np.int64]] = []
    for number, batch in enumerate(loader.epoch(0)):
        here = batch.to(place.device)
        pattern = inputs(here, generator)
        with autocast(config.precision, place.device):
            predictions = [model(pattern) for model in models]
        systems.append(np.stack([_numpy(p.crystal_system.softmax(dim=1)) for p in predictions]))
        groups.append(np.stack([_numpy(p.space_group.softmax(dim=1)) for p in predictions]))
        lattices.append(np.stack([_numpy(p.lattice) for p in predictions]))
        seen.append(batch.row.numpy())
        if told:
            told(number + 1, sampler.batches_per_epoch)
    structure = np.concatenate(seen)
    names = {value - 1: name for value, name in dataset.vocabulary("crystal_system").items()}
    found = LatticeEvaluation(
        crystal_system=np.concatenate(systems, axis=1),
        space_group=np.concatenate(groups, axis=1),
        lattice=np.concatenate(lattices, axis=1),
        true_crystal_system=labels.crystal_system[structure],
        true_space_group=labels.space_group[structure],
        true_lattice=labels.lattice[structure],
        structure=structure,
        names=names,
        report={},
    )
    report = _report(found, labels, train)
    report |= {"model": "alphadiffract", "models": len(models), "input": config.input, "split": split, "noise": noise}
    return replace(found, report=plain(report))


def _report(found: LatticeEvaluation, labels: LabelColumns, train: NDArray[np.int64]) -> dict[str, Any]:
    def majority(classes: NDArray[np.int64]) -> int:
        return int(np.bincount(classes[train]).argmax()) if len(train) else 0

    system = metrics.accuracy(
        found.crystal_system, found.true_crystal_system, found.structure, majority(labels.crystal_system), found.names
    )
    group_names = {group: str(group + 1) for group in np.unique(found.true_space_group).tolist()}
    group = metrics.accuracy(
        found.space_group, found.true_space_group, found.structure, majority(labels.space_group), group_names
    )
    predicted = found.space_group.mean(axis=0).argmax(axis=1)
    top5 = np.argsort(-found.space_group.mean(axis=0), axis=1)[:, :5]
    of_system = {
        name: float((predicted == found.true_space_group)[found.true_crystal_system == c].mean())
        for c, name in found.names.items()
        if (found.true_crystal_system == c).any()
    }
    centre = labels.lattice[train].mean(axis=0) if len(train) else np.full(6, np.nan)
    lattice = {
        name: metrics.regression(found.lattice[:, :, k], found.true_lattice[:, k], found.structure, float(centre[k]))
        for k, name in enumerate(LATTICE)
    }
    return {
        "structures": len(np.unique(found.structure)),
        "patterns": len(found.structure),
        "crystal_system": system,
        "space_group": {
            **plain(group),
            "top5_accuracy": float((top5 == found.true_space_group[:, None]).any(1).mean()),
        },
        "space_group_accuracy_by_crystal_system": of_system,
        "graph_distance": metrics.graph_distances(predicted, found.true_space_group),
        "lattice": lattice,
        "lengths": _mean_of([lattice[name] for name in LATTICE[:3]]),
        "angles": _mean_of([lattice[name] for name in LATTICE[3:]]),
    }


def _mean_of(parts: list[metrics.Regression]) -> dict[str, float]:
    return {
        name: float(np.mean([getattr(p, name) for p in parts]))
        for name in ("mae", "mape_percent", "r2", "mean_baseline_mae")
    }


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
    told: Told | None = None,
) -> DensityEvaluation:
    """SSIM and PSNR of the first guess as it is, of the best rotation of the first, and of the best of all guesses.

    Best-of-n looks at the truth; single-sample scores do not. Guesses are shared out among an ensemble's models.
    """
    config = configs[0]
    if 50 % points:
        raise TrainerError(f"--points {points}: expected a divisor of 50")
    rows = _rows(config, dataset, split)
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
        found = [_best_rotation(truth, guess) for guess in drawn]
        baseline = mean.to(place.device).expand_as(truth)
        for name, value in (
            ("ssim", ssim(truth, drawn[0])),
            ("psnr", psnr(truth, drawn[0])),
            ("rotated_ssim", found[0][0]),
            ("rotated_psnr", found[0][1]),
            ("best_ssim", torch.stack([s for s, _ in found]).amax(dim=0)),
            ("best_psnr", torch.stack([p for _, p in found]).amax(dim=0)),
            ("mean_ssim", ssim(truth, baseline)),
            ("mean_psnr", psnr(truth, baseline)),
        ):
            scores[name].append(_numpy(value))
        seen.append(batch.row.numpy())
        few = range(max(0, min(len(batch), examples - len(shown))))
        shown += [(int(batch.row[i]), truth[i].cpu().numpy(), drawn[0][i].float().cpu().numpy()) for i in few]
        if told:
            told(number + 1, sampler.batches_per_epoch)
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


def _best_rotation(truth: torch.Tensor, guess: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    scores = [(ssim(truth, turned), psnr(truth, turned)) for turned in rotations(guess)]
    return torch.stack([s for s, _ in scores]).amax(dim=0), torch.stack([p for _, p in scores]).amax(dim=0)


def _mean_density(config: CrystalNetTraining, dataset: Dataset, points: int, most: int = 256) -> torch.Tensor:
    """The baseline: the mean density of (at most ``most``) training crystals."""
    rows = choose_rows(config, dataset, "train")
    if len(rows) == 0:
        return torch.zeros(points, points, points)
    chosen = rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(np.int64)]
    step = 50 // points
    total = np.zeros((points, points, points))
    for row in chosen:
        total += dataset.density(int(row))[::step, ::step, ::step]
    return torch.from_numpy((total / len(chosen)).astype(np.float32))


def _rows(config: AlphaDiffractTraining | CrystalNetTraining, dataset: Dataset, split: str) -> NDArray[np.int64]:
    rows = choose_rows(config, dataset, split)
    if len(rows) == 0:
        raise TrainerError(
            f"{dataset.path}: no structure that {kind_of(config)} can be judged by on the {split} side of the split; "
            "name another with --split"
        )
    return rows


def _numpy(tensor: torch.Tensor) -> NDArray[np.float64]:
    return np.asarray(tensor.double().cpu().numpy(), dtype=np.float64)
