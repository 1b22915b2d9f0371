"""Simulated scans of mixtures: crystals of a dataset with known weights, as a laboratory would measure them."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curation.atoms import cell_parameters
from curation.crystal import Crystal
from curation.niggli import metric_of, reduce_metric
from datagen.identification.axis import Observed, observe
from datagen.identification.identify import identify
from datagen.identification.index import Index
from datagen.simulate.augmentation import Augmentations, AugmentationSettings, draw
from datagen.simulate.instrument import PRESETS
from datagen.simulate.peaks import sum_peaks
from datagen.simulate.phase_library import density_g_cm3
from datagen.simulate.sticks import compute_sticks
from datagen.store.location import Where, location_of

Array = NDArray[np.float64]

INSTRUMENT = PRESETS["cu_kalpha"]
LEAST_FRACTION = 0.1
"""Weight fraction of the least phase."""
LARGEST_STRAIN = 0.015
"""Relative change of a cell's edges."""
TEXTURE = 1.3
"""March and Dollase's r is between its inverse and this."""
COUNTS = 1e3, 3e4
"""At the maximum."""


@dataclass(frozen=True, eq=False)
class MixedScan:
    """A simulated scan with its truth."""

    scan: Observed
    rows: tuple[int, ...]
    """Rows of the dataset."""
    structures: tuple[int, ...]
    """Places in the index."""
    fractions: Array
    """By weight."""
    lattices: tuple[Array, ...]


def mixed_scans(dataset: Where, index: Index, count: int, phases: int, seed: int = 0) -> list[MixedScan]:
    """Return scans of structures of the index, drawn at random."""
    random = np.random.default_rng([seed, phases])
    wanted = random.choice(len(index), size=(count, phases), replace=False)
    rows = set(index.row[wanted].ravel().tolist())
    with location_of(dataset).arrow_file("curation.parquet") as source:
        table = pq.read_table(source, columns=["row", "structure"])
    table = table.filter([row in rows for row in table["row"].to_pylist()])
    crystals = {int(line["row"]): Crystal.from_json(line["structure"]) for line in table.to_pylist()}
    return [_mixed(index, chosen, crystals, random, number) for number, chosen in enumerate(wanted)]


def _mixed(
    index: Index,
    chosen: NDArray[np.int64],
    crystals: dict[int, Crystal],
    random: np.random.Generator,
    number: int,
) -> MixedScan:
    n = len(chosen)
    fractions = LEAST_FRACTION + (1 - n * LEAST_FRACTION) * random.dirichlet(np.ones(n))
    settings = AugmentationSettings.model_validate(
        {"preset": "realistic", "count": n, "march_r": (1 / TEXTURE, TEXTURE)}
    )
    drawn = draw(settings, 0, f"mixture {number}", range(n))
    total, lattices = np.zeros(INSTRUMENT.n_points), []
    rows = index.row[chosen].tolist()
    for k, row in enumerate(rows):
        original = crystals[row]
        lattice = original.lattice_A * (1 + random.uniform(-LARGEST_STRAIN, LARGEST_STRAIN))
        crystal = Crystal.canonical(
            lattice, original.species, original.occupancy, original.fractional, original.u_iso_A2
        )
        lattices.append(lattice)
        # Patterns are those of equal volumes.
        volume = float(fractions[k]) / density_g_cm3(crystal)
        total += volume * sum_peaks(compute_sticks(crystal, INSTRUMENT), INSTRUMENT, _of_phase(drawn, k)).intensity[0]
    angle = INSTRUMENT.two_theta_deg
    counts = float(np.exp(random.uniform(*np.log(COUNTS))))
    background = random.uniform(0.01, 0.2) * np.exp(-(angle - 10) / random.uniform(15, 60)) + random.uniform(
        0.005, 0.05
    )
    measured = random.poisson(counts * (total / total.max() + background)).astype(np.float64)
    scan = observe(angle[::2], measured[::2], INSTRUMENT.lines[0].wavelength_A)
    return MixedScan(scan, tuple(rows), tuple(chosen.tolist()), fractions, tuple(lattices))


def _of_phase(drawn: Augmentations, k: int) -> Augmentations:
    """Return the first augmentation with crystallites and texture of the k-th: one diffractometer for all phases."""
    own = ("microstrain", "crystallite_size_um", "march_r", "march_hkl")
    return drawn[:1].changed(**{name: getattr(drawn, name)[k : k + 1] for name in own})


