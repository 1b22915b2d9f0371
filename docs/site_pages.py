"""Pages that are made when the documentation site is built: the first page, changes, commands and functions."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    import datagen
    import trainer
    from datagen.commands.app import app as datagen_app
    from trainer.commands.app import app as trainer_app

    # Not imported, which would take as long as the rest of the build: torch and compiled kernels.
    functions = [f"datagen.api.{name}" for name in sorted(datagen.__all__)]
    functions += [f"{trainer._HOMES[name]}.{name}" for name in sorted(trainer.__all__)]
    pages = {
        "index.md": (ROOT / "README.md").read_text(encoding="utf-8").replace("](docs/", "]("),
        "changelog.md": (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
        "commands-datagen.md": commands_page("datagen", datagen_app),
        "commands-trainer.md": commands_page("trainer", trainer_app),
        "functions.md": functions_page(functions),
    }
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Let links to the README lead to the first page."""
    return markdown.replace("](../README.md", "](index.md")


def commands_page(name: str, app: typer.Typer) -> str:
    """Return the reference of a program: every command with its arguments and options."""
    group: Any = typer.main.get_command(app)
    parts = [f"# Commands of {name}", _plain(group.help)]
    parts += [f"`{name} -h` and `{name} COMMAND -h` print this in a terminal."]
    for path, command in _leaves(group, (name,)):
        parts += [f"## {' '.join(path)}", _help(command)]
        context = typer.Context(command, info_name=path[-1])
        usage = " ".join([*path, *command.collect_usage_pieces(context)])
        parts += [f"```text\n{usage}\n```", _parameters(command)]
    return "\n\n".join(part for part in parts if part) + "\n"


def functions_page(names: list[str]) -> str:
    """Return the reference of the Python functions; mkdocstrings fills in their signatures and texts."""
    parts = ["# Python functions", "[From Python](python.md) shows them at work."]
    parts += [f"::: {name}" for name in names]
    return "\n\n".join(parts) + "\n"


def _leaves(group: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _leaves(command, (*path, name))
        elif not command.hidden:
            yield (*path, name), command


def _help(command: Any) -> str:
    return _plain(inspect.cleandoc(command.help or ""))


def _parameters(command: Any) -> str:
    lines = ["| argument or option | default | meaning |", "|---|---|---|"]
    for parameter in command.params:
        if getattr(parameter, "hidden", False) or parameter.name in ("quiet", "verbose", "help"):
            continue
        names = [*parameter.opts, *parameter.secondary_opts] if parameter.param_type_name == "option" else []
        shown = ", ".join(f"`{each}`" for each in names) or f"`{parameter.metavar or parameter.name.upper()}`"
        meaning = _plain(parameter.help or "").replace("|", "\\|").replace("\n", " ")
        lines.append(f"| {shown} | {_default(parameter)} | {meaning} |")
    return "\n".join(lines) if len(lines) > 2 else ""


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    if isinstance(shown := getattr(parameter, "show_default", None), str):
        return shown
    value = parameter.default
    if value in (None, False, (), [], "") or callable(value):
        return ""
    return f"`{str(value).lower() if value is True else getattr(value, 'value', value)}`"


def _plain(text: str) -> str:
    """Return help as Markdown: without the markup of terminals, `<` and `[` as themselves."""
    text = re.sub(r"\[/?[a-z ]*\]", "", text.replace("\\[", "&#91;"))
    return text.replace("<", "&lt;")
