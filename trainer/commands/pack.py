"""The command `trainer pack`: structures of datasets in one small file, for a machine with a GPU."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from trainer.commands.options import GeneratedOption, QMixerDatasets


def pack(
    datasets: QMixerDatasets,
    out: Annotated[Path, typer.Option(help="File to write, .npz.")],
    generated: GeneratedOption = None,
    validation: Annotated[int, typer.Option(min=1, help="Most structures to validate with.")] = 1500,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="As in the training that the file is for, such as artefacts.strain=0.02.",
        ),
    ] = None,
) -> None:
    """Write what `trainer fit qmixer` reads of datasets into one file, a tenth of their size.

    Datasets are refused whose reflections end before the patterns of the training would.
    """
    from trainer.commands.terminal import errors_as_sentences
    from trainer.errors import TrainerError
    from trainer.training.config import with_settings
    from trainer.training.fit_qmixer import QMixerTraining, read_structures
    from trainer.training.packed import SUFFIX
    from trainer.training.packed import pack as write

    with errors_as_sentences():
        if out.suffix != SUFFIX:
            raise TrainerError(f"--out {out}: expected a name that ends in {SUFFIX}")
        artefacts = with_settings(QMixerTraining(patterns=1), settings or ()).artefacts
        train, others = read_structures(
            datasets, generated or (), validation, artefacts, lambda sentence: typer.echo(sentence, err=True)
        )
        out.parent.mkdir(parents=True, exist_ok=True)
        write(out, train, others)
    typer.echo(
        json.dumps(
            {
                "train": len(train),
                "generated": int(train.generated.sum()),
                "validation": len(others),
                "bytes": out.stat().st_size,
            }
        )
    )
