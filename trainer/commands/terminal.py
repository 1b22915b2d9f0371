"""Terminal output: progress, tables, and errors in one sentence."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table as RichTable

from trainer.errors import TrainerError

if TYPE_CHECKING:
    from trainer.evaluation.tables import Table
    from trainer.training.distributed import Place


class TerminalReporter:
    """Progress of a training run: a bar on a terminal, plain lines elsewhere."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        self._bar: Progress | None = None
        self._task: Any = None

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._bar = Progress(
                TextColumn("epoch {task.fields[epoch]}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[loss]}"),
                console=self.console,
            )
            self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begin(self, model: str, structures: int, validation: int, batches: int, place: Place) -> None:
        """Print the network, the number of structures and the device."""
        self.console.print(
            f"{model}: {structures} training and {validation} validation structures, {batches} batches per epoch "
            f"on {place.world} x {place.device}",
            soft_wrap=True,
        )

    def advance(self, epoch: int, batch: int, batches: int, values: dict[str, float]) -> None:
        """Advance the bar."""
        if self._bar is None:
            return
        if self._task is None:
            self._task = self._bar.add_task("", epoch=epoch + 1, loss="")
        if "loss_total" in values:
            self._bar.update(self._task, loss=f"loss {values['loss_total']:.4g}")
        self._bar.update(self._task, completed=batch, total=batches, epoch=epoch + 1)

    def epoch(self, epoch: int, values: dict[str, float], improved: bool) -> None:
        """Print the validation of an epoch."""
        numbers = ", ".join(f"{name.removeprefix('validation_')} {value:.4g}" for name, value in values.items())
        self.console.print(f"epoch {epoch}: {numbers}{' (best)' if improved else ''}", soft_wrap=True)


@contextmanager
def errors_as_sentences() -> Iterator[None]:
    """Print a `TrainerError` in one sentence and exit with code 2."""
    try:
        yield
    except TrainerError as error:
        print_mistakes([str(error)])
        raise typer.Exit(code=2) from None
    except RuntimeError as error:
        if "InvalidCxxCompiler" not in str(error):
            raise
        print_mistakes(["--compile needs a C++ compiler; install one, name it in CXX, or leave out --compile"])
        raise typer.Exit(code=2) from None


def print_mistakes(messages: Sequence[str]) -> None:
    """Print errors that did not end the command to standard error."""
    console = Console(stderr=True)
    for message in messages:
        console.print(f"[red]error:[/red] {_plain(message)}", soft_wrap=True, highlight=False)


def _plain(text: str) -> str:
    """Escape markup, and control characters that a foreign name may send to the terminal."""
    return escape("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text))


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """Show a progress bar on a terminal, nothing elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = BarColumn(), MofNCompleteColumn(), TextColumn(what), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("")
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def counting_up(what: str) -> Iterator[Callable[[int], None]]:
    """Show a count on a terminal where the total is not known, nothing elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda done: None
        return
    columns = TextColumn("{task.completed}"), TextColumn(what), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done: bar.update(task, completed=done)


def print_tables(tables: list[Table]) -> None:
    """Print tables to standard output."""
    console = Console()
    for table in tables:
        shown = RichTable(title=_plain(table.title), title_justify="left")
        for number, name in enumerate(table.head):
            shown.add_column(name, justify="left" if number == 0 else "right")
        for row in table.rows:
            shown.add_row(*map(_plain, row))
        console.print(shown)


def print_json(content: Any) -> None:
    """Print JSON to standard output."""
    sys.stdout.write(json.dumps(content, indent=2) + "\n")
