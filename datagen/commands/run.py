"""The commands that make a dataset and look after it: run, plan, status, verify, replay, inspect, retry, demo."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from cluster.config import Profile
    from datagen.config.config import DatagenConfig
    from datagen.steps.outcome import Outcome

SHORT_s = 60.0
ConfigPath = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="A TOML file, or a folder, archive or table of CIFs.")
]
DatasetPath = Annotated[Path, typer.Argument(metavar="DATASET", help="The dataset's folder.")]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", help="The dataset's folder; by default CONFIG's name + .zarr.")
]
AnyDataset = Annotated[
    str, typer.Argument(metavar="DATASET", help="Its folder, .zarr.zip, address, or name in the group's list.")
]
ClusterName = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        help="here, local, slurm, pbs, sge, lsf, mpi, slurm-runner, or the name of a \\[cluster.NAME] section.",
    ),
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override one setting: simulation.seed=3.")
]


SET_ASIDE_SHOWN = 20


def run(
    config: ConfigPath,
    out: Out = None,
    cluster: ClusterName = None,
    workers: Annotated[int | None, typer.Option("--workers", "-w", min=1, help="Worker processes.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what it would cost.")] = False,
    overrides: Overrides = None,
) -> None:
    """Make a dataset: curate, simulate, store, verify, report. Killed at any instant, the same command goes on."""
    from datagen.config.config import config_for_path
    from datagen.run import run as make

    settings = config_for_path(config, overrides or ())
    dataset = out or _default_dataset(config)
    if dry_run:
        plan(config, out, cluster, workers, overrides=overrides)
        return
    profile = _profile(settings, cluster, workers)
    console = Console()
    from datagen.progress import Display

    outcome = make(settings, dataset, profile=profile, display=Display(console))
    _tell_outcome(console, outcome)


def plan(
    config: ConfigPath,
    out: Out = None,
    cluster: ClusterName = None,
    workers: Annotated[int | None, typer.Option("--workers", "-w", min=1, help="Worker processes.")] = None,
    structures: Annotated[
        int | None, typer.Option("--structures", min=1, help="Pretend the catalogs hold so many structures.")
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Tell what a run would cost in core-hours, bytes and files, measured on a sample; nothing is written."""
    from cluster.connect import job_script
    from datagen.config.config import config_for_path
    from datagen.inspect.estimate import estimate
    from datagen.progress import Display, duration, size
    from datagen.steps.disk_space import check_room

    settings = config_for_path(config, overrides or ())
    profile = _profile(settings, cluster, workers)
    console = Console()
    found = estimate(settings, display=Display(console), structures=structures)
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim")
    table.add_column()
    table.add_row("records", f"{found.n_records:,}")
    table.add_row(
        "structures expected", f"{found.n_structures:,} ({found.accepted_share:.0%} of a sample of {found.sample:,})"
    )
    table.add_row("patterns", f"{found.n_patterns:,}")
    table.add_row("shards, files", f"{found.n_shards:,}, {found.n_files:,}")
    table.add_row("disk", f"{size(found.n_bytes)} for good, {size(found.n_work_bytes)} more while it runs")
    table.add_row("work", f"{found.core_seconds / 3600:,.2f} core-hours")
    for stage, seconds in found.stage_seconds.items():
        table.add_row(f"  {stage}", f"{seconds / max(found.core_seconds, 1e-12):.0%}")
    n_workers = found.workers(profile)
    wall = found.core_seconds / n_workers
    said = duration(wall) if wall > SHORT_s else "under a minute"
    table.add_row("on this cluster", f"{said} with {n_workers} workers, once they are started")
    console.print(table)
    if text := job_script(profile):
        console.print(f"\n[dim]each job of the cluster runs:[/]\n{escape(text)}", highlight=False)
    check_room(
        found.n_files, found.n_bytes + found.n_work_bytes, out or _default_dataset(config), settings.store.max_files
    )


