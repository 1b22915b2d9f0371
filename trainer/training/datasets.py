"""Which structures of a dataset are trained on, and through which loader? Refuses early what cannot be trained on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.data.loader import Loader
from trainer.data.sampler import Rows, Sampler, balancing_weights
from trainer.data.sources import DensitySource, LabelColumns, OnDevice, PatternSource, StickSource
from trainer.data.store import Dataset
from trainer.errors import TrainerError
from trainer.simulate.parameters import NEUTRAL, Instrument
from trainer.training import distributed
from trainer.training.config import AlphaDiffractTraining, Config, CrystalNetTraining
from trainer.training.distributed import Place
from trainer.training.lattices import lattice_statistics
from trainer.training.strain import Strain
from trainer.training.tasks import AlphaDiffractTask, CrystalNetTask, Inputs, Task


@dataclass(frozen=True)
class Data:
    """One side of the split of the committed shards, ready to be read."""

    rows: Rows
    loader: Loader[Any, Any]


def build_task(config: Config, dataset: Dataset, place: Place) -> Task:
    """The task on this dataset: broadening knows the dataset's instrument and ranges."""
    if isinstance(config, CrystalNetTraining):
        return CrystalNetTask(config, place.device)
    points = len(dataset.two_theta_deg)
    if points != config.model.input_points:
        raise TrainerError(
            f"{dataset.path}: its patterns have {points} points, the model expects {config.model.input_points}; "
            f"give --set model.input_points={points}"
        )
    strain = None
    if config.cell_strain > 0:
        angles = dataset.two_theta_deg
        strain = Strain(config.cell_strain, float(angles[0]), float(angles[-1]))
    lattices = lattice_statistics(dataset, place.device) if config.needs_lattice_statistics else None
    return AlphaDiffractTask.create(config, build_inputs(config, dataset), place.device, strain, lattices)


def build_inputs(config: AlphaDiffractTraining, dataset: Dataset) -> Inputs:
    """How batches of this dataset become what the network sees."""
    if config.input == "patterns":
        return Inputs(None, {}, config.noise)
    return Inputs(Instrument.of_attributes(dataset.instrument), augmentation_ranges(dataset), config.noise)


def augmentation_ranges(dataset: Dataset) -> dict[str, tuple[float, float]]:
    """The ranges that the dataset's parameters were drawn from."""
    try:
        settings = dataset.attributes["configuration"]["simulation"]["augmentation"]
        return {name: (float(settings[name][0]), float(settings[name][1])) for name in NEUTRAL if name in settings}
    except (TypeError, KeyError, ValueError, IndexError):
        raise TrainerError(
            f"{dataset.path}: its attributes do not say from which ranges its parameters were drawn; "
            "use --input patterns"
        ) from None


def open_split(config: Config, dataset: Dataset, split: str, place: Place, shards: tuple[int, ...] | None) -> Data:
    """The training or validation side; ``shards`` restricts it to those an interrupted epoch began with."""
    rows = choose_rows(config, dataset, split)
    if shards is not None:
        rows = rows[np.isin(rows // int(dataset.attributes["layout"]["structures_per_shard"]), shards)]
    training = split == "train"
    minimum = place.world if training else 1
    if training and isinstance(config, CrystalNetTraining):
        minimum = 2 * place.world  # batch normalisation needs two crystals
    if len(rows) < minimum:
        what = "with a density " if isinstance(config, CrystalNetTraining) else ""
        raise TrainerError(
            f"{dataset.path}: no structure {what}on the {split} side of the split in {len(dataset.committed_shards)} "
            f"of {dataset.n_shards} shards that are committed; expected at least {minimum}"
        )
    if isinstance(config, CrystalNetTraining):
        source: Any = DensitySource(dataset, dataset.column("composition").astype(np.float32))
        samples, slots, weights = 1, 1, None
        if not training:
            rows = _spread(rows, config.validation_structures)
    else:
        labels = LabelColumns(dataset, rows)
        of_input = PatternSource if config.input == "patterns" else StickSource
        source = of_input(dataset, labels)
        slots = dataset.n_augmentations
        samples = config.samples_per_structure or slots if training else config.validation_samples
        if config.input == "sticks":
            slots = max(slots, samples)
        if samples > slots:
            raise TrainerError(f"{dataset.path}: {samples} patterns a structure were asked for, {slots} are stored")
        classes = {"crystal-system": labels.crystal_system, "space-group": labels.space_group}.get(config.balance)
        weights = balancing_weights(classes[rows]) if training and classes is not None else None
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
    """Return the committed shards that every process trains on: those that the first one sees."""
    shards = distributed.same_for_all(dataset.committed_shards, place)
    if set(shards) - set(dataset.committed_shards):
        dataset.refresh()
    if missing := sorted(set(shards) - set(dataset.committed_shards)):
        raise TrainerError(
            f"{dataset.path}: process {place.rank} does not see shard {missing[0]}, which process 0 sees; expected one "
            "file system for all processes"
        )
    return shards


def probe(data: Data, structures: int = 4) -> None:
    """Read a few structures, so that a dataset that cannot be trained on is refused before anything is written."""
    for row in _spread(data.rows, structures):
        data.loader.source.load(int(row))


def choose_rows(config: Config, dataset: Dataset, split: str) -> Rows:
    """Rows of committed shards on one side of the split that the model can use."""
    if not isinstance(config, CrystalNetTraining):
        return dataset.rows(split)
    rows = dataset.rows(split, with_density=True)
    systems = dataset.column("crystal_system")[rows]
    rows = rows[np.isin(systems, config.crystal_systems)]
    lacking = [row for row in rows[:1] if not dataset.has("xrd_peaks") or not dataset.values("has_xrd_peaks", int(row))]
    if lacking:
        raise TrainerError(
            f"{dataset.path}: structure {lacking[0]} has a density but no stick vector (xrd_peaks); "
            "make the dataset with both"
        )
    return rows


def dataset_identity(dataset: Dataset) -> dict[str, Any]:
    """What a checkpoint remembers of its dataset: instrument, grid and vocabulary, which predictions need too."""
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

    A checkpoint keeps those of its training structures, so that an evaluation can tell what the model has seen.
    """
    groups = dataset.text("group")
    digests = (hashlib.blake2b(groups[row].encode(), digest_size=8).digest() for row in rows.tolist())
    return np.array([int.from_bytes(digest, "big", signed=True) for digest in digests], dtype=np.int64)


def _spread(rows: Rows, most: int) -> Rows:
    """At most so many rows, evenly spread."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).round().astype(np.int64)]