def mixture_figures(index: Index, scans: list[MixedScan], most: int) -> dict[str, float]:
    """Return how the phases found compare with the true ones.

    A phase is found where one of its formula and group is among the answers, and its cell where one has its Niggli cell
    within 1 % and 1 degree; an answer is false where neither holds for any true phase.
    """
    began = time.perf_counter()
    groups = index.names.column("group")
    counts: Counter[str] = Counter()
    errors: list[float] = []
    cell_ratio: list[float] = []
    supported: list[float] = []
    refused: list[float] = []
    for number, mixed in enumerate(scans):
        (answer,) = identify([index], [(str(number), mixed.scan)], phases=most)
        assert answer.mixture is not None
        phases = answer.mixture.phases
        cells = [np.array(_niggli(lattice)) for lattice in mixed.lattices]
        same = np.array([[phase.group == groups[s] for s in mixed.structures] for phase in phases])
        close = np.array([[_is_close(np.array(phase.niggli), cell) for cell in cells] for phase in phases])
        counts["true"] += len(cells)
        counts["found"] += int(same.any(axis=0).sum())
        counts["cells_found"] += int((same | close).any(axis=0).sum())
        counts["answers"] += len(phases)
        counts["false"] += int((~(same | close).any(axis=1)).sum())
        counts["right_number"] += len(phases) == len(cells)
        counts["too_many"] += len(phases) > len(cells)
        counts["all_right"] += len(phases) == len(cells) and bool((same | close).any(axis=0).all())
        for phase, of in zip(phases, same, strict=True):
            for s in np.flatnonzero(of).tolist():
                errors.append(abs(phase.weight_fraction - float(mixed.fractions[s])))
                if phase.niggli_uncertainty is not None:
                    off = np.abs(np.array(phase.niggli[:3]) - cells[s][:3]) / np.maximum(
                        phase.niggli_uncertainty[:3], 1e-6
                    )
                    cell_ratio += off.tolist()
        supported += [p.added_log_odds for p in phases if p.added_log_odds is not None]
        refused += [] if answer.mixture.next_log_odds is None else [answer.mixture.next_log_odds]
    n = len(scans)
    found = {
        "scans": float(n),
        "phases_found": counts["found"] / counts["true"],
        "cells_found": counts["cells_found"] / counts["true"],
        "false_answers": counts["false"] / counts["answers"],
        "right_number": counts["right_number"] / n,
        "too_many": counts["too_many"] / n,
        "all_right": counts["all_right"] / n,
        "seconds_per_scan": (time.perf_counter() - began) / n,
    }
    if errors:
        found |= {"fraction_error_mean": float(np.mean(errors)), "fraction_error_90": float(np.quantile(errors, 0.9))}
        found |= {f"cell_within_{k}_sigma": float(np.mean(np.array(cell_ratio) < k)) for k in (1, 2, 4)}
    if supported:
        found["least_supported_log_odds"] = float(min(supported))
    if refused:
        found["largest_refused_log_odds"] = float(max(refused))
    return found


def threshold_figures(index: Index, scans: list[MixedScan]) -> dict[str, float]:
    """Return how "nothing in the library explains this scan" fares, with and without the structure in the library.

    Without it, another structure of the right space group and cell is a right answer: the type is there.
    """
    groups = index.names.column("group")
    counts: Counter[str] = Counter()
    for number, mixed in enumerate(scans):
        (structure,), cell = mixed.structures, np.array(_niggli(mixed.lattices[0]))
        for kind, mask in (("with", None), ("without", [groups != groups[structure]])):
            (answer,) = identify([index], [(str(number), mixed.scan)], allowed=mask)
            best = answer.candidates[0]
            right = best.space_group == index.space_group[structure] and _is_close(np.array(best.niggli), cell)
            counts[f"{kind}_right" if right else f"{kind}_wrong"] += 1
            if not answer.is_explained:
                counts[f"{kind}_right_nothing" if right else f"{kind}_wrong_nothing"] += 1
    right = counts["with_right"] + counts["without_right"]
    wrong = counts["with_wrong"] + counts["without_wrong"]
    return {
        "nothing_with_structure": (counts["with_right_nothing"] + counts["with_wrong_nothing"]) / len(scans),
        "nothing_without_structure": (counts["without_right_nothing"] + counts["without_wrong_nothing"]) / len(scans),
        "false_nothing": (counts["with_right_nothing"] + counts["without_right_nothing"]) / max(right, 1),
        "false_something": 1 - (counts["with_wrong_nothing"] + counts["without_wrong_nothing"]) / max(wrong, 1),
        "right_answers": float(right),
        "wrong_answers": float(wrong),
    }


def _niggli(lattice: Array) -> tuple[float, ...]:
    return cell_parameters(reduce_metric(metric_of(lattice), 1e-5) @ lattice)


def _is_close(found: Array, wanted: Array) -> bool:
    length, angle = np.abs(found[:3] / wanted[:3] - 1), np.abs(found[3:] - wanted[3:])
    return bool(length.max() < 0.01 and angle.max() < 1)
