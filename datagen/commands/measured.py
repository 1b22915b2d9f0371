"""The command `measured`: verdicts on scans with truths, and a dataset of the accepted ones."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from datagen.progress import Display, printable

if TYPE_CHECKING:
    from datagen.config.measured import MeasuredSettings
    from datagen.measured.curate import ScanVerdict
    from datagen.simulate.instrument import Instrument

DEFAULT_INSTRUMENT = "cu_kalpha"
"""Of a dataset, if none is given."""


def measured(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="Folder, archive or .npz of scans with their truths.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DATASET", help="New dataset of the accepted scans.", show_default="none"),
    ] = None,
    verdicts: Annotated[
        Path | None, typer.Option("--verdicts", metavar="FILE.csv", help="Table of all verdicts.", show_default="none")
    ] = None,
    instrument: Annotated[
        str | None,
        typer.Option(
            help="Preset, or dataset whose instrument is used. A scan must cover its range.",
            show_default=f"{DEFAULT_INSTRUMENT} with --out",
        ),
    ] = None,
    wavelength: Annotated[
        str | None,
        typer.Option(help="Wavelength of scans that state none: 1.5406, 20keV or CuKa1.", show_default="none"),
    ] = None,
    protocol: Annotated[str, typer.Option(help="Checks: strict or alphadiffract (those of the paper).")] = "strict",
    background: Annotated[str, typer.Option(help="Smooth background of patterns: remove or keep.")] = "remove",
    alpha2: Annotated[
        str, typer.Option(help="K-alpha2 of patterns: match (removed for an instrument of one line) or keep.")
    ] = "match",
    split: Annotated[str, typer.Option(help="Split of all scans: test, validation, train or by_group.")] = "test",
    licence: Annotated[str, typer.Option(help="Licence of scans that state none.")] = "unknown",
    name: Annotated[
        str | None, typer.Option(help="Name of the source in the dataset.", show_default="name of SOURCE")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdicts as JSON.")] = False,
) -> None:
    """Check measured scans against what is known of their samples, and write the accepted ones as a dataset."""
    from datagen.errors import DatagenError
    from datagen.measured.curate import examine
    from datagen.measured.write import NothingAcceptedError, write_measured
    from trainer.errors import TrainerError
    from trainer.scans.wavelength import parse_wavelength

    try:
        used = None if wavelength is None else parse_wavelength(wavelength)
    except (TrainerError, ValueError) as error:
        raise DatagenError(str(error)) from error
    settings = _settings(
        protocol=protocol, background=background, alpha2=alpha2, split=split, licence=licence, wavelength_A=used
    )
    known = _instrument(instrument or DEFAULT_INSTRUMENT) if instrument or out else None
    display = Display()
    if out is not None and known is not None:
        try:
            found = write_measured(source, out, settings, known, name or source.name.split(".")[0], display)
        except NothingAcceptedError as error:
            if verdicts is not None:
                _write_table(verdicts, [verdict.as_row() for verdict in error.verdicts])
            raise
    else:
        found = []
        with display.phase("scans", None, "scans"):
            for examined in examine(source, settings, known):
                found.append(examined.verdict)
                display.advance(len(found))
    rows = [verdict.as_row() for verdict in found]
    if verdicts is not None:
        _write_table(verdicts, rows)
    if as_json:
        typer.echo(json.dumps(rows))
        return
    _print(found, display)
    if out is not None:
        display.say(f"written: {escape(printable(str(out)))}")


def _settings(**values: Any) -> MeasuredSettings:
    from pydantic import ValidationError

    from datagen.config.measured import MeasuredSettings
    from datagen.errors import ConfigError

    try:
        return MeasuredSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0])
        raise ConfigError(f"--{name}: {first['msg']}, found {str(first['input'])!r:.80}") from None


def _instrument(given: str) -> Instrument:
    """Return a preset, or the instrument of a dataset."""
    from datagen.errors import ConfigError, StoreError
    from datagen.share.registry import resolve_dataset
    from datagen.simulate.instrument import PRESETS, Instrument
    from datagen.store.reading import read_attributes

    if given in PRESETS:
        return PRESETS[given]
    try:
        found = read_attributes(resolve_dataset(given)).get("instrument")
    except StoreError as error:
        raise ConfigError(
            f"--instrument {given}: expected one of {', '.join(PRESETS)} or a dataset ({error})"
        ) from error
    return Instrument.model_validate(found)


def _write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    from catalogs.atomic_write import write_bytes

    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(path, text.getvalue().encode())


def _print(found: list[ScanVerdict], display: Display) -> None:
    from datagen.commands.terminal import facts
    from datagen.measured.curate import counts
    from datagen.measured.reasons import REASONS

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
