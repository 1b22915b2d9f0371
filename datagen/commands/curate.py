"""The commands about curation: `datagen curate`, `datagen why` and `datagen reasons`."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from datagen.inspect.explain import Found

_OUTCOME_STYLE = {"passed": "green", "failed": "bold red", "remark": "yellow", "not reached": "dim", "seen": ""}


def mount(app: typer.Typer) -> None:
    """Give an application these commands."""
    for command in (curate, why, reasons):
        app.command()(command)


def curate(
    what: Annotated[
        Path, typer.Argument(help="A configuration (.toml), or a folder, CIF, .zip, .tar.gz, .csv or .parquet.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for the table; by default WHAT's name and -curated.")
    ] = None,
    processes: Annotated[
        int | None, typer.Option("--processes", "-j", min=1, help="Worker processes; by default one for each core.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Set a value of the configuration: --set curation.max_atoms=200 (repeatable)."),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Throw away what an earlier run left in the folder.")
    ] = False,
) -> None:
    """Judge every structure: accepted with labels, or refused with a reason. Interrupted, the same command goes on."""
    from datagen.commands.curate_progress import ShownProgress
    from datagen.config.config import config_for_path
    from datagen.steps.curate import CurateJob
    from datagen.steps.curate import curate as run

    job = CurateJob.of(config_for_path(what, settings or ()))
    folder = out or Path(f"{what.absolute().name.split('.')[0] or 'catalog'}-curated")
    with ShownProgress(Console(stderr=True)) as progress:
        summary = run(job, folder, processes=processes or _cores(), restart=restart, progress=progress)
    console = Console()
    console.print(_reasons_with_counts(summary.counts))
    judged = summary.n_records - summary.n_resumed
    resumed = f", {summary.n_resumed} of them finished before" if summary.n_resumed else ""
    rate = f", {judged / summary.seconds:.1f} a second" if judged else ""
    _say(console, f"\n{summary.n_records} records in {summary.seconds:.1f} s{resumed}{rate}")
    _say(console, f"table: {summary.table}")
    if summary.casualties is not None:
        _say(console, f"what records printed that crashed or hung: {summary.casualties}")
    where = "" if folder == Path() else f" --dataset {_quoted(folder)}"
    _say(console, f"next: datagen why ID{where}   (what every check saw for one record)")
    _say(console, "      datagen reasons   (what each reason means and what can be done)")


def why(
    record: Annotated[
        str, typer.Argument(metavar="ID", help="A record's id, its file's name, or its hash's beginning.")
    ],
    dataset: Annotated[
        Path, typer.Option("--dataset", "-d", help="Folder that `datagen curate` wrote, or the table itself.")
    ] = Path(),
) -> None:
    """Say what every check saw for one record."""
    from datagen.inspect.explain import find, headline, near_misses

    console = Console()
    matches = find(dataset, record)
    if not matches:
        near = near_misses(dataset, record)
        _say(console, f"no record is called {record!r}" + (", but there are:" if near else f" in {dataset}"))
        for name in near:
            _say(console, f"  {name}")
        raise typer.Exit(1)
    if len(matches) > _SHOWN_IN_FULL:
        _say(console, f"{len(matches)} records match {record!r}; ask for one of them:")
        for found in matches[:_LISTED]:
            _say(console, f"  {found.verdict.source}/{found.verdict.source_id}   {headline(found.verdict)}"[:200])
        if len(matches) > _LISTED:
            _say(console, f"  ... and {len(matches) - _LISTED} more")
        return
    for found in matches:
        _explain(console, found)


_SHOWN_IN_FULL = 3
_LISTED = 40


def reasons() -> None:
    """List every reason for a refusal, what it means and what you can do about it."""
    from curation.reasons import REASONS, WARNINGS
    from datagen.steps.reasons import SIMULATION_REASONS, XRD_PEAKS_REASONS
    from datagen.store.density_codes import DENSITY_REASONS

    console = Console()
    table = Table("reason", "stage", "meaning", "what you can do", title="Refusals", title_justify="left")
    for reason in REASONS.values():
        table.add_row(reason.code, reason.stage, escape(reason.meaning), escape(reason.remedy))
    for later in SIMULATION_REASONS.values():
        table.add_row(later.code, "simulation", escape(later.meaning), escape(later.remedy))
    console.print(table)
    title = "Structures that stay, without a density or without xrd_peaks"
    without = Table("reason", "meaning", "what you can do", title=title, title_justify="left")
    for density in DENSITY_REASONS:
        without.add_row(density.code, escape(density.meaning), escape(density.remedy))
    for peaks in XRD_PEAKS_REASONS.values():
        without.add_row(peaks.code, escape(peaks.meaning), escape(peaks.remedy))
    console.print(without)
    remarks = Table("warning", "meaning", "what you can do", title="Remarks that refuse nothing", title_justify="left")
    for warning in WARNINGS.values():
        remarks.add_row(warning.code, escape(warning.meaning), escape(warning.remedy))
    console.print(remarks)


def _explain(console: Console, found: Found) -> None:
    from datagen.inspect.explain import checks_of, headline
    from datagen.steps.reasons import REFUSALS

    v = found.verdict
    _say(console, f"{v.source}/{v.source_id}", style="bold")
    _say(console, f"  {headline(v)}", style="green" if v.accepted else "red")
    _say(console, f"  from {v.origin}, licence {v.licence}")
    table = Table("check", "saw", "expected", "", box=None, pad_edge=True)
    for seen in checks_of(v, found.settings):
        style = _OUTCOME_STYLE[seen.outcome]
        shown = "" if seen.outcome == "seen" else seen.outcome
        outcome = f"[{style}]{shown}[/]" if style and shown else shown
        table.add_row(seen.check, escape(seen.value), escape(seen.limit), outcome)
    console.print(table)
    if v.accepted:
        _say(console, f"  structure {v.structure_hash}, group {v.group}")
    else:
        _say(console, f"  {REFUSALS[v.reason].meaning} {REFUSALS[v.reason].remedy}")
    for name, claim in v.claims.items():
        _say(console, f"  source says {name}: {claim}"[:300])
    console.print()


def _reasons_with_counts(counts: Counter[str]) -> Table:
    from curation.batch import ACCEPTED
    from curation.reasons import REASONS

    total = max(sum(counts.values()), 1)
    table = Table("verdict", "records", "%", "meaning")
    table.columns[1].justify = table.columns[2].justify = "right"
    ordered = [ACCEPTED, *(code for code, _ in counts.most_common() if code != ACCEPTED)]
    for code in ordered:
        meaning = "" if code == ACCEPTED else REASONS[code].meaning
        table.add_row(code, str(counts[code]), f"{100 * counts[code] / total:.1f}", escape(meaning))
    return table


def _cores() -> int:
    """Cores that this process may use, which a scheduler's allocation may limit."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quoted(path: Path) -> str:
    import shlex

    return shlex.quote(str(path))


def _say(console: Console, line: str, style: str | None = None) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True, style=style)
