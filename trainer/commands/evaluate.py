"""The command `trainer evaluate`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from trainer.commands.options import DeviceOption, refuse_without_effect
from trainer.commands.terminal import counting, errors_as_sentences, print_tables
from trainer.errors import TrainerError

OF_LATTICES = ("samples", "input", "noise")
OF_DENSITIES = ("guesses", "points")
"""Options for simulated patterns, of alphadiffract and of crystalnet."""


def evaluate(
    context: typer.Context,
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="[MODEL...] DATASET",
            help="Checkpoints (several form an ensemble), the folder of an ensemble or weights (.safetensors), then "
            "the dataset. For measured patterns the default is the weights of the package.",
        ),
    ],
    split: Annotated[str, typer.Option(help="Split used for testing.")] = "test",
    samples: Annotated[int, typer.Option(min=1, help="Patterns per structure (alphadiffract).")] = 1,
    input: Annotated[str | None, typer.Option(help="patterns or sticks (alphadiffract). Default: as trained.")] = None,  # noqa: A002
    noise: Annotated[bool, typer.Option(help="Add the noise of the paper to the patterns (alphadiffract).")] = True,
    guesses: Annotated[
        int | None, typer.Option(min=1, help="Number of latent samples (crystalnet). Default: as configured, 5.")
    ] = None,
    points: Annotated[int, typer.Option(min=1, help="Grid points along each axis (crystalnet).")] = 50,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Batch size, on simulated datasets.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for report.json, report.md and plots.")] = None,
    plots: Annotated[bool, typer.Option("--plots", help="Write PNG figures to --out.")] = False,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="Also score simulated patterns of the structures of measured scans.")
    ] = False,
    trained_on: Annotated[
        str | None,
        typer.Option(
            metavar="DATASET", help="Training dataset of weights, to score seen and unseen structures of scans apart."
        ),
    ] = None,
    calibrated: Annotated[
        bool,
        typer.Option("--calibrated/--uncalibrated", help="Apply the calibration of checkpoints; QMixer keeps its own."),
    ] = True,
    lines: Annotated[
        bool | None,
        typer.Option(
            "--lines/--no-lines",
            help="Search cells that explain the lines of a scan, which weigh QMixer's answers. Default: with them.",
            show_default=False,
        ),
    ] = None,
    device: DeviceOption = "auto",
) -> None:
    """Evaluate models on a dataset, simulated or measured, and compare them with baselines that need no model."""
    from trainer.data.store import open_dataset
    from trainer.evaluation.densities import evaluate_crystalnet
    from trainer.evaluation.lattices import evaluate_alphadiffract
    from trainer.evaluation.models import load_models, refuse_other_instrument, structures_of_trained_groups
    from trainer.evaluation.tables import evaluation_tables
    from trainer.training import distributed
    from trainer.training.config import INPUTS, kind_of
    from trainer.training.datasets import choose_rows
    from trainer.training.ensemble import with_members

    with errors_as_sentences():
        if plots and out is None:
            raise TrainerError("--plots needs --out, the folder for the figures")
        if input is not None and input not in INPUTS:
            raise TrainerError(f"--input {input}: expected one of {', '.join(INPUTS)}")
        *models_given, dataset_path = arguments
        if int(os.environ.get("RANK", "0")) != 0:
            return  # of the processes of torchrun, the first evaluates
        if missing := [path for path in models_given if not Path(path).exists()]:
            raise TrainerError(f"{missing[0]}: no checkpoint here")
        paths = with_members([Path(path) for path in models_given])
        dataset = open_dataset(dataset_path)
        if dataset.measured:
            refuse_without_effect(
                context, (*OF_LATTICES, *OF_DENSITIES, "batch_size"), f"on the measured patterns of {dataset_path}"
            )
            options: dict[str, Any] = {
                "simulated": simulated,
                "calibrated": calibrated,
                "device": device,
                "lines": lines,
            }
            options["trained_on"] = None if trained_on is None else open_dataset(trained_on)
            _evaluate_scans(paths, dataset, split, options, out, plots=plots)
            return
        if not paths:
            raise TrainerError("expected one checkpoint or more, then a dataset last")
        if simulated or trained_on is not None:
            option = "--simulated" if simulated else "--trained-on"
            raise TrainerError(f"{option}: expected a dataset of measured patterns, {dataset_path} is simulated")
        if lines is not None:
            raise TrainerError(
                f"--lines, --no-lines: expected measured patterns, those of {dataset_path} are simulated"
            )
        place = distributed.alone(device)
        models, states = load_models(paths, place.device, calibrated=calibrated)
        configs: Any = [state.config for state in states]
        lattices = kind_of(configs[0]) == "alphadiffract"
        refuse_without_effect(context, OF_DENSITIES if lattices else OF_LATTICES, f"on {kind_of(configs[0])}")
        options = {"split": split}
        if batch_size is not None:
            options["batch_size"] = batch_size
        with counting("batches") as progress:
            if lattices:
                refuse_other_instrument(states, dataset)
                options |= {"samples": samples, "noise": noise, "input": input}
                found: Any = evaluate_alphadiffract(models, configs, dataset, place, progress=progress, **options)
            else:
                options |= {"guesses": guesses or configs[0].test_guesses, "points": points}
                found = evaluate_crystalnet(models, configs, dataset, place, progress=progress, **options)
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

                draw: Any = plot_lattice_evaluation if hasattr(found, "confusion") else plot_density_evaluation
                draw(found, out)


def _evaluate_scans(
    models: list[Path], dataset: Any, split: str, options: dict[str, Any], out: Path | None, *, plots: bool
) -> None:
    from trainer.prediction.predict import space_group_symbols
    from trainer.prediction.scoring.evaluate import evaluate_scans
    from trainer.prediction.scoring.tables import answers_csv, scan_tables

    with counting("scans") as progress:
        found = evaluate_scans(models, dataset, split=split, progress=progress, **options)
    tables = scan_tables(found.report)
    print_tables(tables)
    if out is None:
        return
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.json").write_text(json.dumps(found.report, indent=2) + "\n")
    (out / "report.md").write_text("\n".join(table.markdown() for table in tables))
    (out / "answers.csv").write_text(answers_csv(found, space_group_symbols()), encoding="utf-8")
    if plots:
        from trainer.prediction.scoring.plots import plot_scan_evaluation

        plot_scan_evaluation(found, out)
