"""Structures and loaders of the splits of a dataset; refuses early what a network cannot be trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.data.loader import Loader
from trainer.data.metadata import LARGEST_NUMBER
from trainer.data.reflections import Sticks
from trainer.data.resident_densities import resident_densities
from trainer.data.resident_sticks import read_resident_sticks
from trainer.data.sampler import Rows, Sampler, balancing_weights
from trainer.data.sources import DensitySource, LabelColumns, OnDevice, PatternSource, StickSource, densities_of
from trainer.data.store import Dataset
from trainer.errors import TrainerError
from trainer.simulate.parameters import Augmentation, Instrument
from trainer.training import distributed
from trainer.training.class_prior import logit_adjustments
from trainer.training.config import AlphaDiffractTraining, Config, CrystalNetTraining
from trainer.training.distributed import Place
from trainer.training.lattices import lattice_statistics
from trainer.training.strain import Strain
from trainer.training.tasks import AlphaDiffractTask, CrystalNetTask, Inputs, Task

ALWAYS_DRAWN = ("microstrain", "crystallite_size_um", "U_cdeg2", "V_cdeg2", "W_cdeg2")
LEAST = {
    "crystallite_size_um": 1e-6,
    "march_r": 1e-3,
    "impurity_height": 1e-9,
    "impurity_peaks": 0,
    "microstrain": 0,
    "size_ratio": 1e-3,
    "phase_fraction": 1e-9,
    "phase_size_um": 1e-6,
    "second_phases": 0,
    "background_window": 0,
    "air_decay_deg": 1e-3,
    "second_hump_d_A": 1e-3,
    "second_hump_fwhm_deg": 1e-3,
    "roughness": 0,
    "strain_isotropic": -0.1,
    "strain_anisotropic": -0.1,
}
"""Lower ends below which a pattern has no finite shape."""
PATTERNS_OF_REFLECTIONS = 100
"""Patterns of each structure in an epoch by default, of a dataset that has reflections only."""
MOST = {
    "impurity_peaks": 1000,
    "second_phases": 3,
    "phase_fraction": 0.3,
    "roughness": 1,
    "absorption_mu_r": 1,
    "background_window": 1,
    "strain_isotropic": 0.1,
    "strain_anisotropic": 0.1,
}
"""Upper ends, likewise."""


@dataclass(frozen=True)
class Data:
    """A split of the committed shards, ready to be read."""

    rows: Rows
    loader: Loader[Any, Any]


def build_task(config: Config, dataset: Dataset, place: Place) -> Task:
    """Return the task of a network on this dataset."""
    if isinstance(config, CrystalNetTraining):
        return CrystalNetTask(config, place.device)
    points = len(dataset.two_theta_deg)
    if points != config.model.input_points:
        raise TrainerError(
            f"{dataset.path}: expected patterns of {config.model.input_points} points, found {points}; "
            f"give --set model.input_points={points}"
        )
    strain = None
    if config.cell_strain > 0:
        angles = dataset.two_theta_deg
        strain = Strain(config.cell_strain, float(angles[0]), float(angles[-1]))
    lattices = lattice_statistics(dataset, place.device) if config.needs_lattice_statistics else None
    adjustments = None
    if config.adjust_logits:
        adjustments = logit_adjustments(dataset, config.balance, config.balance_power, place.device)
    return AlphaDiffractTask.create(config, build_inputs(config, dataset), place.device, strain, lattices, adjustments)


def build_inputs(config: AlphaDiffractTraining, dataset: Dataset) -> Inputs:
    """Return the conversion of batches of this dataset to inputs of the network."""
    if config.input == "patterns":
        return Inputs(None, Augmentation({}), config.noise)
    return Inputs(Instrument.of_attributes(dataset.instrument), augmentation_of(dataset), config.noise, config.compile)


def source_of(
    kind: str, dataset: Dataset, labels: LabelColumns, resident: Mapping[int, Sticks] | None = None
) -> PatternSource | StickSource:
    """Return the source of stored patterns or of reflections, with densities where crystals are mixed."""
    if kind == "patterns":
        return PatternSource(dataset, labels)
    density = densities_of(dataset) if augmentation_of(dataset).mixes else None
    return StickSource(dataset, labels, resident or {}, density)


def augmentation_of(dataset: Dataset) -> Augmentation:
    """Return the ranges and probabilities from which the parameters of the dataset were drawn."""
    try:
        found = Augmentation.of_attributes(dataset.attributes)
    except TrainerError as error:
        raise TrainerError(f"{dataset.path}: {error}") from None
    _check_ranges(str(dataset.path), dict(found.ranges))
    return found


def _check_ranges(where: str, ranges: dict[str, tuple[float, float]]) -> None:
    """Refuse ranges that no parameter can be drawn from."""
    if missing := [name for name in ALWAYS_DRAWN if name not in ranges]:
        raise TrainerError(f"{where}: its attributes state no range of {missing[0]}; use --input patterns")
    for name, (low, high) in ranges.items():
        least = LEAST.get(name, -LARGEST_NUMBER)
        most = MOST.get(name, LARGEST_NUMBER)
        if not least <= low <= high <= most:
            raise TrainerError(
                f"{where}: its parameter {name} was drawn from {low:g} to {high:g}, expected a range within "
                f"{least:g} to {most:g}; use --input patterns"
            )


def open_split(config: Config, dataset: Dataset, split: str, place: Place, shards: tuple[int, ...] | None) -> Data:
    """Open a split; `shards` restricts it to those that an interrupted epoch started with."""
    rows = choose_rows(config, dataset, split)
    if shards is not None:
        rows = rows[np.isin(rows // int(dataset.attributes["layout"]["structures_per_shard"]), shards)]
    training = split == "train"
    minimum = place.world if training else 1
    if training and isinstance(config, CrystalNetTraining):
        minimum = 2 * place.world  # batch normalisation needs two crystals
    if len(rows) < minimum:
        what = " with a density" if isinstance(config, CrystalNetTraining) else ""
        raise TrainerError(
            f"{dataset.path}: expected at least {minimum} structures{what} in the split {split!r}, found {len(rows)} "
            f"in {len(dataset.committed_shards)} committed of {dataset.n_shards} shards"
        )
    if isinstance(config, CrystalNetTraining):
        samples, slots, weights = 1, 1, None
        if not training:
            rows = _spread(rows, config.validation_structures)
        streamed = DensitySource(dataset, dataset.column("composition").astype(np.float32))
        most = config.resident_gigabytes * 1e9 / place.world
        source: Any = resident_densities(streamed, rows, most, place.device, config.workers)
    else:
        labels = LabelColumns(dataset, rows)
        resident = read_resident_sticks(dataset, rows) if config.input == "sticks" else {}
        source = source_of(config.input, dataset, labels, resident)
        slots = dataset.n_augmentations
        if not slots and config.input == "patterns":
            raise TrainerError(
                f"{dataset.path}: has reflections only, no stored patterns; give --set input=sticks, or make patterns "
                "with datagen render"
            )
        slots = slots or PATTERNS_OF_REFLECTIONS
        samples = config.samples_per_structure or slots if training else config.validation_samples
        if config.input == "sticks":
            slots = max(slots, samples)
        if samples > slots:
            raise TrainerError(
                f"{dataset.path}: samples: expected at most the {slots} stored per structure, found {samples}"
            )
        classes = {"crystal-system": labels.crystal_system, "space-group": labels.space_group}.get(config.balance)
        weights = balancing_weights(classes[rows], config.balance_power) if training and classes is not None else None
    sampler = Sampler(
        rows=rows,
        batch_size=config.batch_size if training else min(config.batch_size, 64),
        samples=samples,
        slots=slots,
        pool_structures=config.pool_structures,
        seed=config.seed,
        rank=place.rank,
        world=place.world,
        shuffle=training,
        weights=weights,
    )
    pin = OnDevice.pin_memory if place.device.type == "cuda" else None
    return Data(rows, Loader(source, sampler, config.workers, finish=pin))


def agreed_shards(dataset: Dataset, place: Place) -> tuple[int, ...]:
    """Return the shards to train on in every process: those committed as the first process sees them."""
    shards = distributed.same_for_all(dataset.committed_shards, place)
    if set(shards) - set(dataset.committed_shards):
        dataset.refresh()
    if missing := sorted(set(shards) - set(dataset.committed_shards)):
        raise TrainerError(
            f"{dataset.path}: process {place.rank} does not see shard {missing[0]}, which process 0 sees; use a file "
            "system that all processes share"
        )
    return shards


def probe(data: Data, structures: int = 4) -> None:
    """Read a few structures, so that an unreadable dataset is refused before anything is written."""
    for row in _spread(data.rows, structures):
        data.loader.source.load(int(row))


def choose_rows(config: Config, dataset: Dataset, split: str) -> Rows:
    """Return the rows of committed shards of a split that the network can use: measured scans with all labels."""
    if not isinstance(config, CrystalNetTraining):
        rows = dataset.rows(split)
        return rows[dataset.labelled[rows]]
    rows = dataset.rows(split, with_density=True)
    systems = dataset.column("crystal_system")[rows]
    rows = rows[np.isin(systems, config.crystal_systems)]
    lacking = [row for row in rows[:1] if not dataset.has("xrd_peaks") or not dataset.values("has_xrd_peaks", int(row))]
    if lacking:
        raise TrainerError(
            f"{dataset.path}: expected a stick vector (xrd_peaks) beside the density of structure {lacking[0]}, found "
            "none; make the dataset with both"
        )
    return rows


def dataset_identity(dataset: Dataset) -> dict[str, Any]:
    """Return what a checkpoint stores of its dataset: instrument, grid and crystal systems, which predictions need."""
    two_theta = dataset.two_theta_deg
    return {
        "path": str(dataset.path),
        "n_structures": dataset.n_structures,
        "two_theta_min_deg": float(two_theta[0]),
        "two_theta_max_deg": float(two_theta[-1]),
        "n_points": len(two_theta),
        "instrument": dataset.attributes.get("instrument", {}),
        "crystal_systems": [name for _, name in sorted(dataset.vocabulary("crystal_system").items())],
    }


def group_hashes(dataset: Dataset, rows: Rows) -> NDArray[np.int64]:
    """Return a hash of each structure's group (formula and space group).

    A checkpoint stores those of its training structures, so that an evaluation can count structures seen in training.
    """
    groups = dataset.text("group")
    digests = (hashlib.blake2b(groups[row].encode(), digest_size=8).digest() for row in rows.tolist())
    return np.array([int.from_bytes(digest, "big", signed=True) for digest in digests], dtype=np.int64)


def _spread(rows: Rows, most: int) -> Rows:
    """Return at most `most` rows, evenly spread."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).round().astype(np.int64)]
