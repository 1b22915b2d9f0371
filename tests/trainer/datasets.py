"""Small datasets, made with the real writer, of crystals a small network can learn: primitive, of three systems."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen.steps.layout import draws
from datagen.store import zarr_store
from datagen.store.quantise import quantise
from datagen.store.schema import Layout
from datagen.store.shard_writer import ShardWriter

N_POINTS = 2000
N_AUGMENTATIONS = 4
TWO_THETA = np.linspace(5.0, 20.0, N_POINTS)
WAVELENGTH_A = 0.619921
RANGES = {
    "microstrain": [500.0, 10_000.0],
    "crystallite_size_um": [0.1, 1.0],
    "U_cdeg2": [0.0, 3.0],
    "V_cdeg2": [-1.0, 0.0],
    "W_cdeg2": [0.0, 4.0],
}
ATTRIBUTES: dict[str, Any] = {
    "instrument": {
        "lines": [{"wavelength_A": WAVELENGTH_A, "weight": 1.0}],
        "polarisation": 0.99,
        "sh_over_l": 0.002,
        "two_theta_min_deg": 5.0,
        "two_theta_max_deg": 20.0,
        "n_points": N_POINTS,
        "geometry": "transmission",
        "goniometer_radius_mm": 200.0,
    },
    "configuration": {"simulation": {"augmentation": RANGES}},
}
SYSTEMS = ((7, 221), (4, 123), (3, 47))
"""Cubic, tetragonal and orthorhombic, with the space group of a primitive lattice of each."""


def cell(row: int) -> tuple[int, int, NDArray[np.float64]]:
    """Crystal system, space group, Niggli cell of a structure."""
    system, group = SYSTEMS[row % len(SYSTEMS)]
    rng = np.random.default_rng(row)
    a, b, c = np.sort(rng.uniform(4.0, 9.0, 3))
    lengths = {7: (a, a, a), 4: (a, a, c), 3: (a, b, c)}[system]
    return system, group, np.array([*lengths, 90.0, 90.0, 90.0])


def sticks(row: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bragg angles in range and areas that fall off with angle."""
    _, _, niggli = cell(row)
    h = np.stack(np.meshgrid(*[np.arange(7)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)[1:]
    q = np.sqrt(((h / niggli[:3]) ** 2).sum(axis=1))
    two_theta = np.degrees(2 * np.arcsin(np.clip(q * WAVELENGTH_A / 2, 0, 1)))
    two_theta = np.unique(two_theta[(two_theta > 5) & (two_theta < 20)].round(6))
    return two_theta, 100.0 * np.exp(-two_theta / 10)


def reflections(row: int) -> dict[str, NDArray[Any]]:
    """The same as a dataset stores them; no rotations but the identity."""
    two_theta, area = sticks(row)
    theta = np.radians(two_theta / 2)
    polarised = 0.01 * np.cos(2 * theta) ** 2 + 0.99
    factor = polarised / (2 * np.sin(theta) ** 2 * np.cos(theta))
    volume = cell(row)[2][:3].prod()
    rotations = np.zeros((24, 3, 3), dtype=np.int8)
    rotations[0] = np.eye(3)
    return {
        "reflection_d": (WAVELENGTH_A / 2 / np.sin(theta)).astype(np.float32),
        "reflection_f2": (area / factor * volume**2).astype(np.float32),
        "reflection_hkl": np.tile(np.array([1, 0, 0]), (len(area), 1)),
        "rotations": rotations,
    }


def density(row: int) -> NDArray[np.float32]:
    """A smooth periodic density, positive, with extent and height of its own."""
    rng = np.random.default_rng(100 + row)
    x, y, z = np.meshgrid(*[2 * np.pi * np.arange(50) / 50] * 3, indexing="ij")
    k = rng.integers(1, 3, 3)
    field = np.cos(k[0] * x) + np.cos(k[1] * y) + np.cos(k[2] * z)
    return (rng.uniform(0.5, 2.0) * np.exp(field - 1)).astype(np.float32)


def labels(n: int, split: NDArray[np.int64]) -> dict[str, Any]:
    cells = [cell(row) for row in range(n)]
    composition = np.zeros((n, 118), dtype=np.float32)
    composition[np.arange(n), np.arange(n) % 90] = 0.75
    composition[np.arange(n), 7] += 0.25
    return {
        "source": ["test"] * n,
        "source_id": [str(i) for i in range(n)],
        "licence": ["CC0"] * n,
        "structure_hash": [f"{i:032x}" for i in range(n)],
        "group": [f"g{i}" for i in range(n)],
        "formula": ["X3O"] * n,
        "split": split,
        "crystal_system": np.array([system for system, _, _ in cells]),
        "space_group": np.array([group for _, group, _ in cells]),
        "niggli": np.array([niggli for *_, niggli in cells]),
        "volume": np.array([niggli[:3].prod() for *_, niggli in cells]),
        "n_atoms": np.ones(n, dtype=np.int64),
        "composition": composition,
    }


def values(row: int, layout: Layout) -> dict[str, NDArray[Any]]:
    """Patterns of Gaussian peaks, whatever the parameters say: networks learn from any shape."""
    rng = np.random.default_rng(1000 + row)
    two_theta, area = sticks(row)
    widths = rng.uniform(0.03, 0.08, N_AUGMENTATIONS)
    grid = np.linspace(5.0, 20.0, layout.n_points)
    intensity = (
        np.exp(-0.5 * ((grid - two_theta[:, None]) / widths[:, None, None]) ** 2)
        * area[:, None]
        / widths[:, None, None]
    ).sum(axis=1)
    found = reflections(row)
    if layout.n_augmentations:
        pattern, maximum = quantise(intensity)
        found |= {
            "pattern": pattern,
            "pattern_max": maximum,
            "overlap": np.zeros(N_AUGMENTATIONS, dtype=np.float32),
            "n_variance_floor": np.zeros(N_AUGMENTATIONS, dtype=np.int32),
            **{v.name: rng.uniform(*RANGES[v.name], N_AUGMENTATIONS) for v in layout.draws},
        }
    if layout.with_xrd_peaks:
        peaks = np.zeros(1024, dtype=np.float32)
        peaks[rng.integers(20, 900, 12)] = rng.random(12)
        found["xrd_peaks"] = peaks / peaks.max()
    if layout.density_method:
        rho = density(row)
        found |= {"density": rho, "density_electrons": np.array([8.0, 8.0]), "density_lattice": 5.0 * np.eye(3)}
        found["density_reason"] = np.asarray(0)
    return found


def make(
    path: Path,
    train: int = 32,
    validation: int = 6,
    test: int = 6,
    *,
    patterns: bool = True,
    densities: bool = False,
    shards: int | None = None,
    attributes: dict[str, Any] | None = None,
) -> Layout:
    """A dataset; with ``shards`` only so many are committed and it stays unfinished."""
    split = np.repeat([0, 1, 2], [train, validation, test])
    n = len(split)
    split = np.random.default_rng(0).permutation(split)
    layout = Layout(
        n_structures=n,
        n_augmentations=N_AUGMENTATIONS if patterns else 0,
        n_points=N_POINTS,
        structures_per_shard=8,
        text_bytes=zarr_store.text_bytes(labels(n, split)),
        with_xrd_peaks=densities,
        density_method="fourier" if densities else None,
        draws=draws() if patterns else (),
    )
    zarr_store.create(path, layout, labels(n, split), TWO_THETA, {**ATTRIBUTES, **(attributes or {})})
    for shard in range(layout.n_shards if shards is None else shards):
        commit(path, layout, shard)
    if shards is None:
        zarr_store.finalise(path, {})
    return layout


def commit(path: Path, layout: Layout, shard: int) -> None:
    with ShardWriter(path, layout, shard) as writer:
        for row in layout.rows(shard):
            writer.add(values(row, layout))
        writer.commit("key")
