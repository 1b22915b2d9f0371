"""A plot of a scan with the lines of the structure that explains it best."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from datagen.identification import lines
from datagen.identification.answer import Identified
from datagen.identification.axis import Observed
from datagen.progress import printable
from trainer.simulate.axis import LN_Q_MIN, N_BINS
from trainer.simulate.axis import LN_Q_STEP as STEP

SHOWN = 3


def plot_answer(answer: Identified, scan: Observed, out: Path) -> None:
    """Write a picture: the scan without background, and below it the lines of the best structures."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    d = 2 * np.pi / np.exp(LN_Q_MIN + STEP * (np.arange(N_BINS) + 0.5))
    sine = (scan.wavelength_A / (2 * d)).clip(max=1)
    angle = 2 * np.degrees(np.arcsin(sine))
    shown = scan.measured & (sine < 1)
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(angle[shown], np.sqrt(scan.intensity[shown]), color="black", lw=0.8)
    candidates = answer.candidates[:SHOWN]
    for k, candidate in enumerate(candidates):
        at = lines.two_theta_deg(candidate.reciprocal, scan.wavelength_A, candidate.zero_shift_deg)
        at = at[(at > angle[shown].min()) & (at < angle[shown].max())]
        level = -0.07 * (k + 1)
        axes.vlines(at, level - 0.025, level + 0.025, color=f"C{k}", lw=0.7)
        label = f"{candidate.formula}, {candidate.space_group}, {candidate.source_id}: {candidate.probability:.0%}"
        # A name may hold what matplotlib reads as mathematics.
        axes.text(0.995, 0.97 - 0.06 * k, _plain(label), color=f"C{k}", ha="right", va="top", transform=axes.transAxes)
    if not answer.is_explained:
        axes.text(0.005, 0.97, "nothing in the library explains this scan", va="top", transform=axes.transAxes)
    axes.set_xlabel(f"2theta, degrees at {scan.wavelength_A:.4f} A")
    axes.set_ylabel("square root of relative intensity")
    axes.set_title(_plain(answer.name))
    axes.set_ylim(-0.07 * (len(candidates) + 1), 1.05)
    figure.savefig(out, dpi=150)


def _plain(text: str) -> str:
    return printable(text).replace("$", r"\$")
