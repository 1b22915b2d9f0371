"""Datasets, checkpoints and weights from elsewhere: whatever they contain, an answer or one sentence, within limits."""

from __future__ import annotations

import copy
import json
import random
import shutil
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import trainer
from tests.trainer import datasets
from tests.trainer.small import ALPHADIFFRACT, CRYSTALNET
from tests.trainer.test_qmixer_predict import exported  # noqa: F401 - a fixture
from trainer.commands.app import app
from trainer.data import limits
from trainer.data.store import open_dataset
from trainer.errors import TrainerError
from trainer.prediction.qmixer import load_weights
from trainer.training.config import change
from trainer.training.fit import BEST, fit
from trainer.training.networks import build_network

VALUES = (
    None,
    True,
    -1,
    0,
    10**12,
    1e308,
    float("nan"),
    "x",
    "../../x",
    [],
    {},
    [1, 2],
    [10**9] * 3,
    {"a": 1},
    "int64",
)
TRIES = pytest.mark.parametrize(
    "tries", [15, pytest.param(3000, marks=[pytest.mark.stress, pytest.mark.timeout(7200)], id="many")]
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hostile") / "d.zarr"
    datasets.make(path, train=8, validation=4, test=4, densities=True)
    return path


@pytest.fixture(scope="module")
def checkpoint(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    config = change(change(ALPHADIFFRACT, "epochs", "1"), "batch_size", "8")
    fit(config, dataset, out, device="cpu")
    return out / BEST


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scan") / "scan.xy"
    x = np.linspace(4, 21, 3000)
    np.savetxt(path, np.stack([x, 10 + 90 * np.exp(-(((x - 9) / 0.1) ** 2))], axis=1))
    return path


def mutated(content: Any, rng: random.Random) -> tuple[Any, str]:
    """Return a copy with one value deleted or replaced, and what was changed."""

    def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        keys = value if isinstance(value, dict) else range(min(len(value), 4)) if isinstance(value, list) else ()
        return [path, *(place for key in keys for place in places(value[key], (*path, key)))]

    changed = copy.deepcopy(content)
    *above, last = rng.choice([place for place in places(changed) if place])
    inner = changed
    for key in above:
        inner = inner[key]
    if isinstance(inner, dict) and rng.random() < 0.3:
        del inner[last]
        return changed, f"without {[*above, last]}"
    value = rng.choice(VALUES)
    inner[last] = value
    return changed, f"{[*above, last]} = {value}"


def answers_or_refuses(use: Callable[[], Any], change: str) -> bool:
    """Return whether there was an answer; anything but one sentence fails, as does much memory."""
    tracemalloc.start()
    try:
        use()
    except TrainerError:
        return False
    except Exception as error:
        raise AssertionError(f"{change}: {type(error).__name__}: {error}") from error
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 300_000_000, change
    return True


def test_escape_sequences_of_a_dataset_do_not_reach_messages(dataset: Path, tmp_path: Path) -> None:
    path = tmp_path / "d.zarr"
    shutil.copytree(dataset, path)
    file = path / "zarr.json"
    content = json.loads(file.read_text())

    def replace(value: Any) -> None:
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            if key == "chunk_shape":
                value[key] = "\x1b[31m\x1b]0;x\x07"
            elif isinstance(inner, dict | list):
                replace(inner)

    replace(content)
    file.write_text(json.dumps(content))
    with pytest.raises(TrainerError) as refused:
        open_dataset(path)
    assert "[31m" in str(refused.value)
    assert "\x1b" not in str(refused.value)


def read_everything(path: Path) -> None:
    for kind in ("patterns", "sticks"):
        data = trainer.PatternDataset(path, None, input=kind, noise=True)
        data.__getitems__([0, len(data) - 1])
    opened = open_dataset(path)
    row = int(opened.rows("train", with_density=True)[0])
    opened.density(row)
    opened.xrd_peaks(row)
    opened.text("group")
    opened.column("composition")


@TRIES
def test_mutated_metadata_of_a_dataset(dataset: Path, tries: int) -> None:
    rng = random.Random(0)
    files = [dataset / "zarr.json", *sorted(dataset.rglob("*.json"))]
    answered = 0
    for _ in range(tries):
        path = rng.choice([files[0], rng.choice(files)])
        raw = path.read_bytes()
        content, change = mutated(json.loads(raw), rng)
        path.write_text(json.dumps(content))
        try:
            answered += answers_or_refuses(lambda: read_everything(dataset), f"{path.name}: {change}")
        finally:
            path.write_bytes(raw)
    assert 0 < answered < tries


DRAWN = ("configuration", "simulation", "augmentation")


@pytest.mark.parametrize(
    "place",
    [
        *(DRAWN[:length] for length in (1, 2, 3)),
        *(
            (*DRAWN, name)
            for name in ("probability", "strain_isotropic", "strain_anisotropic", "march_r", "size_ratio")
        ),
        *((*DRAWN, "probability", name) for name in ("strain_isotropic", "march_r")),
        ("layout", "extra_augmentations"),
        *(("instrument", "lines", 0, name) for name in ("weight", "wavelength_A")),
    ],
)
def test_what_sticks_and_draws_follow_from_may_be_anything(place: tuple[str | int, ...], dataset: Path) -> None:
    path = dataset / "zarr.json"
    raw = path.read_bytes()
    values = (*VALUES, [1], [2, 1], [0, 1e300], ["a", "b"], [{}], [None, None], float("nan"), [float("nan")] * 2)
    assert open_dataset(dataset).of_crystals
    try:
        for value in values:
            content = json.loads(raw)
            inner = content["attributes"]
            for key in place[:-1]:
                inner = inner[key] if isinstance(inner, list) else inner.setdefault(key, {})
            inner[place[-1]] = value
            path.write_text(json.dumps(content))

            def read() -> None:
                opened = open_dataset(dataset)
                opened.sticks(int(opened.rows()[0]))
                read_everything(dataset)

            answers_or_refuses(read, f"{place} = {value}")
    finally:
        path.write_bytes(raw)


@TRIES
def test_damaged_chunks_of_a_dataset(dataset: Path, tries: int) -> None:
    rng = random.Random(1)
    chunks = sorted(path for path in dataset.glob("*/c/**/*") if path.is_file())
    answered = 0
    for _ in range(tries):
        path = rng.choice(chunks)
        raw = path.read_bytes()
        damaged = bytearray(raw)
        at = rng.choice(
            [rng.randrange(len(raw)), rng.randrange(min(16, len(raw))), -1 - rng.randrange(min(99, len(raw)))]
        )
        damaged[at] = rng.randrange(256)
        path.write_bytes(damaged)
        try:
            answered += answers_or_refuses(lambda: read_everything(dataset), f"{path}: byte {at}")
        finally:
            path.write_bytes(raw)
    assert 0 < answered < tries


def test_a_chunk_that_inflates_beyond_the_limit_is_not_decompressed(dataset: Path, tmp_path: Path) -> None:
    copied = tmp_path / "d.zarr"
    shutil.copytree(dataset, copied)
    path = copied / "niggli" / "c" / "0" / "0"
    raw = bytearray(path.read_bytes())
    raw[4:8] = struct.pack("<I", 2**31 - 1)
    path.write_bytes(raw)
    with pytest.raises(TrainerError, match="expected a chunk of at most"):
        open_dataset(copied).column("niggli")


def test_a_chunk_with_a_false_size_is_one_sentence(dataset: Path, tmp_path: Path) -> None:
    copied = tmp_path / "d.zarr"
    shutil.copytree(dataset, copied)
    path = copied / "niggli" / "c" / "0" / "0"
    raw = bytearray(path.read_bytes())
    raw[4:8], raw[12:16] = struct.pack("<I", 2**32 - 9), struct.pack("<I", len(raw) + 1)
    path.write_bytes(raw)
    with pytest.raises(TrainerError, match="niggli cannot be read"):
        open_dataset(copied).column("niggli")


@pytest.mark.parametrize("name", ["zarr.json", "ledger/shard-00000.json"])
def test_a_folder_in_the_place_of_a_file_is_one_sentence(name: str, dataset: Path, tmp_path: Path) -> None:
    copied = tmp_path / "d.zarr"
    shutil.copytree(dataset, copied)
    (copied / name).unlink()
    (copied / name).mkdir()
    answers_or_refuses(lambda: read_everything(copied), name)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("n_structures", 10**12, "layout.n_structures: expected 1 to 10,000,000, found 1000000000000"),
        ("n_points", 10**9, "layout.n_points: expected 1 to 1,000,000"),
        ("structures_per_shard", 0, "layout.structures_per_shard: expected 1 to"),
    ],
)
def test_sizes_beyond_the_limits_are_refused(
    name: str, value: int, message: str, dataset: Path, tmp_path: Path
) -> None:
    copied = tmp_path / "d.zarr"
    shutil.copytree(dataset, copied)
    content = json.loads((copied / "zarr.json").read_text())
    content["attributes"]["layout"][name] = value
    (copied / "zarr.json").write_text(json.dumps(content))
    with pytest.raises(TrainerError, match=message):
        open_dataset(copied)


