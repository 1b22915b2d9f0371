"""The command ``trainer evaluate``."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from trainer.commands.options import DeviceOption
from trainer.commands.terminal import counting, mistakes_told, print_tables
from trainer.errors import TrainerError


def evaluate(
    arguments: Annotated[list[str], typer.Argument(metavar="CHECKPOINT... DATASET", help="Several are an ensemble.")],
    split: Annotated[str, typer.Option(help="Side of the split to judge on.")] = "test",
    samples: Annotated[int, typer.Option(min=1, help="Patterns of each structure (alphadiffract).")] = 1,
    input: Annotated[str | None, typer.Option(help="patterns or sticks; default: as trained.")] = None,  # noqa: A002
    noise: Annotated[bool, typer.Option(help="The paper's noise on the patterns.")] = True,
    guesses: Annotated[int, typer.Option(min=1, help="Latent samples (crystalnet).")] = 5,
    points: Annotated[int, typer.Option(min=1, help="Grid points along each axis (crystalnet).")] = 50,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Patterns or densities at a time.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for report.json, report.md and plots.")] = None,
    plots: Annotated[bool, typer.Option("--plots", help="Draw PNG figures into --out.")] = False,
    device: DeviceOption = "auto",
) -> None:
    """Judge checkpoints on a dataset, beside baselines that need no model."""
    from trainer.data.store import open_dataset
    from trainer.evaluation.densities import evaluate_crystalnet
    from trainer.evaluation.lattices import evaluate_alphadiffract
    from trainer.evaluation.models import load_models, refuse_other_instrument, structures_of_trained_groups
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

                draw: Any = plot_lattice_evaluation if hasattr(found, "confusion") else plot_density_evaluation
                draw(found, out)
