"""Curation of a staged batch of records into a table of verdicts, each record inside a sandbox."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from catalogs.atomic_write import sha256_of
from catalogs.record import Record
from curation.sandbox import Limits, Sandbox, SandboxFailure, borrowed_sandbox
from curation.settings import CurationSettings
from curation.table import iterate_rows, read_metadata, record_from_row, record_to_row, write_verdicts
from curation.verdict import Verdict

FACTORY = "curation.batch:curator"
ACCEPTED = "accepted"
_RECEIPT = "receipt"
_UNREPRODUCIBLE = "seconds"
MOST_CRASHES, MOST_OUTPUT = 64, 16_000
"""Crashes whose output a receipt has, and characters of it in all: a receipt passes through the scheduler."""

_SALT = """data_warm_up
_cell_length_a 5.64
_cell_length_b 5.64
_cell_length_c 5.64
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt 'F m -3 m'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Na Na 0 0 0
Cl Cl 0.5 0.5 0.5
"""
"""Halite, curated at the start, so that imports and compilation do not count for the first record."""


@dataclass(frozen=True)
class Receipt:
    """Summary of a curated batch, returned by a task instead of the verdicts."""

    batch: str
    """Name of the batch file."""
    rows: int
    counts: dict[str, int]
    """Rows accepted, and refused by reason."""
    seconds: float
    """Clock time for the batch."""
    content_sha256: str
    """SHA-256 of all values except timings: equal for equal input, settings and code."""
    crashes: tuple[dict[str, str], ...] = ()
    """The first records that ended their sandbox: id, reason and the end of the output."""

    def to_json(self) -> str:
        """Return one line of JSON."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Receipt:
        """Return the receipt of `to_json`."""
        content = json.loads(text)
        return cls(**{**content, "crashes": tuple(content["crashes"])})


def curate_batch(
    batch_path: Path,
    out_path: Path,
    settings: CurationSettings,
    limits: Limits,
    *,
    key: str = "",
    batch_sha256: str | None = None,
    sandbox: Sandbox | None = None,
    on_verdict: Callable[[dict[str, Any]], None] | None = None,
) -> Receipt:
    """Curate every record of a batch, write the verdicts atomically to `out_path`, and return the receipt.

    The result depends only on batch and settings, except for timings. `key` identifies the run and is stored in the
    file for `read_receipt`, beside the checksum of the batch. Raises ValueError if the batch is not that of
    `batch_sha256`, since it was written again after the task was given. Without `sandbox`, one that stays warm in this
    process is used. `on_verdict` is called with each row.
    """
    began = time.monotonic()
    rows: list[dict[str, Any]] = []
    crashes: list[dict[str, str]] = []
    counts: Counter[str] = Counter()
    content = hashlib.sha256()
    found_sha256 = sha256_of(batch_path)
    if batch_sha256 is not None and found_sha256 != batch_sha256:
        raise ValueError(f"{batch_path}: expected SHA-256 {batch_sha256}, found {found_sha256}: it was written again")
    with ExitStack() as stack:
        if sandbox is None:
            sandbox = stack.enter_context(borrowed_sandbox(FACTORY, settings.model_dump(mode="json"), limits))
        for record_row in iterate_rows(batch_path):
            row = _curated(record_row, sandbox, crashes)
            rows.append(row)
            counts[row["reason"] or ACCEPTED] += 1
            reproducible = {name: value for name, value in row.items() if name != _UNREPRODUCIBLE}
            content.update(json.dumps(reproducible, sort_keys=True).encode())
            if on_verdict is not None:
                on_verdict(row)
    receipt = Receipt(
        batch=batch_path.name,
        rows=len(rows),
        counts=dict(sorted(counts.items())),
        seconds=time.monotonic() - began,
        content_sha256=content.hexdigest(),
        crashes=tuple(crashes),
    )
    write_verdicts(rows, out_path, {_RECEIPT: receipt.to_json(), "key": key, "batch_sha256": found_sha256})
    return receipt


def read_receipt(out_path: Path, *, key: str, batch_sha256: str) -> Receipt | None:
    """Return the receipt of a batch already curated with this key and content, or None."""
    try:
        said = read_metadata(out_path)
    except (OSError, ValueError):  # includes pyarrow's errors on damaged files
        return None
    if said.get("key") != key or said.get("batch_sha256") != batch_sha256:
        return None
    return Receipt.from_json(said[_RECEIPT])


def curator(settings_json: dict[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return the function that converts a staged row to a verdict's row; it runs in the sandbox."""
    from curation.curate import curate_record

    settings = CurationSettings.model_validate(settings_json)

    def work(row: dict[str, Any]) -> dict[str, Any]:
        return curate_record(record_from_row(row), settings).to_row()

    work(record_to_row(Record("", "", _SALT, "", "")))
    return work


def _curated(record_row: dict[str, Any], sandbox: Sandbox, crashes: list[dict[str, str]]) -> dict[str, Any]:
    """Return a verdict's row, from the sandbox or about its failure."""
    if record_row["defect_reason"] is not None:
        reason, detail = record_row["defect_reason"], record_row["defect_detail"]
        return Verdict.refusal(record_from_row(record_row), reason, detail).to_row()
    outcome = sandbox.call(record_row)
    if not isinstance(outcome, SandboxFailure):
        row: dict[str, Any] = outcome
        return row
    reason = "internal_error" if outcome.reason == "raised" else outcome.reason
    room = MOST_OUTPUT - sum(len(crash["output"]) for crash in crashes)
    if len(crashes) < MOST_CRASHES:
        output = outcome.output[-room:] if room > 0 else ""
        crashes.append({"source_id": record_row["source_id"], "reason": reason, "output": output})
    verdict = Verdict.refusal(record_from_row(record_row), reason, outcome.detail, seconds=outcome.seconds)
    return verdict.to_row()
