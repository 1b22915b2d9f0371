"""Answers of models for the scans of a dataset of measured patterns, and the labels of these scans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trainer.data.sources import PATTERN_FILL, stick_tensors
from trainer.data.store import Dataset
from trainer.errors import TrainerError
from trainer.evaluation.models import EVALUATION_SEED, ProgressReport, as_numpy
from trainer.models.alphadiffract import AlphaDiffract
from trainer.prediction.cells.weigh import with_lines
from trainer.prediction.predict import model_grid, to_model_grid
from trainer.prediction.qmixer import Weights, predict_inputs
from trainer.prediction.sources import as_scan
from trainer.scans.bring import polarisation_ratio, snip
from trainer.scans.scan import ScanError
from trainer.simulate.axis import CU_KALPHA1_A, FEWEST_BINS
from trainer.simulate.broaden import broaden
from trainer.simulate.log_q import network_input, scan_on_grid
from trainer.simulate.noise import standardise
from trainer.simulate.parameters import Instrument, draw_parameters
from trainer.training.datasets import augmentation_of, group_hashes

Array = NDArray[np.float64]
AT_ONCE = 64
BACKGROUND_SHARE = 40
"""Of the range: half width of the background's window, as `datagen measured` uses it."""


@dataclass(frozen=True, eq=False)
class Truths:
    """Labels of scans; -1 and NaN where one is not known."""

    rows: NDArray[np.int64]
    name: list[str]
    source: list[str]
    formula: list[str]
    crystal_system: NDArray[np.int64]
    """From 0."""
    space_group: NDArray[np.int64]
    """From 0."""
    niggli: Array
    seen: NDArray[np.int8]
    """1 if a model was trained on a structure of the same formula and space group, 0 if none was, -1 if not known."""

    def __len__(self) -> int:
        return len(self.rows)

    def of(self, chosen: NDArray[np.bool_]) -> Truths:
        """Return the labels of some scans."""
        at = np.flatnonzero(chosen).tolist()
        return Truths(
            self.rows[chosen],
            [self.name[i] for i in at],
            [self.source[i] for i in at],
            [self.formula[i] for i in at],
            self.crystal_system[chosen],
            self.space_group[chosen],
            self.niggli[chosen],
            self.seen[chosen],
        )


@dataclass(frozen=True, eq=False)
class Answers:
    """Probabilities and Niggli cells of each model for each scan: (model, scan, class) and (model, scan, 6)."""

    crystal_system: Array
    space_group: Array
    lattice: Array

    def of(self, chosen: NDArray[np.bool_]) -> Answers:
        """Return the answers for some scans."""
        return Answers(*(values[:, chosen] for values in (self.crystal_system, self.space_group, self.lattice)))


def truths_of(
    dataset: Dataset, rows: NDArray[np.int64], states: Sequence[Any], trained_on: Dataset | None = None
) -> Truths:
    """Return the labels of these rows.

    Structures in the training split of `trained_on` count as seen, else those that the checkpoints `states` state.
    Whether a scan without formula or space group was seen is not known.
    """
    kept = [state.dataset["train_groups"].numpy() for state in states if "train_groups" in state.dataset]
    if trained_on is not None:
        kept, states = [group_hashes(trained_on, trained_on.rows("train"))], [None]
    texts = {name: dataset.text(name) for name in ("source_id", "source", "formula", "group")}
    seen = np.full(len(rows), -1, dtype=np.int8)
    if kept and len(kept) == len(states):
        stated = np.array([bool(texts["group"][row]) for row in rows.tolist()], dtype=bool)
        seen[stated] = np.isin(group_hashes(dataset, rows[stated]), np.concatenate(kept))
    niggli = dataset.column("niggli")[rows].astype(np.float64)
    return Truths(
        rows,
        [texts["source_id"][row] for row in rows.tolist()],
        [texts["source"][row] for row in rows.tolist()],
        [texts["formula"][row] for row in rows.tolist()],
        dataset.column("crystal_system")[rows].astype(np.int64) - 1,
        dataset.column("space_group")[rows].astype(np.int64) - 1,
        niggli,
        seen,
    )


