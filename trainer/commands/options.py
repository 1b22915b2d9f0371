"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DatasetArgument = Annotated[
    str,
    typer.Argument(help="A dataset, finished or in the making: its folder, .zarr.zip, address, or name in the list."),
]
OutOption = Annotated[Path, typer.Option(help="Folder for checkpoints and logs.")]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on with last.pt in --out, with its configuration.")]
EpochsOption = Annotated[int | None, typer.Option(help="Epochs in all.")]
BatchOption = Annotated[int | None, typer.Option(help="Samples a batch and process.")]
RateOption = Annotated[float | None, typer.Option(help="Nominal learning rate.")]
AccumulateOption = Annotated[int | None, typer.Option(help="Batches for each update.")]
SeedOption = Annotated[int | None, typer.Option(help="Seed of weights, order and noise.")]
PrecisionOption = Annotated[str | None, typer.Option(help="auto, fp32 or bf16; auto is bf16 on a GPU that has it.")]
CompileOption = Annotated[bool, typer.Option("--compile", help="Let torch.compile fuse the network.")]
DeterministicOption = Annotated[bool, typer.Option("--deterministic", help="Only algorithms that repeat bit for bit.")]
FollowOption = Annotated[bool, typer.Option("--follow", help="Between epochs, pick up shards committed meanwhile.")]
WorkersOption = Annotated[int | None, typer.Option(help="Threads that read.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any value of the configuration, such as model.drop_path=0.1."),
]
