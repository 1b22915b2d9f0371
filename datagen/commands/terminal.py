"""Output of every command: verbosity, log messages, tables of facts, and errors with their exit codes."""

from __future__ import annotations

import logging
import shlex
import shutil
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from datagen.progress import Display, Verbosity, one_line, printable

INTERRUPTED = 130
MISTAKE = 2
BUG = 1
SHOWN_ANYWAY = ("datagen.progress", "datagen.steps.run_log")
"""Loggers whose messages a display and `show_error` print."""
PACKAGES = ("catalogs", "curation", "cluster", "datagen")


class VerbosityGroup(TyperGroup):
    """A group whose commands all take --quiet and --verbose, before or after the command's name."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        _add_switches(self)


def set_verbosity(level: Verbosity) -> None:
    """Set what displays and log messages of this process show on the terminal."""
    Display.verbosity = level
    threshold = {Verbosity.QUIET: logging.ERROR, Verbosity.NORMAL: logging.WARNING, Verbosity.VERBOSE: logging.DEBUG}
    for name in PACKAGES:
        logger = logging.getLogger(name)
        for old in [handler for handler in logger.handlers if isinstance(handler, _TerminalHandler)]:
            logger.removeHandler(old)
        logger.addHandler(_TerminalHandler(threshold[level]))
        logger.setLevel(min(threshold[level], logging.INFO))


def show_error(error: Exception, expected: bool) -> int:
    """Print an error on standard error and return the exit code: 2 for the user's mistakes, 1 for bugs."""
    console = Console(stderr=True)
    if not expected or Display.verbosity is Verbosity.VERBOSE:
        traceback.print_exception(error)
    # Not markup: messages name [[catalog]] sections and files with any name.
    said = printable(str(error)) if expected else f"unexpected {type(error).__name__}: this is a bug"
    console.print(Text.assemble(("datagen: ", "red"), said), soft_wrap=True)
    if not expected:
        say(console, "please report it with the lines above and the output of `datagen doctor`")
    return MISTAKE if expected else BUG


def facts(rows: Iterable[tuple[str, str]] = ()) -> Table:
    """Return a table of names and values (rich markup) without borders."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def say(console: Console, line: str, style: str | None = None) -> None:
    """Print one line as it is: no markup, no wrapping, control characters escaped."""
    console.print(printable(line), markup=False, highlight=False, soft_wrap=True, style=style)


def shown(text: object) -> str:
    """Return foreign text for a table: no markup, control characters escaped."""
    return escape(printable(str(text)))


def cell(text: object) -> str:
    """Return foreign text for one line of a table, so that it cannot look like further lines of output."""
    return escape(one_line(text))


def hint(console: Console, line: str) -> None:
    """Print what to do next, unless --quiet."""
    if Display.verbosity is not Verbosity.QUIET:
        say(console, line)


def quoted(path: Path | str) -> str:
    """Return a path as it is typed in a shell."""
    return shlex.quote(str(path))


def program(name: str) -> str:
    """Return how an installed program is typed here: its bare name only if the shell finds the same one."""
    ours = Path(sys.executable).parent / name
    found = shutil.which(name)
    if (found and Path(found).resolve() == ours.resolve()) or not ours.exists():
        return name
    try:
        return str(ours.relative_to(Path.cwd()))
    except ValueError:
        return str(ours)


class _TerminalHandler(logging.Handler):
    """Log messages on standard error, without those that the terminal shows anyway."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one message."""
        if record.name not in SHOWN_ANYWAY:
            text = f"{record.levelname.lower()}: {record.name}: {record.getMessage()}"
            print(text, file=sys.stderr)
            if record.exc_info and Display.verbosity is Verbosity.VERBOSE:
                traceback.print_exception(record.exc_info[1])


def _add_switches(command: Any) -> None:
    if not any(option.name == "quiet" for option in command.params):
        command.params += _switches()
    for inner in getattr(command, "commands", {}).values():
        _add_switches(inner)


def _switches() -> list[Any]:
    """Return the options as typer makes them from a function."""
    maker = typer.Typer(add_completion=False)

    @maker.command()
    def command(
        quiet: Annotated[
            bool,
            typer.Option(
                "--quiet",
                "-q",
                expose_value=False,
                callback=_setter(Verbosity.QUIET),
                help="Print results and errors only.",
            ),
        ] = False,
        verbose: Annotated[
            bool,
            typer.Option(
                "--verbose",
                "-v",
                expose_value=False,
                callback=_setter(Verbosity.VERBOSE),
                help="Also print log messages, and tracebacks of errors.",
            ),
        ] = False,
    ) -> None:
        del quiet, verbose

    return list(typer.main.get_command(maker).params)


def _setter(level: Verbosity) -> Callable[[bool], None]:
    def set_if_given(given: bool) -> None:
        if given:
            set_verbosity(level)

    return set_if_given
