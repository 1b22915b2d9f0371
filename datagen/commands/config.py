"""The command that shows a configuration: config."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from datagen.commands.arguments import Overrides


def config(
    config: Annotated[
        Path | None,
        typer.Argument(metavar="CONFIG", help="A TOML file, or a folder, archive, table or file of structures."),
    ] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of configuration files.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of TOML.")] = False,
    overrides: Overrides = None,
) -> None:
    """Print a configuration with every default filled in, or the JSON schema of all configurations."""
    from datagen import api
    from datagen.config.reference import json_schema
    from datagen.config.written import to_json, to_toml

    if schema:
        typer.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
    elif config is None:
        raise typer.BadParameter("expected a CONFIG, or --schema", param_hint="CONFIG")
    else:
        resolved = api.load_config(config, overrides or ())
        typer.echo(to_json(resolved) if as_json else to_toml(resolved))


def mount(app: typer.Typer) -> None:
    """Add the command to an application."""
    app.command()(config)
