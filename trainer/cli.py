"""``trainer fit | evaluate | predict``: what the command line offers, and how it speaks."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from trainer.errors import TrainerError

if TYPE_CHECKING:
    from trainer.distributed import Place

# torch takes seconds to import: commands import what they need, so that --help and mistakes answer at once.

app = typer.Typer(
    name="trainer",
    help="Train AlphaDiffract and CrystalNet from a dataset, judge them, and let them look at measured patterns.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
fit_app = typer.Typer(help="Train a model. torchrun starts one process a GPU.", no_args_is_help=True)
app.add_typer(fit_app, name="fit")

DatasetArgument = Annotated[Path, typer.Argument(help="Folder of a dataset, finished or in the making.")]
OutOption = Annotated[Path, typer.Option(help="Folder for checkpoints and logs.")]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on with last.pt in --out, with its configuration.")]
EpochsOption = Annotated[int | None, typer.Option(help="Epochs in all.")]
BatchOption = Annotated[int | None, typer.Option(help="Samples a batch and process.")]
RateOption = Annotated[float | None, typer.Option(help="Nominal learning rate.")]
AccumulateOption = Annotated[int | None, typer.Option(help="Batches for each update.")]
SeedOption = Annotated[int | None, typer.Option(help="Seed of weights, order and noise.")]
PrecisionOption = Annotated[str | None, typer.Option(help="auto, fp32 or bf16; auto is bf16 on a GPU that has it.")]
CompileOption = Annotated[bool, typer.Option("--compile", help="Let torch.compile fuse the network.")]
DeterministicOption = Annotated[bool, typer.Option("--deterministic", help="Only algorithms that repeat bit for bit.")]
FollowOption = Annotated[bool, typer.Option("--follow", help="Between epochs, pick up shards committed meanwhile.")]
WorkersOption = Annotated[int | None, typer.Option(help="Threads that read.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any value of the configuration, such as model.drop_path=0.1."),
]


@fit_app.command("alphadiffract")
def fit_alphadiffract(
    dataset: DatasetArgument,
    out: OutOption = Path("runs/alphadiffract"),
    input: Annotated[  # noqa: A002 - the option's name
        str | None, typer.Option(help="patterns: as stored. sticks: broadened on the device with fresh parameters.")
    ] = None,
    samples: Annotated[int | None, typer.Option(help="Patterns of each structure in an epoch; default: all.")] = None,
    balance: Annotated[str | None, typer.Option(help="none, crystal-system or space-group.")] = None,
    gemd: Annotated[float | None, typer.Option(help="Weight mu of the graph earth mover's distance.")] = None,
    resume: ResumeOption = False,
    epochs: EpochsOption = None,
    batch_size: BatchOption = None,
    learning_rate: RateOption = None,
    accumulate: AccumulateOption = None,
    seed: SeedOption = None,
    precision: PrecisionOption = None,
    compile: CompileOption = False,  # noqa: A002
    deterministic: DeterministicOption = False,
    follow: FollowOption = False,
    workers: WorkersOption = None,
    device: DeviceOption = "auto",
    set: SetOption = None,  # noqa: A002
) -> None:
    """Pattern to crystal system, space group and Niggli lattice."""
    from trainer.config import AlphaDiffractTraining

    given = _given(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        accumulate=accumulate,
        seed=seed,
        precision=precision,
        compile=compile or None,
        deterministic=deterministic or None,
        follow=follow or None,
        workers=workers,
        input=input,
        samples_per_structure=samples,
        balance=balance,
        gemd_weight=gemd,
    )
    _fit(AlphaDiffractTraining, "alphadiffract", given, set or [], dataset, out, resume, device)


@fit_app.command("crystalnet")
def fit_crystalnet(
    dataset: DatasetArgument,
    out: OutOption = Path("runs/crystalnet"),
    composition: Annotated[str | None, typer.Option(help="What is told: ratios, elements, drop-one or none.")] = None,
    divisions: Annotated[int | None, typer.Option(help="Points along each axis in training.")] = None,
    systems: Annotated[str | None, typer.Option(help="Crystal systems 1-7 to train on, such as 5,7.")] = None,
    resume: ResumeOption = False,
    epochs: EpochsOption = None,
    batch_size: BatchOption = None,
    learning_rate: RateOption = None,
    accumulate: AccumulateOption = None,
    seed: SeedOption = None,
    precision: PrecisionOption = None,
    compile: CompileOption = False,  # noqa: A002
    deterministic: DeterministicOption = False,
    follow: FollowOption = False,
    workers: WorkersOption = None,
    device: DeviceOption = "auto",
    set: SetOption = None,  # noqa: A002
) -> None:
    """Stick pattern and composition to electron density."""
    from trainer.config import CrystalNetTraining

    given = _given(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        accumulate=accumulate,
        seed=seed,
        precision=precision,
        compile=compile or None,
        deterministic=deterministic or None,
        follow=follow or None,
        workers=workers,
        divisions=divisions,
        crystal_systems=None if systems is None else _numbers("--systems", systems),
    )
    settings = set or []
    if composition is not None:
        settings = [*settings, f"model.composition={composition}"]
    _fit(CrystalNetTraining, "crystalnet", given, settings, dataset, out, resume, device)


def _fit(
    of: Callable[..., Any],
    kind: str,
    given: dict[str, Any],
    settings: list[str],
    dataset: Path,
    out: Path,
    resume: bool,
    device: str,
) -> None:
    from trainer import checkpoint
    from trainer.config import change
    from trainer.fit import LAST, fit

    with mistakes_told():
        config = checkpoint.load(out / LAST, kind).config if resume else of()
        config = replace(config, **given)
        for setting in settings:
            name, equals, value = setting.partition("=")
            if not equals:
                raise TrainerError(f"--set {setting}: expected NAME=VALUE")
            config = change(config, name, value)
        reporter = TerminalReporter()
        with reporter:
            outcome = fit(config, dataset, out, resume=resume, device=device, reporter=reporter)
    if int(os.environ.get("RANK", "0")) == 0:
        console = Console()
        if outcome.finished:
            console.print(f"Trained {outcome.progress.epoch} epochs; weights in {out}", soft_wrap=True)
        else:
            console.print(f"Stopped in epoch {outcome.progress.epoch + 1}; go on with --resume", soft_wrap=True)
    if not outcome.finished:
        raise typer.Exit(code=130)


class TerminalReporter:
    """A progress bar on a terminal, plain lines elsewhere."""

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
                TextColumn("{task.fields[told]}"),
                console=self.console,
            )
            self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begin(self, model: str, structures: int, validation: int, batches: int, place: Place) -> None:
        """Say what is trained, on what."""
        self.console.print(
            f"{model}: {structures} structures to train on, {validation} to validate; {batches} batches an epoch "
            f"on {place.world} x {place.device}",
            soft_wrap=True,
        )

    def advance(self, epoch: int, batch: int, batches: int, values: dict[str, float]) -> None:
        """Move the bar."""
        if self._bar is None:
            return
        if self._task is None:
            self._task = self._bar.add_task("", epoch=epoch + 1, told="")
        if "loss_total" in values:
            self._bar.update(self._task, told=f"loss {values['loss_total']:.4g}")
        self._bar.update(self._task, completed=batch, total=batches, epoch=epoch + 1)

    def epoch(self, epoch: int, values: dict[str, float], improved: bool) -> None:
        """A line for each epoch."""
        numbers = ", ".join(f"{name.removeprefix('validation_')} {value:.4g}" for name, value in values.items())
        self.console.print(f"epoch {epoch}: {numbers}{' (best)' if improved else ''}", soft_wrap=True)


@contextmanager
def mistakes_told() -> Iterator[None]:
    """A `TrainerError` is one sentence and exit code 2."""
    try:
        yield
    except TrainerError as error:
        Console(stderr=True).print(f"[red]error:[/red] {_plain(str(error))}", soft_wrap=True, highlight=False)
        raise typer.Exit(code=2) from None


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _numbers(option: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"expected whole numbers with commas between them, found {text!r}", param_hint=option
        ) from None


def print_json(content: Any) -> None:
    """JSON on standard output."""
    sys.stdout.write(json.dumps(content, indent=2) + "\n")


def main() -> None:
    """Entry point of the command ``trainer``."""
    app()