def status(dataset: DatasetPath) -> None:
    """Tell how far a run is, from its files alone, from any machine."""
    from datagen.inspect.status import status_of
    from datagen.progress import size

    found = status_of(dataset)
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim")
    table.add_column()
    table.add_row("phase", found.phase)
    table.add_row("driver", found.driver or ("none needed" if found.phase == "complete" else "none at work: run again"))
    if found.n_records is not None:
        accepted = found.verdicts["accepted"]
        table.add_row("curated", f"{found.n_judged:,} of {found.n_records:,} records: {accepted:,} accepted")
    for reason, count in found.verdicts.most_common():
        if reason != "accepted":
            table.add_row("", f"{count:,} {reason}")
    if found.n_shards is not None:
        table.add_row("shards", f"{found.n_committed:,} of {found.n_shards:,} committed, {size(found.n_bytes)}")
        done, total = found.n_structures_committed, found.n_structures or 0
        table.add_row("structures", f"{done:,} of {total:,}, {done * found.n_augmentations:,} patterns")
        if found.n_densities:
            table.add_row("densities", f"{found.n_densities:,}")
    for name, reason in found.set_aside[:SET_ASIDE_SHOWN]:
        table.add_row("set aside", escape(f"{name}: {reason}"))
    if (more := len(found.set_aside) - SET_ASIDE_SHOWN) > 0:
        table.add_row("", f"and {more:,} more")
    for mistake in found.mistakes:
        table.add_row("[red]damaged[/]", escape(mistake))
    Console().print(table)


def verify(
    dataset: AnyDataset,
    deep: Annotated[bool, typer.Option("--deep", help="Also make a sample of patterns again, bit for bit.")] = False,
    sample: Annotated[int, typer.Option("--sample", min=1, help="How many patterns --deep makes again.")] = 64,
) -> None:
    """Recompute every checksum and count; --deep also regenerates patterns and compares them bit for bit."""
    from datagen.inspect.verify import verify as check
    from datagen.progress import Display, size
    from datagen.share.dataset_list import dataset_called

    console = Console()
    found = check(dataset_called(dataset), sample=sample if deep else 0, display=Display(console))
    again = f", {found.regenerated} patterns made again bit for bit" if deep else ""
    console.print(
        f"[green]good:[/] {found.n_structures:,} structures in {found.n_shards} shards, "
        f"{found.n_files} files ({size(found.n_bytes)}) with their checksums{again}"
    )


def replay(
    dataset: AnyDataset,
    identifier: Annotated[str, typer.Argument(metavar="ID", help="Source id, structure hash, or row number.")],
    augmentation: Annotated[
        int, typer.Option("--augmentation", "-a", min=0, help="Which of the structure's patterns.")
    ] = 0,
    out: Annotated[Path | None, typer.Option("--out", help="Also write both patterns: .png, .csv or .npz.")] = None,
) -> None:
    """Make one pattern again and compare it with the stored one."""
    from datagen.inspect.replay import replay as again
    from datagen.share.dataset_list import dataset_called

    found = again(dataset_called(dataset), identifier, augmentation, out)
    console = Console()
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim")
    table.add_column()
    for name, value in found.facts.items():
        table.add_row(name, escape(value))
    console.print(table)
    if found.difference_steps == 0:
        console.print("[green]equal[/], bit for bit")
    else:
        console.print(f"[red]different[/] by up to {found.difference_steps} quantisation steps of 2^-13 of the maximum")
    if out:
        console.print(f"written: {out}", highlight=False, markup=False)
    if found.difference_steps:
        raise typer.Exit(1)


def inspect(dataset: AnyDataset) -> None:
    """Tell what a dataset holds: variables, sizes, counts, instrument, engine, licences."""
    from datagen.inspect.describe import inspect as look
    from datagen.share.dataset_list import dataset_called

    look(dataset_called(dataset), Console())


