"""The command `identify`, which structures of a dataset explain a scan, and `index`, which prepares a dataset."""

from __future__ import annotations

import json
import re
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from datagen.commands.arguments import AnyDataset
from datagen.progress import Display, printable

if TYPE_CHECKING:
    from datagen.identification.answer import Identified
    from datagen.identification.axis import Observed
    from datagen.identification.index import Index
    from datagen.store.location import Where

MOST_PHASES = 6

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
    scans: Annotated[
        list[Path],
        typer.Argument(metavar="SCAN...", help="Scan files, folders or archives of them, or measured datasets."),
    ],
    library: Libraries,
    wavelength: Annotated[
        float | None, typer.Option(help="Wavelength in A, instead of what the files state.", show_default="as stated")
    ] = None,
    elements: Elements = None,
    require: Require = None,
    exclude: Exclude = None,
    max_volume: Annotated[float | None, typer.Option(help="Largest volume of the primitive cell, A^3.")] = None,
    phases: Annotated[
        int,
        typer.Option(min=1, max=MOST_PHASES, help="Most phases of a scan; above 1 mixtures are separated."),
    ] = 1,
    top: Annotated[int, typer.Option(min=1, max=60, help="Structures shown for each scan.")] = 5,
    plots: Annotated[Path | None, typer.Option(help="Folder for a plot of each scan with its best structure.")] = None,
    network: Annotated[
        bool, typer.Option("--network", help="Also use the trained network of the package; needs the extra 'trainer'.")
    ] = False,
    weights: Annotated[
        Path | None, typer.Option(help="Weights (.safetensors) of the network, instead of those of the package.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="File of all answers, a row or line for each scan: .csv, or .jsonl for `trainer predict`."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answers as JSON instead of tables.")] = False,
) -> None:
    """Find the structures of a dataset that explain measured scans, with cells free to change as symmetry allows.

    Exit code 1: some scans could not be read; the others have their answers.
    """
    from datagen.identification.answers_file import answers_file
    from datagen.identification.filters import allowed_structures
    from datagen.identification.identify import SCANS_AT_ONCE
    from datagen.identification.identify import identify as find
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

    def answer_batch() -> None:
        answers = find(indexes, batch, allowed=allowed, network=second, phases=phases)
        _show_batch(answers, batch, top, plots, console)
        for answer in answers:
            if file is not None:
                file.add(answer)
        found.extend(answers)
        batch.clear()

    with nullcontext() if out is None else answers_file(out, top) as file:
        for scan in read_scans(scans, wavelength):
            if isinstance(scan, Unreadable):
                unreadable.append(scan)
                Display().warn(f"{escape(printable(scan.name))}: {escape(printable(scan.reason))}")
                if file is not None:
                    file.fail(scan.name, scan.reason)
                continue
            batch.append(scan)
            if len(batch) == SCANS_AT_ONCE:
                answer_batch()
        answer_batch()
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
    cluster: Annotated[
        str | None,
        typer.Option(
            help="Let the workers of a cluster do it: a kind (local, slurm, ...) or the NAME of a \\[cluster.NAME] "
            "section.",
            show_default="processes of this machine",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="CONFIG", help="A TOML file with that section, or whose \\[cluster] is meant."),
    ] = None,
) -> None:
    """Prepare a dataset for `identify`, which otherwise does it when it first meets the dataset.

    Workers of a cluster have to reach the folders of dataset and index.
    """
    from datagen.identification.index import folder_of
    from datagen.share.registry import resolve_dataset

    location = resolve_dataset(dataset)
    here = cluster is None and config is None
    found = _open(location, workers) if here else _open_on(cluster, config, location, workers)
    Console(highlight=False).print(
        f"index of {len(found):,} structures: {escape(printable(str(folder_of(location))))}", soft_wrap=True
    )


def _open(location: Where, workers: int | None = None) -> Index:
    from datagen.identification.index import folder_of, load_index
    from datagen.identification.index_build import open_index

    found = load_index(location, folder_of(location))
    if found is not None:
        return found
    display = Display()
    with display.phase("index", None, "structures"):
        return open_index(location, workers=workers, report=display.advance)


def _open_on(cluster: str | None, config: Path | None, location: Where, workers: int | None) -> Index:
    from cluster.config import ClusterSection
    from datagen import api
    from datagen.identification.index_build import open_index
    from datagen.steps.workers import Workers

    section = ClusterSection() if config is None else api.load_config(config).cluster
    display = Display()
    with (
        Workers(api.profile_of(section, cluster, workers), display) as started,
        display.phase("index", None, "structures"),
    ):
        return open_index(location, cluster=started, report=display.advance)


def _show_batch(
    answers: list[Identified],
    batch: list[tuple[str, Observed]],
    top: int,
    plots: Path | None,
    console: Console | None,
) -> None:
    from datagen.commands.identify_tables import show
    from datagen.identification.plot import plot_answer

    for answer, (name, scan) in zip(answers, batch, strict=True):
        if console is not None:
            show(console, answer, top)
        if plots is not None:
            plots.mkdir(parents=True, exist_ok=True)
            plot_answer(answer, scan, plots / f"{re.sub(r'[^A-Za-z0-9_.+-]+', '_', name)}.png")


def mount(app: typer.Typer) -> None:
    """Mount both commands."""
    app.command()(identify)
    app.command()(index)
