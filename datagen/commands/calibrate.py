"""The command `calibrate`: parameters of a laboratory from measured scans with structures."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from datagen.commands.arguments import DatasetPath
from datagen.progress import Display, printable


def calibrate(
    dataset: DatasetPath,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="New folder for ranges, fits and plots.")],
    workers: Annotated[
        int | None, typer.Option(min=1, help="Number of processes.", show_default="usable cores")
    ] = None,
    test: Annotated[bool, typer.Option(help="Test how far simulated patterns are from the measured ones.")] = True,
) -> None:
    """Fit measured scans with their structures, and write the ranges of their parameters as [simulation] settings."""
    import numpy as np

    from datagen.commands.terminal import facts
    from datagen.errors import DatagenError
    from datagen.measured.compare_simulated import areas
    from datagen.measured.fit_figures import plot_distributions, plot_fits
    from datagen.measured.laboratory import fit_dataset, ranges_of, simulation_toml
    from datagen.simulate.instrument import Instrument
    from datagen.store import reading

    if out.exists():
        raise DatagenError(f"{out}: exists already; choose another folder")
    display = Display()
    with display.phase("fit", None, "scans"):
        fits = fit_dataset(dataset, workers=workers, report=display.advance)
    found = ranges_of(fits)
    done = [one.fit for one in fits if one.fit is not None]
    result: dict[str, Any] = {
        "scans": len(fits),
        "fitted": len(done),
        "median_rwp": float(np.median([fit.rwp for fit in done])),
        "median_rwp_by_counting": float(np.median([fit.expected for fit in done])),
        **found,
    }
    if test:
        with display.phase("two-sample test", None, ""):
            result["two_sample_area"] = areas(dataset, fits, found)
    instrument = Instrument.model_validate(reading.read_attributes(dataset)["instrument"])
    out.mkdir(parents=True)
    (out / "simulation.toml").write_text(simulation_toml(instrument, found), encoding="utf-8")
    (out / "calibration.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (out / "fits.csv").write_text(_table([one.as_row() for one in fits]), encoding="utf-8")
    plot_fits(fits, out / "fits.png")
    plot_distributions(fits, out / "distributions.png")
    table = facts()
    table.add_row("scans", f"{len(fits):,}, {len(done):,} fitted, {found['good_fits']:,} good")
    table.add_row("median Rwp", f"{result['median_rwp']:.3f}, by counting alone {result['median_rwp_by_counting']:.3f}")
    for name, (low, high) in found["ranges"].items():
        table.add_row(name, f"{low:g} to {high:g}")
    table.add_row("textured samples", f"{found['textured_share']:.0%}")
    for name, area in result.get("two_sample_area", {}).items():
        table.add_row(f"told from measured, {name}", f"{area:.3f} (0.5: not at all, 1: always)")
    Console(highlight=False).print(table)
    for one in fits:
        if one.reason:
            display.say(printable(f"{one.name}: {one.reason}"))
    display.say(printable(f"written: {out}"))


def _table(rows: list[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def mount(app: typer.Typer) -> None:
    """Mount the command."""
    app.command()(calibrate)
