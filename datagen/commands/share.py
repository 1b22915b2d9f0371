"""The commands around finished datasets: subset, merge, diff, audit, fingerprint, card, publish, catalog."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from datagen.commands.arguments import AnyDataset, DatasetPath

if TYPE_CHECKING:
    from datagen.share.facts import Naming
    from datagen.share.licences import Terms

OutPath = Annotated[Path, typer.Option("--out", "-o", help="Folder for the new dataset; nothing may be there yet.")]


def subset(
    dataset: AnyDataset,
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
    from datagen.share.dataset_list import dataset_called
    from datagen.share.subset import Selection
    from datagen.share.subset import subset as make

    console = Console()
    n = make(
        dataset_called(dataset), out, Selection(where, tuple(split or ()), sample, seed, patterns), Display(console)
    )
    _say(console, f"{out}: {n:,} structures, complete and verified")


def merge(
    datasets: Annotated[
        list[str], typer.Argument(metavar="DATASET...", help="Two or more: folders, .zarr.zip, addresses or names.")
    ],
    out: OutPath,
) -> None:
    """Make one dataset of several. Killed at any instant, the same command goes on.

    Structures that are in more than one are kept once: the first with a density, else the first.
    """
    from datagen.progress import Display
    from datagen.share.dataset_list import dataset_called
    from datagen.share.merge import merge as make

    console = Console()
    found = make([dataset_called(each) for each in datasets], out, Display(console))
    for path, n in zip(datasets, found.n_taken, strict=True):
        _say(console, f"{n:,} structures from {path}")
    _say(console, f"{out}: {found.n_structures:,} structures, {found.n_duplicates:,} duplicates left out, verified")


def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="A dataset: folder, .zarr.zip, address or name.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another, or the same at another time.")],
    patterns: Annotated[bool, typer.Option(help="Compare the patterns too, which takes reading them.")] = True,
) -> None:
    """Tell in what two datasets differ: settings, rows, labels, patterns. Exit code 1 where they do."""
    from datagen.progress import Display
    from datagen.share.dataset_list import dataset_called
    from datagen.share.diff import diff as compare

    found = compare(dataset_called(a), dataset_called(b), patterns=patterns, display=Display(Console(stderr=True)))
    console = Console()
    for line in found.settings:
        _say(console, line)
    for what, names in (("only in A", found.gone), ("only in B", found.added)):
        if names:
            more = f", and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
            _say(console, f"{len(names):,} structures {what}: {', '.join(names[:SHOWN])}{more}")
    _say(console, f"{found.n_common:,} structures in both")
    for label, count in found.relabelled.items():
        _say(console, f"  {label} differs for {count:,} of them")
    if found.n_patterns_compared:
        steps = f", by {found.largest_change_steps} steps at most" if found.n_patterns_changed else ""
        _say(console, f"  {found.n_patterns_changed:,} of {found.n_patterns_compared:,} patterns differ{steps}")
    if found.not_compared:
        _say(console, f"  patterns not compared: {found.not_compared}")
    if found.same_content:
        _say(console, "equal in every byte")
    if not found.equal:
        raise typer.Exit(1)


SHOWN = 10

SaltFile = Annotated[Path | None, typer.Option("--salt-file", help="File with the secret both groups use.")]


def audit(
    a: Annotated[
        str,
        typer.Argument(metavar="A", help="A dataset (folder, .zarr.zip, address, name), or a fingerprint (.parquet)."),
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="Another.")],
    salt_file: SaltFile = None,
    train: Annotated[str, typer.Option("--train", help="Side of the split that is learned from.")] = "train",
    test: Annotated[str, typer.Option("--test", help="Side of the split that is judged by.")] = "test",
) -> None:
    """Tell how much of what one dataset trains on is in what the other tests on, both ways round."""
    from rich.table import Table

    from datagen.progress import Display
    from datagen.share.audit import audit as look
    from datagen.share.dataset_list import dataset_called

    found = look(
        dataset_called(a),
        dataset_called(b),
        salt_file=salt_file,
        train=train,
        test=test,
        display=Display(Console(stderr=True)),
    )
    table = Table("learned from", "judged by", "exact", "nearly", "same group", box=None, pad_edge=False)
    for overlap in found:
        n = overlap.n_test
        shares = [
            f"{count:,} ({count / n:.1%})" if n else "0" for count in (overlap.exact, overlap.near, overlap.group)
        ]
        table.add_row(f"{overlap.trained} {train} ({overlap.n_train:,})", f"{overlap.tested} {test} ({n:,})", *shares)
    console = Console()
    console.print(table)
    _say(console, f"nearly: {found[0].how_near}; each count includes the one before")


def fingerprint(
    dataset: AnyDataset,
    salt_file: Annotated[Path, typer.Option("--salt-file", help="File with the secret both groups use.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The table to write (.parquet).")],
) -> None:
    """Write salted hashes of a dataset's structures, to be audited without handing out a structure."""
    from datagen.share.dataset_list import dataset_called
    from datagen.share.fingerprint import write_fingerprint

    n = write_fingerprint(dataset_called(dataset), salt_file, out)
    _say(Console(), f"{out}: {n:,} structures. Whoever has the salt and a structure can tell whether it is in here")


