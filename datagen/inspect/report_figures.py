"""The report's figures: plain functions from arrays to SVG, in one style.

Lines and words are text, sharp at any size, and made in milliseconds where matplotlib takes a second in which no worker
has anything to do. Densities are images; those are matplotlib's.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.labels import CRYSTAL_SYSTEMS, crystal_system_of

Array = NDArray[Any]

SYSTEM_COLOURS = ("#5b6c8f", "#4fa3a5", "#8fbf7f", "#e3b23c", "#e0813f", "#c8553d", "#7d4f73")
"""One colour a crystal system, in label order, distinguishable without full colour vision."""
INK, FAINT, ACCENT = "#26303b", "#c9d1da", "#2f6f9f"
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
"""The same style for matplotlib."""
WIDTH_px = 900.0
N_BINS = 40
LETTER_px = 7.6
"""Width of an average letter, with a margin."""
LEAST_LABELLED_GROUP, LEAST_LABELLED_SYSTEM = 0.012, 0.09
"""Smallest shares of the ring that are labelled."""


def space_group_ring(space_group: Array) -> str:
    """Crystal systems in the inner ring, their space groups in the outer one; the commonest groups are named."""
    groups, counts = np.unique(space_group, return_counts=True)
    systems = [crystal_system_of(int(g)) for g in groups]
    total = max(int(counts.sum()), 1)
    parts = []
    turned = 0.0
    for group, count, system in zip(groups.tolist(), counts.tolist(), systems, strict=True):
        share = count / total
        parts.append(_sector(turned, share, 148, 200, SYSTEM_COLOURS[system - 1], opacity=0.75, line=0.5))
        if share > LEAST_LABELLED_GROUP:
            x, y = _on_circle(turned + share / 2, 213)
            parts.append(_words(x, y + 4, str(group), size=11, anchor="middle"))
        turned += share
    turned = 0.0
    for system in sorted(set(systems)):
        share = sum(n for n, s in zip(counts.tolist(), systems, strict=True) if s == system) / total
        parts.append(_sector(turned, share, 60, 144, SYSTEM_COLOURS[system - 1], line=1))
        if share > LEAST_LABELLED_SYSTEM:
            x, y = _on_circle(turned + share / 2, 102)
            parts.append(_words(x, y - 2, CRYSTAL_SYSTEMS[system - 1], size=11, anchor="middle", colour="#fff"))
            parts.append(_words(x, y + 11, f"{share:.0%}", size=11, anchor="middle", colour="#fff"))
        turned += share
    middle = (f"{int(counts.sum()):,}", "structures", f"{len(groups)} groups")
    parts += [_words(0, 15 * i - 11, line, size=13, anchor="middle") for i, line in enumerate(middle)]
    return f'<svg viewBox="-230 -230 460 460">{"".join(parts)}</svg>'


def histograms(columns: Mapping[str, Array], *, log: bool = False, n_columns: int = 3) -> str:
    """Draw a small histogram of each named array."""
    wide, high, gap, above, below = WIDTH_px / n_columns, 185.0, 14.0, 26.0, 30.0
    parts = []
    for i, (name, values) in enumerate(columns.items()):
        row, column = divmod(i, n_columns)
        left, right = column * wide + gap, (column + 1) * wide - gap
        top, base = row * high + above, (row + 1) * high - below
        counts, edges, is_log = _binned(np.asarray(values, dtype=np.float64), log)
        scale = np.log if is_log else np.asarray
        low, span = float(scale(edges[0])), float(scale(edges[-1]) - scale(edges[0])) or 1.0
        x = left + (right - left) * (np.asarray(scale(edges)) - low) / span
        y = base - (base - top) * counts / max(int(counts.max()), 1)
        steps = "".join(f"V{height:.1f}H{end:.1f}" for height, end in zip(y, x[1:], strict=True))
        parts.append(f'<path d="M{x[0]:.1f} {base:.1f}{steps}V{base:.1f}Z" fill="{ACCENT}"/>')
        places = _log_ticks(edges[0], edges[-1]) if is_log else _ticks(edges[0], edges[-1])
        at = {left + (right - left) * (float(scale(v)) - low) / span: _number(v) for v in places}
        parts.append(_axes(left - 5, right + 5, top, base, at))
        parts.append(_words(left - 5, top - 9, name, size=13))
    return _svg(WIDTH_px, -(-len(columns) // n_columns) * high, parts)


def bars(counts: Mapping[str, int | float], *, unit: str = "", colour: str = ACCENT) -> str:
    """Horizontal bars with their figures, the largest on top."""
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    left = LETTER_px * max((len(name) for name, _ in ordered), default=0) + 12
    largest = max((value for _, value in ordered), default=1) or 1
    available = WIDTH_px - left - 90
    parts = []
    for row, (name, value) in enumerate(ordered):
        y, length = 8 + 26 * row, available * value / largest
        text = f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"
        parts.append(_words(left - 8, y + 13, name, anchor="end"))
        parts.append(f'<rect x="{left:.1f}" y="{y}" width="{length:.1f}" height="17" fill="{colour}"/>')
        parts.append(_words(left + length + 7, y + 13, text + unit))
    return _svg(WIDTH_px, 26 * len(ordered) + 12, parts)


def sample_patterns(two_theta_deg: Array, samples: Sequence[tuple[str, int, Array]]) -> str:
    """Draw a few augmentations of a few structures: (title, crystal system, patterns relative to their maximum)."""
    left, right, high = 12.0, WIDTH_px - 12.0, 135.0
    low, span = float(two_theta_deg[0]), float(two_theta_deg[-1] - two_theta_deg[0]) or 1.0
    x = left + (right - left) * (two_theta_deg - low) / span
    at = {left + (right - left) * (v - low) / span: _number(v) for v in _ticks(low, low + span, about=8)}
    parts = []
    for i, (title, system, patterns) in enumerate(samples):
        top, base = i * high + 26, (i + 1) * high - 4
        shifted = patterns + 0.25 * np.arange(len(patterns))[:, None]
        highest = max(float(shifted.max()), 1e-9)
        for step, pattern in enumerate(shifted):
            y = base - 3 - (base - top) * pattern / highest
            look = f'stroke="{SYSTEM_COLOURS[system - 1]}" stroke-opacity="{1 - 0.2 * step:.1f}"'
            parts.append(f'<path d="{_curve(x, y)}" fill="none" stroke-width="1" {look}/>')
        is_last = i == len(samples) - 1
        parts.append(_axes(left, right, top, base, at if is_last else dict.fromkeys(at, "")))
        parts.append(_words(left, top - 9, title))
    parts.append(_words((left + right) / 2, len(samples) * high + 32, "2θ (deg)", anchor="middle"))
    return _svg(WIDTH_px, len(samples) * high + 40, parts)


def density_slices(samples: Sequence[tuple[str, Array]]) -> str:
    """Draw the three middle planes of each density, on a logarithmic scale to show bonds beside cores."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams.update(STYLE)
    figure = Figure(figsize=(9.0, 3.1 * len(samples)), layout="constrained")
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
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'


