"""The command `measured`: a verdict for every scan of a collection with truths."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from datagen.progress import Display, printable


def measured(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="Folder or archive of scans with their truths.")],
    verdicts: Annotated[
        Path | None, typer.Option("--verdicts", metavar="FILE.csv", help="Table of all verdicts.", show_default="none")
    ] = None,
    wavelength: Annotated[
        str | None,
        typer.Option(help="Wavelength of scans that state none: 1.5406, 20keV or CuKa1.", show_default="none"),
    ] = None,
    instrument: Annotated[
        str | None, typer.Option(help="Refuse scans that do not cover this instrument's range.", show_default="none")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdicts as JSON.")] = False,
) -> None:
    """Check measured scans against what is known of their samples; a verdict and a reason for each."""
    from catalogs.atomic_write import write_bytes
    from datagen.commands.terminal import facts
    from datagen.errors import DatagenError
    from datagen.measured.curate import counts, curate_scans
    from datagen.measured.reasons import REASONS
    from datagen.simulate.instrument import Instrument
    from trainer.errors import TrainerError
    from trainer.scans.wavelength import parse_wavelength

    try:
        used = None if wavelength is None else parse_wavelength(wavelength)
        known = None if instrument is None else Instrument.preset(instrument)
    except (TrainerError, ValueError) as error:
        raise DatagenError(str(error)) from error
    display = Display()
    found = []
    with display.phase("scans", None, "scans"):
        for verdict in curate_scans(source, wavelength_A=used, instrument=known):
            found.append(verdict)
            display.advance(len(found))
    rows = [verdict.as_row() for verdict in found]
    if verdicts is not None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        write_bytes(verdicts, text.getvalue().encode())
    if as_json:
        typer.echo(json.dumps(rows))
        return
    table = facts()
    table.add_column(overflow="fold")
    for name, number in counts(found).items():
        table.add_row(name, f"{number:,}", REASONS.get(name, ""))
    Console(highlight=False).print(table)
    for verdict in found:
        if verdict.reason not in ("", "calculated"):
            display.say(f"{escape(printable(verdict.pattern))}: {verdict.reason}: {escape(printable(verdict.detail))}")


def mount(app: typer.Typer) -> None:
    """Mount the command."""
    app.command()(measured)
