"""Every check of a verdict: the value found, the limit it was compared with, and the outcome.

Limits are those that `curate` decides by: the settings, and constants imported from the modules that apply them.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Literal, get_args

from curation.labels import CRYSTAL_SYSTEMS
from curation.niggli import NIGGLI_TOLERANCE
from curation.plausible import LARGEST_VOLUME, SHORTEST_CONTACT, SMALLEST_VOLUME
from curation.reasons import REASONS, WARNINGS, Stage
from curation.settings import CurationSettings

if TYPE_CHECKING:
    from curation.verdict import Verdict

Outcome = Literal["passed", "failed", "remark", "not reached", "seen"]
SIMULATION = "simulation"
_STAGES: tuple[str, ...] = (*get_args(Stage), SIMULATION)
_COLOURS = {"passed": "#1a7f37", "failed": "#cf222e", "remark": "#9a6700", "not reached": "#6e7781", "seen": "inherit"}


@dataclass(frozen=True)
class CheckLine:
    """A check, the value found, the limit, and the outcome."""

    check: str
    value: str
    limit: str
    outcome: Outcome


@dataclass(frozen=True, repr=False)
class Explanation:
    """A verdict with all of its checks; prints as a table."""

    title: str
    checks: tuple[CheckLine, ...]

    def __repr__(self) -> str:
        rows = [(check.check, check.value, check.limit, _shown(check)) for check in self.checks]
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        lines = ["  ".join(text.ljust(width) for text, width in zip(row, [*widths, 0], strict=True)) for row in rows]
        return "\n".join([self.title, *(f"  {line.rstrip()}" for line in lines)])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(c.check)}</td><td>{escape(c.value)}</td><td>{escape(c.limit)}</td>"
            f'<td style="color: {_COLOURS[c.outcome]}">{_shown(c)}</td></tr>'
            for c in self.checks
        )
        head = "<tr><th>check</th><th>found</th><th>expected</th><th></th></tr>"
        return f'<p>{escape(self.title)}</p><table style="text-align: left">{head}{rows}</table>'


def explain(verdict: Verdict, settings: CurationSettings) -> Explanation:
    """Return the explanation of a verdict that was reached under these settings."""
    return Explanation(f"{verdict.source_id}: {headline(verdict)}", tuple(checks_of(verdict, settings)))


def _shown(check: CheckLine) -> str:
    return "" if check.outcome == "seen" else check.outcome


def checks_of(verdict: Verdict, settings: CurationSettings) -> list[CheckLine]:
    """Return every check in its order, with what it found."""
    v = verdict
    if _is_of_a_scan(v):
        return []
    reached = len(_STAGES) if v.accepted else _STAGES.index(_stage(v))
    lines = [
        _check("input", _text(v, "source"), "text with a data block", "source", v, reached),
        _check("sandbox", _text(v, "sandbox"), "ends within time and memory", "sandbox", v, reached),
        _check("structure", _text(v, "parse") or _structure(v), "cell, symmetry and atoms", "parse", v, reached),
    ]
    if v.max_occupancy is not None:
        within = v.max_occupancy <= 1 + settings.occupancy_tolerance
        value, limit = f"{v.max_occupancy:g} at most", f"<= 1 + {settings.occupancy_tolerance:g}"
        lines.append(CheckLine("occupancy", value, limit, "passed" if within else "failed"))
    if v.stated_formula is not None:
        differs = "" if v.formula_difference is None else f", atomic fractions differ by {v.formula_difference:.2g}"
        refused = v.reason == "formula_mismatch"
        is_remarked = bool({"formula_mismatch", "formula_unread"} & set(v.warnings))
        outcome: Outcome = "failed" if refused else "remark" if is_remarked else "seen"
        limit = f"<= {settings.max_formula_difference:g} without hydrogen" if differs else ""
        value = f"stated {v.stated_formula}{differs}"
        lines.append(CheckLine("formula", value, limit, outcome))
    too_near = v.reason == "atoms_overlap"
    if too_near or v.min_distance_A is not None:
        value, limit = v.detail if too_near else f"{v.min_distance_A:.3f} A", f">= {settings.min_distance_A:g} A"
        lines.append(CheckLine("closest atoms", value, limit, "failed" if too_near else "passed"))
    lines += _plausibility(v)
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
        lines.append(CheckLine("simulation", text, "a pattern", "failed"))
    lines += [CheckLine("remark", WARNINGS[w].meaning if w in WARNINGS else w, "", "remark") for w in v.warnings]
    return lines


def _plausibility(v: Verdict) -> list[CheckLine]:
    lines = []
    for code, value, limit in (
        ("contact_too_short", v.contact_ratio, f">= {SHORTEST_CONTACT:g} of the radii"),
        ("volume_implausible", v.volume_ratio, f"{SMALLEST_VOLUME:g} to {LARGEST_VOLUME:g} of the usual volume"),
    ):
        if value is not None:
            outcome: Outcome = "failed" if v.reason == code else "remark" if code in v.warnings else "passed"
            where = f"{v.contact}, " if code == "contact_too_short" else ""
            name = "closest contact" if code == "contact_too_short" else "volume of the atoms"
            lines.append(CheckLine(name, f"{where}{value:.2f}", limit, outcome))
    return lines


def _symmetry(v: Verdict) -> list[CheckLine]:
    if not v.space_group_at:
        return [_unseen("space group", "the same at every tolerance", "symmetry", v)]
    lines = []
    tightest = v.space_group_at[0]
    pairs = zip(v.symprec_A, v.angle_tolerance_deg, v.space_group_at, strict=True)
    for symprec, angle, number in pairs:
        outcome: Outcome = "failed" if number is None or number != tightest else "passed"
        name = f"space group at {symprec:g} A, {angle:g} deg"
        lines.append(CheckLine(name, "none found" if number is None else str(number), "the same everywhere", outcome))
    if v.stated_space_group is not None:
        outcome = "seen" if v.stated_space_group == v.space_group else "remark"
        lines.append(CheckLine("space group stated", str(v.stated_space_group), "not used", outcome))
    return lines


def _lattice(v: Verdict, settings: CurationSettings) -> list[CheckLine]:
    lines = []
    if v.niggli is not None:
        a, b, c, alpha, beta, gamma = v.niggli
        cell = f"{a:.4f} {b:.4f} {c:.4f} A, {alpha:.3f} {beta:.3f} {gamma:.3f} deg"
        lines.append(CheckLine("Niggli cell", cell, "", "seen"))
    if v.niggli_determinant is not None:
        lines.append(_near_one("its handedness", v.niggli_determinant))
    if v.niggli_volume_ratio is not None:
        lines.append(_near_one("its volume, relative", v.niggli_volume_ratio))
    if v.niggli_idempotence is not None:
        within = v.niggli_idempotence <= NIGGLI_TOLERANCE
        limit = f"<= {NIGGLI_TOLERANCE:g}"
        value = f"{v.niggli_idempotence:.1e}"
        lines.append(CheckLine("change when reduced again", value, limit, "passed" if within else "failed"))
    if v.lattice_deviation is None:
        return [*lines, _unseen("equalities of the reduced cell", "as its lattice demands", "lattice", v)]
    off = v.lattice_deviation > settings.lattice_tolerance
    value = f"off by {v.lattice_deviation:.1e} from character {v.lattice_character} of {v.bravais_lattice}"
    limit = f"<= {settings.lattice_tolerance:g}"
    return [*lines, CheckLine("equalities of the reduced cell", value, limit, "failed" if off else "passed")]


def _near_one(name: str, value: float) -> CheckLine:
    passed = abs(value - 1) <= NIGGLI_TOLERANCE
    return CheckLine(name, f"{value:.8f}", f"1 within {NIGGLI_TOLERANCE:g}", "passed" if passed else "failed")


def _limit(name: str, value: float | None, limit: str, reason: str, v: Verdict) -> CheckLine:
    """Return a limit on size; the first one exceeded refuses, and later ones are not evaluated."""
    bound = f"{limit} in the conventional cell"
    if v.reason == reason:
        return CheckLine(name, v.detail, bound, "failed")
    seen = "" if value is None else f"{value:.6g}"
    beyond = v.accepted or v.n_reflections is not None or (v.reason == "too_many_atoms" and value is not None)
    return CheckLine(name, seen, bound, "passed" if beyond else "not reached")


def _check(name: str, value: str, limit: str, stage: str, v: Verdict, reached: int) -> CheckLine:
    """Return a stage as a whole: passed if a later one decided, failed if it decided itself."""
    position = _STAGES.index(stage)
    decided_here = position == reached and v.reason != "atoms_overlap"
    outcome: Outcome = "failed" if decided_here else "passed" if position <= reached else "not reached"
    return CheckLine(name, value, limit, outcome)


def _unseen(name: str, limit: str, stage: str, v: Verdict) -> CheckLine:
    """Return a check without a value: not reached, or failed before there was one."""
    text = _text(v, stage)
    return CheckLine(name, text, limit, "failed" if text else "not reached")


def _is_of_a_scan(v: Verdict) -> bool:
    """Return whether no structure was curated: a measured scan refused for itself, or with stated labels only."""
    if v.accepted:
        return v.n_atoms is None
    return v.structure_hash is None and v.reason not in REASONS


def _stage(v: Verdict) -> str:
    """Return the stage that refused a record; one with a hash was accepted by curation and quarantined later."""
    return SIMULATION if v.structure_hash is not None else REASONS[v.reason].stage


def _text(v: Verdict, stage: str) -> str:
    failed_here = not v.accepted and _stage(v) == stage and v.reason != "atoms_overlap"
    return f"{v.reason}: {v.detail}" if failed_here else ""


def _structure(v: Verdict) -> str:
    if v.n_atoms_read is None or v.volume_read is None:
        return ""
    return f"{v.formula}, {v.n_atoms_read} sites in {v.volume_read:.1f} A^3"


def headline(verdict: Verdict) -> str:
    """Return the verdict in one sentence."""
    if not verdict.accepted:
        return f"refused: {verdict.reason}: {verdict.detail}"
    assert verdict.crystal_system is not None
    system = CRYSTAL_SYSTEMS[verdict.crystal_system - 1]
    return f"accepted: {verdict.formula}, space group {verdict.space_group} ({system}), {verdict.split}"