def test_a_receipt_names_nothing_outside_of_the_dataset(dataset: Path, tmp_path: Path) -> None:
    copied = tmp_path / "d.zarr"
    shutil.copytree(dataset, copied)
    path = copied / "ledger" / "shard-00000.json"
    content = json.loads(path.read_text())
    content["files"]["pattern/../../../secret"] = {"size": 1, "sha256": ""}
    path.write_text(json.dumps(content))
    with pytest.raises(TrainerError, match="expected files of the dataset"):
        open_dataset(copied)


def test_a_file_of_metadata_beyond_the_limit_is_not_read(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.data.location.MOST_FILE_BYTES", 100)
    with pytest.raises(TrainerError, match="expected at most 100 bytes"):
        open_dataset(dataset)
    assert limits.MOST_FILE_BYTES == 64 * 2**20


@TRIES
def test_mutated_checkpoints(checkpoint: Path, scan: Path, tmp_path: Path, tries: int) -> None:
    rng = random.Random(2)
    good = torch.load(checkpoint, weights_only=True)
    answered = 0
    for i in range(tries):
        keys = ("config", "progress", "dataset") if i % 2 else tuple(good)
        part, change = mutated({key: good[key] for key in keys}, rng)
        torch.save({**{key: good[key] for key in good if key not in keys}, **part}, tmp_path / "m.pt")
        answered += answers_or_refuses(lambda: trainer.predict(tmp_path / "m.pt", scan, 0.619921, draws=1), change)
    assert 0 < answered < tries


@pytest.mark.parametrize("channels", [(10**7,) * 3, (1,) * 10**5])
def test_a_checkpoint_that_asks_for_a_giant_network_is_one_sentence(
    channels: tuple[int, ...], checkpoint: Path, scan: Path, tmp_path: Path
) -> None:
    content = torch.load(checkpoint, weights_only=True)
    content["config"]["model"] |= {
        "channels": channels,
        "kernels": (3,) * len(channels),
        "strides": (1,) * len(channels),
    }
    torch.save(content, tmp_path / "giant.pt")
    with pytest.raises(TrainerError, match=r"expected at most (500,000,000 parameters|1,000 layers)"):
        trainer.load(tmp_path / "giant.pt")
    ended = CliRunner().invoke(app, ["predict", str(tmp_path / "giant.pt"), str(scan)])
    assert ended.exit_code == 2


@pytest.mark.parametrize(
    ("config", "setting", "value"),
    [(CRYSTALNET, "model.width", "10000000"), (ALPHADIFFRACT, "model.input_points", "1000000000000")],
)
def test_a_giant_network_is_not_built_for_training_either(config: Any, setting: str, value: str) -> None:
    with pytest.raises(TrainerError, match="model: expected at most"):
        build_network(change(config, setting, value))


def test_weights_of_other_shapes_use_no_memory(checkpoint: Path, tmp_path: Path) -> None:
    content = torch.load(checkpoint, weights_only=True)
    name = next(iter(content["model"]))
    content["model"][name] = torch.zeros(1).expand(10**9, 4)
    torch.save(content, tmp_path / "m.pt")
    with pytest.raises(TrainerError, match=f"do not fit its configuration: {name}"):
        trainer.load(tmp_path / "m.pt")


def test_a_compressed_checkpoint_is_not_inflated(checkpoint: Path, tmp_path: Path) -> None:
    with (
        zipfile.ZipFile(checkpoint) as source,
        zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry))
        target.writestr(entry.filename + "0", b"\0" * 100_000_000)
    with pytest.raises(TrainerError, match="found compressed data"):
        trainer.load(tmp_path / "bomb.pt")


