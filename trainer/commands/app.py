"""What can be asked for on the command line? ``trainer fit``, ``trainer evaluate`` and ``trainer predict``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from trainer.commands.evaluate import evaluate
from trainer.commands.fit_qmixer import fit_qmixer
from trainer.commands.options import (
    AccumulateOption,
    BatchOption,
    CompileOption,
    DatasetArgument,
    DeterministicOption,
    DeviceOption,
    EpochsOption,
    FollowOption,
    OutOption,
    PrecisionOption,
    RateOption,
    ResumeOption,
    SeedOption,
    SetOption,
    WorkersOption,
)
from trainer.commands.predict import predict
from trainer.commands.terminal import TerminalReporter, mistakes_told
from trainer.errors import TrainerError

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
fit_app.command("qmixer")(fit_qmixer)

NEEDED = ("torch", "numpy", "zarr")


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
    from trainer.training.config import AlphaDiffractTraining

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
    from trainer.training.config import CrystalNetTraining

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


app.command()(evaluate)
app.command()(predict)


def _fit(
    of: Callable[..., Any],
    kind: str,
    given: dict[str, Any],
    settings: list[str],
    dataset: str,
    out: Path,
    resume: bool,
    device: str,
) -> None:
    from trainer.training import checkpoint
    from trainer.training.config import change
    from trainer.training.fit import LAST, fit

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


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _numbers(option: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"expected whole numbers with commas between them, found {text!r}", param_hint=option
        ) from None


def main() -> None:
    """Entry point of the command ``trainer``."""
    try:
        app()
    except ModuleNotFoundError as missing:
        if missing.name not in NEEDED:
            raise
        print(
            f"trainer: {missing.name} is not installed, and training needs it; install this project's extra "
            "`trainer` (make trainer, or pip install -e '.[trainer]' -c constraints.txt)",
            file=sys.stderr,
        )
        sys.exit(2)
