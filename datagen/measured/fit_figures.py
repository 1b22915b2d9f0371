"""PNG figures of fitted scans and of the distributions of their parameters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datagen.measured.laboratory import RANGES, RowFit

SHOWN = 12
DPI = 90


def plot_fits(fits: Sequence[RowFit], path: Path) -> None:
    """Plot scans, fits and differences, evenly spread from the best Rwp to the worst."""
    from matplotlib.figure import Figure

    done = sorted((one for one in fits if one.fit is not None), key=lambda one: one.fit.rwp if one.fit else 0.0)
    chosen = [done[i] for i in np.unique(np.linspace(0, len(done) - 1, min(SHOWN, len(done))).round().astype(int))]
    figure = Figure(figsize=(11, 1.9 * len(chosen)), layout="constrained")
    axes: Any = figure.subplots(len(chosen), 1, squeeze=False)
    for axis, one in zip(axes[:, 0], chosen, strict=True):
        fit = one.fit
        assert fit is not None
        axis.plot(fit.two_theta_deg, fit.measured, ".", ms=1.2, color="0.4")
        axis.plot(fit.two_theta_deg, fit.calculated, lw=0.8, color="#c0392b")
        offset = float(fit.measured.min()) - 0.1 * float(np.ptp(fit.measured))
        axis.plot(fit.two_theta_deg, fit.measured - fit.calculated + offset, lw=0.5, color="#2f6f9f")
        title = f"{one.name}, {one.formula}: Rwp {fit.rwp:.3f}, by counting {fit.expected:.3f}"
        axis.set_title(title, fontsize=8, parse_math=False)
        axis.tick_params(labelsize=7)
    axes[-1, 0].set_xlabel("2θ (deg)")
    figure.savefig(path, dpi=DPI)


def plot_distributions(fits: Sequence[RowFit], path: Path) -> None:
    """Plot the distribution of every fitted parameter, of Rwp and of the noise."""
    from matplotlib.figure import Figure

    good = [one.fit for one in fits if one.fit is not None and one.is_good]
    columns = {name: [fit.parameters[name] for fit in good] for name in (*RANGES, "sh_over_l", "alpha2_ratio")}
    columns["log10 crystallite_size_um"] = np.log10(columns.pop("crystallite_size_um")).tolist()
    columns |= {"Rwp": [fit.rwp for fit in good], "counts": [fit.counts for fit in good]}
    shown = {name: np.array(values) for name, values in columns.items() if np.ptp(values) > 0}
    count = len(shown)
    figure = Figure(figsize=(12, 2.4 * -(-count // 4)), layout="constrained")
    axes: Any = figure.subplots(-(-count // 4), 4, squeeze=False)
    for axis, (name, values) in zip(axes.ravel(), shown.items(), strict=False):
        low, high = np.percentile(values, [2, 98])
        axis.hist(np.clip(values, low, high), bins=25, color="#2f6f9f")
        axis.set_title(name, fontsize=9)
        axis.tick_params(labelsize=7)
    for axis in axes.ravel()[count:]:
        axis.set_axis_off()
    figure.savefig(path, dpi=DPI)
