"""A run's snapshot in Prometheus' text format, for the textfile collector of node_exporter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

PREFIX = "datagen"
STATES = ("running", "finished", "failed", "interrupted")
GAUGES = {
    "done": ("phase_done", "Units of the present phase that are done."),
    "total": ("phase_total", "Units of the present phase."),
    "rate_per_s": ("phase_rate_per_second", "Units done per second."),
    "remaining_s": ("phase_remaining_seconds", "Expected time until the phase ends."),
    "workers": ("workers", "Connected workers."),
    "tasks_in_flight": ("tasks_in_flight", "Tasks sent to workers."),
    "waiting_for_workers_s": ("waiting_for_workers_seconds", "Time since a worker was connected."),
    "driver_memory_bytes": ("driver_memory_bytes", "Memory of the driver."),
    "worker_memory_bytes": ("worker_memory_bytes", "Memory of the worker that takes most."),
    "n_patterns": ("patterns", "Patterns made by this run."),
    "n_bytes": ("committed_bytes", "Bytes of the committed shards."),
    "n_quarantined": ("quarantined_structures", "Structures in quarantine."),
}


def metrics_text(snapshot: Mapping[str, Any], unix_time: float) -> str:
    """Return one gauge for each number that the snapshot has."""
    labels = {"dataset": snapshot["dataset"], "phase": snapshot["phase"], "unit": snapshot["unit"]}
    lines: list[str] = []
    for name, (metric, meaning) in GAUGES.items():
        if snapshot[name] is not None:
            chosen = labels if metric.startswith("phase_") else {"dataset": labels["dataset"]}
            lines += _gauge(metric, meaning, [(chosen, snapshot[name])])
    dataset = {"dataset": labels["dataset"]}
    states = [({**dataset, "state": state}, int(state == snapshot["state"])) for state in STATES]
    lines += _gauge("run_state", "1 for the state of the run.", states)
    verdicts = [({**dataset, "verdict": verdict}, count) for verdict, count in sorted(snapshot["verdicts"].items())]
    lines += _gauge("records", "Records by verdict.", verdicts)
    lines += _gauge("updated_timestamp_seconds", "Time of this file.", [(dataset, unix_time)])
    return "\n".join(lines) + "\n"


def _gauge(metric: str, meaning: str, values: Sequence[tuple[Mapping[str, str], float]]) -> Iterator[str]:
    if not values:
        return
    yield f"# HELP {PREFIX}_{metric} {meaning}"
    yield f"# TYPE {PREFIX}_{metric} gauge"
    for labels, value in values:
        said = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())
        yield f"{PREFIX}_{metric}{{{said}}} {float(value):.17g}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
