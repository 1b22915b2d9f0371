"""The command `identify`, which structures of a dataset explain a scan, and `index`, which prepares a dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from datagen.commands.arguments import AnyDataset
from datagen.progress import Display, printable

if TYPE_CHECKING:
    from datagen.identification.answer import Identified
    from datagen.identification.axis import Observed
    from datagen.identification.index import Index
    from datagen.identification.network import Network
    from datagen.store.location import Where

WIDTH_OF_FILES = 132
"""Columns of a table that goes to no terminal."""

Libraries = Annotated[
    list[str],
    typer.Option("--library", "-l", help="Dataset whose structures are compared: folder, zip or registered name."),
]
Elements = Annotated[
    str | None, typer.Option(help="Only structures of these elements, such as Ca,C,O.", show_default="all")
]
Exclude = Annotated[str | None, typer.Option(help="No structure with any of these elements.")]
Require = Annotated[str | None, typer.Option(help="Only structures with all of these elements.")]


def identify(
    scans: Annotated[list[Path], typer.Argument(metavar="SCAN...", help="Scan files, or folders of them.")],
    library: Libraries,
    wavelength: Annotated[
        float | None, typer.Option(help="Wavelength in A, instead of what the files state.", show_default="as stated")
    ] = None,
    elements: Elements = None,
    require: Require = None,
    exclude: Exclude = None,
    max_volume: Annotated[float | None, typer.Option(help="Largest volume of the primitive cell, A^3.")] = None,
    top: Annotated[int, typer.Option(min=1, max=60, help="Structures shown for each scan.")] = 5,
    plots: Annotated[Path | None, typer.Option(help="Folder for a plot of each scan with its best structure.")] = None,
    network: Annotated[
        bool, typer.Option("--network", help="Also use the trained network of the package; needs the extra 'trainer'.")
    ] = False,
    weights: Annotated[
        Path | None, typer.Option(help="Weights (.safetensors) of the network, instead of those of the package.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answers as JSON instead of tables.")] = False,
) -> None:
    """Find the structures of a dataset that explain measured scans, with cells free to change as symmetry allows."""
    from datagen.identification.filters import allowed_structures
    from datagen.identification.identify import SCANS_AT_ONCE
    from datagen.identification.network import Network
    from datagen.identification.scan_files import Unreadable, read_scans
    from datagen.share.registry import resolve_dataset

    console = None if as_json else Console(highlight=False)
    second = Network(weights) if network or weights is not None else None
    indexes = [_open(resolve_dataset(name)) for name in library]
    allowed = [
        allowed_structures(index, only=elements, require=require, exclude=exclude, max_volume_A3=max_volume)
        for index in indexes
    ]
    found: list[Identified] = []
    unreadable: list[Unreadable] = []
    batch: list[tuple[str, Observed]] = []
    for scan in read_scans(scans, wavelength):
        if isinstance(scan, Unreadable):
            unreadable.append(scan)
            Display().warn(f"{escape(printable(scan.name))}: {escape(printable(scan.reason))}")
            continue
        batch.append(scan)
        if len(batch) == SCANS_AT_ONCE:
            found += _answered(indexes, batch, allowed, second, top, plots, console)
            batch = []
    found += _answered(indexes, batch, allowed, second, top, plots, console)
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "scans": [answer.to_dict(top) for answer in found],
                    "unreadable": [{"scan": bad.name, "reason": bad.reason} for bad in unreadable],
                }
            )
        )
    if unreadable:
        raise typer.Exit(1)


def index(
    dataset: AnyDataset,
    workers: Annotated[int | None, typer.Option("--workers", "-w", min=1, help="Processes.")] = None,
) -> None:
    """Prepare a dataset for `identify`, which otherwise does it when it first meets the dataset."""
    from datagen.identification.index import folder_of
    from datagen.share.registry import resolve_dataset

    location = resolve_dataset(dataset)
    found = _open(location, workers)
    Console(highlight=False).print(
        f"index of {len(found):,} structures: {escape(printable(str(folder_of(location))))}", soft_wrap=True
    )


def _open(location: Where, workers: int | None = None) -> Index:
    from datagen.identification.index import folder_of, load_index, open_index

    found = load_index(location, folder_of(location))
    if found is not None:
        return found
    display = Display()
    with display.phase("index", None, "structures"):
        return open_index(location, workers=workers, report=display.advance)


def _answered(
    indexes: list[Index],
    batch: list[tuple[str, Observed]],
    allowed: list[Any],
    network: Network | None,
    top: int,
    plots: Path | None,
    console: Console | None,
) -> list[Identified]:
    from datagen.identification.identify import identify
    from datagen.identification.plot import plot_answer

    found = identify(indexes, batch, allowed=allowed, network=network)
    for answer, (name, scan) in zip(found, batch, strict=True):
        if console is not None:
            _show(console, answer, top)
        if plots is not None:
            plots.mkdir(parents=True, exist_ok=True)
            plot_answer(answer, scan, plots / f"{Path(name).name}.png")
    return found


def _show(console: Console, answer: Identified, top: int) -> None:
    from curation.labels import CRYSTAL_SYSTEMS

    table = Table(title=escape(printable(answer.name)), title_justify="left", box=None, header_style="dim")
    for heading in ("formula", "group", "probability", "cosine", "lines", "Niggli cell, A and degrees", "source"):
        table.add_column(heading, justify="right" if heading in ("probability", "cosine", "lines") else "left")
    for c in answer.candidates[:top]:
        cell = " ".join([*(f"{v:.4f}" for v in c.niggli[:3]), *(f"{v:.2f}" for v in c.niggli[3:])])
        table.add_row(
            escape(printable(c.formula)),
            str(c.space_group),
            f"{c.probability:.1%}",
            f"{c.cosine:.3f}",
            f"{c.explained_lines:.0%}",
            cell,
            escape(printable(f"{c.source} {c.source_id}")),
        )
    if not console.is_terminal:
        console.width = WIDTH_OF_FILES
    console.print(table)
    systems, groups = answer.crystal_system, answer.space_group
    said = ", ".join(f"{CRYSTAL_SYSTEMS[i]} {systems[i]:.0%}" for i in (-systems).argsort()[:3].tolist())
    numbers = ", ".join(f"{i + 1} {groups[i]:.0%}" for i in (-groups).argsort()[:3].tolist())
    if not answer.is_explained:
        console.print("[yellow]Nothing in the library explains this scan[/]; these are the nearest structures.")
    by = (
        ""
        if answer.network is None
        else f" (ranked first by {answer.decided_by.replace('both', 'library and network')})"
    )
    console.print(f"{said}; space group {numbers}{by}\n", soft_wrap=True)


def mount(app: typer.Typer) -> None:
    """Mount both commands."""
    app.command()(identify)
    app.command()(index)
