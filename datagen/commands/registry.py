"""Commands of the datasets registry: datasets add, list, show, remove."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from datagen.commands.terminal import cell, say
from datagen.progress import one_line

datasets = typer.Typer(help="Manage the registry of datasets that a group shares.", no_args_is_help=True)

RegistryPath = Annotated[
    str | None,
    typer.Option("--registry", help="File or URL of the registry; default: $PXRD_DATASETS, else ./datasets.toml."),
]
DatasetName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the dataset in the registry.")]


@datasets.command("add")
def add_dataset(
    name: DatasetName,
    location: Annotated[str, typer.Argument(metavar="LOCATION", help="Folder, .zarr.zip or URL of the dataset.")],
    registry: RegistryPath = None,
) -> None:
    """Register a finished dataset with its version, checksum, size, counts and licences."""
    from datagen.share.registry import add, default_registry

    entry = add(registry or default_registry(), name, location)
    say(Console(), f"{name}: {entry.structures:,} structures, {entry.patterns:,} patterns, at {entry.location}")


@datasets.command("list")
def list_datasets(registry: RegistryPath = None) -> None:
    """List the registered datasets."""
    from rich.table import Table

    from datagen.progress import size
    from datagen.share.registry import default_registry, read_registry

    table = Table("name", "version", "structures", "patterns", "size", "licences", "location", box=None, pad_edge=False)
    for name, entry in read_registry(registry or default_registry()).items():
        counts = f"{entry.structures:,}", f"{entry.patterns:,}", size(entry.bytes)
        table.add_row(name, cell(entry.version), *counts, cell(", ".join(entry.licences)), cell(entry.location))
    Console().print(table)


@datasets.command("show")
def show_dataset(
    name: DatasetName,
    registry: RegistryPath = None,
    location: Annotated[bool, typer.Option("--location", help="Print the location only, for other programs.")] = False,
) -> None:
    """Show one registered dataset. Every command that reads a dataset accepts its name."""
    from datagen.share.registry import default_registry, find

    entry = find(registry or default_registry(), name)
    if location:
        say(Console(), one_line(entry.location))
        return
    for key, value in entry.model_dump().items():
        say(Console(), f"{key}: {one_line(', '.join(value) if isinstance(value, list) else value)}")


@datasets.command("download")
def download_dataset(
    location: Annotated[
        str,
        typer.Argument(metavar="LOCATION", help="URL (hf://, s3://, https://), zenodo:RECORD or registered name."),
    ],
    out: Annotated[Path, typer.Argument(metavar="FOLDER", help="New folder for the dataset.")],
) -> None:
    """Copy a publication to this disk and check every file; a re-run resumes."""
    from datagen.progress import Display, size
    from datagen.share.fetch import fetch

    n_files, n_bytes = fetch(location, out, Display())
    say(Console(), f"{out}: {n_files:,} files, {size(n_bytes)}, every checksum correct")


@datasets.command("remove")
def remove_dataset(name: DatasetName, registry: RegistryPath = None) -> None:
    """Remove a dataset from the registry; its files are kept."""
    from datagen.share.registry import default_registry, remove

    remove(registry or default_registry(), name)
    say(Console(), f"{name}: no longer registered")


def mount(app: typer.Typer) -> None:
    """Add these commands to an application."""
    app.add_typer(datasets, name="datasets")
