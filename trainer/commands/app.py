"""What can be asked for on the command line? ``trainer fit``, ``trainer evaluate`` and ``trainer predict``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from trainer.commands.predict import predict
from trainer.commands.terminal import TerminalReporter, counting, mistakes_told, print_tables
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

NEEDED = ("torch", "numpy", "zarr")

DatasetArgument = Annotated[
    str,
    typer.Argument(help="A dataset, finished or in the making: its folder, .zarr.zip, address, or name in the list."),
]
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


@app.command()
def evaluate(
    arguments: Annotated[list[str], typer.Argument(metavar="CHECKPOINT... DATASET", help="Several are an ensemble.")],
    split: Annotated[str, typer.Option(help="Side of the split to judge on.")] = "test",
    samples: Annotated[int, typer.Option(min=1, help="Patterns of each structure (alphadiffract).")] = 1,
    input: Annotated[str | None, typer.Option(help="patterns or sticks; default: as trained.")] = None,  # noqa: A002
    noise: Annotated[bool, typer.Option(help="The paper's noise on the patterns.")] = True,
    guesses: Annotated[int, typer.Option(help="Latent samples (crystalnet).")] = 5,
    points: Annotated[int, typer.Option(help="Grid points along each axis (crystalnet).")] = 50,
    batch_size: Annotated[int | None, typer.Option(help="Samples at a time.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for report.json, report.md and plots.")] = None,
    plots: Annotated[bool, typer.Option("--plots", help="Draw PNG figures into --out.")] = False,
    device: DeviceOption = "auto",
) -> None:
    """Judge checkpoints on a dataset, beside baselines that need no model."""
    from trainer.data.store import open_dataset
    from trainer.evaluation.evaluate import (
        evaluate_alphadiffract,
        evaluate_crystalnet,
        load_models,
        refuse_other_instrument,
        structures_of_trained_groups,
    )
    from trainer.evaluation.tables import evaluation_tables
    from trainer.training import distributed
    from trainer.training.config import INPUTS, kind_of
    from trainer.training.datasets import choose_rows

    with mistakes_told():
        if len(arguments) < 2:
            raise TrainerError("expected one checkpoint or more, and a dataset last")
        if plots and out is None:
            raise TrainerError("--plots needs --out, the folder to draw into")
        if input is not None and input not in INPUTS:
            raise TrainerError(f"--input {input}: expected one of {', '.join(INPUTS)}")
        *paths, dataset_path = arguments
        if int(os.environ.get("RANK", "0")) != 0:
            return  # torchrun started several processes; one evaluates
        place = distributed.alone(device)
        models, states = load_models([Path(path) for path in paths], place.device)
        dataset = open_dataset(dataset_path)
        configs: Any = [state.config for state in states]
        options: dict[str, Any] = {"split": split}
        if batch_size is not None:
            options["batch_size"] = batch_size
        with counting("batches") as told:
            if kind_of(configs[0]) == "alphadiffract":
                refuse_other_instrument(states, dataset)
                options |= {"samples": samples, "noise": noise, "input": input}
                found: Any = evaluate_alphadiffract(models, configs, dataset, place, told=told, **options)
            else:
                options |= {"guesses": guesses, "points": points}
                found = evaluate_crystalnet(models, configs, dataset, place, told=told, **options)
        rows = choose_rows(configs[0], dataset, split)
        found.report["structures_of_trained_groups"] = structures_of_trained_groups(states, dataset, rows)
        tables = evaluation_tables(found.report)
        print_tables(tables)
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            (out / "report.json").write_text(json.dumps(found.report, indent=2) + "\n")
            (out / "report.md").write_text("\n".join(table.markdown() for table in tables))
            if plots:
                from trainer.evaluation.plots import plot_density_evaluation, plot_lattice_evaluation

                draw: Any = plot_lattice_evaluation if hasattr(found, "lattice") else plot_density_evaluation
                draw(found, out)


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
