"""The report's pictures: plain functions from arrays to matplotlib figures, one house style.

They are drawn while nothing else of a run is left to do, so they are drawn once: places of axes are given in inches,
since matplotlib's own layout draws everything twice to find them, and a histogram is one outline instead of forty bars.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curation.labels import CRYSTAL_SYSTEMS, crystal_system_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[Any]

SYSTEM_COLOURS = ("#5b6c8f", "#4fa3a5", "#8fbf7f", "#e3b23c", "#e0813f", "#c8553d", "#7d4f73")
"""One colour a crystal system, in label order, distinguishable without full colour vision."""
INK, FAINT, ACCENT = "#26303b", "#c9d1da", "#2f6f9f"
N_BINS = 40
STYLE: Any = {
    "font.size": 9,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "savefig.facecolor": "white",
}


def as_data_uri(figure: Figure) -> str:
    """A figure as a PNG inside the page, so that the report is one file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def space_group_ring(space_group: Array) -> Figure:
    """Crystal systems in the inner ring, their space groups in the outer one; the commonest groups are named."""
    figure = _figure(6.4, 6.4)
    axes = _panel(figure, 0, 1, 1, left=0.05, right=0.05, bottom=0.05, top=0.05)
    groups, counts = np.unique(space_group, return_counts=True)
    systems = np.array([crystal_system_of(int(g)) for g in groups])
    present = [s for s in range(1, 8) if (systems == s).any()]
    inner = [int(counts[systems == s].sum()) for s in present]
    total = int(counts.sum())
    axes.pie(
        inner,
        radius=0.72,
        colors=[SYSTEM_COLOURS[s - 1] for s in present],
        labels=[
            f"{CRYSTAL_SYSTEMS[s - 1]}\n{n / total:.0%}" if n / total > 0.055 else ""
            for s, n in zip(present, inner, strict=True)
        ],
        labeldistance=0.68,
        textprops={"ha": "center", "va": "center", "fontsize": 7.5, "color": "white"},
        wedgeprops={"width": 0.42, "edgecolor": "white", "linewidth": 1},
        startangle=90,
        counterclock=False,
    )
    axes.pie(
        counts,
        radius=1.0,
        colors=[SYSTEM_COLOURS[s - 1] for s in systems],
        labels=[str(g) if n / total > 0.012 else "" for g, n in zip(groups, counts, strict=True)],
        labeldistance=1.04,
        textprops={"fontsize": 7, "ha": "center"},
        wedgeprops={"width": 0.26, "edgecolor": "white", "linewidth": 0.4, "alpha": 0.75},
        startangle=90,
        counterclock=False,
    )
    axes.text(0, 0, f"{total:,}\nstructures\n{len(groups)} groups", ha="center", va="center", fontsize=9)
    return figure


