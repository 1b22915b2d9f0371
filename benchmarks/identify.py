"""Accuracy and speed of `datagen identify`, alone and with the network, on measured and simulated scans.

    python -m benchmarks.identify --library open.zarr [--weights FILE.safetensors] [--simulated 200] [--every N]
    python -m benchmarks.identify --library open.zarr --only mixtures [--mixtures 200]

With `--keep FOLDER` search and network are asked once, and another vote or calibration is scored in seconds.

`open.zarr` is any dataset of the structures to compare with, such as one made by `datagen run` from the shared table of
open structures. Three sets: RRUFF as distributed (processed) and as measured (raw), both public and used for choosing
constants; and simulated scans with laboratory artefacts of structures of the library's validation split. Each figure
is given twice where the formula is known: with the whole library, and `unseen` with the scan's own formula and group
left out of it; `seen` and `not_in_library` are the scans whose formula and group are, or are not, in the library.
Mixtures are simulated scans of one, two and three structures of the library with known weights, and two measured ones;
the pure ones are identified again without their own formula and group, for the threshold of "nothing explains it".
The last line is one JSON object; accuracies are fractions.
"""

from __future__ import annotations

import argparse
import json
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks._candidates import candidates_of, likeness_of
from benchmarks._data import shared_data
from benchmarks._mixtures import mixed_scans, mixture_figures, threshold_figures
from benchmarks.measured import calibration_error, formula_of, processed, raw
from curation.split import group_of
from datagen.identification.answer import EXPLAINED, combination
from datagen.identification.axis import Observed, observe
from datagen.identification.extinction import extinction_classes
from datagen.identification.filters import allowed_structures
from datagen.identification.identify import Fit, ballot, best_cell, identify
from datagen.identification.index import Index
from datagen.identification.index_build import open_index
from datagen.identification.network import Network
from datagen.store.location import Where, locate
from trainer.data.store import open_dataset
from trainer.models.qmixer import SYSTEM_ENDS
from trainer.scans.read import read_bytes
from trainer.simulate.artefacts import Artefacts
from trainer.simulate.axis import N_BINS
from trainer.training.fit_qmixer import draw
from trainer.training.structures import read_split, refuse_truncated

Array = NDArray[np.float64]

MOST_PHASES = 4
NETWORK_BATCH = 64
MEASURED_MIXTURES = {"CoO-ZnO.xrdml": "Co,Zn,O", "clinker_NIST.xrdml": "Ca,Si,Al,Fe,Mg,O"}
"""With the elements that are known to be there."""


def simulated(dataset: str, count: int) -> tuple[list[Observed], Truth]:
    """Return scans of validation structures with artefacts."""
    source = open_dataset(dataset)
    rows = source.rows("validation")
    rows = rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(np.int64)]
    refuse_truncated(dataset, source.d_min_A, Artefacts())
    split = read_split(source, "validation", count)
    if len(split) != len(rows):
        raise SystemExit(
            f"{dataset}: {len(rows) - len(split)} of {len(rows)} validation structures have no reflection in range; "
            "their names would be those of others: choose another --simulated"
        )
    inputs, _ = draw(split, torch.arange(len(split)), torch.Generator().manual_seed(7))
    groups = source.text("group")
    scans = [Observed(one[0].double().numpy() ** 2, one[1].numpy() > 0.5, 1.5405929) for one in inputs]
    return scans, Truth(split.space_group.numpy() + 1, [groups[row] for row in rows.tolist()])


def figures(groups: Array, truth: NDArray[np.int64]) -> dict[str, float]:
    """Return accuracies of probabilities of the space groups."""
    systems = np.add.reduceat(groups, (0, *SYSTEM_ENDS[:-1]), axis=1)
    order = np.argsort(-groups, axis=1) + 1
    hit = order[:, 0] == truth
    classes = extinction_classes()
    of_class = np.array([np.bincount(classes, p, minlength=231) for p in groups])
    return {
        "crystal_system": float((systems.argmax(axis=1) == np.searchsorted(SYSTEM_ENDS, truth)).mean()),
        "space_group": float(hit.mean()),
        "extinction_class": float((of_class.argmax(axis=1) == classes[truth - 1]).mean()),
        "space_group_top5": float((order[:, :5] == truth[:, None]).any(axis=1).mean()),
        "calibration_error": calibration_error(groups.max(axis=1), hit),
    }


def cells(found: Array, truth: list[Array], prefix: str = "") -> dict[str, float]:
    """Return the share of usable cells and the median error of lengths."""
    wanted = np.array(truth)
    length, angle = np.abs(found[:, :3] / wanted[:, :3] - 1), np.abs(found[:, 3:] - wanted[:, 3:])
    # A scan without a cell has NaN, which is below no limit.
    return {
        f"{prefix}cells_1_percent": float(((length < 0.01).all(axis=1) & (angle < 1).all(axis=1)).mean()),
        f"{prefix}cells_5_percent": float(((length < 0.05).all(axis=1) & (angle < 3).all(axis=1)).mean()),
        f"{prefix}median_length_error": float(np.nanmedian(length.mean(axis=1))),
    }


