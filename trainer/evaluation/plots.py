"""What do the results look like? PNG figures of an evaluation and of a prediction; needs matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainer.errors import TrainerError
from trainer.evaluation.metrics import LATTICE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from trainer.evaluation.densities import DensityEvaluation
    from trainer.evaluation.lattices import LatticeEvaluation

UNITS = ("Å", "Å", "Å", "°", "°", "°")


def figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, NDArray[Any]]:
    """A figure without a window system, and its axes as a grid."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure as NewFigure
    except ImportError:
        raise TrainerError("plots need matplotlib: install it, or leave --plots out") from None
    made = NewFigure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(made)
    return made, made.subplots(rows, columns, squeeze=False)


def plot_lattice_evaluation(found: LatticeEvaluation, folder: Path) -> list[Path]:
    """Parity of the six lattice parameters, confusion of crystal systems, distances between space groups."""
    return [
        _parity(found, folder / "parity.png"),
        _confusion(found, folder / "confusion.png"),
        _distances(found, folder / "graph_distance.png"),
    ]


def plot_density_evaluation(found: DensityEvaluation, folder: Path) -> list[Path]:
    """Slices of truth beside prediction, and the distribution of scores."""
    return [_slices(found, folder / "densities.png"), _scores(found, folder / "scores.png")]


def plot_attention(
    two_theta_deg: NDArray[np.float64],
    pattern: NDArray[np.float64],
    attention: dict[str, NDArray[np.float64]],
    title: str,
    path: Path,
) -> Path:
    """The pattern coloured by what each head looked at."""
    made, axes = figure(9, 2.6 * len(attention), len(attention))
    for axis, (name, values) in zip(axes[:, 0], attention.items(), strict=True):
        shown = axis.imshow(
            values[None],
            extent=(two_theta_deg[0], two_theta_deg[-1], float(pattern.min()), float(pattern.max()) * 1.05),
            aspect="auto",
            cmap="Oranges",
            vmin=0,
            vmax=1,
        )
        axis.plot(two_theta_deg, pattern, color="black", linewidth=0.7)
        axis.set_ylabel("intensity")
        axis.set_title(f"{title}: attention for the {name.replace('_', ' ')}", fontsize=10)
        made.colorbar(shown, ax=axis, label="attention")
    axes[-1, 0].set_xlabel("2θ on the model's scale, degrees")
    return _save(made, path)


def _parity(found: LatticeEvaluation, path: Path) -> Path:
    made, axes = figure(10, 6.6, 2, 3)
    for k, axis in enumerate(axes.flat):
        x, y = found.shown_truth[:, k], found.shown_prediction[:, k]
        low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
        axis.plot([low, high], [low, high], color="grey", linewidth=0.8)
        axis.scatter(x, y, s=8, alpha=0.5, edgecolors="none")
        axis.set_title(f"{LATTICE[k]}, {UNITS[k]}: MAE {found.report['lattice'][LATTICE[k]]['mae']:.3g}", fontsize=10)
        axis.set_xlabel("true")
        axis.set_ylabel("predicted")
    return _save(made, path)


def _confusion(found: LatticeEvaluation, path: Path) -> Path:
    names = [found.names[k] for k in sorted(found.names)]
    counts = found.confusion
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    made, axes = figure(6, 5)
    axis: Axes = axes[0, 0]
    shown = axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for i, j in np.ndindex(*share.shape):
        if counts[i, j]:
            axis.text(j, i, f"{share[i, j]:.2f}", ha="center", va="center", color="w" if share[i, j] > 0.5 else "k")
    axis.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axis.set_yticks(range(len(names)), names)
    axis.set_xlabel("predicted")
    axis.set_ylabel("true")
    made.colorbar(shown, ax=axis, label="share of the true system")
    return _save(made, path)


def _distances(found: LatticeEvaluation, path: Path) -> Path:
    histogram = found.report["graph_distance"]
    steps = np.arange(len(histogram["share"]))
    made, axes = figure(6, 3.6)
    axis: Axes = axes[0, 0]
    axis.bar(steps, 100 * np.array(histogram["cumulative"]), facecolor="none", edgecolor="grey", label="up to it")
    axis.bar(steps, 100 * np.array(histogram["share"]), color="tab:blue", label="at this distance")
    axis.set_xlabel("steps from the true space group")
    axis.set_ylabel("patterns, %")
    axis.legend()
    return _save(made, path)


def _slices(found: DensityEvaluation, path: Path) -> Path:
    made, axes = figure(5.2, 2.4 * max(1, len(found.examples)), max(1, len(found.examples)), 2)
    for (row, truth, guess), (left, right) in zip(found.examples, axes, strict=True):
        middle = truth.shape[2] // 2
        top = float(truth.max())
        for axis, volume, name in ((left, truth, "truth"), (right, guess, "prediction")):
            shown = axis.imshow(volume[:, :, middle].T, origin="lower", extent=(0, 1, 0, 1), vmin=0, vmax=top)
            axis.set_title(f"structure {row}: {name}", fontsize=9)
            axis.set_xlabel("x")
            axis.set_ylabel("y")
        made.colorbar(shown, ax=right, label="e/Å³")
    return _save(made, path)


def _scores(found: DensityEvaluation, path: Path) -> Path:
    made, axes = figure(8, 3.2, 1, 2)
    for axis, name, unit in zip(axes[0], ("ssim", "psnr"), ("SSIM", "PSNR, dB"), strict=True):
        for kind, label in ((name, "single sample"), (f"best_{name}", "best of all"), (f"mean_{name}", "mean density")):
            values = found.scores[kind]
            axis.hist(values[np.isfinite(values)], bins=25, histtype="step", label=label)
        axis.set_xlabel(unit)
        axis.set_ylabel("crystals")
        axis.legend(fontsize=8)
    return _save(made, path)


def _save(made: Figure, path: Path) -> Path:
    made.savefig(path, dpi=130)
    return path
