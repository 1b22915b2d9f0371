"""Tables of results, for the terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Table:
    """A titled table of text."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def markdown(self) -> str:
        """Return the table in Markdown."""
        lines = [f"### {self.title}", "", _line(self.head), _line(("---",) * len(self.head))]
        return "\n".join([*lines, *map(_line, self.rows), ""])


def evaluation_tables(report: dict[str, Any]) -> list[Table]:
    """Return the tables of an evaluation."""
    return _lattice_tables(report) if report["model"] == "alphadiffract" else _density_tables(report)


def prediction_tables(name: str, found: dict[str, Any]) -> list[Table]:
    """Return the tables of a prediction; the spread only where it is known."""
    systems, groups, lattice = found["crystal_system"], found["space_group"], found["niggli_lattice"]
    spread = any(entry["spread"] is not None for entry in [*systems, *groups, *lattice.values()])

    def table(title: str, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
        return Table(f"{name}: {title}", *((head, rows) if spread else (head[:-1], [row[:-1] for row in rows])))

    odds = next((e.get("line_odds") for e in found.get("bravais_lattice", [])), None)
    return [
        table(
            "crystal system",
            ("system", "probability", "spread"),
            [(e["name"], _percent(e["probability"]), _percent(e["spread"])) for e in systems],
        ),
        table(
            f"space group, ranked first by {found['decided_by']}" if "decided_by" in found else "space group",
            ("number", "symbol", "probability", "spread"),
            [(str(e["number"]), e["symbol"], _percent(e["probability"]), _percent(e["spread"])) for e in groups],
        ),
        table(
            "Niggli cell" if odds is None else f"Niggli cell (line odds {odds:.0f})",
            ("parameter", "value, Å or °", "spread"),
            [(key, _number(e["value"]), _number(e["spread"])) for key, e in lattice.items()],
        ),
    ]


def _lattice_tables(report: dict[str, Any]) -> list[Table]:
    what = f"{report['patterns']} patterns of {report['structures']} structures, {report['split']} split"
    seen = report.get("structures_of_trained_groups")
    if seen is not None:
        what += f"; {seen} share formula and space group with training structures"
    classes = []
    for name in ("crystal_system", "space_group"):
        entry = report[name]
        classes.append(
            (
                name.replace("_", " "),
                _percent(entry["accuracy"]),
                _percent(entry["half_width"]),
                _percent(entry["majority_baseline"]),
                _percent(entry["margin"]),
            )
        )
    systems = [
        (name, _percent(value), _percent(report["space_group_accuracy_by_crystal_system"].get(name)))
        for name, value in report["crystal_system"]["per_class"].items()
    ]
    distance = report["graph_distance"]
    steps = [
        (str(n), _percent(share), _percent(total))
        for n, (share, total) in enumerate(zip(distance["share"], distance["cumulative"], strict=True))
    ]
    lattice = [
        (
            name,
            f"{_number(entry['mae'])} ± {_number(entry['mae_sigma'])}",
            f"{_number(entry['mape_percent'])} ± {_number(entry['mape_sigma'])}",
            f"{_number(entry['r2'])} ± {_number(entry['r2_sigma'])}",
            _number(entry["mean_baseline_mae"]),
        )
        for name, entry in report["lattice"].items()
    ]
    single = [
        (
            name.replace("_", " "),
            _percent(report[name]["accuracy"]),
            _percent(sum(alone) / len(alone)),
            f"{_percent(min(alone))} to {_percent(max(alone))}",
        )
        for name in ("crystal_system", "space_group")
        if (alone := report[name].get("single_models"))
    ]
    return [
        Table(f"Accuracy: {what}", ("target", "accuracy", "± 95 %", "majority class", "margin"), classes),
        *(
            [Table("Ensemble and its models", ("target", "ensemble", "mean of the models", "models"), single)]
            if single
            else []
        ),
        Table("Accuracy by crystal system", ("system", "crystal system", "space group"), systems),
        Table("Steps from the true space group", ("steps", "share", "up to it"), steps),
        Table("Niggli cell, Å and degrees", ("parameter", "MAE", "MAPE %", "R²", "MAE of the mean"), lattice),
    ]


def _density_tables(report: dict[str, Any]) -> list[Table]:
    n = report["guesses"]
    kinds = (
        ("single sample", ""),
        ("single sample, best of 24 rotations", "rotated_"),
        (f"best of {n} samples and 24 rotations (uses the truth)", "best_"),
        ("mean training density", "mean_"),
    )
    rows = [(label, *(_pair(report[f"{prefix}{metric}"]) for metric in ("ssim", "psnr"))) for label, prefix in kinds]
    title = f"Densities: {report['structures']} structures, {report['split']} split, {report['points']}³ points"
    return [Table(title, ("prediction", "SSIM", "PSNR, dB"), rows)]


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cells) + " |"


def _pair(entry: dict[str, Any]) -> str:
    return f"{_number(entry['mean'])} ± {_number(entry['std'])}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f} %"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
