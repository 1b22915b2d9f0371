"""The command that shows a dataset in a browser."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from datagen.commands.arguments import AnyDataset
from datagen.commands.terminal import say


def browse(
    dataset: AnyDataset,
    beside: Annotated[
        str | None,
        typer.Option(
            "--beside",
            metavar="DATASET",
            help="Second dataset, such as measured scans: its patterns of the same formula and space group are drawn "
            "with those of the first.",
        ),
    ] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port on this machine; 0: a free one.")] = 0,
    show: Annotated[bool, typer.Option("--open", help="Open the page in the default browser.")] = False,
) -> None:
    """Show a dataset in a browser: structures, patterns, reflections, draws, densities.

    Serves on this machine alone, below a secret address, until Ctrl-C.
    """
    import webbrowser

    from datagen.inspect.browse.serve import BrowseServer
    from datagen.share.registry import resolve_dataset

    second = resolve_dataset(beside) if beside is not None else None
    with BrowseServer(resolve_dataset(dataset), second, port) as server:
        console = Console()
        say(console, f"{dataset}: open {server.url}")
        say(console, "Ctrl-C ends it")
        if show:
            webbrowser.open(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say(console, "ended")


def mount(app: typer.Typer) -> None:
    """Add the command to an application."""
    app.command()(browse)
