"""A verdict and a reason for every scan of a collection."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from catalogs.record import Record
from curation.curate import curate_record
from curation.settings import CurationSettings
from curation.verdict import Verdict
from datagen.config.measured import MeasuredSettings
from datagen.errors import DatagenError
from datagen.identification.axis import observe
from datagen.measured.agreement import SECOND_PHASE, Agreement, agreement
from datagen.measured.entry import Entry
from datagen.measured.labels import lattice_misfit, verdict_of_statements
from datagen.measured.noise import is_calculated, sign_changes
from datagen.measured.reasons import REASONS, WARNINGS
from datagen.measured.source import entries
from datagen.measured.truth import Truth
from datagen.simulate.instrument import Instrument
from trainer.scans.bring import Grid, uncovered
from trainer.scans.scan import Scan, ScanError

CELL_TOLERANCE = 3e-3
"""Relative difference of stated volumes: 1e-3 of each length."""
LATTICE_TOLERANCE = 1e-3
"""Of a stated cell from the equalities of its Bravais lattice, as in curation."""
TOLERATED = {"alphadiffract": ("calculated", "duplicate", "truth_refused", "pattern_disagrees", "labels_disagree")}
"""Reasons that become warnings under a protocol."""


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
    stated: tuple[tuple[str, str], ...] = ()
    """What the file says of the measurement, name and value."""

    def as_row(self) -> dict[str, Any]:
        """Return plain values for a table."""
        values = asdict(self)
        for name in ("warnings", "remarks"):
            values[name] = "; ".join(values[name])
        values["stated"] = "; ".join(f"{name} {value}" for name, value in self.stated)
        niggli = values.pop("niggli") or (None,) * 6
        names = (f"niggli_{name}" for name in ("a", "b", "c", "alpha", "beta", "gamma"))
        return values | dict(zip(names, niggli, strict=True))


@dataclass(frozen=True)
class Examined:
    """A scan's verdict and the labels that it has, if it was accepted."""

    entry: Entry
    verdict: ScanVerdict
    labels: Verdict
    """Verdict on the structure, or of what is stated; of a refused scan the reason only."""


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
    settings = MeasuredSettings.model_validate({"wavelength_A": wavelength_A})
    yield from (found.verdict for found in examine(source, settings, instrument))


def examine(
    source: str | Path, settings: MeasuredSettings, instrument: Instrument | None = None, name: str = "measured"
) -> Iterator[Examined]:
    """Yield every scan of a folder or archive with verdict and labels; `name` is the source that labels state."""
    curator = _Curator(settings, instrument)
    for entry in entries(Path(source)):
        yield curator.examine(entry, _record(entry, settings, name))


def _record(entry: Entry, settings: MeasuredSettings, name: str) -> Record:
    truth = entry.truth
    licence = (truth.licence if truth else None) or settings.licence
    return Record(name, entry.name, (truth.cif if truth else None) or "", entry.name, licence)


