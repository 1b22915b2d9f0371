"""One pattern made again from the dataset alone and held against the stored one."""

from __future__ import annotations

import difflib
import operator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen.errors import StoreError
from datagen.inspect.reflections import different, made_again, stored_reflections
from datagen.inspect.regenerate import Regenerated, regenerate, simulation_settings, table_lines
from datagen.steps.row import STRAINED_CELL, strained_cells
from datagen.store import files, reading
from datagen.store.bounded_table import CURATION_TABLE, read_batches
from datagen.store.damaged import damage_explained
from datagen.store.location import Where, location_of
from datagen.store.quantise import dequantise
from datagen.store.schema import Layout

Pattern = NDArray[np.float32]
OUT_SUFFIXES = (".png", ".csv", ".npz")


@dataclass(frozen=True)
class Replay:
    """The comparison, and what stands behind the pattern."""

    facts: dict[str, str]
    difference_steps: int
    """Largest difference in quantisation steps; 0: equal bit for bit."""
    different: tuple[str, ...] = ()
    """Variables of the reflections that differ, of a dataset without patterns."""


def replay(dataset: Where, identifier: str, augmentation: int, out: Path | None = None) -> Replay:
    """Regenerate one pattern of the structure called `identifier` and compare; `out` gets both patterns."""
    layout = reading.read_layout(dataset)
    if out is not None and out.suffix not in OUT_SUFFIXES:
        raise StoreError(f"{out}: expected a name ending in {', '.join(OUT_SUFFIXES)}")
    line = find_line(dataset, identifier)
    if not layout.with_patterns:
        return _reflections(dataset, line, augmentation, out)
    if not 0 <= augmentation < layout.n_augmentations:
        raise StoreError(
            f"{dataset}: expected an augmentation from 0 to {layout.n_augmentations - 1}, found {augmentation}"
        )
    with damage_explained(dataset, CURATION_TABLE):
        row = operator.index(line["row"])
    made = regenerate(dataset, row, [augmentation])
    with damage_explained(dataset, f"pattern {augmentation} of row {row}"):
        kept = np.asarray(reading.open_array(dataset, "pattern")[row, augmentation])
    two_theta_deg = simulation_settings(dataset).instrument.two_theta_deg
    if out is not None:
        title = f"{line['formula']}, {line['source_id']}"
        with files.disk_errors_explained(out):
            _write(out, two_theta_deg, dequantise(kept), dequantise(made.stored[0]), title)
    difference = int(np.abs(kept.astype(np.int64) - made.stored[0].astype(np.int64)).max())
    return Replay(_facts(line, made, layout), difference)


def _reflections(dataset: Where, line: dict[str, Any], augmentation: int, out: Path | None) -> Replay:
    """Compare the reflections of a structure, where there are no patterns."""
    if augmentation or out is not None:
        raise StoreError(
            f"{dataset}: has reflections only; expected no --augmentation and no --out. datagen render makes patterns"
        )
    with damage_explained(dataset, CURATION_TABLE):
        row = operator.index(line["row"])
    stored = stored_reflections(dataset, row)
    facts = {**_structure(line, row), "reflections": str(len(stored["reflection_d"]))}
    return Replay(facts, 0, tuple(different(stored, made_again(dataset, row))))


def find_line(dataset: Where, identifier: str) -> dict[str, Any]:
    """The curation table's line for a source id, a structure hash or a row number that is in the dataset."""
    matches = table_lines(dataset, [("source_id", "=", identifier)]) or table_lines(
        dataset, [("structure_hash", "=", identifier)]
    )
    if not matches and identifier.isdigit():
        matches = table_lines(dataset, [("row", "=", int(identifier))])
    if not matches:
        with damage_explained(dataset, CURATION_TABLE), location_of(dataset).arrow_file(CURATION_TABLE) as table:
            known = [str(name) for part in read_batches(table, ["source_id"]) for name in part["source_id"].to_pylist()]
        near = difflib.get_close_matches(identifier, known, n=3, cutoff=0.5)
        meant = f"; did you mean {', '.join(near)}?" if near else ""
        raise StoreError(f"{dataset}: no structure is called {identifier}{meant}")
    in_dataset = [line for line in matches if line.get("row") is not None]
    if not in_dataset:
        return _without_row(dataset, identifier, matches[0])
    return in_dataset[0]


def _without_row(dataset: Where, identifier: str, line: dict[str, Any]) -> dict[str, Any]:
    """Return the first of duplicates; raise for a refusal, which has no patterns."""
    if line["duplicate_of"] is not None:
        same = table_lines(dataset, [("structure_hash", "=", line["structure_hash"])])
        for other in same:
            if other["row"] is not None:
                return other
    raise StoreError(
        f"{dataset}: {identifier} was refused ({line['reason']}: {line['detail']}), so it has no patterns; "
        f"datagen explain tells what every check saw"
    )


def _facts(line: dict[str, Any], made: Regenerated, layout: Layout) -> dict[str, str]:
    facts = _structure(line, made.row)
    stored = {"index", *(draw.name for draw in (*layout.draws, *layout.extra_draws))}
    columns = made.drawn.columns()
    if STRAINED_CELL in stored:
        columns[STRAINED_CELL] = strained_cells(made.patterns, made.drawn, made.crystal)
    for name, values in columns.items():
        if name in stored:
            facts[name] = " ".join(f"{v:.6g}" for v in np.ravel(values[0]))
    facts["reflections"] = str(len(made.patterns.sticks.two_theta_deg))
    return facts


def _structure(line: dict[str, Any], row: int) -> dict[str, str]:
    return {
        "structure": f"{line['formula']}, space group {line['space_group']}, from {line['source']}",
        "source id": line["source_id"],
        "hash": line["structure_hash"],
        "row": str(row),
    }


def _write(out: Path, two_theta_deg: NDArray[np.float64], kept: Pattern, made: Pattern, title: str) -> None:
    columns: dict[str, NDArray[Any]] = {"two_theta_deg": two_theta_deg, "stored": kept, "made_again": made}
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".npz":
        np.savez_compressed(out, **columns)  # type: ignore[arg-type]
    elif out.suffix == ".csv":
        table = np.stack(list(columns.values()), axis=1)
        np.savetxt(out, table, delimiter=",", header=",".join(columns), comments="", fmt="%.7g")
    else:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 4), layout="constrained")
        axes = figure.add_subplot()
        axes.plot(two_theta_deg, kept, lw=0.9, label="stored")
        axes.plot(two_theta_deg, made - 0.05, lw=0.9, label="made again, shifted down")
        axes.set(xlabel="2θ (deg)", ylabel="intensity, of the maximum")
        axes.set_title(title, parse_math=False)  # a source id may hold $ signs
        axes.legend()
        figure.savefig(out, dpi=150)
