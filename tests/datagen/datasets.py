"""Small datasets with arbitrary content, for tests of the store and of its readers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen.steps.layout import draws
from datagen.store import zarr_store
from datagen.store.ledger import Receipt
from datagen.store.quantise import quantise
from datagen.store.schema import Layout
from datagen.store.shard_writer import ShardWriter

N_POINTS = 64
TWO_THETA = np.linspace(5.0, 20.0, N_POINTS)
INSTRUMENT: dict[str, Any] = {
    "lines": [{"wavelength_A": 0.619921}],
    "polarisation": 0.99,
    "two_theta_min_deg": 5.0,
    "two_theta_max_deg": 20.0,
}
FORMAT_1 = {"format_version": 1, "n_lines": 2, "with_members": True, "member_slots": 5000}
"""Options of `make` for a dataset of format 1 with everything that it can have."""
ATTRIBUTES: dict[str, Any] = {"title": "test", "instrument": INSTRUMENT}


def labels_of(n: int) -> dict[str, Any]:
    rng = np.random.default_rng(n)
    composition = rng.random((n, 118), dtype=np.float32)
    return {
        "source": ["minerals"] * n,
        "source_id": [f"folder/α-{i}.cif" for i in range(n)],
        "licence": ["CC-BY 4.0"] * n,
        "structure_hash": [f"{i:032x}" for i in range(n)],
        "group": [f"g{i // 2}" for i in range(n)],
        "formula": ["Al2O3"] * n,
        "split": np.arange(n) % 3,
        "crystal_system": 1 + np.arange(n) % 7,
        "space_group": 1 + np.arange(n) % 230,
        "niggli": rng.uniform(2, 90, (n, 6)),
        "volume": rng.uniform(10, 1000, n),
        "n_atoms": np.arange(1, n + 1),
        "composition": composition / composition.sum(axis=1, keepdims=True),
    }


def layout_of(n: int, **options: Any) -> Layout:
    given = {
        "draws": draws(),
        "structures_per_shard": 4,
        **({"reflection_slots": 1500} if options.get("format_version") == 1 else {"shard_reflections": 5000}),
        "density_method": "fourier",
        "with_xrd_peaks": True,
    }
    return Layout(
        n_structures=n,
        **{"n_augmentations": 3, "n_points": N_POINTS, **given, **options},
        text_bytes=zarr_store.text_bytes(labels_of(n)),
    )


def intensity_of(row: int) -> NDArray[np.float32]:
    return np.random.default_rng(row).random((3, N_POINTS), dtype=np.float32) * np.float32(100 + row)


def values_of(row: int, layout: Layout) -> dict[str, NDArray[Any]]:
    """What an engine and the density reader give for a row; every second row has a density."""
    rng = np.random.default_rng(1000 + row)
    n = 5 + row if row % 3 else 1300
    pattern, maximum = quantise(intensity_of(row))
    values: dict[str, NDArray[Any]] = {}
    if layout.with_patterns:
        values = {
            "pattern": pattern,
            "pattern_max": maximum,
            "overlap": rng.random(3, dtype=np.float32),
            "n_variance_floor": rng.integers(0, 9, 3),
            **{v.name: rng.random(3) for v in layout.draws},
        }
    if layout.format_version > 1:
        rotations = np.zeros((24, 3, 3), dtype=np.int8)
        rotations[: 1 + row % 2] = [np.eye(3), np.diag([-1, 1, -1])][: 1 + row % 2]
        values |= {
            "reflection_d": -np.sort(-rng.uniform(1, 9, n)).astype(np.float32),
            "reflection_f2": rng.random(n, dtype=np.float32),
            "reflection_hkl": rng.integers(1, 9, (n, 3)),
            "rotations": rotations,
        }
    else:
        values |= {
            "reflection_two_theta": np.sort(rng.uniform(5, 20, n)),
            "reflection_intensity": rng.random(n),
        }
    if layout.format_version == 1 and layout.n_lines > 1:
        values["reflection_line"] = rng.integers(0, layout.n_lines, n)
    if layout.format_version == 1 and layout.with_members:
        members = rng.integers(1, 3, n)
        total = int(members.sum())
        values |= {
            "reflection_members": members,
            "member_hkl": rng.integers(-9, 9, (total, 3)),
            "member_intensity": rng.random(total),
            "reciprocal_metric": rng.random((3, 3)),
        }
    for draw in layout.extra_draws:
        shape = (3, *(draw.axis[1:] if draw.axis else ()))
        values[draw.name] = rng.integers(-1, 2, shape) if draw.dtype == "int16" else rng.random(shape)
    if layout.with_xrd_peaks:
        values["xrd_peaks"] = rng.random(1024, dtype=np.float32)
    if layout.density_method and not row % 2:
        values["density_reason"] = np.asarray(1)
    if layout.density_method and row % 2:
        density = rng.random((50, 50, 50), dtype=np.float32)
        values |= {
            "density": density,
            "density_electrons": np.array([8.0, density.mean()]),
            "density_lattice": rng.random((3, 3)),
            "density_reason": np.asarray(0),
        }
    return values


def create(path: Path, layout: Layout) -> None:
    zarr_store.create(path, layout, labels_of(layout.n_structures), TWO_THETA, ATTRIBUTES)


def write_shard(path: Path, layout: Layout, shard: int, key: str = "key") -> Receipt:
    with ShardWriter(path, layout, shard) as writer:
        for row in layout.rows(shard):
            writer.add(values_of(row, layout))
        return writer.commit(key)


def make(path: Path, n: int = 10, **options: Any) -> Layout:
    """A whole, finished dataset."""
    layout = layout_of(n, **options)
    create(path, layout)
    for shard in range(layout.n_shards):
        write_shard(path, layout, shard)
    zarr_store.finalise(path, {})
    return layout