@dataclass
class _Curator:
    settings: MeasuredSettings
    instrument: Instrument | None
    seen: dict[str, str] = field(default_factory=dict)
    structures: dict[str, Verdict] = field(default_factory=dict)

    def examine(self, entry: Entry, record: Record) -> Examined:
        facts: dict[str, Any] = {"pattern": entry.name}
        try:
            labels = self._check(entry, record, facts)
        except _Refused as refused:
            facts |= {"status": "refused", "reason": refused.code, "detail": refused.detail}
            labels = Verdict.refusal(record, refused.code, refused.detail)
        verdict = ScanVerdict(**facts)
        source_metadata = source_metadata_of(verdict)
        if labels.accepted:
            labels = replace(labels, **_provenance(record), source_metadata=source_metadata, warnings=verdict.warnings)
        else:
            labels = replace(labels, source_metadata=source_metadata)
        return Examined(entry, verdict, labels)

    def _refuse(self, facts: dict[str, Any], code: str, detail: str) -> None:
        """Raise the refusal, or make it a warning where the protocol tolerates it."""
        if code not in TOLERATED.get(self.settings.protocol, ()):
            raise _Refused(code, detail)
        facts["warnings"] = tuple(sorted({*facts.get("warnings", ()), code}))

    def _check(self, entry: Entry, record: Record, facts: dict[str, Any]) -> Verdict:
        truth = entry.truth
        scan = _read(entry)
        facts |= {
            "two_theta_min_deg": float(scan.two_theta_deg[0]),
            "two_theta_max_deg": float(scan.two_theta_deg[-1]),
            "points": len(scan.intensity),
            "unit": scan.unit,
            "sign_changes": sign_changes(scan.intensity),
            "remarks": scan.remarks,
            "stated": stated_by(scan),
        }
        if is_calculated(scan.intensity):
            self._refuse(
                facts,
                "calculated",
                f"second differences change sign in {facts['sign_changes']:.0%} of steps, noise does in 73 %; "
                f"{np.mean(scan.intensity == 0):.0%} of intensities are 0",
            )
        digest = hashlib.sha256(scan.intensity.tobytes()).hexdigest()
        if digest in self.seen:
            self._refuse(facts, "duplicate", f"of {self.seen[digest]}")
        self.seen[digest] = entry.name
        used = scan.wavelength_A or (truth.wavelength_A if truth else None) or self.settings.wavelength_A
        if used is None:
            raise _Refused("wavelength_unknown", "stated by neither the file nor its truth")
        facts["wavelength_A"] = used
        if self.instrument is not None:
            _check_range(scan, used, self.instrument)
        if truth is None:
            raise _Refused("no_truth", "no CIF, DIF, table row or label belongs to the file")
        return self._labels(scan, used, truth, record, facts)

    def _labels(self, scan: Scan, wavelength_A: float, truth: Truth, record: Record, facts: dict[str, Any]) -> Verdict:
        facts |= {"truth": truth.source, "space_group": truth.space_group, "formula": truth.formula}
        if truth.cif is None:
            return self._of_statements(truth, record, facts)
        labels = self._curated(record)
        if not labels.accepted:
            self._refuse(facts, "truth_refused", f"{labels.reason}: {labels.detail}")
            return self._of_statements(truth, record, facts)
        facts |= {
            "space_group": labels.space_group,
            "crystal_system": labels.crystal_system,
            "formula": labels.formula,
            "niggli": labels.niggli,
        }
        for difference in _differences(truth, labels):
            self._refuse(facts, "labels_disagree", difference)
        try:
            found = agreement(labels, observe(scan.two_theta_deg, scan.intensity, wavelength_A))
        except DatagenError as error:
            raise _Refused("range_incomplete", str(error)) from error
        if found is None:
            self._refuse(facts, "pattern_disagrees", "the structure has no reflection in the range")
            return labels
        facts |= asdict(found)
        if not found.agrees:
            self._refuse(facts, "pattern_disagrees", _described(found))
        elif found.explained is not None and found.explained < SECOND_PHASE:
            facts["warnings"] = tuple(sorted({*facts.get("warnings", ()), "second_phase_suspected"}))
        return labels

    def _of_statements(self, truth: Truth, record: Record, facts: dict[str, Any]) -> Verdict:
        """Return labels without a structure to compare with."""
        if truth.space_group is None and truth.cell is None:
            raise _Refused("no_truth", f"{truth.source} states neither cell nor space group")
        if self.settings.protocol == "alphadiffract" and (truth.space_group is None or truth.cell is None):
            lacking = "space group" if truth.space_group is None else "cell"
            raise _Refused("no_truth", f"{truth.source} states no {lacking}, which the protocol asks for")
        if truth.space_group is not None and truth.cell is not None:
            misfit = lattice_misfit(truth.cell, truth.space_group)
            if misfit > LATTICE_TOLERANCE:
                raise _Refused(
                    "cell_breaks_symmetry",
                    f"the cell is off the lattice of space group {truth.space_group} by {misfit:.2g}, expected at most "
                    f"{LATTICE_TOLERANCE:g}",
                )
        labels = verdict_of_statements(record, truth)
        missing = [] if truth.space_group else ["no_space_group"]
        facts["warnings"] = tuple(sorted({*facts.get("warnings", ()), "not_compared", *missing}))
        facts |= {"crystal_system": labels.crystal_system, "niggli": labels.niggli}
        return labels

    def _curated(self, record: Record) -> Verdict:
        key = hashlib.sha256(record.text.encode()).hexdigest()
        if key not in self.structures:
            self.structures[key] = curate_record(record, CurationSettings.model_validate({}))
        return self.structures[key]


