"""A verdict and a reason for every scan of a collection."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from catalogs.record import Record
from datagen.errors import DatagenError
from datagen.identification.axis import observe
from datagen.measured.agreement import SECOND_PHASE, Agreement, agreement
from datagen.measured.noise import is_calculated, sign_changes
from datagen.measured.reasons import REASONS, WARNINGS
from datagen.measured.source import Entry, entries
from datagen.measured.truth import Truth
from datagen.simulate.instrument import Instrument
from trainer.scans.bring import Grid, uncovered
from trainer.scans.read import read_bytes
from trainer.scans.scan import Scan, ScanError

if TYPE_CHECKING:
    from curation.verdict import Verdict

CELL_TOLERANCE = 3e-3
"""Relative difference of stated volumes: 1e-3 of each length."""


@dataclass(frozen=True)
class ScanVerdict:
    """What was found of a scan. None: not stated, or not reached."""

    pattern: str
    status: str = "accepted"
    reason: str = ""
    detail: str = ""
    warnings: tuple[str, ...] = ()
    truth: str | None = None
    space_group: int | None = None
    crystal_system: int | None = None
    formula: str | None = None
    niggli: tuple[float, ...] | None = None
    wavelength_A: float | None = None
    two_theta_min_deg: float | None = None
    two_theta_max_deg: float | None = None
    points: int | None = None
    unit: str | None = None
    sign_changes: float | None = None
    """Of neighbouring second differences: 0.73 for noise, below 0.45 for calculated profiles."""
    cosine: float | None = None
    explained: float | None = None
    cell_change: float | None = None
    zero_shift_deg: float | None = None
    remarks: tuple[str, ...] = ()

    def as_row(self) -> dict[str, Any]:
        """Return plain values for a table."""
        values = asdict(self)
        for name in ("warnings", "remarks"):
            values[name] = "; ".join(values[name])
        niggli = values.pop("niggli") or (None,) * 6
        names = (f"niggli_{name}" for name in ("a", "b", "c", "alpha", "beta", "gamma"))
        return values | dict(zip(names, niggli, strict=True))


class _Refused(Exception):  # noqa: N818 - a result on its way out, not an error
    def __init__(self, code: str, detail: str) -> None:
        assert code in REASONS
        super().__init__(detail)
        self.code, self.detail = code, detail


def curate_scans(
    source: str | Path, *, wavelength_A: float | None = None, instrument: Instrument | None = None
) -> Iterator[ScanVerdict]:
    """Yield a verdict for every scan of a folder or archive.

    `wavelength_A` is for scans that state none; with an `instrument`, a scan must cover its range of angles.
    """
    seen: dict[str, str] = {}
    structures: dict[str, Verdict] = {}
    for entry in entries(Path(source)):
        facts: dict[str, Any] = {"pattern": entry.name}
        try:
            _check(entry, facts, wavelength_A, instrument, seen, structures)
        except _Refused as refused:
            facts |= {"status": "refused", "reason": refused.code, "detail": refused.detail}
        yield ScanVerdict(**facts)


def _check(
    entry: Entry,
    facts: dict[str, Any],
    wavelength_A: float | None,
    instrument: Instrument | None,
    seen: dict[str, str],
    structures: dict[str, Verdict],
) -> None:
    truth = entry.truth
    scan = _read(entry)
    facts |= {
        "two_theta_min_deg": float(scan.two_theta_deg[0]),
        "two_theta_max_deg": float(scan.two_theta_deg[-1]),
        "points": len(scan.intensity),
        "unit": scan.unit,
        "sign_changes": sign_changes(scan.intensity),
        "remarks": scan.remarks,
    }
    if is_calculated(scan.intensity):
        raise _Refused(
            "calculated",
            f"second differences change sign in {facts['sign_changes']:.0%} of steps, noise does in 73 %; "
            f"{np.mean(scan.intensity == 0):.0%} of intensities are 0",
        )
    digest = hashlib.sha256(scan.intensity.tobytes()).hexdigest()
    if digest in seen:
        raise _Refused("duplicate", f"of {seen[digest]}")
    seen[digest] = entry.name
    used = scan.wavelength_A or (truth.wavelength_A if truth else None) or wavelength_A
    if used is None:
        raise _Refused("wavelength_unknown", "stated by neither the file nor its truth")
    facts["wavelength_A"] = used
    if instrument is not None:
        _check_range(scan, used, instrument)
    if truth is None:
        raise _Refused("no_truth", "no CIF, DIF, table row or label belongs to the file")
    _check_truth(scan, used, truth, facts, structures, entry.name)


def _read(entry: Entry) -> Scan:
    try:
        return read_bytes(entry.name, entry.data())
    except FileNotFoundError:
        raise _Refused("unreadable", "the table names a file that is not there") from None
    except (ScanError, OSError) as error:
        raise _Refused("unreadable", str(error).removeprefix(f"{entry.name}: ")) from error


def _check_range(scan: Scan, wavelength_A: float, instrument: Instrument) -> None:
    to_A = instrument.lines[0].wavelength_A
    grid = Grid(instrument.two_theta_min_deg, instrument.two_theta_max_deg, instrument.n_points, to_A)
    gap = uncovered(scan, grid, wavelength_A)
    if gap is not None:
        raise _Refused("range_incomplete", f"no data between {gap[0]:.2f} and {gap[1]:.2f} degrees at {to_A:g} A")


def _check_truth(
    scan: Scan, wavelength_A: float, truth: Truth, facts: dict[str, Any], structures: dict[str, Verdict], name: str
) -> None:
    facts |= {"truth": truth.source, "space_group": truth.space_group, "formula": truth.formula}
    if truth.cif is None:
        if truth.space_group is None and truth.cell is None:
            raise _Refused("no_truth", f"{truth.source} states neither cell nor space group")
        missing = [] if truth.space_group else ["no_space_group"]
        facts["warnings"] = tuple(sorted(["not_compared", *missing]))
        return
    verdict = _curated(truth.cif, name, structures)
    if verdict.status != "accepted":
        raise _Refused("truth_refused", f"{verdict.reason}: {verdict.detail}")
    facts |= {
        "space_group": verdict.space_group,
        "crystal_system": verdict.crystal_system,
        "formula": verdict.formula,
        "niggli": verdict.niggli,
    }
    _compare_labels(truth, verdict)
    try:
        found = agreement(verdict, observe(scan.two_theta_deg, scan.intensity, wavelength_A))
    except DatagenError as error:
        raise _Refused("range_incomplete", str(error)) from error
    if found is None:
        raise _Refused("pattern_disagrees", "the structure has no reflection in the range")
    facts |= asdict(found)
    if not found.agrees:
        raise _Refused("pattern_disagrees", _described(found))
    if found.explained < SECOND_PHASE:
        facts["warnings"] = ("second_phase_suspected",)


def _curated(cif: str, name: str, structures: dict[str, Verdict]) -> Verdict:
    from curation.curate import curate_record
    from curation.settings import CurationSettings

    key = hashlib.sha256(cif.encode()).hexdigest()
    if key not in structures:
        record = Record("measured", PurePosixPath(name).name, cif, name, "unknown")
        structures[key] = curate_record(record, CurationSettings.model_validate({}))
    return structures[key]


def _compare_labels(truth: Truth, verdict: Verdict) -> None:
    if truth.space_group is not None and truth.space_group != verdict.space_group:
        raise _Refused(
            "labels_disagree", f"space group {truth.space_group} is stated, the structure has {verdict.space_group}"
        )
    stated, read = truth.volume_A3, verdict.volume_read
    if stated and read and abs(stated / read - 1) > CELL_TOLERANCE:
        raise _Refused("labels_disagree", f"a cell of {stated:.2f} A^3 is stated, the structure has one of {read:.2f}")


def _described(found: Agreement) -> str:
    return (
        f"cosine {found.cosine:.2f}, {found.explained:.0%} of the peaks on its lines, cell changed by "
        f"{found.cell_change:.1%}"
    )


def counts(verdicts: list[ScanVerdict]) -> dict[str, int]:
    """Return how many scans were accepted, and refused for each reason."""
    found = {"accepted": sum(v.status == "accepted" for v in verdicts)}
    found |= {code: sum(v.reason == code for v in verdicts) for code in REASONS}
    found |= {f"with {code}": sum(code in v.warnings for v in verdicts) for code in WARNINGS}
    return {name: number for name, number in found.items() if number or name == "accepted"}
