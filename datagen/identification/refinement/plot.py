"""Plot of a refinement: scan, calculated pattern, difference and positions of reflections."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from datagen.identification.refinement.model import Model
from datagen.identification.refinement.refine import Refinement
from datagen.progress import printable


def plot_refinement(found: Refinement, out: Path) -> None:
    """Write the plot; the format is that of the file's suffix."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    m, fit = found.measurement, found.fit
    figure = Figure(figsize=(9, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    height = float(m.intensity.max())
    axes.plot(m.two_theta_deg, m.intensity, ".", color="0.35", ms=2.5, label="scan")
    axes.plot(m.two_theta_deg, fit.calculated, color="C3", lw=0.9, label="calculated")
    axes.plot(m.two_theta_deg, fit.background, color="C0", lw=0.8, label="background")
    axes.plot(m.two_theta_deg, m.intensity - fit.calculated - 0.18 * height, color="C2", lw=0.7, label="difference")
    angle = Model(found.phase, m).peaks(fit.values)[0] + fit.values["zero_deg"]
    shown = angle[(angle > m.two_theta_deg[0]) & (angle < m.two_theta_deg[-1])]
    axes.vlines(np.unique(shown.round(3)), -0.08 * height, -0.04 * height, color="k", lw=0.5)
    axes.set(xlabel="2θ (deg)", ylabel="intensity", xlim=(m.two_theta_deg[0], m.two_theta_deg[-1]))
    method = "Le Bail" if found.is_le_bail else "structure"
    title = f"{printable(found.phase.name)} ({method}): Rwp {found.r_wp:.1%}, goodness of fit {found.goodness:.2f}"
    axes.set_title(title, parse_math=False)
    axes.legend(loc="upper right", frameon=False)
    figure.savefig(out, dpi=150)
