"""PNG figures of an evaluation on measured scans."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trainer.evaluation.metrics import LATTICE
from trainer.evaluation.plots import UNITS, figure
from trainer.prediction.scoring.evaluate import ScanEvaluation


def plot_scan_evaluation(found: ScanEvaluation, folder: Path) -> list[Path]:
    """Plot reliability, confusion of crystal systems, parity of cells, and accuracy by size of the ensemble."""
    folder.mkdir(parents=True, exist_ok=True)
    made = [_reliability(found, folder / "reliability.png"), _confusion(found, folder / "confusion.png")]
    if np.isfinite(found.truths.niggli).all(axis=1).any():
        made.append(_parity(found, folder / "parity.png"))
    if found.report["measured"]["ensemble_sizes"]:
        made.append(_ensemble(found, folder / "ensemble.png"))
    return made


def _reliability(found: ScanEvaluation, path: Path) -> Path:
    made, axes = figure(8, 4, 1, 2)
    for axis, target in zip(axes[0], ("crystal_system", "space_group"), strict=True):
        entry = found.report["measured"]["all"][target]
        axis.plot([0, 1], [0, 1], color="0.7", lw=1)
        title = target.replace("_", " ")
        if entry is not None:
            bins = entry["calibration"]["bins"]
            sizes = [12 + 160 * b["scans"] / found.report["measured"]["all"]["scans"] for b in bins]
            axis.scatter([b["confidence"] for b in bins], [b["accuracy"] for b in bins], sizes, color="#2f6f9f")
            title += f", ECE {entry['calibration']['error']:.3f}"
        axis.set(
            xlabel="probability of the answer", ylabel="share that is right", title=title, xlim=(0, 1), ylim=(0, 1)
        )
    made.savefig(path, dpi=120)
    return path


def _confusion(found: ScanEvaluation, path: Path) -> Path:
    truth = found.truths.crystal_system
    predicted = found.answers.crystal_system.mean(axis=0).argmax(axis=1)
    counts = np.zeros((len(found.names), len(found.names)), dtype=int)
    np.add.at(counts, (truth[truth >= 0], predicted[truth >= 0]), 1)
    made, axes = figure(6, 5)
    axis = axes[0, 0]
    axis.imshow(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
    for i, j in np.ndindex(*counts.shape):
        if counts[i, j]:
            axis.text(j, i, str(counts[i, j]), ha="center", va="center", fontsize=8)
    names = [found.names[i] for i in sorted(found.names)]
    axis.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axis.set_yticks(range(len(names)), names)
    axis.set(xlabel="predicted", ylabel="true")
    made.savefig(path, dpi=120)
    return path


def _parity(found: ScanEvaluation, path: Path) -> Path:
    truth, predicted = found.truths.niggli, found.answers.lattice.mean(axis=0)
    known = np.isfinite(truth).all(axis=1)
    made, axes = figure(9, 6, 2, 3)
    for k, axis in enumerate(axes.ravel()):
        x, y = truth[known, k], predicted[known, k]
        low, high = min(x.min(), y.min()), max(x.max(), y.max())
        axis.plot([low, high], [low, high], color="0.7", lw=1)
        axis.plot(x, y, ".", ms=4, alpha=0.6, color="#2f6f9f")
        axis.set(xlabel=f"true {LATTICE[k]} ({UNITS[k]})", ylabel="predicted")
    made.savefig(path, dpi=120)
    return path


def _ensemble(found: ScanEvaluation, path: Path) -> Path:
    sizes = found.report["measured"]["ensemble_sizes"]
    made, axes = figure(5, 3.5)
    for target in ("crystal_system", "space_group"):
        if sizes[0][target] is not None:
            values = [100 * s[target] for s in sizes]
            axes[0, 0].plot([s["models"] for s in sizes], values, "o-", label=target.replace("_", " "))
    axes[0, 0].set(xlabel="models in the ensemble", ylabel="accuracy, %")
    axes[0, 0].legend()
    made.savefig(path, dpi=120)
    return path
