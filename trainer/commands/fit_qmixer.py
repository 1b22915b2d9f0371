"""The command `trainer fit qmixer`: training for a number of minutes or patterns, and the weights that come of it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from trainer.commands.options import CompileOption, DeviceOption, GeneratedOption, QMixerDatasets, SetOption

WEIGHTS = "qmixer.safetensors"
PACKAGE = "package"
"""In place of a path: the weights that come with the package."""


def fit_qmixer(
    datasets: QMixerDatasets,
    generated: GeneratedOption = None,
    generated_share: Annotated[float, typer.Option(min=0.0, max=1.0, help="Patterns of generated crystals.")] = 0.3,
    out: Annotated[Path, typer.Option(help="Folder for checkpoint, log and weights.")] = Path("runs/qmixer"),
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help="Budget of training time, resumed runs included.")
    ] = None,
    patterns: Annotated[int | None, typer.Option(min=1, help="Budget of patterns, instead of minutes.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume last.pt in --out, with a larger budget.")] = False,
    size: Annotated[str | None, typer.Option(help="Size of the network: small (default), or large for a GPU.")] = None,
    start: Annotated[
        Path | None,
        typer.Option(help="Weights to begin with (.safetensors), or 'package' for those that come with it."),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=2, help="Patterns per step.")] = 128,
    learning_rate: Annotated[float, typer.Option(min=0.0, help="Highest learning rate.")] = 1.5e-3,
    seed: Annotated[int, typer.Option(min=0, help="Seed of weights and patterns.")] = 0,
    compile: CompileOption = False,  # noqa: A002
    device: DeviceOption = "auto",
    threads: Annotated[int, typer.Option(min=1, help="Threads that draw patterns.")] = 1,
    save_minutes: Annotated[float, typer.Option(min=0.0, help="Minutes between checkpoints.")] = 3.0,
    validate_minutes: Annotated[float, typer.Option(min=0.0, help="Minutes between validations.")] = 10.0,
    settings: SetOption = None,
) -> None:
    """Measured pattern at any wavelength to space group and lattice; patterns are simulated with artefacts.

    In place of datasets, one file of structures that `trainer pack` wrote can be given.
    """
    from trainer.commands.terminal import errors_as_sentences
    from trainer.errors import TrainerError
    from trainer.models.qmixer import SIZES
    from trainer.prediction.qmixer import export_weights, load_weights
    from trainer.training.config import with_settings
    from trainer.training.distributed import alone
    from trainer.training.fit_qmixer import LAST, QMixerTraining, Start
    from trainer.training.fit_qmixer import fit_qmixer as fit

    console = Console(stderr=True, highlight=False)
    began = time.monotonic()

    def report(values: dict[str, Any]) -> None:
        found = values.get("validation", {})
        console.print(
            f"{values['minutes']:8.2f} min {values['patterns']:>12,} patterns  validation: crystal system "
            f"{found.get('crystal_system', 0):.1%}, space group {found.get('space_group', 0):.1%} "
            f"(top 5 {found.get('space_group_top5', 0):.1%}), lengths off by {found.get('length_error', 0):.1%}",
            soft_wrap=True,
        )

    with errors_as_sentences():
        place = alone(device)
        if (minutes is None) == (patterns is None):
            raise TrainerError("expected a budget: either --minutes or --patterns")
        if size is not None and size not in SIZES:
            raise TrainerError(f"--size {size}: expected one of {', '.join(SIZES)}")
        earlier = None
        if start is not None:
            earlier = load_weights(None if str(start) == PACKAGE else start)
            if size is not None and SIZES[size] != earlier.model.config:
                raise TrainerError(f"--size {size}: the weights of {start} are of another size; leave out --size")
        config = QMixerTraining(
            model=SIZES[size or "small"] if earlier is None else earlier.model.config,
            minutes=minutes,
            patterns=patterns,
            batch=batch_size,
            learning_rate=learning_rate,
            generated_share=generated_share,
            compile=compile,
            seed=seed,
            save_minutes=save_minutes,
            validate_minutes=validate_minutes,
        )
        config = with_settings(config, settings or ())
        state = fit(
            config,
            datasets,
            out,
            generated=generated or (),
            start=None
            if earlier is None
            else Start(earlier.model.state_dict(), earlier.lattice_mean, earlier.lattice_deviation),
            resume=resume,
            threads=threads,
            device=place.device,
            report=report,
            say=lambda sentence: console.print(sentence, soft_wrap=True),
        )
        export_weights(
            out / LAST,
            out / WEIGHTS,
            {
                "datasets": [Path(dataset).name for dataset in [*datasets, *(generated or ())]],
                **({"began_with": earlier.facts} if earlier is not None else {}),
            },
        )
    typer.echo(
        json.dumps(
            {
                "patterns": state.patterns,
                "minutes": round(state.seconds / 60, 2),
                "wall_minutes": round((time.monotonic() - began) / 60, 2),
                "weights": str(out / WEIGHTS),
            }
        )
    )
