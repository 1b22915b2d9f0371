"""Evaluation of AlphaDiffract: accuracies and lattice errors beside their baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from trainer.data.loader import Loader
from trainer.data.sampler import Sampler
from trainer.data.sources import LabelColumns
from trainer.data.store import Dataset
from trainer.errors import TrainerError
from trainer.evaluation.metrics import LATTICE, Regression, plain
from trainer.evaluation.models import EVALUATION_SEED, ProgressReport, as_numpy, rows_of_split, slots_of
from trainer.evaluation.sums import AccuracySums, ByStructure, GraphDistanceSums, RegressionSums, Structures
from trainer.models.alphadiffract import CRYSTAL_SYSTEMS, SPACE_GROUPS
from trainer.training.config import AlphaDiffractTraining
from trainer.training.datasets import build_inputs, source_of
from trainer.training.distributed import Place
from trainer.training.precision import autocast

SHOWN_STRUCTURES = 5000
"""Structures shown in the parity plot."""
_COLUMNS = 20
"""Per sample in `LatticeSums`: two fractions, and variance over models, truth and prediction of six parameters."""


@dataclass(frozen=True, eq=False)
class LatticeEvaluation:
    """Report of an evaluation, and the data of its plots."""

    report: dict[str, Any]
    confusion: NDArray[np.int64]
    """Patterns of each true crystal system (row) by predicted one."""
    names: dict[int, str]
    """Crystal systems from 0."""
    shown_truth: NDArray[np.float64]
    """Lattices of structures evenly spread over the split, at most `SHOWN_STRUCTURES`."""
    shown_prediction: NDArray[np.float64]


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
    progress: ProgressReport | None = None,
) -> LatticeEvaluation:
    """Evaluate an ensemble on `samples` patterns of each structure, the same for every model.

    Patterns are stored ones or broadened reflections, as in training unless `input` is given.
    """
    if len({c.model.input_points for c in configs}) > 1:
        raise TrainerError("expected models for patterns of one length, found several model.input_points")
    config = replace(configs[0], input=input or configs[0].input, noise=noise)
    rows = rows_of_split(config, dataset, split)
    train = dataset.rows("train")
    labels = LabelColumns(dataset, np.concatenate([rows, train]))
    inputs = build_inputs(config, dataset)
    slots = slots_of(config.input, dataset, samples)
    sampler = Sampler(rows, batch_size, samples, slots, pool_structures=128, shuffle=False)
    loader: Loader[Any, Any] = Loader(source_of(config.input, dataset, labels), sampler, config.workers)
    generator = torch.Generator(place.device).manual_seed(EVALUATION_SEED)
    names = {value - 1: name for value, name in dataset.vocabulary("crystal_system").items()}
    sums = LatticeSums(labels, train, names, every=-(-len(rows) // SHOWN_STRUCTURES))
    for number, batch in enumerate(loader.epoch(0)):
        pattern, cells = inputs(batch.to(place.device), generator)
        with autocast(config.precision, place.device):
            predictions = [model(pattern) for model in models]
        sums.add(
            np.stack([as_numpy(p.crystal_system.softmax(dim=1)) for p in predictions]),
            np.stack([as_numpy(p.space_group.softmax(dim=1)) for p in predictions]),
            np.stack([as_numpy(p.lattice) for p in predictions]),
            batch.row.numpy(),
            as_numpy(cells),
        )
        if progress:
            progress(number + 1, sampler.batches_per_epoch)
    report = sums.report()
    report |= {"model": "alphadiffract", "models": len(models), "input": config.input, "split": split, "noise": noise}
    truth, prediction = sums.shown
    return LatticeEvaluation(plain(report), sums.confusion, names, truth, prediction)


class LatticeSums:
    """Running sums of all figures of AlphaDiffract's report."""

    def __init__(self, labels: LabelColumns, train: NDArray[np.int64], names: dict[int, str], every: int = 1) -> None:
        self.labels, self.names, self.every = labels, names, every
        self.majorities = [_majority(classes[train]) for classes in (labels.crystal_system, labels.space_group)]
        self.system, self.group = AccuracySums(CRYSTAL_SYSTEMS), AccuracySums(SPACE_GROUPS)
        self.group_correct_of_system = np.zeros(CRYSTAL_SYSTEMS, dtype=np.int64)
        self.confusion = np.zeros((CRYSTAL_SYSTEMS, CRYSTAL_SYSTEMS), dtype=np.int64)
        self.distances = GraphDistanceSums()
        self.lattice = RegressionSums(labels.lattice[train].mean(axis=0) if len(train) else np.full(6, np.nan))
        self.structures = 0
        self._by_structure = ByStructure()
        self._shown: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []

    def add(
        self,
        crystal_system: NDArray[np.float64],
        space_group: NDArray[np.float64],
        lattice: NDArray[np.float64],
        structure: NDArray[np.int64],
        cells: NDArray[np.float64],
    ) -> None:
        """Take probabilities (model, sample, class) and lattices (model, sample, 6) of samples of structures.

        `cells` (sample, 6) are the true ones: where a pattern's cell is strained, its strain is taken from the
        predictions, so that the spread over patterns is that of their errors.
        """
        lattice = lattice - (cells - self.labels.lattice[structure].astype(cells.dtype))
        true_system, true_group = self.labels.crystal_system[structure], self.labels.space_group[structure]
        systems, system_correct = self.system.add(crystal_system, true_system)
        groups, group_correct = self.group.add(space_group, true_group)
        self.group_correct_of_system += np.bincount(true_system[group_correct], minlength=CRYSTAL_SYSTEMS)
        np.add.at(self.confusion, (true_system, systems), 1)
        self.distances.add(groups, true_group)
        of_models = lattice.var(axis=0, ddof=1) if len(lattice) > 1 else np.zeros(lattice.shape[1:])
        fractions = np.stack([system_correct, group_correct], axis=1).astype(np.float64)
        columns = [fractions, of_models, self.labels.lattice[structure], lattice.mean(axis=0)]
        self._close(self._by_structure.add(structure, np.concatenate(columns, axis=1)))

    def report(self) -> dict[str, Any]:
        """Return all figures."""
        self._close(self._by_structure.finish(_COLUMNS))
        group_names = {group: str(group + 1) for group in range(SPACE_GROUPS)}
        lattice = {name: self.lattice.result(k) for k, name in enumerate(LATTICE)}
        of_system = self.system.of_class
        return {
            "structures": self.structures,
            "patterns": self.system.samples,
            "crystal_system": self.system.result(self.majorities[0], self.names),
            "space_group": {
                **plain(self.group.result(self.majorities[1], group_names)),
                "top5_accuracy": self.group.in_top / self.group.samples,
            },
            "space_group_accuracy_by_crystal_system": {
                name: float(self.group_correct_of_system[c] / of_system[c])
                for c, name in self.names.items()
                if of_system[c]
            },
            "graph_distance": self.distances.result(),
            "lattice": lattice,
            "lengths": _mean_of([lattice[name] for name in LATTICE[:3]]),
            "angles": _mean_of([lattice[name] for name in LATTICE[3:]]),
        }

    @property
    def shown(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """True and predicted lattices of every `every`-th structure."""
        truth, prediction = zip(*self._shown, strict=True)
        return np.stack(truth), np.stack(prediction)

    def _close(self, found: Structures) -> None:
        if not len(found.count):
            return
        self.system.add_structures(found.mean[:, 0])
        self.group.add_structures(found.mean[:, 1])
        of_models, truth, predicted = (found.mean[:, first : first + 6] for first in (2, 8, 14))
        of_augmentations = found.squares[:, 14:] / np.maximum(found.count - 1, 1)[:, None]
        self.lattice.add_structures(truth, predicted, of_models + of_augmentations)  # eq. 10
        for i in range(-self.structures % self.every, len(found.count), self.every):
            self._shown.append((truth[i], predicted[i]))
        self.structures += len(found.count)


def _majority(classes: NDArray[np.int64]) -> int:
    return int(np.bincount(classes).argmax()) if len(classes) else 0


def _mean_of(parts: list[Regression]) -> dict[str, float]:
    return {
        name: float(np.mean([getattr(p, name) for p in parts]))
        for name in ("mae", "mape_percent", "r2", "mean_baseline_mae")
    }
