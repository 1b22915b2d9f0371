"""The command line: every command in one place, each a thin door into one room."""

from __future__ import annotations

import sys

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from datagen.commands.curate import mount as mount_curation
from datagen.commands.run import mount as mount_run
from datagen.commands.share import mount as mount_sharing
from datagen.commands.simulate import mount as mount_simulation

app = typer.Typer(
    name="datagen",
    help="Training data for powder diffraction: curate crystals, simulate patterns, share datasets.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def doctor() -> None:
    """Say what is installed, what works and what is missing: paste it into a bug report."""
    from datagen.commands.doctor import examine, healthy

    console = Console()
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column()
    table.add_column(overflow="fold")
    signs = {"ok": "[green]ok[/]", "optional": "[yellow]--[/]", "problem": "[red]XX[/]"}
    findings = []
    for finding in examine():
        findings.append(finding)
        remedy = f"\n[dim]{escape(finding.remedy)}[/]" if finding.remedy else ""
        table.add_row(signs[finding.status], finding.part, escape(finding.fact) + remedy)
    console.print(table)
    if not healthy(findings):
        raise typer.Exit(1)


mount_run(app)
mount_curation(app)
mount_simulation(app)
mount_sharing(app)


def main() -> None:
    """Run the command line; whatever a person has to mend is shown as one sentence, exit code 2."""
    from catalogs.errors import CatalogError
    from cluster.errors import ClusterError
    from datagen.errors import DatagenError

    try:
        app()
    except (DatagenError, CatalogError, ClusterError) as mistake:
        # Not markup: messages speak of [[catalog]] sections and of whatever a file is called.
        Console(stderr=True).print(Text.assemble(("datagen: ", "red"), str(mistake)), soft_wrap=True)
        sys.exit(2)
    except SystemExit as end:
        if end.code == _INTERRUPTED:  # typer's own end of a KeyboardInterrupt, without a word
            Console(stderr=True).print("datagen: interrupted; the same command goes on where this one stopped")
        raise


_INTERRUPTED = 130
