"""The command line: every command, mounted in one place."""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape

from datagen.commands import (
    browse,
    calibrate,
    config,
    curate,
    dataset,
    identify,
    measured,
    publish,
    refine,
    registry,
    run,
    share,
    simulate,
)
from datagen.commands.terminal import INTERRUPTED, VerbosityGroup, facts, say, set_verbosity, show_error
from datagen.progress import Verbosity

RESUMABLE = "datagen: interrupted; re-run the same command to resume"

app = typer.Typer(
    name="datagen",
    cls=VerbosityGroup,
    help="Training data for powder diffraction: curate crystals, simulate patterns, share datasets.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
MODULES = {
    run: "Make datasets",
    config: "Make datasets",
    dataset: "Look at datasets",
    browse: "Look at datasets",
    curate: "Look at structures",
    simulate: "Look at structures",
    identify: "Measured scans",
    refine: "Measured scans",
    measured: "Measured scans",
    calibrate: "Measured scans",
    share: "Share datasets",
    publish: "Share datasets",
    registry: "Share datasets",
}
for module, panel in MODULES.items():
    mounted = len(app.registered_commands), len(app.registered_groups)
    module.mount(app)
    entries: list[Any] = [*app.registered_commands[mounted[0] :], *app.registered_groups[mounted[1] :]]
    for entry in entries:
        entry.rich_help_panel = panel


@app.command(rich_help_panel="Installation")
def doctor() -> None:
    """Check the installation; paste the output into a bug report."""
    from datagen.commands.doctor import examine, healthy

    table = facts()
    table.add_column(overflow="fold")
    signs = {"ok": "[green]ok[/]", "optional": "[yellow]--[/]", "problem": "[red]XX[/]"}
    findings = []
    for finding in examine():
        findings.append(finding)
        remedy = f"\n[dim]{escape(finding.remedy)}[/]" if finding.remedy else ""
        table.add_row(signs[finding.status], finding.part, escape(finding.fact) + remedy)
    Console().print(table)
    if not healthy(findings):
        raise typer.Exit(1)


def main() -> None:
    """Run the command line and exit: 0 done, 1 a negative answer or a bug, 2 a mistake of the user, 130 interrupted."""
    from datagen.errors import expected_errors, is_interrupt

    # Queueing systems and `kill` end a run as Ctrl-C does: its workers are closed, and a line says how to resume.
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    set_verbosity(Verbosity.NORMAL)
    try:
        app()
    except SystemExit as end:
        if end.code == INTERRUPTED:  # typer ends so on an interrupt, without a message
            say(Console(stderr=True), RESUMABLE)
        raise
    except KeyboardInterrupt:
        say(Console(stderr=True), RESUMABLE)
        sys.exit(INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - the last resort: every error has a message and an exit code
        if is_interrupt(error):
            say(Console(stderr=True), RESUMABLE)
            sys.exit(INTERRUPTED)
        sys.exit(show_error(error, isinstance(error, expected_errors())))
