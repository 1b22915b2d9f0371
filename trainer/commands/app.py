"""The command line: `trainer fit`, `pack`, `evaluate`, `calibrate`, `predict` and `export`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

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
    EnsembleOption,
    EpochsOption,
    FollowOption,
    MinutesOption,
    OutOption,
    PatternsOption,
    PrecisionOption,
    PresetOption,
    RateOption,
    ResumeOption,
    SaveMinutesOption,
    ScheduleOption,
    SeedOption,
    SeedsOption,
    SetOption,
    WorkersOption,
)
from trainer.commands.pack import pack
from trainer.commands.predict import predict
from trainer.commands.training import Beginning, given_values, numbers, run_training

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
    balance_power: Annotated[
        float | None,
        typer.Option(help="Power of their frequency with which classes are sampled: 0 equally, 1 as stored."),
    ] = None,
    adjust_logits: Annotated[
        bool, typer.Option("--adjust-logits", help="Correct logits for the classes that --balance samples more often.")
    ] = False,
    gemd: Annotated[float | None, typer.Option(help="Weight of the graph earth mover's distance in the loss.")] = None,
    label_smoothing: Annotated[float | None, typer.Option(help="Label smoothing of both classifications.")] = None,
    ema: Annotated[
        float | None, typer.Option(help="Decay of an exponential average of the weights, such as 0.999; 0: none.")
    ] = None,
    clip: Annotated[float | None, typer.Option(help="Largest norm of the gradient; 0: no limit.")] = None,
    resume: ResumeOption = False,
    preset: PresetOption = None,
    epochs: EpochsOption = None,
    minutes: MinutesOption = None,
    patterns: PatternsOption = None,
    ensemble: EnsembleOption = None,
    seeds: SeedsOption = None,
    batch_size: BatchOption = None,
    learning_rate: RateOption = None,
    schedule: ScheduleOption = None,
    accumulate: AccumulateOption = None,
    seed: SeedOption = None,
    precision: PrecisionOption = None,
    compile: CompileOption = False,  # noqa: A002
    deterministic: DeterministicOption = False,
    follow: FollowOption = False,
    save_minutes: SaveMinutesOption = None,
    workers: WorkersOption = None,
    device: DeviceOption = "auto",
    set: SetOption = None,  # noqa: A002
) -> None:
    """Train AlphaDiffract: pattern to crystal system, space group and Niggli cell."""
    given = given_values(
        epochs=epochs,
        minutes=minutes,
        patterns=patterns,
        save_minutes=save_minutes,
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
        balance_power=balance_power,
        adjust_logits=adjust_logits or None,
        gemd_weight=gemd,
        label_smoothing=label_smoothing,
        ema=ema,
        gradient_norm=clip,
    )
    begin = Beginning("alphadiffract", preset, schedule, given, set or [])
    run_training(begin, dataset, out, resume=resume, device=device, ensemble=ensemble, seeds=seeds)


@fit_app.command("crystalnet")
def fit_crystalnet(
    dataset: DatasetArgument,
    out: OutOption = Path("runs/crystalnet"),
    composition: Annotated[
        str | None, typer.Option(help="Composition as input: ratios, elements, drop-one or none.")
    ] = None,
    divisions: Annotated[int | None, typer.Option(help="Points along each axis of a density in training.")] = None,
    systems: Annotated[
        str | None, typer.Option(help="Crystal systems to train on, 1 to 7, such as 5,7. Default: 7, cubic.")
    ] = None,
    resume: ResumeOption = False,
    preset: PresetOption = None,
    epochs: EpochsOption = None,
    minutes: MinutesOption = None,
    patterns: PatternsOption = None,
    ensemble: EnsembleOption = None,
    seeds: SeedsOption = None,
    batch_size: BatchOption = None,
    learning_rate: RateOption = None,
    schedule: ScheduleOption = None,
    accumulate: AccumulateOption = None,
    seed: SeedOption = None,
    precision: PrecisionOption = None,
    compile: CompileOption = False,  # noqa: A002
    deterministic: DeterministicOption = False,
    follow: FollowOption = False,
    save_minutes: SaveMinutesOption = None,
    workers: WorkersOption = None,
    device: DeviceOption = "auto",
    set: SetOption = None,  # noqa: A002
) -> None:
    """Train CrystalNet: stick pattern and composition to electron density."""
    given = given_values(
        epochs=epochs,
        minutes=minutes,
        patterns=patterns,
        save_minutes=save_minutes,
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
        crystal_systems=None if systems is None else numbers("--systems", systems),
    )
    settings = set or []
    if composition is not None:
        settings = [*settings, f"model.composition={composition}"]
    begin = Beginning("crystalnet", preset, schedule, given, settings)
    run_training(begin, dataset, out, resume=resume, device=device, ensemble=ensemble, seeds=seeds)


app.command()(evaluate)
app.command()(calibrate)
app.command()(predict)
app.command()(export)


def main() -> None:
    """Run the command `trainer`."""
    try:
        app()
    except ModuleNotFoundError as missing:
        if missing.name not in NEEDED:
            raise
        print(
            f"trainer: {missing.name} is not installed; make trainer, or install pxrd-datagen with the extra `trainer`",
            file=sys.stderr,
        )
        sys.exit(2)
