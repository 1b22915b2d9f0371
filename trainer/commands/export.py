"""The command `trainer export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from trainer.commands.terminal import errors_as_sentences


def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Checkpoint (.pt) or weights (.safetensors).")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write.")],
    format: Annotated[  # noqa: A002 - the option's name
        str | None, typer.Option(help="safetensors or onnx. Default: as --out ends.")
    ] = None,
    calibrated: Annotated[
        bool, typer.Option("--calibrated/--uncalibrated", help="Apply the calibration of the checkpoint.")
    ] = True,
) -> None:
    """Write a network for other programs: its weights, or ONNX with pre- and postprocessing and a description."""
    with errors_as_sentences():
        from trainer.prediction.export.export import export as write

        found = write(model, out, format, calibrated=calibrated)
    console = Console(highlight=False)
    console.print(f"{found.network}: {found.path}, {found.path.stat().st_size / 1e6:.1f} MB", soft_wrap=True)
    for name, difference in found.differences.items():
        console.print(f"{name}: differs from torch by {difference:.1e} of its largest value", soft_wrap=True)