@dataclass(frozen=True, eq=False)
class Truth:
    """What is known of the scans of a set."""

    space_group: NDArray[np.int64]
    keys: list[str] | None = None
    """Formula and group, as structures of a library are grouped."""
    niggli: list[Array] | None = None


@dataclass(frozen=True, eq=False)
class Answers:
    """Probabilities of space groups (scan, 230), and cells."""

    library: Array
    best_cosine: Array
    library_niggli: Array
    """Of the library's best candidate."""
    niggli: Array
    """Of the best candidate, with the network's comparison where there is one."""
    network: Array | None
    voted: Array | None
    """By the library's candidates, with the network's comparison."""
    both: Array | None

    def figures(self, truth: NDArray[np.int64], rows: NDArray[np.bool_] | None = None) -> dict[str, float]:
        """Return the figures of the library, of the network and of both, of all scans or of some."""
        some = np.ones(len(truth), dtype=bool) if rows is None else rows
        found = {"nothing_explains": float((self.best_cosine[some] < EXPLAINED).mean())}
        parts = {"": self.library, "network_": self.network, "voted_": self.voted, "both_": self.both}
        for prefix, groups in parts.items():
            if groups is not None:
                found |= {prefix + key: value for key, value in figures(groups[some], truth[some]).items()}
        return found

    def cell_figures(self, truth: list[Array]) -> dict[str, float]:
        """Return the figures of the cells of the library, and of both."""
        found = cells(self.library_niggli, truth)
        return found if self.both is None else found | cells(self.niggli, truth, "both_")


def score(
    name: str, index: Index, scans: list[Observed], truth: Truth, network: Network | None, kept: Path | None
) -> dict[str, float]:
    """Return all figures of a set."""
    candidates = candidates_of(index, scans, kept / f"{name}.npz" if kept else None)
    found: dict[str, float] = {"scans": len(scans), "seconds_per_scan": float(np.mean([c.seconds for c in candidates]))}
    own, own_cells, by = None, None, "" if network is None else checksum(network)
    if network is not None:
        own, own_cells = network_answers(network, scans, kept / f"{name}_network_{by}.npz" if kept else None)
    has_cells = truth.niggli is not None

    def answers(fits: list[Fit], kind: str) -> Answers:
        file = kept / f"{name}_{kind}_{by}.npy" if kept else None
        likeness = None if network is None else likeness_of(network, scans, fits, file)
        return _answers(scans, fits, own, likeness, has_cells)

    whole = answers([one.voting() for one in candidates], "likeness")
    found |= whole.figures(truth.space_group)
    if truth.niggli is not None:
        found |= whole.cell_figures(truth.niggli)
        if own_cells is not None:
            found |= cells(own_cells, truth.niggli, "network_")
    if truth.keys is not None:
        groups = index.names.column("group")
        seen = np.isin(truth.keys, groups)
        found["seen_scans"] = float(seen.sum())
        for part, rows in (("seen_", seen), ("not_in_library_", ~seen)):
            if rows.any():
                found |= {part + key: value for key, value in whole.figures(truth.space_group, rows).items()}
        fits = [one.voting(groups != key) for one, key in zip(candidates, truth.keys, strict=True)]
        others = answers(fits, "unseen_likeness")
        found |= {f"unseen_{key}": value for key, value in others.figures(truth.space_group).items()}
        if truth.niggli is not None:
            found |= {f"unseen_{key}": value for key, value in others.cell_figures(truth.niggli).items()}
    return found


def _answers(
    scans: list[Observed], fits: list[Fit], network: Array | None, likeness: Array | None, has_cells: bool
) -> Answers:
    """Let the candidates of each scan vote, alone and with the network's comparison."""
    votes, cosine, library_niggli, niggli, voted, both = [], [], [], [], [], []
    for k, (scan, fit) in enumerate(zip(scans, fits, strict=True)):
        share, groups = ballot([fit])
        votes.append(groups)
        first = second = int(share.argmax())
        cosine.append(fit.fitted.cosine[first])
        if network is not None and likeness is not None:
            share, groups = ballot([fit], likeness[k, : len(share)])
            second = int(share.argmax())
            voted.append(groups)
            both.append(combination(float(fit.fitted.cosine[second])).of(groups, network[k]))
        if has_cells:
            library_niggli.append(best_cell(scan, fit, first).niggli)
            niggli.append(library_niggli[-1] if second == first else best_cell(scan, fit, second).niggli)
    return Answers(
        np.array(votes),
        np.array(cosine),
        np.array(library_niggli),
        np.array(niggli),
        network,
        np.array(voted) if voted else None,
        np.array(both) if both else None,
    )