Name = Annotated[str | None, typer.Option("--name", help="What the dataset is called; by default its folder's name.")]
Version = Annotated[str, typer.Option("--version", help="A new one for every change, such as 1.0.0.")]
Creators = Annotated[list[str] | None, typer.Option("--creator", help="Who is to be cited (repeatable).")]
Url = Annotated[str, typer.Option("--url", help="Where it will be found, such as a DOI.")]
Date = Annotated[str, typer.Option("--date", help="Of publication, YYYY-MM-DD; by default none is stated.")]
ProfileName = Annotated[str, typer.Option("--profile", help="What leaves: full, patterns or labels.")]
RestrictedRows = Annotated[
    str, typer.Option("--restricted", help="Rows of sources not known to be open: redact or leave-out.")
]
DeclaredOpen = Annotated[
    list[str] | None, typer.Option("--open", help="A licence you answer for being open (repeatable).")
]
SourceMetadata = Annotated[
    list[str] | None,
    typer.Option(
        "--source-metadata",
        help="Column of an input table, or other source metadata, to publish for open rows (repeatable). Unasked, only "
        "what known catalogs state is published, of tables nothing.",
    ),
]


def card(
    dataset: AnyDataset,
    name: Name = None,
    version: Version = "1.0.0",
    creators: Creators = None,
    url: Url = "",
    date: Date = "",
    profile: ProfileName = "full",
    restricted: RestrictedRows = "redact",
    declared_open: DeclaredOpen = None,
) -> None:
    """Print the page that a publication of the dataset would carry."""
    from datagen.share.card import card as page
    from datagen.share.dataset_list import dataset_called
    from datagen.share.facts import facts_of
    from datagen.share.finished import open_finished

    found = open_finished(dataset_called(dataset))
    naming = _naming(found.path.name, name, version, creators, url, date)
    typer.echo(page(facts_of(found, naming, _terms(profile, restricted, declared_open))), nl=False)


def publish(
    dataset: DatasetPath,
    dest: Annotated[
        str, typer.Argument(metavar="DEST", help="A new folder, a file ending in .zarr.zip, or s3://bucket/name.")
    ],
    name: Name = None,
    version: Version = "1.0.0",
    creators: Creators = None,
    url: Url = "",
    date: Date = "",
    profile: ProfileName = "full",
    restricted: RestrictedRows = "redact",
    declared_open: DeclaredOpen = None,
    source_metadata: SourceMetadata = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; the summary was seen before.")] = False,
) -> None:
    """Write a complete, verified dataset for others: with a card, metadata, checksums, and without what must stay.

    Of sources not known to be open (ICSD, unknown) coordinates, sticks, densities and source text stay.
    """
    from rich.table import Table

    from datagen.progress import Display
    from datagen.share.publish import publish as write
    from datagen.share.publish import publish_to_url, what_leaves
    from datagen.share.publish import source_metadata as metadata_of
    from datagen.store.location import is_url

    naming = _naming(dataset.absolute().name, name, version, creators, url, date)
    terms = _terms(profile, restricted, declared_open, source_metadata)
    console = Console()
    table = Table("licence", "structures", "taken for", "leaves", "stays", box=None, pad_edge=False)
    for row in what_leaves(dataset, terms):
        known = "open" if row.is_open else "restricted"
        leaves, stays = (", ".join(parts) or "nothing" for parts in (row.leaves, row.stays))
        table.add_row(escape(row.licence), f"{row.n_structures:,}", known, leaves, stays)
    console.print(table)
    kept, withheld = (", ".join(names) or "nothing" for names in metadata_of(dataset, terms))
    _say(console, f"source metadata of open rows: published {kept}; withheld {withheld} (--source-metadata NAME)")
    if not yes:
        typer.confirm(f"Write this to {dest}?", abort=True)
    if is_url(dest):
        publish_to_url(dataset, dest, naming, terms, Display(console))
    else:
        write(dataset, Path(dest), naming, terms, Display(console))
    _say(console, f"{dest}: version {version}, complete and verified; its README.md is the card")


