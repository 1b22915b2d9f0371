"""Networks compute in bfloat16 only where it was asked for or where the device has it."""

from __future__ import annotations

import pytest
import torch

from trainer.training import precision
from trainer.training.precision import autocast

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
