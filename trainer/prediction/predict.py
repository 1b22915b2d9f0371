"""Prediction of AlphaDiffract for a measured scan: the scan on the grid of the network, and ranked answers."""

from __future__ import annotations

import csv
import math
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
from trainer.scans.read import Measured
from trainer.simulate.noise import standardise

Array = NDArray[np.float64]

ENERGY_A = 12.398420
WAVELENGTHS_A = {
    "cu": 1.5405929,
    "cuka": 1.5418,
    "cuka1": 1.5405929,
    "mo": 0.70931715,
    "moka": 0.7107,
    "moka1": 0.70931715,
    "co": 1.788996,
    "coka1": 1.788996,
    "cr": 2.289726,
    "crka1": 2.289726,
    "fe": 1.936041,
    "feka1": 1.936041,
    "ag": 0.5594218,
    "agka1": 0.5594218,
}
"""K-alpha 1 (and the weighted K-alpha doublet of Cu and Mo) in A: Hoelzer et al., Phys. Rev. A 56 (1997) 4554;
Deslattes et al., Rev. Mod. Phys. 75 (2003) 35."""
LARGEST_GAP_DEG = 0.1
"""In angles of the model; about the width of its broadest peaks."""
NOISE_SEED = 0xE5D


def parse_wavelength(text: str) -> float:
    """Parse a wavelength in A, an energy such as 20keV, or an anode such as CuKa1; return A."""
    plain = text.strip().lower()
    anode = plain.replace("-", "").replace("_", "").replace(" ", "").replace("alpha", "a")
    if anode in WAVELENGTHS_A:
        return WAVELENGTHS_A[anode]
    try:
        value = ENERGY_A / float(plain.removesuffix("kev")) if plain.endswith("kev") else float(plain.removesuffix("a"))
    except (ValueError, ZeroDivisionError):
        value = math.nan
    if not 0.05 < value < 10:
        raise TrainerError(
            f"--wavelength {text}: expected a number of angstroms, an energy such as 20keV, or an anode such as CuKa1"
        )
    return value


def to_model_grid(name: str, measured: Measured, wavelength_A: float, dataset: dict[str, Any]) -> tuple[Array, Array]:
    """Return intensities and uncertainties at the angles of the model: sin(theta') = sin(theta) lambda' / lambda.

    Refuse a scan that leaves a gap in the range of the model.
    """
    start, stop, n = (dataset[k] for k in ("two_theta_min_deg", "two_theta_max_deg", "n_points"))
    model_wavelength = model_wavelength_A(dataset)
    sine = np.sin(np.radians(measured.two_theta_deg / 2)) * model_wavelength / wavelength_A
    reached = (sine > -1) & (sine < 1)
    x = 2 * np.degrees(np.arcsin(sine[reached]))
    gaps = np.diff(x)
    allowed = max(LARGEST_GAP_DEG, 2 * (stop - start) / (n - 1))

    def original(two_theta_deg: float) -> float:
        return 2 * math.degrees(
            math.asin(min(1.0, math.sin(math.radians(two_theta_deg / 2)) * wavelength_A / model_wavelength))
        )

    def missing(low: float, high: float) -> TrainerError:
        return TrainerError(
            f"{name}: no data between {original(low):.2f} and {original(high):.2f} degrees; the model needs the whole "
            f"range {original(start):.2f} to {original(stop):.2f} degrees at {wavelength_A:g} A "
            f"({start:g} to {stop:g} at {model_wavelength:g} A)"
        )

    if len(x) == 0 or x[0] > stop or x[-1] < start:
        raise missing(start, stop)
    if x[0] > start + allowed:
        raise missing(start, float(x[0]))
    if x[-1] < stop - allowed:
        raise missing(float(x[-1]), stop)
    wide = np.flatnonzero((gaps > allowed) & (x[1:] > start) & (x[:-1] < stop))
    if len(wide):
        raise missing(float(x[wide[0]]), float(x[wide[0] + 1]))
    grid = np.linspace(start, stop, n)
    intensity = np.interp(grid, x, measured.intensity[reached])
    return intensity, np.interp(grid, x, measured.sigma[reached])


def model_wavelength_A(dataset: dict[str, Any]) -> float:
    """Return the wavelength of the training patterns."""
    try:
        return float(dataset["instrument"]["lines"][0]["wavelength_A"])
    except (KeyError, IndexError, TypeError):
        raise TrainerError(
            "expected a wavelength in the checkpoint, found none; train on a dataset that states its instrument"
        ) from None


def subtract_background(intensity: Array, half_width: int) -> Array:
    """Subtract a smooth background by statistics-sensitive clipping of peaks narrower than 2 `half_width` points.

    Ryan et al., Nucl. Instrum. Methods B 34 (1988) 396: on log(log(sqrt)) intensities, each point is lowered to the
    mean of the two at distance w, for decreasing w.
    """
    base = intensity - min(0.0, float(intensity.min()))
    v = np.log(np.log(np.sqrt(base + 1) + 1) + 1)
    for w in range(min(half_width, (len(v) - 1) // 2), 0, -1):
        v[w:-w] = np.minimum(v[w:-w], (v[2 * w :] + v[: -2 * w]) / 2)
    background = (np.exp(np.exp(v) - 1) - 1) ** 2 - 1
    return np.asarray(base - background, dtype=np.float64)


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
    """Return ranked answers of an ensemble; spreads are over models and patterns redrawn within their uncertainties."""
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
    """Return the short Hermann-Mauguin symbols of the 230 space groups."""
    with files("trainer.evaluation").joinpath("space_groups.csv").open() as source:
        return tuple(row["symbol"] for row in csv.DictReader(source))


def wavelength_of(path: Path, measured: Measured, given: str | None) -> float:
    """Return the wavelength as given, else as the file states it."""
    if given is not None:
        return parse_wavelength(given)
    if measured.wavelength_A is None:
        raise TrainerError(f"{path}: states no wavelength; give it with --wavelength")
    return measured.wavelength_A


def _ranked(probability: Array, top: int) -> list[tuple[int, float, float | None]]:
    """Rank classes by their mean probability for the measured pattern; return probabilities and spreads."""
    mean = probability[:, 0].mean(axis=0)
    everything = probability.reshape(-1, probability.shape[2])
    order = np.argsort(-mean)[:top].tolist()
    return [(i, float(mean[i]), float(everything[:, i].std(ddof=1)) if len(everything) > 1 else None) for i in order]


def _stack(tensors: list[Tensor]) -> Array:
    return np.stack([t.double().cpu().numpy() for t in tensors])
