"""Commands that publish datasets: card, publish."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from datagen.commands.arguments import AnyDataset, DatasetPath
from datagen.commands.terminal import cell, say
from datagen.progress import one_line

if TYPE_CHECKING:
    from datagen.share.facts import Naming
    from datagen.share.licences import Terms

Name = Annotated[str | None, typer.Option("--name", help="Name of the dataset; default: that of its folder.")]
Version = Annotated[str, typer.Option("--version", help="Version of the publication, such as 1.0.0.")]
Creators = Annotated[list[str] | None, typer.Option("--creator", help="Person or group to cite (repeatable).")]
Url = Annotated[str, typer.Option("--url", help="URL or DOI of the publication.")]
Date = Annotated[str, typer.Option("--date", help="Date of publication, YYYY-MM-DD; default: none.")]
ProfileName = Annotated[str, typer.Option("--profile", help="What to publish: full, patterns or labels.")]
RestrictedRows = Annotated[
    str,
    typer.Option("--restricted", help="Treatment of rows not known to be open: redact or leave-out."),
]
DeclaredOpen = Annotated[list[str] | None, typer.Option("--open", help="Treat this licence as open (repeatable).")]
SourceMetadata = Annotated[
    list[str] | None,
    typer.Option(
        "--source-metadata",
        help="Source metadata to publish for open rows, such as a column of an input table (repeatable). Default: "
        "identifiers that known catalogs state; nothing of tables.",
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
    """Print the card (README.md) of a publication."""
    from datagen.share.card import card as page
    from datagen.share.facts import facts_of
    from datagen.share.finished import open_finished
    from datagen.share.registry import resolve_dataset

    found = open_finished(resolve_dataset(dataset))
    naming = _naming(found.path.name, name, version, creators, url, date)
    typer.echo(page(facts_of(found, naming, _terms(profile, restricted, declared_open, None))), nl=False)


def publish(
    dataset: DatasetPath,
    dest: Annotated[
        str,
        typer.Argument(
            metavar="DEST",
            help="New folder, file ending in .zarr.zip, s3://bucket/name, hf://ORG/NAME, zenodo: for a new record, or "
            "zenodo:RECORD for a new version of one.",
        ),
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
    page: Annotated[
        bool, typer.Option("--page", help="Add a page to look at the dataset in a browser (see datagen browse).")
    ] = False,
    private: Annotated[
        bool, typer.Option("--private", help="Make a new repository on the Hugging Face Hub private.")
    ] = False,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Publish the record on Zenodo without asking; it cannot be undone.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write without asking for confirmation.")] = False,
) -> None:
    """Publish a complete, verified dataset: redacted, with a card, metadata and checksums.

    Coordinates, sticks, densities and source text are withheld unless the licence is known to be open. Local paths
    become file names.
    """
    from rich.table import Table

    from datagen.progress import Display
    from datagen.share.publish import licence_summaries, publish_to_url, source_metadata_names
    from datagen.share.publish import publish as write
    from datagen.share.zenodo import SCHEME
    from datagen.store.location import is_url

    if private and not dest.startswith("hf://"):
        raise typer.BadParameter("expected a destination hf://ORG/NAME", param_hint="--private")
    if confirm and not dest.startswith(SCHEME):
        raise typer.BadParameter("expected a destination zenodo:", param_hint="--confirm")
    naming = _naming(dataset.absolute().name, name, version, creators, url, date)
    terms = _terms(profile, restricted, declared_open, source_metadata)
    console = Console()
    table = Table("licence", "structures", "treated as", "published", "withheld", box=None, pad_edge=False)
    for row in licence_summaries(dataset, terms):
        treated = "open" if row.is_open else "restricted"
        parts = (", ".join(each) or "nothing" for each in (row.published, row.withheld))
        table.add_row(cell(row.licence), f"{row.n_structures:,}", treated, *parts)
    console.print(table)
    kept, withheld = (one_line(", ".join(names)) or "nothing" for names in source_metadata_names(dataset, terms))
    say(console, f"source metadata of open rows: published {kept}; withheld {withheld} (--source-metadata NAME)")
    if not yes:
        typer.confirm(f"Write this to {dest}?", abort=True)
    if dest.startswith(SCHEME):
        if page:
            raise typer.BadParameter("Zenodo serves archives, which no page can read", param_hint="--page")
        _to_zenodo(dataset, dest, naming, terms, console, confirm=confirm)
        return
    if is_url(dest):
        publish_to_url(dataset, dest, naming, terms, Display(), private=private, page=page)
    else:
        write(dataset, Path(dest), naming, terms, Display(), page=page)
    say(console, f"{dest}: version {version}, complete and verified; its README.md is the card")


def _to_zenodo(dataset: Path, dest: str, naming: Naming, terms: Terms, console: Console, *, confirm: bool) -> None:
    from datagen.progress import Display
    from datagen.share.deposit import Deposit, publish_to_zenodo

    def ask(deposit: Deposit) -> bool:
        say(console, f"{deposit.page}: all files are there; the DOI is {deposit.doi}")
        return confirm or typer.confirm("Publish this record? It can neither be changed nor removed afterwards.")

    found = publish_to_zenodo(dataset, dest, naming, terms, ask, Display())
    if found.is_published:
        say(console, f"{found.page}: version {naming.version}, published as https://doi.org/{found.doi}")
    else:
        say(console, f"{found.page}: a draft; re-run the same command to publish it, or discard it on that page")


def _naming(folder: str, name: str | None, version: str, creators: list[str] | None, url: str, date: str) -> Naming:
    from datagen.share.facts import Naming

    if date and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", date):
        raise typer.BadParameter(f"expected a date such as 2026-11-20, found {date!r}", param_hint="--date")
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise typer.BadParameter(f"expected a version such as 1.0.0, found {version!r}", param_hint="--version")
    return Naming(name or folder.split(".")[0], version, tuple(creators or ()), url, date)


def _terms(profile: str, restricted: str, declared_open: list[str] | None, source_metadata: list[str] | None) -> Terms:
    from datagen.share.licences import PROFILES, RESTRICTED, Terms

    if profile not in PROFILES:
        raise typer.BadParameter(f"expected {', '.join(PROFILES)}, found {profile!r}", param_hint="--profile")
    if restricted not in RESTRICTED:
        raise typer.BadParameter(f"expected {', '.join(RESTRICTED)}, found {restricted!r}", param_hint="--restricted")
    return Terms(profile, restricted, tuple(declared_open or ()), tuple(source_metadata or ()))


def mount(app: typer.Typer) -> None:
    """Add these commands to an application."""
    for command in (card, publish):
        app.command()(command)
