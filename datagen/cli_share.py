"""The commands that make datasets of datasets: subset, merge."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

DatasetPath = Annotated[Path, typer.Argument(metavar="DATASET", help="The dataset's folder.")]
OutPath = Annotated[Path, typer.Option("--out", "-o", help="Folder for the new dataset; nothing may be there yet.")]


def subset(
    dataset: DatasetPath,
    out: OutPath,
    where: Annotated[
        str | None, typer.Option("--where", help="Such as: crystal_system == 7 and n_atoms <= 50 and 'Fe' in elements")
    ] = None,
    split: Annotated[list[str] | None, typer.Option("--split", help="train, validation or test (repeatable).")] = None,
    sample: Annotated[int | None, typer.Option("--sample", min=1, help="So many structures, by chance.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another seed chooses others.")] = 0,
    patterns: Annotated[int | None, typer.Option("--patterns", min=1, help="First patterns of each structure.")] = None,
) -> None:
    """Make a dataset of some of a dataset's structures. Killed at any instant, the same command goes on."""
    from datagen.progress import Display
    from datagen.share.subset import Selection
    from datagen.share.subset import subset as make

    console = Console()
    n = make(dataset, out, Selection(where, tuple(split or ()), sample, seed, patterns), Display(console))
    _say(console, f"{out}: {n:,} structures, complete and verified")


def merge(
    datasets: Annotated[list[Path], typer.Argument(metavar="DATASET...", help="Two datasets or more.")],
    out: OutPath,
) -> None:
    """Make one dataset of several. Killed at any instant, the same command goes on.

    Structures that are in more than one are kept once: the first with a density, else the first.
    """
    from datagen.progress import Display
    from datagen.share.merge import merge as make

    console = Console()
    found = make(datasets, out, Display(console))
    for path, n in zip(datasets, found.n_taken, strict=True):
        _say(console, f"{n:,} structures from {path}")
    _say(console, f"{out}: {found.n_structures:,} structures, {found.n_duplicates:,} duplicates left out, verified")


def mount(app: typer.Typer) -> None:
    """Give an application these commands."""
    for command in (subset, merge):
        app.command()(command)


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
