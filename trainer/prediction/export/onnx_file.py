"""ONNX files: written with their description, and compared with torch before they get their name."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from trainer.errors import TrainerError
from trainer.prediction.export.networks import ExportedNetwork, Variable
from trainer.training.weights import METADATA

FORMAT, FORMAT_VERSION = "pxrd-trainer-onnx", 1
LARGEST_DIFFERENCE = 1e-3
"""Of an output from torch's, relative to the largest value of that output; rounding makes about 1e-6."""
EXAMPLE, OTHER = {"batch": 3, "point": 11}, {"batch": 2, "point": 5}
"""Lengths of the free dimensions while the network is traced, and while it is compared."""


def write_onnx(network: ExportedNetwork, out: Path) -> dict[str, float]:
    """Write a network; return the largest relative difference of each output between onnxruntime and torch."""
    example = network.example(EXAMPLE)
    network.module.eval()
    network.module(*example.values())  # fills the caches of constants, which tracing must not
    free = torch.export.Dim.DYNAMIC
    shapes = {
        name: {axis: free for axis, size in enumerate(variable.dimensions) if isinstance(size, str)}
        for name, variable in network.inputs.items()
    }
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            network.module,
            tuple(example.values()),
            dynamo=True,
            verbose=False,
            input_names=list(network.inputs),
            output_names=list(network.outputs),
            dynamic_shapes=shapes,
        )
    assert program is not None
    described = describe(network)
    program.model.metadata_props[METADATA] = json.dumps(described, sort_keys=True)
    program.model.doc_string = f"{described['network']}; the entry {METADATA!r} of the metadata describes it in JSON"
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        program.save(partial)
        differences = compare(network, partial)
        if wrong := [name for name, value in differences.items() if not value <= LARGEST_DIFFERENCE]:
            raise TrainerError(
                f"{out}: {wrong[0]} of the ONNX file differs from torch's by {differences[wrong[0]]:.1e} of its "
                "largest value; nothing was written. Use --format safetensors"
            )
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    return differences


def describe(network: ExportedNetwork) -> dict[str, Any]:
    """Return the description that the file carries: inputs, outputs, units, grid and labels."""

    def plain(variables: dict[str, Variable]) -> dict[str, Any]:
        return {name: {"dimensions": list(v.dimensions), "meaning": v.meaning} for name, v in variables.items()}

    return {
        **network.facts,
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "inputs": plain(network.inputs),
        "outputs": plain(network.outputs),
    }


def compare(network: ExportedNetwork, path: Path) -> dict[str, float]:
    """Return the largest difference of each output from torch's, relative to the largest value of that output."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    example = network.example(OTHER, seed=1)
    found = session.run(list(network.outputs), {name: value.numpy() for name, value in example.items()})
    with torch.no_grad():
        wanted = network.module(*example.values())
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    return {
        name: float((torch.from_numpy(ours) - theirs).abs().max() / theirs.abs().max())
        for name, ours, theirs in zip(network.outputs, found, wanted, strict=True)
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide what the exporter says about its own dependencies and deprecations."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for category in (FutureWarning, DeprecationWarning):
                warnings.simplefilter("ignore", category)
            yield
    finally:
        logger.setLevel(level)
