"""Why did this record end as it did: what every check saw, against its limit, for one or for several matching rows."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from curation.labels import CRYSTAL_SYSTEMS
from curation.reasons import REASONS, WARNINGS, Stage
from curation.settings import CurationSettings
from curation.table import iterate_rows, read_metadata
from curation.verdict import COLUMNS, Verdict
from datagen.errors import PlanError
from datagen.steps.curate import METADATA_KEY, TABLE, UNFINISHED
from datagen.steps.staging import read_staged

Outcome = Literal["passed", "failed", "remark", "not reached", "seen"]
SIMULATION = "simulation"
_STAGES: tuple[str, ...] = (*get_args(Stage), SIMULATION)
_HASH_DIGITS = 6


@dataclass(frozen=True)
class Seen:
    """One line of the answer: a check, what it saw, what it allows, and how that ended."""

    check: str
    value: str
    limit: str
    outcome: Outcome


@dataclass(frozen=True)
class Found:
    """A verdict with the settings it was reached under."""

    verdict: Verdict
    settings: CurationSettings


def tables_in(dataset: Path) -> list[Path]:
    """The finished table of a folder, or the batches of a run that is under way or was interrupted."""
    if dataset.is_file():
        return [dataset]
    if (dataset / TABLE).exists():
        return [dataset / TABLE]
    if parts := sorted((dataset / UNFINISHED).glob("verdicts-*.parquet")):
        return parts
    raise PlanError(
        f"{dataset}: no {TABLE} here and no unfinished curation; say with --dataset where `datagen curate` wrote"
    )


def find(dataset: Path, wanted: str) -> list[Found]:
    """Verdicts on what `wanted` names: an id, source/id, an id's file name, a material's id, or the start of a hash."""
    tables = tables_in(dataset)
    best: list[tuple[Path, int]] = []
    rank = len(_MATCHERS)
    for table in tables:
        columns = ["source", "source_id", "origin", "structure_hash", "claims"]
        for number, row in enumerate(iterate_rows(table, columns, at_once=4096)):
            for i, matches in enumerate(_MATCHERS[: rank + 1]):
                if matches(row, wanted):
                    best, rank = (best if i == rank else []), i
                    best.append((table, number))
                    break
    return [found for table in tables for found in _rows_at(table, [n for t, n in best if t == table])]


def near_misses(dataset: Path, wanted: str, n: int = 5) -> list[str]:
    """Ids that look like what was asked for."""
    ids = [str(row["source_id"]) for t in tables_in(dataset) for row in iterate_rows(t, ["source_id"], at_once=4096)]
    lower = {one.lower(): one for one in ids}
    near = difflib.get_close_matches(wanted.lower(), lower, n=n, cutoff=0.5)
    near += [one for one in lower if wanted.lower() in one and one not in near]
    return [lower[one] for one in near[:n]]


def checks_of(verdict: Verdict, settings: CurationSettings) -> list[Seen]:
    """Every check in its order, with what it saw."""
    v = verdict
    reached = len(_STAGES) if v.accepted else _STAGES.index(_stage(v))
    lines = [
        _check("input", _text(v, "source"), "text with a data block", "source", v, reached),
        _check("sandbox", _text(v, "sandbox"), "ends within time and memory", "sandbox", v, reached),
        _check("structure", _text(v, "parse") or _structure(v), "cell, symmetry and atoms", "parse", v, reached),
    ]
    if v.max_occupancy is not None:
        within = v.max_occupancy <= 1 + settings.occupancy_tolerance
        value, limit = f"{v.max_occupancy:g} at most", f"<= 1 + {settings.occupancy_tolerance:g}"
        lines.append(Seen("occupancy", value, limit, "passed" if within else "failed"))
    if v.stated_formula is not None:
        differs = "" if v.formula_difference is None else f", atomic fractions differ by {v.formula_difference:.2g}"
        outcome: Outcome = "remark" if "formula_mismatch" in v.warnings else "seen"
        value, limit = f"stated {v.stated_formula}{differs}", f"<= {settings.formula_tolerance:g}" if differs else ""
        lines.append(Seen("formula", value, limit, outcome))
    too_near = v.reason == "atoms_overlap"
    if too_near or v.min_distance_A is not None:
        value, limit = v.detail if too_near else f"{v.min_distance_A:.3f} A", f">= {settings.min_distance_A:g} A"
        lines.append(Seen("closest atoms", value, limit, "failed" if too_near else "passed"))
    lines += _symmetry(v)
    lines += _lattice(v, settings)
    lines += [
        _limit("volume", v.volume_conventional, f"< {settings.max_volume_A3:g} A^3", "volume_too_large", v),
        _limit("atoms", v.n_atoms_conventional, f"<= {settings.max_atoms}", "too_many_atoms", v),
        _check(
            "reflections",
            "" if v.n_reflections is None else str(v.n_reflections),
            f">= 1 in {settings.two_theta_min_deg:g}..{settings.two_theta_max_deg:g} deg "
            f"at {settings.energy_keV:g} keV",
            "pattern",
            v,
            reached,
        ),
    ]
    if text := _text(v, SIMULATION):
        lines.append(Seen("simulation", text, "a pattern", "failed"))
    lines += [Seen("remark", WARNINGS[w].meaning if w in WARNINGS else w, "", "remark") for w in v.warnings]
    return lines


def _symmetry(v: Verdict) -> list[Seen]:
    if not v.space_group_at:
        return [_unseen("space group", "the same at every tolerance", "symmetry", v)]
    lines = []
    tightest = v.space_group_at[0]
    pairs = zip(v.symprec_A, v.angle_tolerance_deg, v.space_group_at, strict=True)
    for symprec, angle, number in pairs:
        outcome: Outcome = "failed" if number is None or number != tightest else "passed"
        name = f"space group at {symprec:g} A, {angle:g} deg"
        lines.append(Seen(name, "none found" if number is None else str(number), "the same everywhere", outcome))
    if v.stated_space_group is not None:
        outcome = "seen" if v.stated_space_group == v.space_group else "remark"
        lines.append(Seen("space group stated", str(v.stated_space_group), "not used", outcome))
    return lines


def _lattice(v: Verdict, settings: CurationSettings) -> list[Seen]:
    lines = []
    if v.niggli is not None:
        a, b, c, alpha, beta, gamma = v.niggli
        cell = f"{a:.4f} {b:.4f} {c:.4f} A, {alpha:.3f} {beta:.3f} {gamma:.3f} deg"
        lines.append(Seen("Niggli cell", cell, "", "seen"))
    if v.niggli_determinant is not None:
        lines.append(_near_one("its handedness", v.niggli_determinant))
    if v.niggli_volume_ratio is not None:
        lines.append(_near_one("its volume, relative", v.niggli_volume_ratio))
    if v.niggli_idempotence is not None:
        lines.append(Seen("change when reduced again", f"{v.niggli_idempotence:.1e}", "0", "seen"))
    if v.lattice_deviation is None:
        return [*lines, _unseen("equalities of the reduced cell", "as its lattice demands", "lattice", v)]
    off = v.lattice_deviation > settings.lattice_tolerance
    value = f"off by {v.lattice_deviation:.1e} from character {v.lattice_character} of {v.bravais_lattice}"
    limit = f"<= {settings.lattice_tolerance:g}"
    return [*lines, Seen("equalities of the reduced cell", value, limit, "failed" if off else "passed")]


def _near_one(name: str, value: float) -> Seen:
    return Seen(name, f"{value:.6f}", "+1", "passed" if abs(value - 1) < 1e-4 else "failed")


def _limit(name: str, value: float | None, limit: str, reason: str, v: Verdict) -> Seen:
    """A limit on size; the first that is exceeded refuses, and those behind it are not looked at."""
    bound = f"{limit} in the conventional cell"
    if v.reason == reason:
        return Seen(name, v.detail, bound, "failed")
    seen = "" if value is None else f"{value:.6g}"
    beyond = v.accepted or v.n_reflections is not None or (v.reason == "too_many_atoms" and value is not None)
    return Seen(name, seen, bound, "passed" if beyond else "not reached")


def _check(name: str, value: str, limit: str, stage: str, v: Verdict, reached: int) -> Seen:
    """A stage as a whole: passed where a later one decided, failed where it decided itself."""
    position = _STAGES.index(stage)
    decided_here = position == reached and v.reason != "atoms_overlap"
    outcome: Outcome = "failed" if decided_here else "passed" if position <= reached else "not reached"
    return Seen(name, value, limit, outcome)


def _unseen(name: str, limit: str, stage: str, v: Verdict) -> Seen:
    """A check that left no value: it was not reached, or it could not even be made."""
    text = _text(v, stage)
    return Seen(name, text, limit, "failed" if text else "not reached")


def _stage(v: Verdict) -> str:
    """Where a refused record was stopped: one with a hash was accepted by curation and set aside when simulated."""
    return SIMULATION if v.structure_hash is not None else REASONS[v.reason].stage


def _text(v: Verdict, stage: str) -> str:
    failed_here = not v.accepted and _stage(v) == stage and v.reason != "atoms_overlap"
    return f"{v.reason}: {v.detail}" if failed_here else ""


def _structure(v: Verdict) -> str:
    if v.n_atoms_read is None or v.volume_read is None:
        return ""
    return f"{v.formula}, {v.n_atoms_read} sites in {v.volume_read:.1f} A^3"


def headline(verdict: Verdict) -> str:
    """The verdict in one sentence."""
    if not verdict.accepted:
        return f"refused: {verdict.reason}: {verdict.detail}"
    assert verdict.crystal_system is not None
    system = CRYSTAL_SYSTEMS[verdict.crystal_system - 1]
    return f"accepted: {verdict.formula}, space group {verdict.space_group} ({system}), {verdict.split}"


def _rows_at(table: Path, numbers: list[int]) -> Iterator[Found]:
    if not numbers:
        return
    settings = CurationSettings.model_validate(_fingerprint(table)["curation"])
    wanted = set(numbers)
    for number, row in enumerate(iterate_rows(table)):
        if number in wanted:
            # A dataset's table has columns of its own beside the verdict's.
            yield Found(Verdict.from_row({name: row[name] for name in COLUMNS if name in row}), settings)


def _fingerprint(table: Path) -> dict[str, Any]:
    """What the table, or the unfinished run that a batch belongs to, was made with."""
    about = read_metadata(table).get(METADATA_KEY)
    if about is not None:
        fingerprint: dict[str, Any] = json.loads(about)["fingerprint"]
        return fingerprint
    staged = read_staged(table.parent)
    if staged is None:
        raise PlanError(f"{table}: not a table that `datagen curate` wrote; name its folder with --dataset")
    return staged.fingerprint


def _exactly(row: dict[str, Any], wanted: str) -> bool:
    return wanted in (row["source_id"], f"{row['source']}/{row['source_id']}", f"{row['source']}:{row['source_id']}")


def _by_file_or_claim(row: dict[str, Any], wanted: str) -> bool:
    name = row["source_id"].partition("#")[0]
    last = name.rsplit("/", 1)[-1]
    if wanted in (name, last, last.partition(".")[0], row["origin"]):
        return True
    return row["claims"] != "{}" and wanted in json.loads(row["claims"]).values()


def _by_hash(row: dict[str, Any], wanted: str) -> bool:
    return len(wanted) >= _HASH_DIGITS and (row["structure_hash"] or "").startswith(wanted.lower())


def _carelessly(row: dict[str, Any], wanted: str) -> bool:
    return str(row["source_id"]).casefold() == wanted.casefold()


_MATCHERS = (_exactly, _by_file_or_claim, _by_hash, _carelessly)
"""Best first: rows that match in a better way make the others of no interest."""
