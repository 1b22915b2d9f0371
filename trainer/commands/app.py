"""The command line: `trainer fit`, `pack`, `evaluate`, `calibrate`, `predict` and `export`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from trainer.commands.calibrate import calibrate
from trainer.commands.evaluate import evaluate
from trainer.commands.export import export
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
from trainer.commands.pack import pack
from trainer.commands.predict import predict
from trainer.commands.terminal import TerminalReporter, errors_as_sentences
from trainer.errors import TrainerError

# torch takes seconds to import, so commands import it only when they run.

app = typer.Typer(
    name="trainer",
    help="Train networks on a dataset, evaluate and export them, and predict from measured patterns.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
fit_app = typer.Typer(help="Train a network. Start it with torchrun for one process per GPU.", no_args_is_help=True)
app.add_typer(fit_app, name="fit")
fit_app.command("qmixer")(fit_qmixer)
app.command("pack")(pack)

NEEDED = ("torch", "numpy", "zarr")


@fit_app.command("alphadiffract")
def fit_alphadiffract(
    dataset: DatasetArgument,
    out: OutOption = Path("runs/alphadiffract"),
    input: Annotated[  # noqa: A002 - the option's name
        str | None, typer.Option(help="patterns: stored patterns. sticks: reflections broadened with fresh parameters.")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(help="Patterns per structure and epoch. Default: all that are stored.")
    ] = None,
    balance: Annotated[
        str | None, typer.Option(help="Classes to sample equally often: none, crystal-system or space-group.")
    ] = None,
    gemd: Annotated[float | None, typer.Option(help="Weight of the graph earth mover's distance in the loss.")] = None,
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
    """Train AlphaDiffract: pattern to crystal system, space group and Niggli cell."""
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
    composition: Annotated[
        str | None, typer.Option(help="Composition as input: ratios, elements, drop-one or none.")
    ] = None,
    divisions: Annotated[int | None, typer.Option(help="Points along each axis of a density in training.")] = None,
    systems: Annotated[str | None, typer.Option(help="Crystal systems to train on, 1 to 7, such as 5,7.")] = None,
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
    """Train CrystalNet: stick pattern and composition to electron density."""
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
app.command()(calibrate)
app.command()(predict)
app.command()(export)


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

    with errors_as_sentences():
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
            console.print(f"Stopped in epoch {outcome.progress.epoch + 1}; resume with --resume", soft_wrap=True)
    if not outcome.finished:
        raise typer.Exit(code=130)


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _numbers(option: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"expected integers separated by commas, found {text!r}", param_hint=option) from None


def main() -> None:
    """Run the command `trainer`."""
    try:
        app()
    except ModuleNotFoundError as missing:
        if missing.name not in NEEDED:
            raise
        print(
            f"trainer: {missing.name} is not installed; install the extra `trainer` of this project "
            "(make trainer, or pip install -e '.[trainer]' -c constraints.txt)",
            file=sys.stderr,
        )
        sys.exit(2)
