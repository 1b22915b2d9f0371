"""Tables of an evaluation on measured scans, for the terminal, Markdown and CSV."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np

from trainer.evaluation.metrics import LATTICE
from trainer.evaluation.tables import Table
from trainer.prediction.scoring.evaluate import ScanEvaluation
from trainer.prediction.scoring.report import USABLE, cell_errors, extinction_classes

SETS = {
    "measured": "Measured",
    "measured_with_structure": "Measured, scans with a structure",
    "simulated": "Simulated patterns of the same structures",
}
TOP_ANSWERS = 5
"""Space groups of each scan that the table of answers lists."""


def scan_tables(report: dict[str, Any]) -> list[Table]:
    """Return the tables of a report of `evaluate_scans`."""
    found = []
    for key, title in SETS.items():
        if key in report:
            found.append(_accuracy(report, report[key], title))
    found += [_by_system(report["measured"]), _cells(report["measured"]), _usable(report["measured"])]
    found += [_distance(report["measured"]), _calibration(report["measured"])]
    if sizes := report["measured"]["ensemble_sizes"]:
        rows = [(str(s["models"]), _percent(s["crystal_system"]), _percent(s["space_group"])) for s in sizes]
        found.append(Table("Accuracy by size of the ensemble", ("models", "crystal system", "space group"), rows))
    return [table for table in found if table.rows]


def _accuracy(report: dict[str, Any], scored: dict[str, Any], title: str) -> Table:
    skipped = f", {report['out_of_range']} more out of range" if report["out_of_range"] else ""
    parts = {"all": scored["all"], **scored["parts"]}
    columns = [_accuracy_column(part) for part in parts.values()]
    rows = [(label, *(column[label] for column in columns)) for label in columns[0]]
    models = f"{report['models']} model{'s' if report['models'] > 1 else ''} of {report['model']}"
    return Table(f"{title}: {models}, {report['split']} split{skipped}", ("", *parts), rows)


def _accuracy_column(part: dict[str, Any]) -> dict[str, str]:
    system, group, extinction = (part[name] or {} for name in ("crystal_system", "space_group", "extinction"))
    return {
        "scans": str(part["scans"]),
        "with a space group": str(part["with_space_group"]),
        "crystal system": _with_width(system),
        "  single models": _percent(system.get("single_models")),
        "  majority class": _percent(system.get("majority")),
        "  drawn from the frequencies": _percent(system.get("prior")),
        "space group": _with_width(group),
        "  among the first 5": _percent(group.get("top5")),
        "  among the first 10": _percent(group.get("top10")),
        "  single models ": _percent(group.get("single_models")),
        "  majority class ": _percent(group.get("majority")),
        "  drawn from the frequencies ": _percent(group.get("prior")),
        "extinction class": _percent(extinction.get("accuracy")),
        "  majority class  ": _percent(extinction.get("majority")),
    }


def _with_width(entry: dict[str, Any]) -> str:
    return f"{_percent(entry['accuracy'])} ± {_percent(entry['half_width'])}" if entry else "-"


def _by_system(scored: dict[str, Any]) -> Table:
    rows = []
    for name, part in scored["by_crystal_system"].items():
        group = part["space_group"] or {}
        accuracies = (part["crystal_system"]["accuracy"], group.get("accuracy"), group.get("top5"))
        rows.append((name, str(part["scans"]), *map(_percent, accuracies)))
    return Table("By crystal system", ("system", "scans", "crystal system", "space group", "top 5"), rows)


def _cells(scored: dict[str, Any]) -> Table:
    cell = scored["all"]["cell"]
    head = ("parameter", "MAE", "MAPE %", "R²", "MAE of the mean")
    if cell is None:
        return Table("Niggli cell", head, [])
    rows = [
        (
            name,
            f"{_number(p['mae'])} ± {_number(p['mae_sigma'])}",
            f"{_number(p['mape_percent'])} ± {_number(p['mape_sigma'])}",
            f"{_number(p['r2'])} ± {_number(p['r2_sigma'])}",
            _number(p["mean_baseline_mae"]),
        )
        for name, p in cell["parameters"].items()
    ]
    rows += [
        (name, _number(m["mae"]), _number(m["mape_percent"]), _number(m["r2"]), _number(m["mean_baseline_mae"]))
        for name, m in (("lengths", cell["lengths"]), ("angles", cell["angles"]))
    ]
    return Table(f"Niggli cell, Å and degrees, {scored['all']['with_cell']} scans", head, rows)


def _usable(scored: dict[str, Any]) -> Table:
    rows = []
    for name, part in {"all": scored["all"], **scored["parts"]}.items():
        if (cell := part["cell"]) is not None:
            usable = (_percent(cell["usable"][limit]) for limit in USABLE)
            rows.append((name, str(part["with_cell"]), *usable, _percent(cell["median_length_error"])))
    head = ("scans", "number", "1 %, 1°", "5 %, 3°", "median length error")
    return Table("Usable cells: every length and angle within, edges in any order", head, rows)


def _distance(scored: dict[str, Any]) -> Table:
    distance = scored["all"]["graph_distance"] or {"share": [], "cumulative": []}
    rows = [
        (str(n), _percent(share), _percent(total))
        for n, (share, total) in enumerate(zip(distance["share"], distance["cumulative"], strict=True))
    ]
    return Table("Steps from the true space group", ("steps", "share", "up to it"), rows)


def _calibration(scored: dict[str, Any]) -> Table:
    rows = []
    for name, part in {"all": scored["all"], **scored["parts"]}.items():
        for target in ("crystal_system", "space_group"):
            if (entry := part[target]) is not None:
                sure = (f"{_percent(c['accuracy'])} of {_percent(c['share'])}" for c in entry["confident"].values())
                likelihood = _number(entry["negative_log_likelihood"])
                rows.append((name, target.replace("_", " "), _number(entry["calibration"]["error"]), likelihood, *sure))
    head = ("scans", "target", "ECE", "-log p", "right at p ≥ 0.5", "at p ≥ 0.7", "at p ≥ 0.9")
    return Table("Calibration: accuracy of confident answers, of their share of the scans", head, rows)


def answers_csv(found: ScanEvaluation, symbols: tuple[str, ...]) -> str:
    """Return a table with the answer for every scan beside its labels."""
    truths, classes = found.truths, extinction_classes()
    groups, systems = found.answers.space_group.mean(axis=0), found.answers.crystal_system.mean(axis=0)
    cells = found.answers.lattice.mean(axis=0)
    lengths, angles = cell_errors(cells, truths.niggli)
    best = lengths.argmin(axis=1)
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(
        [
            *("source", "scan", "formula", "seen", "crystal_system", "predicted_crystal_system", "probability_system"),
            *(
                "space_group",
                "predicted_space_group",
                "predicted_symbol",
                "probability_group",
                "rank",
                "extinction_right",
            ),
            *("top_groups", *LATTICE, *(f"predicted_{name}" for name in LATTICE)),
            *("length_error", "angle_error_deg"),
        ]
    )
    for i in range(len(truths)):
        order = np.argsort(-groups[i])
        truth, system, chosen = int(truths.space_group[i]), int(truths.crystal_system[i]), int(systems[i].argmax())
        known = truth >= 0
        writer.writerow(
            [
                truths.source[i],
                truths.name[i],
                truths.formula[i],
                bool(truths.seen[i]) if truths.seen[i] >= 0 else "",
                found.names[system] if system >= 0 else "",
                found.names[chosen],
                f"{systems[i, chosen]:.4f}",
                truth + 1 if known else "",
                int(order[0]) + 1,
                symbols[order[0]],
                f"{groups[i, order[0]]:.4f}",
                int(np.flatnonzero(order == truth)[0]) + 1 if known else "",
                bool(classes[order[0]] == classes[truth]) if known else "",
                " ".join(f"{g + 1}:{groups[i, g]:.3f}" for g in order[:TOP_ANSWERS].tolist()),
                *(f"{v:.5g}" if np.isfinite(v) else "" for v in truths.niggli[i]),
                *(f"{v:.5g}" for v in cells[i]),
                *(f"{e[i, best[i]]:.4g}" if np.isfinite(e[i, best[i]]) else "" for e in (lengths, angles)),
            ]
        )
    return text.getvalue()


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