@TRIES
def test_mutated_facts_of_exported_weights(exported: Path, tmp_path: Path, tries: int) -> None:  # noqa: F811
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    with safe_open(exported, framework="pt") as opened:
        facts = json.loads(opened.metadata()["pxrd"])
    tensors = load_file(exported)
    rng = random.Random(3)
    answered = 0
    for _ in range(tries):
        content, change = mutated({"pxrd": facts}, rng)
        save_file(tensors, tmp_path / "m.safetensors", {key: json.dumps(value) for key, value in content.items()})
        answered += answers_or_refuses(lambda: repr(load_weights(tmp_path / "m.safetensors")), change)
    assert 0 < answered < tries
    save_file(tensors, tmp_path / "m.safetensors", {"pxrd": "[" * 100_000})
    with pytest.raises(TrainerError, match="expected weights in safetensors"):
        load_weights(tmp_path / "m.safetensors")


def test_control_characters_of_foreign_names_do_not_reach_the_terminal(tmp_path: Path) -> None:
    ended = CliRunner().invoke(app, ["evaluate", str(tmp_path / "\x1b[31m[/red]\n.pt"), "dataset"])
    assert ended.exit_code == 2
    assert "\x1b" not in ended.output
    assert "\\x1b[31m[/red]\\n.pt" in ended.output.replace("\n", "")
