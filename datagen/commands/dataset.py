"""The commands that look at a dataset: status, inspect, verify, replay, retry."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from datagen.commands.arguments import AnyDataset, DatasetPath
from datagen.commands.terminal import facts, say, shown
from datagen.progress import Display, size

QUARANTINED_SHOWN = 20


def status(
    dataset: DatasetPath,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Show rates, time left, workers and memory until the run ends.")
    ] = False,
    every: Annotated[float, typer.Option("--every", min=0.1, help="Seconds between two looks of --watch.")] = 2.0,
) -> None:
    """Print the progress of a run, from its files alone, on any machine.

    With --watch, exit with 1 if the run failed or its driver is gone.
    """
    from datagen.inspect.status import status_of

    if watch:
        from datagen.inspect.watch import watch as show

        if show(dataset, Console(), every_s=every) != "finished":
            raise typer.Exit(1)
        return
    found = status_of(dataset)
    table = facts([("phase", found.phase)])
    complete = found.phase == "complete"
    table.add_row("driver", found.driver or ("not needed" if complete else "not running: re-run the command to resume"))
    if found.extension:
        table.add_row("extension", f"{found.extension}; re-run its command with --extend to finish it")
    if found.n_records is not None or found.n_curated:
        accepted = found.verdicts["accepted"]
        known = f"{found.n_curated:,} of {found.n_records:,} records" if found.n_records is not None else ""
        read = known or f"{found.n_curated:,} records, catalogs not read to the end"
        table.add_row("curated", f"{read}: {accepted:,} accepted")
    for reason, count in found.verdicts.most_common():
        if reason != "accepted":
            table.add_row("", f"{count:,} {reason}")
    if found.n_shards is not None:
        table.add_row("shards", f"{found.n_committed:,} of {found.n_shards:,} committed, {size(found.n_bytes)}")
        done, total = found.n_structures_committed, found.n_structures or 0
        table.add_row("structures", f"{done:,} of {total:,}, {done * found.n_augmentations:,} patterns")
        if found.n_densities:
            table.add_row("densities", f"{found.n_densities:,}")
    for name, reason in found.set_aside[:QUARANTINED_SHOWN]:
        table.add_row("quarantined", shown(f"{name}: {reason}"))
    if (more := len(found.set_aside) - QUARANTINED_SHOWN) > 0:
        table.add_row("", f"and {more:,} more")
    for mistake in found.mistakes:
        table.add_row("[red]damaged[/]", shown(mistake))
    Console().print(table)


def inspect(dataset: AnyDataset) -> None:
    """Print what a dataset holds: variables, sizes, counts, instrument, engine, licences."""
    from datagen.inspect.describe import inspect as print_description
    from datagen.share.registry import resolve_dataset

    print_description(resolve_dataset(dataset), Console())


def verify(
    dataset: AnyDataset,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also regenerate a sample of patterns and compare them bit for bit.")
    ] = False,
    sample: Annotated[int, typer.Option("--sample", min=1, help="Number of patterns that --deep regenerates.")] = 64,
) -> None:
    """Check every file against its checksum, and every count."""
    from datagen.inspect.verify import verify as check
    from datagen.share.registry import resolve_dataset

    found = check(resolve_dataset(dataset), sample=sample if deep else 0, display=Display())
    regenerated = f", {found.regenerated} patterns regenerated bit for bit" if deep else ""
    Console().print(
        f"[green]good:[/] {found.n_structures:,} structures in {found.n_shards} shards, "
        f"{found.n_files} files ({size(found.n_bytes)}) match their checksums{regenerated}",
        highlight=False,
        soft_wrap=True,
    )


def replay(
    dataset: AnyDataset,
    identifier: Annotated[str, typer.Argument(metavar="ID", help="Source id, structure hash, or row number.")],
    augmentation: Annotated[
        int, typer.Option("--augmentation", "-a", min=0, help="Index of the structure's pattern.")
    ] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write both patterns to this file: .png, .csv or .npz.")
    ] = None,
) -> None:
    """Regenerate one pattern and compare it with the stored one; exit with 1 if they differ.

    Of a dataset without patterns, the reflections are compared.
    """
    from datagen.inspect.replay import replay as regenerate
    from datagen.share.registry import resolve_dataset

    found = regenerate(resolve_dataset(dataset), identifier, augmentation, out)
    console = Console()
    console.print(facts((name, shown(value)) for name, value in found.facts.items()))
    if found.different:
        console.print(f"[red]different[/]: {', '.join(found.different)}")
    elif found.difference_steps == 0:
        console.print("[green]equal[/], bit for bit")
    else:
        console.print(f"[red]different[/] by up to {found.difference_steps} quantisation steps of 2^-13 of the maximum")
    if out:
        say(console, f"written: {out}")
    if found.difference_steps or found.different:
        raise typer.Exit(1)


def retry(
    dataset: DatasetPath,
    reason: Annotated[str, typer.Option("--reason", help="Reason for which the structures were quarantined.")],
) -> None:
    """Release quarantined structures, so that the next run tries them again."""
    from datagen.inspect.retry import retry as release

    count = release(dataset, reason)
    say(
        Console(),
        f"{count} structures quarantined for {reason} are released; re-run the command that made the dataset"
        if count
        else f"no structure is quarantined for {reason}; datagen status {dataset} lists those that are",
    )


def mount(app: typer.Typer) -> None:
    """Add these commands to an application."""
    for command in (status, inspect, verify, replay, retry):
        app.command()(command)
