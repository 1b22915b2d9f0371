"""Arguments and options that several commands share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

ConfigPath = Annotated[
    Path,
    typer.Argument(metavar="CONFIG", help="A TOML file, or a folder, archive, table or file of structures."),
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
Limit = Annotated[
    int | None,
    typer.Option("--limit", min=1, help="Read at most this many records of each catalog.", show_default="all"),
]
FromList = Annotated[
    Path | None,
    typer.Option("--from-list", metavar="FILE", help="Read only the records whose ids this text file lists."),
]
Where = Annotated[
    str | None,
    typer.Option(
        "--where",
        metavar="CONDITION",
        help="Read only records whose source metadata meet this: 'energy_above_hull < 0.05 and nelements <= 3'.",
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override one setting, such as simulation.seed=3 (repeatable)."),
]


def with_selection(
    overrides: list[str] | None, limit: int | None, from_list: Path | None, where: str | None
) -> list[str]:
    """Return the overrides with those of --limit, --from-list and --where."""
    found = list(overrides or ())
    if limit is not None:
        found.append(f"catalog[*].limit={limit}")
    if from_list is not None:
        found.append(f"catalog[*].from_list={json.dumps(str(from_list.absolute()))}")
    if where is not None:
        found.append(f"catalog[*].where={json.dumps(where, ensure_ascii=False)}")
    return found