def histograms(columns: Mapping[str, Array], *, width: float = 9.0, log: bool = False, n_columns: int = 3) -> Figure:
    """A small histogram for each named array."""
    n_rows = -(-len(columns) // n_columns)
    figure = _figure(width, 1.9 * n_rows)
    for i, (name, values) in enumerate(columns.items()):
        axes = _panel(figure, i, n_rows, n_columns, left=0.15, right=0.15, bottom=0.3, top=0.32)
        finite = np.asarray(values)[np.isfinite(values)]
        bins: Any = N_BINS
        if log and finite.size and finite.min() > 0 and finite.max() > 1.001 * finite.min():
            bins = np.geomspace(finite.min(), finite.max(), N_BINS)
            axes.set_xscale("log")
        counts, edges = np.histogram(
            finite, bins=bins, range=None if isinstance(bins, np.ndarray) else _wide_enough(finite)
        )
        axes.stairs(counts, edges, fill=True, color=ACCENT)
        axes.set_title(name)
        axes.set_yticks([])
    return figure


def _wide_enough(values: Array) -> tuple[float, float] | None:
    """A range for values that differ by rounding only, which would else be cut into bins of no width."""
    if not values.size or np.ptp(values) > 1e-6 * max(float(np.abs(values).max()), 1e-6):
        return None
    middle = float(values.mean())
    return middle - 0.5, middle + 0.5


def bars(counts: Mapping[str, int | float], *, unit: str = "", colour: str = ACCENT) -> Figure:
    """Horizontal bars with their figures, the largest on top."""
    ordered = sorted(counts.items(), key=lambda item: item[1])
    figure = _figure(9.0, 0.5 + 0.27 * max(len(ordered), 1), layout="constrained")  # names of any length
    axes = figure.add_subplot()
    axes.barh([name for name, _ in ordered], [value for _, value in ordered], color=colour, height=0.66)
    largest = max((value for _, value in ordered), default=1) or 1
    for position, (_, value) in enumerate(ordered):
        text = f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"
        axes.text(value + largest * 0.008, position, f"{text}{unit}", va="center", fontsize=8)
    axes.set_xlim(0, largest * 1.12)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    return figure


def sample_patterns(two_theta_deg: Array, samples: Sequence[tuple[str, int, Array]]) -> Figure:
    """A few augmentations of a few structures: (title, crystal system, patterns relative to their maximum)."""
    below = 0.5
    figure = _figure(9.0, 1.45 * len(samples) + below)
    for i, (title, system, patterns) in enumerate(samples):
        axes = _panel(figure, i, len(samples), 1, left=0.15, right=0.15, bottom=0.12, top=0.3, below=below)
        for step, pattern in enumerate(patterns):
            axes.plot(
                two_theta_deg, pattern + 0.25 * step, lw=0.7, color=SYSTEM_COLOURS[system - 1], alpha=1 - 0.2 * step
            )
        axes.set_title(title, fontsize=8.5, parse_math=False)  # a source id may hold $ signs
        axes.set_yticks([])
        axes.set_xlim(float(two_theta_deg[0]), float(two_theta_deg[-1]))
        axes.tick_params(labelbottom=i == len(samples) - 1)
    axes.set_xlabel("2θ (deg)")
    return figure


def density_slices(samples: Sequence[tuple[str, Array]]) -> Figure:
    """The three middle planes of each density, on a logarithmic scale since cores outshine bonds."""
    figure = _figure(9.0, 3.1 * len(samples), layout="constrained")
    for row, (title, density) in enumerate(samples):
        middle = density.shape[0] // 2
        planes = (density[0], density[middle], density[:, :, middle])
        names = ("x = 0", "x = 1/2", "z = 1/2")
        top = float(np.nanmax(density))
        for column, (plane, name) in enumerate(zip(planes, names, strict=True)):
            axes = figure.add_subplot(len(samples), 3, 3 * row + column + 1)
            image = axes.imshow(
                np.log10(np.clip(plane.T, top * 1e-4, None)), origin="lower", extent=(0, 1, 0, 1), cmap="magma"
            )
            axes.set_title(f"{title}, {name}" if column == 0 else name, fontsize=8.5)
            axes.set_xticks([0, 0.5, 1])
            axes.set_yticks([0, 0.5, 1])
            figure.colorbar(image, ax=axes, fraction=0.046, label="log10 e/Å³" if column == 2 else "")
    return figure


def _figure(width_in: float, height_in: float, layout: Any = None) -> Figure:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams.update(STYLE)
    return Figure(figsize=(width_in, height_in), layout=layout)


def _panel(
    figure: Figure,
    index: int,
    n_rows: int,
    n_columns: int,
    *,
    left: float,
    right: float,
    bottom: float,
    top: float,
    below: float = 0.0,
) -> Axes:
    """Axes of one cell of a grid, row by row, with so many inches around them for words; `below` is under the grid."""
    width, height = figure.get_size_inches()
    row, column = divmod(index, n_columns)
    cell_width, cell_height = width / n_columns, (height - below) / n_rows
    x, y = column * cell_width + left, below + (n_rows - 1 - row) * cell_height + bottom
    size = ((cell_width - left - right) / width, (cell_height - bottom - top) / height)
    axes: Axes = figure.add_axes((x / width, y / height, *size))
    return axes