def _binned(values: Array, log: bool) -> tuple[Array, Array, bool]:
    """Counts, edges, and whether the axis is logarithmic."""
    finite = values[np.isfinite(values)]
    if log and finite.size and finite.min() > 0 and finite.max() > 1.001 * finite.min():
        edges = np.geomspace(finite.min(), finite.max(), N_BINS + 1)
        edges[0], edges[-1] = finite.min(), finite.max()  # rounding must not leave the outermost values outside
        return *np.histogram(finite, bins=edges), True
    return *np.histogram(finite, bins=N_BINS, range=_wide_enough(finite)), False


def _wide_enough(values: Array) -> tuple[float, float] | None:
    """Return a range of bins that is wide enough for values that differ only by rounding."""
    if not values.size or np.ptp(values) > 1e-6 * max(float(np.abs(values).max()), 1e-6):
        return None
    middle = float(values.mean())
    return middle - 0.5, middle + 0.5


def _ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Return at most `about` + 1 round numbers from low to high."""
    step = 10.0 ** math.floor(math.log10(max(high - low, 1e-30) / about))
    step *= next(factor for factor in (1, 2, 2.5, 5, 10) if (high - low) / (step * factor) <= about)
    return [i * step for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten from low to high, with 2 and 5 between them where they are few."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if high < 200 * low else (1,)
    found = [f * 10.0**d for d in decades for f in factors if low * 0.999 <= f * 10.0**d <= high * 1.001]
    return found if len(found) > 1 else _ticks(low, high)


def _number(value: float) -> str:
    return f"{value:.6g}".replace("-", "−")


def _curve(x: Array, y: Array) -> str:
    """Return a line through the points, in tenths of a pixel, without the inner points of level stretches."""
    across, down = np.round(x, 1), np.round(y, 1)
    kept = np.ones(len(down), dtype=bool)
    kept[1:-1] = (down[1:-1] != down[:-2]) | (down[1:-1] != down[2:])
    points = [f"{a:.5g} {b:.5g}" for a, b in zip(across[kept].tolist(), down[kept].tolist(), strict=True)]
    return "M" + "L".join(points)


def _axes(left: float, right: float, top: float, base: float, ticks: Mapping[float, str]) -> str:
    """Return the left and the lower axis, with labels."""
    marks = "".join(f"M{x:.1f} {base:.1f}v4" for x in ticks)
    lines = f'<path d="M{left:.1f} {top:.1f}V{base:.1f}H{right:.1f}{marks}" fill="none" stroke="{FAINT}"/>'
    return lines + "".join(_words(x, base + 17, word, anchor="middle") for x, word in ticks.items() if word)


def _sector(
    turned: float, share: float, inner: float, outer: float, fill: str, *, line: float, opacity: float = 1
) -> str:
    """Return a sector of a ring; `turned` and `share` are in turns from the top, clockwise."""
    look = f'fill="{fill}" fill-opacity="{opacity}" stroke="#fff" stroke-width="{line}"'
    if share > 0.9999:
        rings = "".join(f"M{r} 0A{r} {r} 0 1 1 {-r} 0A{r} {r} 0 1 1 {r} 0" for r in (inner, outer))
        return f'<path d="{rings}" fill-rule="evenodd" {look}/>'
    (a, b), (c, d) = _on_circle(turned, outer), _on_circle(turned + share, outer)
    (e, f), (g, h) = _on_circle(turned + share, inner), _on_circle(turned, inner)
    large = int(share > 0.5)
    there = f"M{a:.2f} {b:.2f}A{outer} {outer} 0 {large} 1 {c:.2f} {d:.2f}"
    back = f"L{e:.2f} {f:.2f}A{inner} {inner} 0 {large} 0 {g:.2f} {h:.2f}Z"
    return f'<path d="{there}{back}" {look}/>'


def _on_circle(turned: float, radius: float) -> tuple[float, float]:
    angle = 2 * math.pi * turned
    return radius * math.sin(angle), -radius * math.cos(angle)


def _words(x: float, y: float, words: str, *, size: int = 12, anchor: str = "start", colour: str = INK) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}"'
    return f'<text {place} text-anchor="{anchor}">{escape(words)}</text>'


def _svg(width: float, height: float, parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {width:g} {height:g}">{"".join(parts)}</svg>'
