"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigPath = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="A TOML file, or a folder, archive, table or file of CIFs.")
]
DatasetPath = Annotated[Path, typer.Argument(metavar="DATASET", help="Folder of the dataset.")]
AnyDataset = Annotated[
    str, typer.Argument(metavar="DATASET", help="Folder, .zarr.zip, URL, or a name registered by `datagen datasets`.")
]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", help="Folder of the dataset.", show_default="CONFIG's name + .zarr")
]
ClusterName = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        help="Where the work is done: a kind (local, slurm, pbs, sge, lsf, mpi, slurm-runner, ...) or the NAME of a "
        "\\[cluster.NAME] section.",
        show_default="as configured",
    ),
]
Workers = Annotated[
    int | None, typer.Option("--workers", "-w", min=1, help="Number of worker processes.", show_default="as configured")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override one setting, such as simulation.seed=3 (repeatable)."),
]