def _naming(called: str, name: str | None, version: str, creators: list[str] | None, url: str, date: str) -> Naming:
    from datagen.share.facts import Naming

    if date and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", date):
        raise typer.BadParameter(f"expected a date such as 2026-11-20, found {date!r}", param_hint="--date")
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise typer.BadParameter(f"expected a version such as 1.0.0, found {version!r}", param_hint="--version")
    return Naming(name or called.split(".")[0], version, tuple(creators or ()), url, date)


def _terms(
    profile: str, restricted: str, declared_open: list[str] | None, source_metadata: list[str] | None = None
) -> Terms:
    from datagen.share.licences import PROFILES, RESTRICTED, Terms

    if profile not in PROFILES:
        raise typer.BadParameter(f"expected {', '.join(PROFILES)}, found {profile!r}", param_hint="--profile")
    if restricted not in RESTRICTED:
        raise typer.BadParameter(f"expected {', '.join(RESTRICTED)}, found {restricted!r}", param_hint="--restricted")
    return Terms(profile, restricted, tuple(declared_open or ()), tuple(source_metadata or ()))


catalog = typer.Typer(help="Keep the list of datasets a group knows.", no_args_is_help=True)

ListPath = Annotated[
    str | None,
    typer.Option("--list", help="The list's file or address; by default $PXRD_DATASETS, else datasets.toml here."),
]
DatasetName = Annotated[str, typer.Argument(metavar="NAME", help="What the group calls the dataset.")]


@catalog.command("add")
def catalog_add(
    name: DatasetName,
    location: Annotated[str, typer.Argument(metavar="LOCATION", help="The dataset's folder, or its address.")],
    where: ListPath = None,
) -> None:
    """Enter a finished dataset: version, checksum, size, counts and licences are taken from it."""
    from datagen.share.dataset_list import add, default_list

    entry = add(where or default_list(), name, location)
    _say(Console(), f"{name}: {entry.structures:,} structures, {entry.patterns:,} patterns, at {entry.location}")


@catalog.command("list")
def catalog_list(where: ListPath = None) -> None:
    """List what is known."""
    from rich.table import Table

    from datagen.progress import size
    from datagen.share.dataset_list import default_list, read_list

    table = Table("name", "version", "structures", "patterns", "size", "licences", "location", box=None, pad_edge=False)
    for name, entry in read_list(where or default_list()).items():
        counts = f"{entry.structures:,}", f"{entry.patterns:,}", size(entry.bytes)
        table.add_row(name, entry.version, *counts, escape(", ".join(entry.licences)), escape(entry.location))
    Console().print(table)


@catalog.command("show")
def catalog_show(
    name: DatasetName,
    where: ListPath = None,
    location: Annotated[
        bool, typer.Option("--location", help="Only where it lies, for use in other commands.")
    ] = False,
) -> None:
    """Show one entry. The name itself will do wherever a dataset is read: `trainer fit alphadiffract NAME`."""
    from dataclasses import asdict

    from datagen.share.dataset_list import default_list, find

    entry = find(where or default_list(), name)
    for key, value in asdict(entry).items():
        if not location:
            _say(Console(), f"{key}: {', '.join(value) if isinstance(value, list) else value}")
    if location:
        typer.echo(entry.location)


@catalog.command("remove")
def catalog_remove(name: DatasetName, where: ListPath = None) -> None:
    """Take a name off the list; the dataset itself stays."""
    from datagen.share.dataset_list import default_list, remove

    remove(where or default_list(), name)
    _say(Console(), f"{name}: no longer listed")


def mount(app: typer.Typer) -> None:
    """Give an application these commands."""
    for command in (subset, merge, diff, audit, fingerprint, card, publish):
        app.command()(command)
    app.add_typer(catalog, name="catalog")


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
