"""Whether a network computes in bfloat16."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

PRECISIONS = ("auto", "fp32", "bf16")


def autocast(precision: str, device: torch.device, *, processors: bool = False) -> AbstractContextManager[object]:
    """Return the autocast context: bfloat16 if requested, and by default on GPUs that have it.

    With `processors` by default also on those that have it.
    """
    by_default = (processors or device.type == "cuda") and has_bfloat16(device)
    half = precision == "bf16" or (precision == "auto" and by_default)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=half)


def has_bfloat16(device: torch.device) -> bool:
    """Return whether a device has instructions for bfloat16; without them it takes ten times as long as fp32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    # torch has no public call for this, and not every version has these two.
    asked = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(bool(has()) for has in asked if has is not None)
