"""The command `trainer calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trainer.commands.options import DeviceOption
from trainer.commands.terminal import errors_as_sentences, print_tables


def calibrate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Checkpoint of alphadiffract, or weights of QMixer.")],
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Dataset, simulated or measured.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="New checkpoint or weights with the calibration.")],
    split: Annotated[str, typer.Option(help="Split to fit on; not the one trained on.")] = "validation",
    prior: Annotated[
        bool | None,
        typer.Option(
            "--prior/--no-prior",
            help="Fit a class prior beside the temperature, the default; QMixer has none.",
            show_default=False,
        ),
    ] = None,
    device: DeviceOption = "auto",
) -> None:
    """Fit temperature and class prior of a model's probabilities, and keep them in a new checkpoint."""
    from trainer.data.store import open_dataset
    from trainer.errors import TrainerError
    from trainer.evaluation.tables import Table
    from trainer.prediction.calibrate import calibrate as fit
    from trainer.prediction.calibrate_qmixer import calibrate_qmixer

    with errors_as_sentences():
        if model.suffix == ".safetensors":
            if prior is not None:
                raise TrainerError("--prior, --no-prior: no effect on QMixer, which has a temperature only")
            fitted = calibrate_qmixer(model, open_dataset(dataset), out, split, device)
            heads = {"space group and crystal system": fitted.head}
            typer.echo(
                f"{fitted.scans} scans; left out: {fitted.unlabelled} that state no space group, {fitted.out_of_range} "
                "that cover too little of the range",
                err=True,
            )
        else:
            heads = fit(model, open_dataset(dataset), out, split=split, prior=prior is not False, device=device)
    rows = [
        (name.replace("_", " "), f"{head.temperature:.3g}", f"{head.before:.4g}", f"{head.after:.4g}")
        for name, head in heads.items()
    ]
    print_tables([Table("Calibration", ("target", "temperature", "-log p before", "after"), rows)])
