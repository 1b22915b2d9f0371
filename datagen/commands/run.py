"""The commands that make a dataset: run, render, plan, demo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from datagen.commands.arguments import (
    AnyDataset,
    ClusterName,
    ConfigPath,
    FromList,
    Limit,
    Out,
    Overrides,
    Where,
    Workers,
    with_selection,
)
from datagen.commands.simulate import InstrumentChoice, PresetChoice
from datagen.commands.terminal import facts, hint, program, quoted, say, shown
from datagen.progress import Display, Verbosity

if TYPE_CHECKING:
    from datagen.steps.outcome import Outcome

SHORT_s = 60.0
SMALL_h = 0.01
QUARANTINED_SHOWN = 20


def run(
    config: ConfigPath,
    out: Out = None,
    cluster: ClusterName = None,
    workers: Workers = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what the run would cost.")] = False,
    extend: Annotated[
        bool, typer.Option("--extend", help="Add to a finished dataset what the catalogs hold and it does not.")
    ] = False,
    limit: Limit = None,
    from_list: FromList = None,
    where: Where = None,
    overrides: Overrides = None,
) -> None:
    """Make a dataset: curate, simulate, store, verify, report.

    An interrupted run is resumed by the same command. The log is .run/run.log in the dataset's folder.
    """
    from datagen import api

    chosen = with_selection(overrides, limit, from_list, where)
    if dry_run:
        plan(config, out, cluster, workers, overrides=chosen)
        return
    outcome = api.run(config, out, cluster=cluster, workers=workers, extend=extend, overrides=chosen, display=Display())
    _print_outcome(Console(), outcome)


def render(
    dataset: AnyDataset,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the new dataset.")],
    instrument: Annotated[
        InstrumentChoice | None,
        typer.Option("--instrument", help="Wavelengths, range and geometry.", show_default="the dataset's"),
    ] = None,
    augmentations: Annotated[
        int | None,
        typer.Option(
            "--augmentations", "-n", min=1, max=100_000, help="Patterns per structure.", show_default="as configured"
        ),
    ] = None,
    preset: Annotated[
        PresetChoice | None,
        typer.Option(help="Ranges of the augmentation parameters.", show_default="the dataset's"),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the augmentation parameters.", show_default="the dataset's")
    ] = None,
    cluster: ClusterName = None,
    workers: Workers = None,
    overrides: Overrides = None,
) -> None:
    """Make stored patterns of a dataset's structures, equal to those of a run with that instrument.

    Structures are not curated again. An interrupted call is resumed by the same command.
    """
    from datagen import api

    outcome = api.render(
        dataset,
        out,
        instrument=instrument,
        count=augmentations,
        preset=preset,
        seed=seed,
        cluster=cluster,
        workers=workers,
        overrides=overrides or (),
        display=Display(),
    )
    _print_outcome(Console(), outcome)


def plan(
    config: ConfigPath,
    out: Out = None,
    cluster: ClusterName = None,
    workers: Workers = None,
    structures: Annotated[
        int | None,
        typer.Option("--structures", min=1, help="Number of structures to plan for.", show_default="as found"),
    ] = None,
    limit: Limit = None,
    from_list: FromList = None,
    where: Where = None,
    overrides: Overrides = None,
) -> None:
    """Estimate core-hours, disk space and files of a run from a sample; write nothing."""
    from cluster.connect import job_script
    from datagen import api
    from datagen.inspect.estimate import estimate
    from datagen.progress import duration, size
    from datagen.steps.disk_space import check_disk_space

    settings = api.load_config(config, with_selection(overrides, limit, from_list, where))
    profile = api.profile_of(settings.cluster, cluster, workers)
    found = estimate(settings, display=Display(), structures=structures)
    n_workers = found.workers(profile)
    wall, hours = found.core_seconds / n_workers, found.core_seconds / 3600
    share = f"{found.accepted_share:.0%} of a sample of {found.sample:,}"
    each = f"each worker {size(found.worker_bytes)} and {size(found.sandbox_bytes)} for its sandbox"
    console = Console()
    console.print(
        facts(
            [
                ("records", f"{found.n_records:,}"),
                ("structures expected", f"{found.n_structures:,} ({share})"),
                ("patterns", f"{found.n_patterns:,}"),
                ("shards, files", f"{found.n_shards:,}, {found.n_files:,}"),
                ("disk space", f"{size(found.n_bytes)}, and {size(found.n_work_bytes)} more during the run"),
                ("memory", f"driver {size(found.driver_bytes)}, {each}"),
                ("work", f"{hours:,.2f} core-hours" if hours >= SMALL_h else f"under {SMALL_h} core-hours"),
                *(
                    (f"  {stage}", f"{seconds / max(found.core_seconds, 1e-12):.0%}")
                    for stage, seconds in found.stage_seconds.items()
                ),
                ("time", f"{duration(wall) if wall > SHORT_s else 'under a minute'} with {n_workers} workers"),
            ]
        )
    )
    if script := job_script(profile):
        console.print("\n[dim]job script:[/]")
        say(console, script)
    dataset = out or api.default_dataset(config)
    check_disk_space(found.n_files, found.n_bytes + found.n_work_bytes, dataset, settings.store.max_files)


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the dataset.")] = Path("demo/minerals.zarr"),
) -> None:
    """Make a small dataset from the bundled crystals: 100 patterns each, with densities."""
    from datagen import api
    from datagen.inspect.demo_scan import write_demo_scan

    outcome = api.run({"catalog": [{"kind": "examples", "name": "minerals"}]}, out, display=Display())
    console = Console()
    _print_outcome(console, outcome)
    scan = quoted(write_demo_scan(out.parent / "quartz.xye"))
    hint(console, f"identify: {program('datagen')} identify {scan} --library {quoted(outcome.dataset)}")
    hint(console, f"predict:  {program('trainer')} predict {scan}   (after make trainer)")


def mount(app: typer.Typer) -> None:
    """Add these commands to an application."""
    for command in (run, render, plan, demo):
        app.command()(command)


def _print_outcome(console: Console, outcome: Outcome) -> None:
    from datagen.progress import duration, reason_rows, size

    if Display.verbosity is not Verbosity.QUIET:
        table = facts()
        table.columns[0].justify = "right"
        for reason, count, share in reason_rows(dict(outcome.counts)):
            table.add_row(f"{count:,}", f"{reason} ({share:.1%})")
        console.print(table)
        if outcome.n_duplicates:
            noun = "is a duplicate" if outcome.n_duplicates == 1 else "are duplicates"
            say(console, f"{outcome.n_duplicates:,} of the accepted {noun} of another structure")
        if outcome.excluded.records:
            say(console, f"where: {outcome.excluded}")
        for name, reason in outcome.set_aside[:QUARANTINED_SHOWN]:
            console.print(f"[yellow]quarantined:[/] {shown(name)} ({reason})", soft_wrap=True)
        if (more := len(outcome.set_aside) - QUARANTINED_SHOWN) > 0:
            console.print(f"[yellow]quarantined:[/] {more:,} more, listed in curation.parquet")
    console.print(
        f"[bold]{shown(str(outcome.dataset))}[/]: {outcome.n_structures:,} structures, "
        f"{outcome.n_patterns:,} patterns, {outcome.n_densities:,} densities, {size(outcome.bytes)}, "
        f"verified, in {duration(outcome.seconds)}",
        highlight=False,
        soft_wrap=True,
    )
    name, dataset = program("datagen"), quoted(outcome.dataset)
    if outcome.counts.total() > outcome.counts["accepted"]:
        hint(console, f"refusals: {name} explain ID --dataset {dataset}")
    hint(console, f"report:   {outcome.dataset / 'report.html'}")
    hint(console, f"summary:  {name} inspect {dataset}")
    hint(
        console,
        f'open:     {program("python")} -c "import datagen; print(datagen.open_dataset({str(outcome.dataset)!r}))"',
    )
