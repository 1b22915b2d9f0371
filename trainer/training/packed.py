"""Structures in one small file, for machines that have a GPU but not the datasets.

An npz archive of flat arrays, a tenth of the size of the datasets: positions follow from indices and cells,
intensities are kept as those of a Cu tube in half precision.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from lzma import LZMAError
from pathlib import Path
from typing import Any
from zipfile import ZIP_LZMA, BadZipFile, ZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.data.read_flat_sticks import lorentz_polarisation
from trainer.errors import TrainerError
from trainer.simulate.flat_sticks import FlatSticks
from trainer.training.structures import Structures

FORMAT = "pxrd-trainer-structures 1"
SUFFIX = ".npz"
SPLITS = ("train", "validation")


def pack(path: Path, train: Structures, validation: Structures) -> None:
    """Write the structures of both splits, whole or not at all."""
    content: dict[str, NDArray[Any]] = {"format": np.array(FORMAT)}
    for split, structures in zip(SPLITS, (train, validation), strict=True):
        content |= {f"{split}.{name}": value for name, value in _encoded(structures).items()}
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with ZipFile(partial, "w", ZIP_LZMA) as archive:
        for name, value in content.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, value, allow_pickle=False)
    partial.replace(path)


def unpack(path: Path) -> tuple[Structures, Structures]:
    """Read the structures of both splits."""
    try:
        with path.open("rb") as source, np.load(source, allow_pickle=False) as content:
            if str(content["format"]) != FORMAT:
                raise TrainerError(f"{path}: expected {FORMAT!r}, found {str(content['format'])[:80]!r}")
            found = {split: _decoded(_of_split(content, split)) for split in SPLITS}
    except (
        OSError,
        ValueError,
        KeyError,
        IndexError,
        RuntimeError,
        EOFError,
        TypeError,
        BadZipFile,
        LZMAError,
    ) as error:
        raise TrainerError(
            f"{path}: expected a file of structures by 'trainer pack', found another ({error})"
        ) from error
    return found["train"], found["validation"]


_NAMES = ("counts", "on_cu", "members", "h", "k", "l", "share", "metric", "space_group", "lattice", "generated")
_LATER = ("group", "d_min_A", "allowed")
"""What older files lack."""


def _of_split(content: Mapping[str, NDArray[Any]], split: str) -> dict[str, NDArray[Any]]:
    later = [name for name in _LATER if f"{split}.{name}" in content]
    return {name: content[f"{split}.{name}"] for name in (*_NAMES, *later)}


def _encoded(structures: Structures) -> dict[str, NDArray[Any]]:
    sticks = structures.sticks
    on_cu = sticks.f_squared.double().numpy() * lorentz_polarisation(sticks.q.double().numpy())
    hkl = sticks.member_hkl.numpy()
    return {
        "counts": sticks.first.diff().numpy().astype(np.uint16),
        "on_cu": on_cu.astype(np.float16),
        "members": sticks.member_first.diff().numpy().astype(np.uint16),
        **{name: np.ascontiguousarray(hkl[:, axis]) for axis, name in enumerate("hkl")},
        "share": sticks.member_share.numpy().astype(np.float16),
        "metric": sticks.reciprocal_metric.numpy(),
        "space_group": structures.space_group.numpy().astype(np.uint8),
        "lattice": structures.lattice.numpy(),
        "generated": structures.generated.numpy(),
        "group": structures.group.numpy(),
        "d_min_A": structures.d_min_A.numpy(),
        "allowed": sticks.allowed.numpy(),
    }


def _decoded(arrays: Mapping[str, NDArray[Any]]) -> Structures:
    first, member_first = _limits(arrays["counts"]), _limits(arrays["members"])
    hkl = np.stack([arrays[name] for name in "hkl"], axis=1).astype(np.int16)
    owner = np.repeat(np.arange(len(first) - 1), np.diff(first))
    one = hkl[member_first[:-1]].astype(np.float64)
    metric = arrays["metric"].astype(np.float64)
    q = 2 * np.pi * np.sqrt(np.einsum("ri,rij,rj->r", one, metric[owner], one))
    f_squared = arrays["on_cu"].astype(np.float64) / lorentz_polarisation(q)
    sticks = FlatSticks(
        torch.from_numpy(first),
        torch.from_numpy(q).float(),
        torch.from_numpy(f_squared).float(),
        torch.from_numpy(member_first),
        torch.from_numpy(hkl),
        torch.from_numpy(arrays["share"].astype(np.float32)),
        torch.from_numpy(arrays["metric"].astype(np.float32)),
        torch.from_numpy(arrays.get("allowed", np.zeros((len(metric), 6, 6))).astype(np.float32)),
    )
    group = torch.from_numpy(arrays["space_group"].astype(np.int64))
    lattice, generated = torch.from_numpy(arrays["lattice"]), torch.from_numpy(arrays["generated"])
    unknown = np.zeros(len(group))
    of_split = torch.from_numpy(arrays.get("group", unknown).astype(np.int64))
    d_min = torch.from_numpy(arrays.get("d_min_A", unknown).astype(np.float32))
    rows: list[Tensor] = [group, lattice, generated, of_split, d_min, sticks.allowed]
    if {len(sticks), *map(len, rows)} != {len(sticks)} or not len(sticks) or bool((group > 229).any()):
        raise ValueError("its arrays do not fit together")
    return Structures(sticks, group, lattice.float(), generated.bool(), of_split, d_min)


def _limits(counts: NDArray[Any]) -> NDArray[np.int64]:
    if not len(counts) or int(counts.min()) < 1:
        raise ValueError("a structure without reflections")
    return np.concatenate([[0], np.cumsum(counts.astype(np.int64))])