def checksum(network: Network) -> str:
    """Return what tells weights apart, since answers are kept by their weights."""
    found = 0
    for values in network.weights.model.state_dict().values():
        found = zlib.crc32(values.numpy().tobytes(), found)
    return f"{found:08x}"


def network_answers(network: Network, scans: list[Observed], kept: Path | None) -> tuple[Array, Array]:
    """Return the network's probabilities of the space groups (scan, 230), and its cells (scan, 6), NaN for none."""
    if kept is not None and kept.exists():
        with np.load(kept) as data:
            return data["space_group"], data["niggli"]
    found = [
        one
        for start in range(0, len(scans), NETWORK_BATCH)
        for one in network.answers(scans[start : start + NETWORK_BATCH])
    ]
    groups = np.array([one.space_group for one in found])
    niggli = np.array([one.niggli or (np.nan,) * 6 for one in found])
    if kept is not None:
        np.savez(kept, space_group=groups, niggli=niggli)
    return groups, niggli


def mixtures(library: Where, index: Index, folder: Path, count: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield the figures of simulated mixtures of one, two and three phases, and of two measured ones."""
    for phases in (1, 2, 3):
        scans = mixed_scans(library, index, count // 2, phases)
        yield f"mixtures_of_{phases}", mixture_figures(index, scans, MOST_PHASES)
        if phases == 1:
            yield "threshold", threshold_figures(index, scans)
    with zipfile.ZipFile(folder / "measured" / "lab_formats.zip") as archive:
        for name, elements in MEASURED_MIXTURES.items():
            scan = read_bytes(name, archive.read(name))
            assert scan.wavelength_A is not None
            observed = observe(scan.two_theta_deg, scan.intensity, scan.wavelength_A)
            mask = allowed_structures(index, only=elements)
            (found,) = identify([index], [(name, observed)], allowed=[mask], phases=MOST_PHASES)
            assert found.mixture is not None
            for phase in found.mixture.phases:
                print(f"  {name}: {phase.formula} {phase.space_group} {phase.weight_fraction:.1%}")
            yield name, {"phases": len(found.mixture.phases), "explained_lines": found.mixture.explained_lines}


def main() -> None:
    """Score the three sets."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--library", required=True, help="dataset with the structures")
    parser.add_argument("--weights", type=Path, help="weights of the network; by default those of the package")
    parser.add_argument("--no-network", action="store_true", help="score the search alone")
    parser.add_argument("--simulated", help="dataset with reflections of which scans are simulated")
    parser.add_argument("--count", type=int, default=200, help="number of simulated scans")
    parser.add_argument("--mixtures", type=int, default=0, help="number of simulated mixtures of two and three phases")
    parser.add_argument("--only", choices=("mixtures",), help="leave out the other parts")
    parser.add_argument("--keep", type=Path, help="folder of fitted candidates: they are kept there, and used again")
    parser.add_argument("--every", type=int, default=1, help="use every Nth measured scan")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folder = shared_data()
    network = None if arguments.no_network else Network(arguments.weights)
    index = open_index(locate(arguments.library))
    print(f"{len(index):,} structures, {N_BINS} bins")
    # Kept by the place of each scan in its set.
    kept = arguments.keep / f"every-{arguments.every}-count-{arguments.count}" if arguments.keep else None
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
    results: dict[str, float] = {}

    def show(name: str, found: dict[str, float]) -> None:
        print(name)
        for key, value in found.items():
            print(f"  {key:34s} {value:.4g}")
        results.update({f"{name}_{key}": round(value, 5) for key, value in found.items()})

    if arguments.mixtures or arguments.only == "mixtures":
        for part, found in mixtures(locate(arguments.library), index, folder, arguments.mixtures or 200):
            show(part, found)
    if arguments.only == "mixtures":
        print(json.dumps(results))
        return
    for name, read in (("rruff_raw", raw), ("rruff_processed", processed)):
        scans = list(read(folder))[:: arguments.every]
        observed = [observe(s.two_theta_deg, s.intensity, s.wavelength_A) for s in scans]
        groups = np.array([s.space_group for s in scans])
        niggli = [s.niggli for s in scans if s.niggli is not None]
        # Processed scans come without formulas and cells.
        keys = [group_of(formula_of(s.name), s.space_group) for s in scans] if niggli else None
        truth = Truth(groups, keys, niggli or None)
        show(name, score(name, index, observed, truth, network, kept))
    if arguments.simulated:
        observed, truth = simulated(arguments.simulated, arguments.count)
        show("simulated", score("simulated", index, observed, truth, network, kept))
    print(json.dumps(results))


if __name__ == "__main__":
    main()
