"""The command `trainer predict`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trainer.commands.options import DeviceOption
from trainer.commands.terminal import counting_up, errors_as_sentences, print_json, print_mistakes, print_tables
from trainer.errors import TrainerError

if TYPE_CHECKING:
    from trainer.prediction.each import Answer

MODELS = (".pt", ".safetensors")


def predict(
    arguments: Annotated[
        list[Path],
        typer.Argument(
            metavar="[MODEL...] FILE...",
            help="Checkpoints (.pt), the folder of an ensemble, or weights (.safetensors), by default those of the "
            "package; then scans: files, folders, archives or datasets.",
        ),
    ],
    wavelength: Annotated[
        str | None,
        typer.Option(help="Wavelength of the scans: 1.5406, 0.15406nm, 20keV or CuKa1. Default: as the file states."),
    ] = None,
    subtract_background: Annotated[
        bool,
        typer.Option(
            "--subtract-background",
            help="Subtract a smooth background: AlphaDiffract's training patterns have none. QMixer always does.",
        ),
    ] = False,
    draws: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Number of patterns redrawn within their uncertainties for the spread (AlphaDiffract).",
            show_default="8",
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, max=230, help="Number of space groups to list.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    table: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE.csv", help="Table with the first answers for every scan.")
    ] = None,
    library: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.jsonl", help="Combine with the answers that `datagen identify --out` wrote for these scans."
        ),
    ] = None,
    gradcam: Annotated[Path | None, typer.Option(help="Folder for Grad-CAM plots (AlphaDiffract).")] = None,
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
    """Rank crystal systems and space groups of measured scans, and predict their lattice.

    Without a checkpoint the weights that come with the package are used, for any wavelength and range. Exit code 1:
    some scans could not be predicted; 2: none.
    """
    with errors_as_sentences():
        from trainer.models.qmixer import SPACE_GROUPS
        from trainer.prediction.api import open_predictor
        from trainer.prediction.each import answers_csv, predict_each
        from trainer.prediction.library import read_library_answers, with_library
        from trainer.scans.wavelength import parse_wavelength
        from trainer.training.ensemble import is_ensemble

        models = [path for path in arguments if path.suffix in MODELS or is_ensemble(path)]
        scans = [path for path in arguments if path not in models]
        if not scans:
            raise TrainerError("expected at least one scan")
        if wavelength is not None:
            parse_wavelength(wavelength)
        known = None if library is None else read_library_answers(library)
        # A combination may rank first what the network ranks anywhere.
        listed = top if known is None else SPACE_GROUPS
        predictor = open_predictor(
            models, subtract_background, draws, listed, device, calibrated=calibrated, lines=lines
        )
        if gradcam is not None and not hasattr(predictor, "attention"):
            raise TrainerError("--gradcam: expected a checkpoint (.pt) of alphadiffract; other networks have no plot")
        answers = []
        with counting_up("scans") as progress:
            for answer in predict_each(predictor, scans, wavelength, keep_scans=gradcam is not None):
                if known is not None and answer.found is not None:
                    answer = replace(answer, found=with_library(answer.found, known, top))
                answers.append(answer)
                progress(len(answers))
        if table is not None:
            table.write_text(answers_csv(answers), encoding="utf-8")
        if gradcam is not None:
            _plot(predictor, answers, gradcam)
    if as_json:
        print_json([answer.as_dict() for answer in answers])
    else:
        from trainer.evaluation.tables import prediction_tables

        for answer in answers:
            if answer.found is not None:
                print_tables(prediction_tables(Path(answer.name).name, answer.found.as_dict()))
    failed = [answer.error for answer in answers if answer.error is not None]
    print_mistakes(failed)
    if failed:
        raise typer.Exit(code=1 if len(failed) < len(answers) else 2)


def _plot(predictor: Any, answers: list[Answer], folder: Path) -> None:
    from trainer.evaluation.plots import plot_attention
    from trainer.scans.collect import distinct_names

    shown = [answer for answer in answers if answer.found is not None and answer.scan is not None]
    folder.mkdir(parents=True, exist_ok=True)
    for answer, name in zip(shown, distinct_names([answer.name for answer in shown]), strict=True):
        assert answer.found is not None
        intensity, _ = predictor.on_grid(answer.name, answer.scan, answer.found.wavelength_A)
        pattern, attention = predictor.attention(intensity)
        plot_attention(predictor.grid_deg, pattern, attention, Path(answer.name).name, folder / f"{name}.png")
