"""What generated crystals teach: QMixer after a short training on them alone, on open structures alone, and on both.

    datagen curate open_structures.parquet --where "licence != 'unknown'" --out open
    datagen curate generated.toml --out generated
    python -m benchmarks.learning_generated open/curation.parquet generated/curation.parquet --work FOLDER

Takes crystals from the two tables of verdicts, as many of one kind as of the other, those of the larger at random.
Three networks of the small size see the same number of patterns, on one thread. An interrupted command is resumed by
the same command.

All are scored on simulated patterns of open structures of the test split, whose formulas and groups no training
structure has, and on both sets of RRUFF. Networks predict with the frequencies of groups among the crystals that they
were trained on; `generated_prior` is the network of generated crystals with the frequencies among the open structures.
Prints JSON: for each network accuracies, patterns and minutes of a core, and the accuracy of the commonest class.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import Tensor

from benchmarks._data import shared_data
from benchmarks.measured import Scan, figures_of, predicted, processed, raw
from curation.crystal import Crystal
from datagen.simulate.reflections import crystal_reflections
from trainer.data.read_flat_sticks import flat_sticks
from trainer.data.reflections import Reflections
from trainer.models.qmixer import SYSTEM_ENDS
from trainer.prediction.qmixer import Weights, export_weights, load_weights, predict_inputs
from trainer.simulate.axis import CU_KALPHA1_A
from trainer.training.bravais import to_numbers
from trainer.training.fit_qmixer import LAST, QMixerTraining, draw, fit_on
from trainer.training.structures import Structures, join

SEED = 13
D_MIN_A = 1.0
"""Finer planes are beyond the axis of the network at every strain."""
BATCH = 64
PATTERNS_OF_A_TEST_STRUCTURE = 1
FIGURES = ("crystal_system", "space_group", "space_group_top5")
CELL = ("a", "b", "c", "alpha", "beta", "gamma")
COLUMNS = ("structure", "structure_hash", "space_group", "volume", "split", "source_metadata")


def main() -> None:
    """Read crystals, train, evaluate, print."""
    options = argparse.ArgumentParser(description="What do generated crystals teach?")
    options.add_argument("open", type=Path, nargs="?", help="table of `datagen curate` of known crystals")
    options.add_argument("generated", type=Path, nargs="?", help="table of `datagen curate` of generated crystals")
    options.add_argument("--work", type=Path, default=Path("runs/learning-generated"), help="folder of checkpoints")
    options.add_argument("--structures", type=int, default=10_000, help="most crystals of each kind")
    options.add_argument("--patterns", type=int, default=100_000, help="patterns that each network sees")
    options.add_argument("--out", type=Path, help="also write the JSON here")
    given = options.parse_args()
    if given.open is None or given.generated is None:
        print("skipped: name two tables of `datagen curate`, as the docstring says", file=sys.stderr)
        return
    given.work.mkdir(parents=True, exist_ok=True)
    kinds = {name: crystals(getattr(given, name), given.work, name, given.structures) for name in ("open", "generated")}
    made_up = replace(kinds["generated"]["train"], generated=torch.ones(len(kinds["generated"]["train"])).bool())
    natural = kinds["open"]["train"]
    sources = {"generated": made_up, "open": natural, "both": join([natural, made_up])}
    checks = test_patterns(kinds["open"]["test"])
    folder = shared_data()
    scans = {"rruff_raw": list(raw(folder)), "rruff_processed": list(processed(folder))}
    weights, minutes = {}, {}
    for name, train in sources.items():
        out = given.work / name
        weights[name], minutes[name] = trained(train, kinds["open"]["validation"], out, given.patterns)
    weights["generated_prior"] = with_frequencies(weights["generated"], made_up, natural)
    found: dict[str, Any] = {
        "patterns": given.patterns,
        "structures": {name: len(train) for name, train in sources.items()},
        "test_structures": len(kinds["open"]["test"]),
        "minutes": minutes,
        "majority": majority(checks[1], natural),
        "accuracy": {name: accuracies(one, checks, scans) for name, one in weights.items()},
    }
    print(json.dumps(found))
    if given.out:
        given.out.write_text(json.dumps(found, indent=1) + "\n")


def crystals(table: Path, work: Path, name: str, most: int) -> dict[str, Structures]:
    """Return the distinct accepted crystals of a table by split, at most `most` in all; kept in `work`."""
    kept = work / f"{name}.pt"
    if kept.exists():
        return torch.load(kept, weights_only=False)  # type: ignore[no-any-return]
    rows = pq.read_table(
        table, columns=[*COLUMNS, *(f"niggli_{n}" for n in CELL)], filters=[("status", "=", "accepted")]
    ).to_pylist()
    distinct = {row["structure_hash"]: row for row in rows if is_open(row["source_metadata"])}
    hashes = sorted(distinct)
    chosen = sorted(random.Random(SEED).sample(hashes, min(most, len(hashes))))
    print(f"{name}: {len(chosen)} of {len(distinct)} crystals", file=sys.stderr)
    found = {}
    for split in ("train", "validation", "test"):
        here = [distinct[h] for h in chosen if distinct[h]["split"] == split]
        found[split] = structures(here)
    torch.save(found, kept)
    return found


def is_open(source_metadata: str) -> bool:
    """Return whether the source states no licence for the crystal, or one that is known."""
    return json.loads(source_metadata or "{}").get("licence") != "unknown"


def structures(rows: list[dict[str, Any]]) -> Structures:
    """Return reflections and labels of crystals with reflections in the range."""
    reflections, labels = [], []
    for row in rows:
        made = crystal_reflections(Crystal.from_json(row["structure"]), D_MIN_A, (CU_KALPHA1_A,))
        if len(made):
            cell = np.array([row[f"niggli_{n}"] for n in CELL])
            d, f2 = made.d_A.astype(np.float32), made.f2.astype(np.float32)
            none = np.zeros((len(d), 0), dtype=np.float32)
            reflections.append(Reflections(d, f2, none, made.hkl.astype(np.int16), made.rotations, cell, row["volume"]))
            labels.append((row["space_group"] - 1, cell))
    sticks = flat_sticks(reflections)
    seen = np.flatnonzero(sticks.first.diff().numpy()).tolist()
    if len(seen) < len(labels):
        sticks, labels = flat_sticks([reflections[i] for i in seen]), [labels[i] for i in seen]
    numbers = to_numbers(np.array([cell for _, cell in labels]))
    return Structures(
        sticks,
        torch.tensor([group for group, _ in labels]),
        torch.from_numpy(numbers).float(),
        torch.zeros(len(labels), dtype=torch.bool),
        torch.zeros(len(labels), dtype=torch.int64),
        torch.full((len(labels),), D_MIN_A),
    )


def trained(train: Structures, validation: Structures, out: Path, patterns: int) -> tuple[Weights, float]:
    """Train a network, or finish training it; return its weights and the minutes of a core that it took."""
    spent = out / "core_seconds.txt"
    before, began = float(spent.read_text()) if spent.exists() else 0.0, time.process_time()
    # Few patterns need many steps of them, and a short rise of the learning rate.
    rise = min(300, patterns // (10 * BATCH) + 1)
    config = QMixerTraining(patterns=patterns, batch=BATCH, warm_up_steps=rise, save_minutes=1.0, seed=SEED)
    torch.set_num_threads(1)

    def report(values: dict[str, Any]) -> None:
        print(out.name, values, file=sys.stderr)

    try:
        fit_on(config, train, validation, out, resume=(out / LAST).exists(), report=report)
    finally:
        out.mkdir(exist_ok=True)
        seconds = before + time.process_time() - began
        spent.write_text(f"{seconds:.1f}\n")
    export_weights(out / LAST, out / "qmixer.safetensors", {})
    return load_weights(out / "qmixer.safetensors"), round(seconds / 60, 1)


def with_frequencies(weights: Weights, own: Structures, other: Structures) -> Weights:
    """Return the weights with the frequencies of groups among other structures than those they were trained on."""

    def logarithm(structures: Structures) -> Tensor:
        frequency = torch.bincount(structures.space_group, minlength=230).double() + 0.5
        return torch.log(frequency / frequency.sum())

    return replace(weights, log_prior=(weights.log_prior + logarithm(own) - logarithm(other)).float())


def test_patterns(structures: Structures) -> tuple[Tensor, Tensor]:
    """Return inputs and space groups, from 0, of simulated patterns."""
    numbers = torch.arange(len(structures)).repeat(PATTERNS_OF_A_TEST_STRUCTURE)
    inputs, labels = draw(structures, numbers, torch.Generator().manual_seed(SEED))
    return inputs, labels["space_group"]


def accuracies(
    weights: Weights, checks: tuple[Tensor, Tensor], scans: dict[str, list[Scan]]
) -> dict[str, dict[str, float]]:
    """Return the accuracies of a network on simulated and measured patterns."""
    inputs, truth = checks[0], checks[1].numpy()
    predictions = [p for part in inputs.split(64) for p in predict_inputs(weights, part)]
    ranked = np.argsort(-np.array([p.space_group for p in predictions]), axis=1)
    systems = np.array([p.crystal_system.argmax() for p in predictions])
    simulated = {
        "crystal_system": float((systems == np.searchsorted(SYSTEM_ENDS, truth + 1)).mean()),
        "space_group": float((ranked[:, 0] == truth).mean()),
        "space_group_top5": float((ranked[:, :5] == truth[:, None]).any(axis=1).mean()),
    }
    measured = {name: figures_of(predicted(weights, of_set, lines=False), of_set) for name, of_set in scans.items()}
    found = {"simulated": simulated} | {name: {f: values[f] for f in FIGURES} for name, values in measured.items()}
    return {name: {key: round(value, 4) for key, value in values.items()} for name, values in found.items()}


def majority(truth: Tensor, open_train: Structures) -> dict[str, float]:
    """Return the accuracy of the commonest class of the open training structures on the simulated patterns."""
    found = {}
    for name, of in (("crystal_system", _systems), ("space_group", lambda groups: groups)):
        commonest = np.bincount(of(open_train.space_group.numpy())).argmax()
        found[name] = round(float((of(truth.numpy()) == commonest).mean()), 4)
    return found


def _systems(groups: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.searchsorted(SYSTEM_ENDS, groups + 1)


if __name__ == "__main__":
    main()
