"""Networks compute in bfloat16 only where it was asked for or where the device has it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.trainer.test_qmixer import SMALL, minerals
from trainer.data.store import open_dataset
from trainer.models.qmixer import QMixerOutput
from trainer.training import precision
from trainer.training.fit_qmixer import QMixerTraining, begin, draw, train_step
from trainer.training.precision import autocast
from trainer.training.structures import read_split

__all__ = ["minerals"]
CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("asked", "processors", "has", "half"),
    [
        ("fp32", True, True, False),
        ("bf16", False, False, True),
        ("auto", False, True, False),
        ("auto", True, True, True),
        ("auto", True, False, False),
    ],
)
def test_bfloat16_is_used_where_it_is_asked_for_or_present(
    asked: str, processors: bool, has: bool, half: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: has)
    with autocast(asked, CPU, processors=processors):
        product = torch.ones(4, 4) @ torch.ones(4, 4)
    assert product.dtype == (torch.bfloat16 if half else torch.float32)


def test_a_processor_is_asked_for_its_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False, raising=False)
    assert not precision.has_bfloat16(CPU)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)
    assert precision.has_bfloat16(CPU)
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")
    assert not precision.has_bfloat16(CPU)
    assert not precision.has_bfloat16(torch.device("meta"))


@pytest.mark.parametrize("has", [True, False])
def test_qmixer_trains_in_what_the_processor_has(minerals: Path, has: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: has)
    train = read_split(open_dataset(minerals), "train")
    config = QMixerTraining(patterns=8, batch=8, model=SMALL)
    state = begin(config, train)
    seen = []

    def network(inputs: torch.Tensor) -> QMixerOutput:
        seen.append(torch.is_autocast_enabled("cpu"))
        return state.model(inputs)

    state.network = network
    train_step(state, *draw(train, torch.arange(8) % len(train), torch.Generator().manual_seed(1)))
    assert seen == [has]
