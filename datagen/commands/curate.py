"""The commands about curation: curate, explain, reasons."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from datagen.commands.arguments import ConfigPath, FromList, Limit, Overrides, Where, with_selection
from datagen.commands.terminal import hint, quoted, say, shown

if TYPE_CHECKING:
    from collections import Counter

    from datagen.inspect.find_verdict import StoredVerdict

SHOWN_IN_FULL = 3
LISTED = 40
_OUTCOME_STYLE = {"passed": "green", "failed": "bold red", "remark": "yellow", "not reached": "dim", "seen": ""}


def curate(
    config: ConfigPath,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for the table.", show_default="CONFIG's name + -curated")
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option("--processes", "-j", min=1, help="Number of worker processes.", show_default="usable cores"),
    ] = None,
    limit: Limit = None,
    from_list: FromList = None,
    where: Where = None,
    overrides: Overrides = None,
    restart: Annotated[bool, typer.Option("--restart", help="Discard what an earlier run left in the folder.")] = False,
) -> None:
    """Curate structures without simulating them: accepted with labels, or refused with a reason.

    An interrupted run is resumed by the same command.
    """
    from datagen import api
    from datagen.progress import Display

    chosen = with_selection(overrides, limit, from_list, where)
    summary = api.curate_catalogs(
        config, out, processes=processes, overrides=chosen, restart=restart, display=Display()
    )
    console = Console()
    console.print(_reasons_with_counts(summary.counts))
    curated = summary.n_records - summary.n_resumed
    resumed = f", {summary.n_resumed:,} of them finished before" if summary.n_resumed else ""
    rate = f", {curated / summary.seconds:.1f} per second" if curated else ""
    say(console, f"\n{summary.n_records:,} records in {summary.seconds:.1f} s{resumed}{rate}")
    if summary.excluded.records:
        say(console, f"where: {summary.excluded}")
    say(console, f"table: {summary.table}")
    if summary.crashes is not None:
        say(console, f"output of records that crashed or hung: {summary.crashes}")
    folder = summary.table.parent
    option = "" if folder == Path() else f" --dataset {quoted(folder)}"
    hint(console, f"next:  datagen explain ID{option}   (the value of every check for one record)")
    hint(console, "       datagen reasons   (the meaning of each reason, and remedies)")


def explain(
    record: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="A structure file; or the id of a record, its file name or the start of its hash."
        ),
    ],
    dataset: Annotated[
        Path, typer.Option("--dataset", "-d", help="A dataset, or a folder or table that `datagen curate` wrote.")
    ] = Path(),
) -> None:
    """Print what every check of one record found, and the reason for its verdict.

    Without --dataset, ID can be a file: it is curated now, with the default settings.
    """
    from curation.explain import headline
    from datagen.inspect.find_verdict import find, near_misses
    from datagen.store.damaged import damage_explained

    console = Console()
    if dataset == Path() and Path(record).is_file():
        _explain_file(console, Path(record))
        return
    matches = find(dataset, record)
    if not matches:
        near = near_misses(dataset, record)
        say(console, f"no record {record!r} in {dataset}" + ("; did you mean one of these?" if near else ""))
        for name in near:
            say(console, f"  {name}")
        raise typer.Exit(1)
    if len(matches) > SHOWN_IN_FULL:
        say(console, f"{len(matches):,} records match {record!r}; name one of them:")
        for found in matches[:LISTED]:
            with damage_explained(dataset, "a verdict"):
                line = f"  {found.verdict.source}/{found.verdict.source_id}   {headline(found.verdict)}"[:200]
            say(console, line)
        if len(matches) > LISTED:
            say(console, f"  ... and {len(matches) - LISTED:,} more")
        return
    for found in matches:
        _print_explanation(console, dataset, found)


def _explain_file(console: Console, path: Path) -> None:
    from curation.settings import CurationSettings
    from datagen import api
    from datagen.inspect.find_verdict import StoredVerdict

    _print_explanation(console, path, StoredVerdict(api.curate(path), CurationSettings.model_validate({})))


def reasons() -> None:
    """Print every reason for a refusal, its meaning and its remedy."""
    from curation.reasons import REASONS, WARNINGS
    from datagen.steps.reasons import SIMULATION_REASONS, XRD_PEAKS_REASONS
    from datagen.store.density_codes import DENSITY_REASONS

    console = Console()
    table = Table("reason", "stage", "meaning", "remedy", title="Refusals", title_justify="left")
    for reason in REASONS.values():
        table.add_row(reason.code, reason.stage, shown(reason.meaning), shown(reason.remedy))
    for later in SIMULATION_REASONS.values():
        table.add_row(later.code, "simulation", shown(later.meaning), shown(later.remedy))
    console.print(table)
    title = "Accepted structures without a density or without xrd_peaks"
    without = Table("reason", "meaning", "remedy", title=title, title_justify="left")
    for density in DENSITY_REASONS:
        without.add_row(density.code, shown(density.meaning), shown(density.remedy))
    for peaks in XRD_PEAKS_REASONS.values():
        without.add_row(peaks.code, shown(peaks.meaning), shown(peaks.remedy))
    console.print(without)
    remarks = Table("warning", "meaning", "remedy", title="Warnings, which refuse nothing", title_justify="left")
    for warning in WARNINGS.values():
        remarks.add_row(warning.code, shown(warning.meaning), shown(warning.remedy))
    console.print(remarks)


def _print_explanation(console: Console, dataset: Path, found: StoredVerdict) -> None:
    from curation.explain import checks_of, headline
    from datagen.store.damaged import damage_explained

    v = found.verdict
    with damage_explained(dataset, f"the verdict on {v.source_id}"):
        summary, checks = headline(v), list(checks_of(v, found.settings))
        remedy = "" if v.accepted else _remedy(v.reason)
        stated = [f"  source says {name}: {value}"[:300] for name, value in v.source_metadata.items()]
    say(console, f"{v.source}/{v.source_id}", style="bold")
    say(console, f"  {summary}", style="green" if v.accepted else "red")
    say(console, f"  from {v.origin}, licence {v.licence}")
    table = Table("check", "found", "expected", "", box=None, pad_edge=True)
    for seen in checks:
        style = _OUTCOME_STYLE[seen.outcome]
        word = "" if seen.outcome == "seen" else seen.outcome
        outcome = f"[{style}]{word}[/]" if style and word else word
        table.add_row(seen.check, shown(seen.value), shown(seen.limit), outcome)
    console.print(table)
    if v.accepted:
        say(console, f"  structure {v.structure_hash}, group {v.group}")
    else:
        say(console, f"  {remedy}")
    for line in stated:
        say(console, line)
    console.print()


def _remedy(reason: str) -> str:
    from datagen.measured.reasons import REASONS as SCAN_REASONS
    from datagen.steps.reasons import REFUSALS

    return f"{REFUSALS[reason].meaning} {REFUSALS[reason].remedy}" if reason in REFUSALS else SCAN_REASONS[reason]


def _reasons_with_counts(counts: Counter[str]) -> Table:
    from curation.batch import ACCEPTED
    from curation.reasons import REASONS

    total = max(sum(counts.values()), 1)
    table = Table("verdict", "records", "%", "meaning")
    table.columns[1].justify = table.columns[2].justify = "right"
    ordered = [ACCEPTED, *(code for code, _ in counts.most_common() if code != ACCEPTED)]
    for code in ordered:
        meaning = "" if code == ACCEPTED else REASONS[code].meaning
        table.add_row(code, str(counts[code]), f"{100 * counts[code] / total:.1f}", shown(meaning))
    return table


def mount(app: typer.Typer) -> None:
    """Add these commands to an application."""
    for command in (curate, explain, reasons):
        app.command()(command)
