"""What is this measured pattern of? A scan at any wavelength to ranked crystal systems, space groups and a lattice."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.errors import TrainerError
from trainer.evaluation.metrics import LATTICE
from trainer.models.alphadiffract import AlphaDiffract
from trainer.scans.bring import Grid, bring, missing_range
from trainer.scans.scan import Scan, ScanError
from trainer.scans.wavelength import parse_wavelength
from trainer.simulate.noise import standardise
from trainer.simulate.resample import LARGEST_GAP_DEG, bragg

Array = NDArray[np.float64]

NOISE_SEED = 0xE5D


def model_grid(dataset: dict[str, Any]) -> Grid:
    """Return the angles, wavelength and polarisation that the model was trained on."""
    start, stop, n = (dataset[k] for k in ("two_theta_min_deg", "two_theta_max_deg", "n_points"))
    return Grid(start, stop, n, model_wavelength_A(dataset), float(dataset["instrument"].get("polarisation", 0.5)))


def to_model_grid(name: str, scan: Scan, wavelength_A: float, dataset: dict[str, Any]) -> tuple[Array, Array]:
    """Return intensities and uncertainties at the model's angles; refuse a scan with a gap in the model's range."""
    grid = model_grid(dataset)
    x = bragg(scan.two_theta_deg, wavelength_A, grid.wavelength_A)
    gap = missing_range(x[np.isfinite(x)], grid.start_deg, grid.stop_deg, max(LARGEST_GAP_DEG, 2 * grid.step_deg))
    if gap is not None:
        low, high, start, stop = bragg(
            np.array([*gap, grid.start_deg, grid.stop_deg]), grid.wavelength_A, wavelength_A
        ).tolist()
        raise ScanError(
            f"{name}: no data between {low:.2f} and {high:.2f} degrees; the model needs the whole "
            f"range {start:.2f} to {stop:.2f} degrees at {wavelength_A:g} A "
            f"({grid.start_deg:g} to {grid.stop_deg:g} at {grid.wavelength_A:g} A)"
        )
    brought = bring(scan, grid, wavelength_A)
    return brought.intensity, brought.sigma


def model_wavelength_A(dataset: dict[str, Any]) -> float:
    """The wavelength of the patterns that the model was trained on."""
    try:
        return float(dataset["instrument"]["lines"][0]["wavelength_A"])
    except (KeyError, IndexError, TypeError):
        raise TrainerError(
            "the checkpoint's dataset named no wavelength, so measured patterns cannot be brought to it"
        ) from None


@torch.no_grad()
def predict(
    models: Sequence[AlphaDiffract],
    intensity: Array,
    sigma: Array,
    crystal_systems: Sequence[str],
    device: torch.device,
    draws: int = 8,
    top: int = 5,
) -> dict[str, Any]:
    """Ranked answers of the ensemble; spreads are over models and over patterns redrawn within their uncertainties."""
    generator = torch.Generator().manual_seed(NOISE_SEED)
    clean = torch.from_numpy(intensity)
    redrawn = clean + torch.from_numpy(sigma) * torch.randn(draws, len(clean), dtype=torch.float64, generator=generator)
    pattern = standardise(torch.cat([clean[None], redrawn]).float()).to(device)
    predictions = [model(pattern) for model in models]
    systems = _stack([p.crystal_system.softmax(dim=1) for p in predictions])
    groups = _stack([p.space_group.softmax(dim=1) for p in predictions])
    lattice = _stack([p.lattice for p in predictions])  # (model, 1 + draws, 6)
    several = lattice.shape[0] * lattice.shape[1] > 1
    spread = lattice.reshape(-1, len(LATTICE)).std(axis=0, ddof=1) if several else [None] * len(LATTICE)
    symbols = space_group_symbols()
    return {
        "crystal_system": [
            {"name": crystal_systems[i], "probability": p, "spread": s}
            for i, p, s in _ranked(systems, len(crystal_systems))
        ],
        "space_group": [
            {"number": i + 1, "symbol": symbols[i], "probability": p, "spread": s} for i, p, s in _ranked(groups, top)
        ],
        "niggli_lattice": {
            name: {"value": float(value), "spread": None if s is None else float(s)}
            for name, value, s in zip(LATTICE, lattice[:, 0].mean(axis=0), spread, strict=True)
        },
        "models": len(models),
        "draws": draws,
    }


@cache
def space_group_symbols() -> tuple[str, ...]:
    """Short Hermann-Mauguin symbols of the 230 space groups."""
    with files("trainer.evaluation").joinpath("space_groups.csv").open() as source:
        return tuple(row["symbol"] for row in csv.DictReader(source))


def wavelength_of(path: Path, scan: Scan, given: str | None) -> float:
    """As given on the command line, else as the file states it."""
    if given is not None:
        return parse_wavelength(given)
    if scan.wavelength_A is None:
        raise TrainerError(f"{path}: states no wavelength; give it with --wavelength")
    return scan.wavelength_A


def _ranked(probability: Array, top: int) -> list[tuple[int, float, float | None]]:
    """Classes by the models' mean for the pattern as measured, and the spread over models and redrawn patterns."""
    mean = probability[:, 0].mean(axis=0)
    everything = probability.reshape(-1, probability.shape[2])
    order = np.argsort(-mean)[:top].tolist()
    return [(i, float(mean[i]), float(everything[:, i].std(ddof=1)) if len(everything) > 1 else None) for i in order]


def _stack(tensors: list[Tensor]) -> Array:
    return np.stack([t.double().cpu().numpy() for t in tensors])
