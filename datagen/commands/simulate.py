"""The commands `simulate` (patterns of one structure) and `compare-engines` (native engine against GSAS-II)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape

EngineChoice = Literal["native", "gsas2"]
PresetChoice = Literal["alphadiffract", "realistic", "measured"]
InstrumentChoice = Literal["alphadiffract", "cu_kalpha1", "cu_kalpha", "mo_kalpha"]

WIDTH_OF_FILES = 132
"""Width in characters of a table that is not written to a terminal."""

Augmentations = Annotated[
    int, typer.Option("--augmentations", "-n", min=1, max=100_000, help="Patterns per structure.")
]
Preset = Annotated[PresetChoice, typer.Option(help="Ranges of the augmentation parameters.")]
ComparedPreset = Annotated[
    Literal["alphadiffract", "realistic"], typer.Option(help="Ranges of the augmentation parameters.")
]
InstrumentName = Annotated[InstrumentChoice, typer.Option("--instrument", help="Wavelengths, range and geometry.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the augmentation parameters.")]


def simulate(
    file: Annotated[Path, typer.Argument(help="A CIF file.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Arrays (.npz), table (.csv) or picture (.png, .pdf, .svg).")
    ],
    engine: Annotated[EngineChoice, typer.Option(help="Engine: native, or GSAS-II.")] = "native",
    augmentations: Augmentations = 100,
    preset: Preset = "alphadiffract",
    instrument: InstrumentName = "alphadiffract",
    seed: Seed = 0,
) -> None:
    """Simulate the patterns of one structure."""
    from datagen.inspect.look import look_at, writer_for
    from datagen.simulate.augmentation import AugmentationSettings
    from datagen.simulate.instrument import Instrument

    write = writer_for(out)
    settings = AugmentationSettings(preset=preset, count=augmentations)
    look = look_at(file, engine, Instrument.preset(instrument), settings, seed)
    write(look, out)
    console = Console(highlight=False)
    if look.subject.remark:
        console.print(
            f"[yellow]A dataset would refuse this structure:[/] {escape(look.subject.remark)}", soft_wrap=True
        )
    for warning in look.patterns.sticks.warnings:
        console.print(f"[yellow]note:[/] {warning}")
    floored = int((look.patterns.diagnostics.n_variance_floor > 0).sum())
    console.print(
        f"{look.title}: {len(look.augmentations)} patterns of {look.patterns.diagnostics.n_reflections[0]} reflections "
        f"in {look.seconds:.3g} s; {floored} with a Gaussian width at its floor. Written to {out}",
        soft_wrap=True,
    )


def compare_engines(
    path: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of CIFs, or one CIF, archive or table.")],
    augmentations: Augmentations = 4,
    preset: ComparedPreset = "alphadiffract",
    instrument: InstrumentName = "alphadiffract",
    seed: Seed = 0,
    limit: Annotated[int, typer.Option(min=1, help="Largest number of structures.")] = 1_000_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON instead of a table.")] = False,
) -> None:
    """Compare the native engine with GSAS-II on the same structures; exit code 1 if they differ beyond the limits.

    The limits are larger for instruments with two lines and for shifted peaks, where the engines differ on purpose.
    """
    from datagen.inspect.compare_engines import agreement_table, compare, not_compared, summarise
    from datagen.inspect.engine_limits import limits_for
    from datagen.simulate.augmentation import AugmentationSettings
    from datagen.simulate.instrument import Instrument

    settings = AugmentationSettings(preset=preset, count=augmentations)
    limits = limits_for(Instrument.preset(instrument), settings)
    progress = Console(stderr=True, highlight=False)
    comparisons = []
    with progress.status("starting GSAS-II") as status:
        for comparison in compare(path, Instrument.preset(instrument), settings, seed, limit):
            comparisons.append(comparison)
            status.update(f"{len(comparisons)} structures, last {comparison.name}")
    summary = summarise(comparisons, limits)
    if as_json:
        typer.echo(json.dumps({"summary": summary.as_dict(), "structures": [c.as_dict() for c in comparisons]}))
    else:
        console = Console(highlight=False)
        if not console.is_terminal:
            console.width = WIDTH_OF_FILES
        console.print(agreement_table(comparisons, limits))
        for line in not_compared(comparisons):
            console.print(line, soft_wrap=True)
        console.print(summary.sentence(), soft_wrap=True)
    if not summary.agree:
        raise typer.Exit(1)


def mount(app: typer.Typer) -> None:
    """Add both commands to the application."""
    app.command()(simulate)
    app.command("compare-engines")(compare_engines)