def _provenance(record: Record) -> dict[str, Any]:
    """Return the provenance of a scan: verdicts on equal structures are shared between scans."""
    return {"source": record.source, "source_id": record.source_id, "origin": record.origin, "licence": record.licence}


def source_metadata_of(verdict: ScanVerdict) -> dict[str, str]:
    """Return what the file and the comparison say of a scan, as text by name; nothing that is not known."""
    values: dict[str, Any] = dict(verdict.stated) | {
        "truth": verdict.truth,
        "wavelength_A": verdict.wavelength_A,
        "two_theta_min_deg": verdict.two_theta_min_deg,
        "two_theta_max_deg": verdict.two_theta_max_deg,
        "points": verdict.points,
        "unit": verdict.unit,
        "sign_changes": verdict.sign_changes,
        "cosine": verdict.cosine,
        "explained": verdict.explained,
        "cell_change": verdict.cell_change,
        "zero_shift_deg": verdict.zero_shift_deg,
        "remarks": "; ".join(verdict.remarks) or None,
    }
    return {
        name: f"{value:.6g}" if isinstance(value, float) else str(value)
        for name, value in values.items()
        if value is not None
    }


def stated_by(scan: Scan) -> tuple[tuple[str, str], ...]:
    """Return what a file states of its measurement: format, sample, radiation, step and counting time."""
    radiation, seconds = scan.radiation, scan.seconds
    values = {
        "format": scan.format,
        "sample": scan.sample,
        "anode": radiation.anode,
        "monochromator": radiation.monochromator,
        "wavelengths_A": " ".join(f"{w:.8g}" for w in radiation.wavelengths_A),
        "alpha2_ratio": "" if radiation.alpha2_ratio is None else f"{radiation.alpha2_ratio:g}",
        "step_deg": f"{scan.step_deg:.6g}",
        "seconds_per_point": "" if seconds is None else f"{float(np.median(seconds)):g}",
        "ranges": "" if scan.ranges == 1 else str(scan.ranges),
    }
    return tuple((name, value) for name, value in values.items() if value)


def _read(entry: Entry) -> Scan:
    try:
        return entry.read()
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


def _differences(truth: Truth, labels: Verdict) -> Iterator[str]:
    if truth.space_group is not None and truth.space_group != labels.space_group:
        yield f"space group {truth.space_group} is stated, the structure has {labels.space_group}"
    stated, read = truth.volume_A3, labels.volume_read
    if stated and read and abs(stated / read - 1) > CELL_TOLERANCE:
        yield f"a cell of {stated:.2f} A^3 is stated, the structure has one of {read:.2f}"


def _described(found: Agreement) -> str:
    share = "an unknown share" if found.explained is None else f"{found.explained:.0%}"
    return f"cosine {found.cosine:.2f}, {share} of the peaks on its lines, cell changed by {found.cell_change:.1%}"


def counts(verdicts: list[ScanVerdict]) -> dict[str, int]:
    """Return how many scans were accepted, and refused for each reason."""
    found = {"accepted": sum(v.status == "accepted" for v in verdicts)}
    found |= {code: sum(v.reason == code for v in verdicts) for code in REASONS}
    found |= {f"with {code}": sum(code in v.warnings for v in verdicts) for code in WARNINGS}
    return {name: number for name, number in found.items() if number or name == "accepted"}
