"""Figure of one structure: sticks, a few of its patterns, and the width of peaks along the angle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from datagen.inspect.look import Look
from datagen.inspect.report_figures import ACCENT, FAINT, INK, STYLE
from datagen.simulate.gsas2.cell import symmetric
from datagen.simulate.profile import widths_deg
from datagen.simulate.refusal import Unsimulable

SHOWN = 5
"""Number of patterns drawn, from the sharpest to the broadest."""
NAMED = 9
"""Largest number of labelled reflections."""
LABEL_WIDTH = 0.028
"""Width of a label as a fraction of the axis."""


def write_figure(look: Look, out: Path) -> None:
    """Draw the figure and save it in the format of the file's suffix."""
    with mpl.rc_context():
        style: Any = STYLE
        mpl.rcParams.update(style)
        draw_figure(look).savefig(out, dpi=200)


def draw_figure(look: Look) -> Figure:
    """Return the figure: three panels over one axis of angles."""
    figure = Figure(figsize=(9.0, 8.2), layout="constrained")
    sticks, patterns, widths = figure.subplots(3, 1, sharex=True, height_ratios=(1.15, 3.2, 1.25))
    chosen = _sharp_to_broad(look)
    middle = look.patterns.diagnostics.fwhm_deg.shape[1] // 2
    width = look.patterns.diagnostics.fwhm_deg[:, middle]
    scale = Normalize(float(width[chosen].min()) * 0.7, float(width[chosen].max()) * 1.15)
    colours = [mpl.colormaps["viridis_r"](scale(width[i]) * 0.85 + 0.12) for i in chosen]
    _draw_sticks(sticks, look)
    _draw_patterns(patterns, look, chosen, colours)
    _draw_widths(widths, look, chosen, colours)
    lines = ", ".join(f"{line.wavelength_A:.5g} Å" for line in look.instrument.lines)
    sticks.set_title(f"{_subscripted(look.title)}", fontsize=14, fontweight="bold", pad=20)
    n = len(look.augmentations)
    made = f"{look.engine}: {n} pattern{'s' * (n > 1)} in {_duration(look.seconds)}"
    sticks.text(
        1.0,
        1.21,
        f"{look.subject.name}   ·   {lines}   ·   {made}",
        transform=sticks.transAxes,
        ha="right",
        va="bottom",
        fontsize=8,
        color="#6b7785",
    )
    widths.set_xlabel("2θ (degrees)")
    widths.set_xlim(look.instrument.two_theta_min_deg, look.instrument.two_theta_max_deg)
    figure.align_ylabels()
    return figure


def _sharp_to_broad(look: Look) -> list[int]:
    """Return indices of a few patterns, spaced evenly in the order of their widths."""
    middle = look.patterns.diagnostics.fwhm_deg.shape[1] // 2
    order = np.argsort(look.patterns.diagnostics.fwhm_deg[:, middle], kind="stable")
    places = np.unique(np.linspace(0, len(order) - 1, min(SHOWN, len(order))).round().astype(int))
    return [int(i) for i in order[places]]


def _draw_sticks(axes: Axes, look: Look) -> None:
    sticks = look.patterns.sticks
    height = 100 * sticks.intensity / sticks.intensity.max()
    for line in range(len(look.instrument.lines)):
        of_line = sticks.line == line
        colour = ACCENT if line == 0 else FAINT
        axes.vlines(sticks.two_theta_deg[of_line], 0, height[of_line], color=colour, lw=1.1, zorder=3 - line)
    low, high = look.instrument.two_theta_min_deg, look.instrument.two_theta_max_deg
    taken: list[float] = []
    for i in np.argsort(-height):
        angle = float(sticks.two_theta_deg[i])
        gap = LABEL_WIDTH * (high - low)
        if len(taken) == NAMED or sticks.line[i] != 0 or height[i] < 3 or any(abs(angle - t) < gap for t in taken):
            continue
        taken.append(angle)
    names = _names(look)
    for angle in taken:
        i = int(np.argmin(np.abs(sticks.two_theta_deg - angle) + (sticks.line != 0) * 1e3))
        if i in names:
            axes.annotate(
                names[i], (angle, height[i]), (0, 2), textcoords="offset points", ha="center", fontsize=7.5, color=INK
            )
    axes.set_ylim(0, 118)
    axes.set_yticks([0, 50, 100])
    axes.set_ylabel("area (%)")
    axes.tick_params(axis="x", length=0)


