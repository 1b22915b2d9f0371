"""A simulated laboratory scan for trying `trainer predict` and `datagen identify` without a measurement."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from catalogs.example_set import FOLDER
from datagen.config.settings import SimulationSettings
from datagen.inspect.simulated import simulated
from datagen.store.files import write_bytes

CRYSTAL = "quartz.cif"
COUNTS = 8000
"""At the highest peak."""
BACKGROUND = 250
"""Counts below the peaks at the first angle; a third of it remains at the last."""
SEED = 1


def write_demo_scan(path: Path) -> Path:
    """Write counts of quartz with Cu K-alpha radiation (angle, counts, uncertainty) to `path`, and return it."""
    settings = SimulationSettings.model_validate(
        {"instrument": "cu_kalpha", "seed": SEED, "augmentation": {"preset": "realistic", "count": 1}}
    )
    found = simulated(FOLDER / CRYSTAL, settings)
    two_theta_deg = found["two_theta"].to_numpy()[::2]
    pattern = found["pattern"].to_numpy()[0, ::2]
    background = BACKGROUND * np.linspace(1, 1 / 3, len(pattern))
    counts = np.random.default_rng(SEED).poisson(COUNTS * pattern / pattern.max() + background)
    rows = zip(two_theta_deg, counts, np.sqrt(np.maximum(counts, 1)), strict=True)
    lines = [
        f"# {CRYSTAL.removesuffix('.cif')}, simulated with counting noise and background; not a measurement",
        "# Cu K-alpha, wavelength 1.5405929 A; two_theta_deg counts uncertainty",
        *(f"{angle:.4f} {n:d} {sigma:.2f}" for angle, n, sigma in rows),
    ]
    write_bytes(path, ("\n".join(lines) + "\n").encode())
    return path
