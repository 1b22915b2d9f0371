"""Commands that derive and compare finished datasets: subset, merge, diff, audit, fingerprint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from datagen.commands.arguments import AnyDataset
from datagen.commands.terminal import cell, say
from datagen.progress import one_line

SHOWN = 10
"""Identifiers listed by `diff`."""
ONE_OF = "Folder, .zarr.zip, address or registered name of a dataset"

OutPath = Annotated[Path, typer.Option("--out", "-o", help="Folder of the new dataset; must not exist.")]
SaltFile = Annotated[Path | None, typer.Option("--salt-file", help="File with the secret that both groups use.")]


def subset(
    dataset: AnyDataset,
    out: OutPath,
    where: Annotated[
        str | None,
        typer.Option("--where", help="Selection: crystal_system == 7 and n_atoms <= 50 and 'Fe' in elements"),
    ] = None,
    split: Annotated[
        list[str] | None, typer.Option("--split", help="Split to take: train, validation or test (repeatable).")
    ] = None,
    sample: Annotated[int | None, typer.Option("--sample", min=1, help="Number of structures to sample.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the sample.")] = 0,
    patterns: Annotated[
        int | None, typer.Option("--patterns", min=1, help="Number of patterns per structure, from the first.")
    ] = None,
) -> None:
    """Make a dataset of selected structures. Re-run the same command to resume."""
    from datagen.progress import Display
    from datagen.share.registry import resolve_dataset
    from datagen.share.subset import Selection
    from datagen.share.subset import subset as make

    selection = Selection(where, tuple(split or ()), sample, seed, patterns)
    n = make(resolve_dataset(dataset), out, selection, Display())
    say(Console(), f"{out}: {n:,} structures, complete and verified")


def merge(
    datasets: Annotated[list[str], typer.Argument(metavar="DATASET...", help=f"{ONE_OF}; two or more.")],
    out: OutPath,
) -> None:
    """Merge datasets into one. Re-run the same command to resume.

    Of equal structures one is kept: the first with a density, else the first.
    """
    from datagen.progress import Display
    from datagen.share.merge import merge as make
    from datagen.share.registry import resolve_dataset

    console = Console()
    found = make([resolve_dataset(each) for each in datasets], out, Display())
    for path, n in zip(datasets, found.n_taken, strict=True):
        say(console, f"{n:,} structures from {one_line(path)}")
    say(console, f"{out}: {found.n_structures:,} structures, {found.n_duplicates:,} duplicates left out, verified")


def diff(
    a: Annotated[str, typer.Argument(metavar="A", help=f"{ONE_OF}.")],
    b: Annotated[str, typer.Argument(metavar="B", help=f"{ONE_OF}.")],
    patterns: Annotated[bool, typer.Option(help="Compare the patterns too, which takes reading them.")] = True,
) -> None:
    """Compare settings, structures, labels and patterns of two datasets. Exit code 1 if they differ."""
    from datagen.progress import Display
    from datagen.share.diff import diff as compare
    from datagen.share.registry import resolve_dataset

    found = compare(resolve_dataset(a), resolve_dataset(b), patterns=patterns, display=Display())
    console = Console()
    for line in found.settings:
        say(console, one_line(line))
    for what, names in (("only in A", found.gone), ("only in B", found.added)):
        if names:
            more = f", and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
            say(console, one_line(f"{len(names):,} structures {what}: {', '.join(names[:SHOWN])}{more}"))
    say(console, f"{found.n_common:,} structures in both")
    for label, count in found.relabelled.items():
        say(console, f"  {label} differs for {count:,} of them")
    if found.n_patterns_compared:
        steps = f", by {found.largest_change_steps} steps at most" if found.n_patterns_changed else ""
        say(console, f"  {found.n_patterns_changed:,} of {found.n_patterns_compared:,} patterns differ{steps}")
    if found.not_compared:
        say(console, f"  patterns not compared: {found.not_compared}")
    if found.same_content:
        say(console, "equal in every byte")
    if not found.equal:
        raise typer.Exit(1)


def audit(
    a: Annotated[str, typer.Argument(metavar="A", help=f"{ONE_OF}, or a fingerprint (.parquet).")],
    b: Annotated[str, typer.Argument(metavar="B", help=f"{ONE_OF}, or a fingerprint (.parquet).")],
    salt_file: SaltFile = None,
    train: Annotated[str, typer.Option("--train", help="Split used for training.")] = "train",
    test: Annotated[str, typer.Option("--test", help="Split used for testing.")] = "test",
) -> None:
    """Count the structures of each dataset's test split that are in the other's training split."""
    from rich.table import Table

    from datagen.progress import Display
    from datagen.share.audit import audit as count_overlaps
    from datagen.share.registry import resolve_dataset

    found = count_overlaps(
        resolve_dataset(a), resolve_dataset(b), salt_file=salt_file, train=train, test=test, display=Display()
    )
    table = Table("trained on", "tested on", "exact", "nearly", "same group", box=None, pad_edge=False)
    for overlap in found:
        n = overlap.n_test
        shares = [
            f"{count:,} ({count / n:.1%})" if n else "0" for count in (overlap.exact, overlap.near, overlap.group)
        ]
        names = cell(f"{overlap.trained} {train} ({overlap.n_train:,})"), cell(f"{overlap.tested} {test} ({n:,})")
        table.add_row(*names, *shares)
    console = Console()
    console.print(table)
    say(console, f"nearly: {found[0].how_near}; each count includes the one before")


def fingerprint(
    dataset: AnyDataset,
    salt_file: Annotated[Path, typer.Option("--salt-file", help="File with the secret that both groups use.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Table to write (.parquet).")],
) -> None:
    """Write salted hashes of a dataset's structures, for an audit without exchanging structures."""
    from datagen.share.fingerprint import write_fingerprint
    from datagen.share.registry import resolve_dataset

    n = write_fingerprint(resolve_dataset(dataset), salt_file, out)
    say(Console(), f"{out}: {n:,} structures; anyone with the salt can test whether a structure is among them")


def mount(app: typer.Typer) -> None:
    """Add these commands to an application."""
    for command in (subset, merge, diff, audit, fingerprint):
        app.command()(command)
