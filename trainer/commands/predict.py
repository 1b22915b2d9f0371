"""The command `trainer predict`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trainer.commands.options import DeviceOption
from trainer.commands.terminal import errors_as_sentences, print_json, print_tables
from trainer.errors import TrainerError

if TYPE_CHECKING:
    from trainer.prediction.api import AlphaDiffractPredictor

MODELS = (".pt", ".safetensors")


def predict(
    arguments: Annotated[
        list[Path],
        typer.Argument(
            metavar="[MODEL...] FILE...",
            help="Checkpoints (.pt) or weights (.safetensors), by default those of the package; then measured scans.",
        ),
    ],
    wavelength: Annotated[
        str | None,
        typer.Option(help="Wavelength of the scans: angstroms, 20keV or CuKa1. Default: as the file states."),
    ] = None,
    subtract_background: Annotated[
        bool, typer.Option("--subtract-background", help="Subtract a smooth background: training patterns have none.")
    ] = False,
    draws: Annotated[
        int, typer.Option(min=0, help="Number of patterns redrawn within their uncertainties for the spread.")
    ] = 8,
    top: Annotated[int, typer.Option(min=1, max=230, help="Number of space groups to list.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    gradcam: Annotated[Path | None, typer.Option(help="Folder for Grad-CAM plots.")] = None,
    device: DeviceOption = "auto",
) -> None:
    """Rank crystal systems and space groups of measured scans, and predict their lattice.

    Without a checkpoint the weights that come with the package are used, for any wavelength and range.
    """
    with errors_as_sentences():
        from trainer.prediction.api import AlphaDiffractPredictor, open_predictor, predict_file

        models = [path for path in arguments if path.suffix in MODELS]
        scans = [path for path in arguments if path.suffix not in MODELS]
        if not scans:
            raise TrainerError("expected at least one scan")
        predictor = open_predictor(models, subtract_background, draws, top, device)
        if gradcam is not None and not isinstance(predictor, AlphaDiffractPredictor):
            raise TrainerError("--gradcam: expected a checkpoint (.pt) of alphadiffract; other networks have no plot")
        results = [predict_file(predictor, scan, wavelength) for scan in scans]
        if gradcam is not None and isinstance(predictor, AlphaDiffractPredictor):
            for scan, result in zip(scans, results, strict=True):
                _plot(predictor, scan, result.wavelength_A, gradcam)
    if as_json:
        print_json([result.as_dict() for result in results])
        return
    from trainer.evaluation.tables import prediction_tables

    for result in results:
        print_tables(prediction_tables(Path(result.file).name, result.as_dict()))


def _plot(predictor: AlphaDiffractPredictor, scan: Path, wavelength_A: float, folder: Path) -> None:
    from trainer.evaluation.plots import plot_attention
    from trainer.scans.read import read_pattern

    intensity, _ = predictor.on_grid(str(scan), read_pattern(scan), wavelength_A)
    pattern, attention = predictor.attention(intensity)
    folder.mkdir(parents=True, exist_ok=True)
    plot_attention(predictor.grid_deg, pattern, attention, scan.name, folder / f"{scan.name.split('.')[0]}.png")