def _names(look: Look) -> dict[int, str]:
    """Return Miller indices of the conventional cell by stick number; empty if no symmetry is found."""
    crystal, sticks = look.subject.crystal, look.patterns.sticks
    if crystal is None:
        return {}
    try:
        conventional = symmetric(crystal)
    except Unsimulable:
        return {}
    indices = np.rint(sticks.member_hkl @ np.linalg.inv(conventional.to_crystal_hkl)).astype(int)
    found = {}
    for i in range(len(sticks)):
        members = indices[sticks.member_start[i] : sticks.member_start[i + 1]]
        both = np.concatenate([members, -members])
        best = max(both.tolist(), key=lambda hkl: (sum(v >= 0 for v in hkl), hkl))
        found[i] = _indices(best)
    return found


def _indices(hkl: list[int]) -> str:
    """Return three indices with bars over negative ones, and spaces if one has two digits."""
    parts = [rf"\overline{{{-v}}}" if v < 0 else str(v) for v in hkl]
    return "$" + (r"\," if max(map(abs, hkl)) > 9 else "").join(parts) + "$"


def _draw_patterns(axes: Axes, look: Look, chosen: list[int], colours: list[tuple[float, ...]]) -> None:
    grid = look.instrument.two_theta_deg
    a = look.augmentations
    step = 0.72
    for place, (i, colour) in enumerate(zip(chosen, colours, strict=True)):
        base = (len(chosen) - 1 - place) * step
        curve: NDArray[np.float64] = look.patterns.intensity[i] / look.patterns.maximum[i]
        axes.fill_between(grid, base, base + curve, color=colour, alpha=0.14, lw=0, zorder=2 * place)
        axes.plot(grid, base + curve, color=colour, lw=0.9, zorder=2 * place + 1)
        _beside(
            axes,
            base,
            f"nr {a.index[i]}\n{a.crystallite_size_um[i]:.2f} µm\n{a.microstrain[i]:.0f} µε",
            colour=colour,
            above=True,
        )
    axes.set_ylim(-0.03, (len(chosen) - 1) * step + 1.05)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_ylabel("intensity, each relative to its maximum")
    axes.tick_params(axis="x", length=0)


def _draw_widths(axes: Axes, look: Look, chosen: list[int], colours: list[tuple[float, ...]]) -> None:
    grid = np.linspace(look.instrument.two_theta_min_deg, look.instrument.two_theta_max_deg, 400)
    width, _ = widths_deg(grid, look.instrument.lines[0].wavelength_A, look.augmentations)
    if len(width) > len(chosen):
        low, high = np.percentile(width, [5, 95], axis=0)
        axes.fill_between(grid, low, high, color=FAINT, alpha=0.45, lw=0)
        _beside(axes, float(low[-1] + high[-1]) / 2, f"90 % of\n{len(width)} patterns")
    for i, colour in zip(chosen, colours, strict=True):
        axes.plot(grid, width[i], color=colour, lw=1.4)
    axes.axhline(look.instrument.step_deg, color=INK, lw=0.8, ls=":")
    _beside(axes, look.instrument.step_deg, "grid step")
    axes.set_ylim(0, None)
    axes.set_ylabel("FWHM (degrees)")


def _beside(axes: Axes, y: float, text: str, colour: str | tuple[float, ...] = INK, above: bool = False) -> None:
    """Write text in the right margin at a height of the data."""
    where = axes.get_yaxis_transform()
    vertical = "bottom" if above else "center"
    axes.text(1.008, y, text, transform=where, ha="left", va=vertical, fontsize=7.5, color=colour, linespacing=1.25)


def _subscripted(title: str) -> str:
    """Return the title with the formula's digits as subscripts."""
    formula, comma, rest = title.partition(", ")
    lowered = "".join(chr(0x2080 + int(c)) if c.isdigit() else c for c in formula)
    return lowered + comma + rest


def _duration(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