def alphadiffract_inputs(dataset: Dataset, rows: NDArray[np.int64], identity: dict[str, Any]) -> dict[int, Array]:
    """Return by row the patterns at the angles of models trained on `identity`; scans that lack a part are left out.

    Stored patterns are used where the dataset is for the models' instrument, else the scans are brought to it.
    """
    grid, here = model_grid(identity), dataset.instrument
    lines = [float(line["wavelength_A"]) for line in identity["instrument"]["lines"]]
    same = (
        [float(line["wavelength_A"]) for line in here["lines"]] == lines
        and len(dataset.two_theta_deg) == grid.n_points
        and np.allclose(dataset.two_theta_deg[[0, -1]], [grid.start_deg, grid.stop_deg])
    )
    remove = dataset.attributes.get("configuration", {}).get("measured", {}).get("background", "remove") == "remove"
    found: dict[int, Array] = {}
    for row in rows.tolist():
        if same:
            stored = dataset.stored_pattern(row)[0]
            if (stored == PATTERN_FILL).any() or not stored.any():
                raise TrainerError(
                    f"{dataset.path}: row {row}: its pattern is missing; run datagen verify on the dataset"
                )
            found[row] = stored.astype(np.float64)
            continue
        scan = as_scan(dataset.scan(row))
        try:
            intensity, _ = to_model_grid(str(row), scan, scan.wavelength_A or 0.0, identity)
        except ScanError:
            continue
        if remove:
            intensity = np.maximum(intensity - snip(intensity, grid.n_points // BACKGROUND_SHARE), 0.0)
        found[row] = intensity
    return found


@torch.no_grad()
def ask_alphadiffract(
    models: Sequence[AlphaDiffract], patterns: Sequence[Array], device: torch.device, progress: ProgressReport | None
) -> Answers:
    """Return the answers of an ensemble."""
    systems: list[list[Array]] = [[] for _ in models]
    groups: list[list[Array]] = [[] for _ in models]
    lattices: list[list[Array]] = [[] for _ in models]
    for first in range(0, len(patterns), AT_ONCE):
        batch = torch.from_numpy(np.stack(patterns[first : first + AT_ONCE])).float().to(device)
        inputs = standardise(batch)
        for number, model in enumerate(models):
            found = model(inputs)
            systems[number].append(as_numpy(found.crystal_system.softmax(dim=1)))
            groups[number].append(as_numpy(found.space_group.softmax(dim=1)))
            lattices[number].append(as_numpy(found.lattice))
        if progress:
            progress(min(first + AT_ONCE, len(patterns)), len(patterns))
    return Answers(*(np.stack([np.concatenate(part) for part in parts]) for parts in (systems, groups, lattices)))


def qmixer_inputs(dataset: Dataset, rows: NDArray[np.int64]) -> dict[int, Array]:
    """Return by row angles and intensities for QMixer, the polarisation that of a tube."""
    found: dict[int, Array] = {}
    for row in rows.tolist():
        stored = dataset.scan(row)
        factor = polarisation_ratio(as_scan(stored), stored.wavelength_A, CU_KALPHA1_A, 0.5)
        on_grid = scan_on_grid(stored.two_theta_deg, stored.intensity * factor, stored.wavelength_A)
        if on_grid is None:
            continue
        inputs = network_input(on_grid[0][None], on_grid[1][None])
        if float(inputs[0, 1].sum()) >= FEWEST_BINS:
            found[row] = inputs[0].double().numpy()
    return found


def ask_qmixer(
    weights: Weights, inputs: Sequence[Array], progress: ProgressReport | None, *, lines: bool = True
) -> Answers:
    """Return the answers of exported weights, weighed by the lines of the patterns unless `lines` is false."""
    predictions = []
    for first in range(0, len(inputs), AT_ONCE):
        batch = torch.from_numpy(np.stack(inputs[first : first + AT_ONCE])).float()
        found = predict_inputs(weights, batch)
        predictions += [with_lines(p, one) for p, one in zip(found, batch.numpy(), strict=True)] if lines else found
        if progress:
            progress(min(first + AT_ONCE, len(inputs)), len(inputs))
    return Answers(
        np.stack([p.crystal_system for p in predictions])[None],
        np.stack([p.space_group for p in predictions])[None],
        np.stack([p.niggli for p in predictions])[None],
    )


@torch.no_grad()
def simulated_patterns(dataset: Dataset, rows: NDArray[np.int64]) -> dict[int, Array]:
    """Return by row a simulated pattern of the structure of each scan, drawn from the dataset's ranges.

    Scans without a structure have none.
    """
    instrument, augmentation = Instrument.of_attributes(dataset.instrument), augmentation_of(dataset)
    generator = torch.Generator().manual_seed(EVALUATION_SEED)
    found: dict[int, Array] = {}
    for row in rows.tolist():
        sticks = dataset.sticks(row)
        if not len(sticks.intensity):
            continue
        parameters = draw_parameters(augmentation, 1, torch.device("cpu"), generator)
        pattern = broaden(stick_tensors([sticks]), parameters, instrument)[0]
        found[row] = as_numpy(pattern)
    return found


def in_order(found: dict[int, Array], truths: Truths) -> tuple[list[Array], Truths]:
    """Return the patterns that there are, and their labels, in one order."""
    chosen = np.isin(truths.rows, list(found))
    return [found[row] for row in truths.rows[chosen].tolist()], truths.of(chosen)


def qmixer_of_simulated(dataset: Dataset, patterns: dict[int, Array]) -> dict[int, Array]:
    """Return simulated patterns as QMixer's inputs."""
    wavelength = float(dataset.instrument["lines"][0]["wavelength_A"])
    found: dict[int, Array] = {}
    for row, pattern in patterns.items():
        on_grid = scan_on_grid(dataset.two_theta_deg, pattern, wavelength)
        if on_grid is not None:
            found[row] = network_input(on_grid[0][None], on_grid[1][None])[0].double().numpy()
    return found