def retry(
    dataset: DatasetPath,
    reason: Annotated[str, typer.Option("--reason", help="Try again what was set aside for this reason.")],
) -> None:
    """Forget why structures were set aside, so that the next run tries them again."""
    from datagen.inspect.retry import retry as release

    count = release(dataset, reason)
    Console().print(
        f"{count} structures set aside for {escape(reason)} will be tried again: give the run's command again"
        if count
        else f"nothing is set aside for {escape(reason)}; datagen status {escape(str(dataset))} lists what is",
        highlight=False,
    )


def demo(
    out: Annotated[Path, typer.Option("--out", help="Where the dataset goes.")] = Path("demo/minerals.zarr"),
) -> None:
    """Make a small real dataset from the bundled crystals: 100 patterns each, with densities, verified."""
    from datagen.config.config import parse_config
    from datagen.progress import Display
    from datagen.run import run as make

    content = {"catalog": [{"kind": "examples", "name": "minerals"}]}
    console = Console()
    settings = parse_config(content, where="demo", base=Path.cwd())
    outcome = make(settings, out, profile=settings.cluster.choose(None), display=Display(console))
    _tell_outcome(console, outcome)


def mount(app: typer.Typer) -> None:
    """Give an application these commands."""
    for command in (run, plan, status, verify, replay, inspect, retry, demo):
        app.command()(command)


def _default_dataset(config: Path) -> Path:
    name = config.name if config.name not in ("", "..") else config.resolve().name
    return Path((name.split(".")[0] or "dataset") + ".zarr")


def _command(name: str) -> str:
    """How this command is typed here: its bare name only where the shell finds the same one."""
    ours = Path(sys.executable).parent / name
    found = shutil.which(name)
    if (found and Path(found).resolve() == ours.resolve()) or not ours.exists():
        return name
    try:
        return str(ours.relative_to(Path.cwd()))
    except ValueError:
        return str(ours)


def _profile(settings: DatagenConfig, name: str | None, workers: int | None) -> Profile:
    profile = settings.cluster.choose(name)
    if workers is None:
        return profile
    if "workers" not in type(profile).model_fields:
        raise typer.BadParameter(f"cluster kind {profile.kind!r} decides itself how many workers there are")
    return profile.model_copy(update={"workers": workers})


def _tell_outcome(console: Console, outcome: Outcome) -> None:
    from datagen.progress import duration, reason_rows, size

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(justify="right")
    table.add_column()
    for reason, count, share in reason_rows(dict(outcome.counts)):
        table.add_row(f"{count:,}", f"{reason} ({share:.1%})")
    console.print(table)
    if outcome.n_duplicates:
        verb = "repeats" if outcome.n_duplicates == 1 else "repeat"
        console.print(f"{outcome.n_duplicates:,} of them {verb} another structure atom by atom")
    for name, reason in outcome.set_aside[:SET_ASIDE_SHOWN]:
        console.print(f"[yellow]set aside:[/] {escape(name)} ({reason})")
    if (more := len(outcome.set_aside) - SET_ASIDE_SHOWN) > 0:
        console.print(f"[yellow]set aside:[/] {more:,} more; curation.parquet names all")
    console.print(
        f"\n[bold]{escape(str(outcome.dataset))}[/]: {outcome.n_structures:,} structures, "
        f"{outcome.n_patterns:,} patterns, {outcome.n_densities:,} densities, {size(outcome.bytes)}, "
        f"verified, in {duration(outcome.seconds)}",
        highlight=False,
        soft_wrap=True,
    )
    name, dataset = _command("datagen"), shlex.quote(str(outcome.dataset))
    if outcome.counts.total() > outcome.counts["accepted"]:
        console.print(f"refusals: {name} why ID --dataset {dataset}", highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"report:   {outcome.dataset / 'report.html'}\n"
        f"look:     {name} inspect {dataset}\n"
        f'open:     {_command("python")} -c "import xarray; print(xarray.open_zarr({str(outcome.dataset)!r}))"',
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
