"""Arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from trainer.errors import TrainerError

DatasetArgument = Annotated[
    str,
    typer.Argument(help="Dataset: a folder, .zarr.zip, URL or registered name; it may still be growing."),
]
OutOption = Annotated[Path, typer.Option(help="Folder for checkpoints and logs.")]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Resume last.pt in --out with its configuration.")]
EpochsOption = Annotated[int | None, typer.Option(help="Number of epochs, those before a resume included.")]
BatchOption = Annotated[int | None, typer.Option(help="Batch size per process.")]
RateOption = Annotated[float | None, typer.Option(help="Highest learning rate of the schedule.")]
AccumulateOption = Annotated[int | None, typer.Option(help="Batches per optimiser step.")]
SeedOption = Annotated[int | None, typer.Option(help="Seed of weights, order and noise.")]
PrecisionOption = Annotated[str | None, typer.Option(help="auto, fp32 or bf16; auto is bf16 on GPUs that support it.")]
CompileOption = Annotated[
    bool, typer.Option("--compile", help="Use torch.compile for the network, and for broadening.")
]
DeterministicOption = Annotated[bool, typer.Option("--deterministic", help="Use only deterministic algorithms.")]
FollowOption = Annotated[
    bool, typer.Option("--follow", help="Between epochs, include shards that were committed meanwhile.")
]
WorkersOption = Annotated[int | None, typer.Option(help="Number of reading threads.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
PresetOption = Annotated[
    str | None, typer.Option(help="Named settings to begin with, such as paper; other options change them.")
]
MinutesOption = Annotated[
    float | None, typer.Option(help="Budget of training time instead of epochs, resumed runs included.")
]
PatternsOption = Annotated[
    int | None, typer.Option(help="Budget of patterns (crystalnet: crystals) instead of epochs.")
]
ScheduleOption = Annotated[
    str | None, typer.Option(help="Schedule of the learning rate: cyclic, cosine, restarts or constant.")
]
SaveMinutesOption = Annotated[
    float | None, typer.Option(help="Minutes between checkpoints, instead of steps and epochs.")
]
EnsembleOption = Annotated[
    int | None, typer.Option(min=1, help="Number of models to train, with seeds from --seed on, in folders of --out.")
]
SeedsOption = Annotated[
    str | None, typer.Option(metavar="N,N,...", help="Seeds of the models of an ensemble, instead of --ensemble.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Set a value of the configuration, such as model.drop_path=0.1."),
]
QMixerDatasets = Annotated[
    list[str],
    typer.Argument(
        metavar="DATASET...",
        help="Datasets with reflections to d = 1.00 A (store.d_min_A = 1.0), or files of trainer pack.",
    ),
]
GeneratedOption = Annotated[
    list[str] | None, typer.Option(help="Dataset of generated crystals, used beside the others; can be repeated.")
]


def refuse_without_effect(context: typer.Context, names: Sequence[str], where: str) -> None:
    """Raise for the first of these options that was given: it would change nothing."""
    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise TrainerError(f"--{name.replace('_', '-')}: no effect {where}; leave it out")
