"""A dataset of measured patterns: accepted scans at the angles of an instrument, beside the scans themselves."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from catalogs.atomic_write import replacing
from curation.labels import CRYSTAL_SYSTEMS
from curation.reasons import REASONS as STRUCTURE_REASONS
from curation.sandbox import Limits
from curation.settings import CurationSettings
from curation.table import COMPRESSION, VERDICT_SCHEMA
from datagen import __version__
from datagen.config.fingerprint import SOFTWARE, CurateJob, engine_statement
from datagen.config.job import Job
from datagen.config.measured import MeasuredSettings
from datagen.config.settings import RunSettings, SimulationSettings, StoreSettings
from datagen.errors import DatagenError
from datagen.inspect.report import write_report
from datagen.inspect.verify import verify
from datagen.measured.bring_scan import bring_scan, stored_scan
from datagen.measured.curate import Examined, ScanVerdict, counts, examine
from datagen.measured.labels import columns_of
from datagen.measured.reasons import REASONS
from datagen.progress import Display, Silence
from datagen.share.compose import private_folder, refuse_taken, rename_into_place
from datagen.share.curation_table import METADATA_KEY
from datagen.share.manifest import file_entry
from datagen.simulate.density.make import DensitySettings
from datagen.simulate.instrument import Instrument
from datagen.simulate.reflections import Reflections, crystal_reflections
from datagen.simulate.refusal import Unsimulable
from datagen.steps.labels import most_reflections, shard_reflections
from datagen.steps.layout import draws
from datagen.steps.row import reflection_values
from datagen.steps.shards import shard_length
from datagen.steps.structures_table import ADDED
from datagen.store import ledger, zarr_store
from datagen.store.bounded_table import CURATION_TABLE
from datagen.store.quantise import quantise
from datagen.store.schema import SPLITS, Layout
from datagen.store.shard_writer import ShardWriter

TITLE = "Measured powder diffraction patterns with the labels of their samples"
LICENCE_NOTE = "Each scan has the terms of its source: see the variable licence."


class NothingAcceptedError(DatagenError):
    """No scan of a collection was accepted."""

    def __init__(self, message: str, verdicts: list[ScanVerdict]) -> None:
        super().__init__(message)
        self.verdicts = verdicts


def write_measured(
    source: Path,
    out: Path,
    settings: MeasuredSettings,
    instrument: Instrument,
    name: str,
    display: Display | None = None,
) -> list[ScanVerdict]:
    """Write the accepted scans of a folder or archive as a dataset, verify it, and return all verdicts.

    Nothing is written unless a scan is accepted, and nothing is overwritten. Equal files and settings give equal bytes.
    """
    display = display or Silence()
    refuse_taken(out)
    examined: list[Examined] = []
    with display.phase("scans", None, "scans"):
        for found in examine(source, settings, instrument, name):
            examined.append(found)
            display.advance(len(examined))
    verdicts = [found.verdict for found in examined]
    accepted = [found for found in examined if found.labels.accepted]
    if not accepted:
        reasons = ", ".join(f"{number} {code}" for code, number in counts(verdicts).items() if number)
        raise NothingAcceptedError(
            f"{source}: none of {len(examined)} scans was accepted ({reasons}); nothing was written", verdicts
        )
    with private_folder(out, _request(verdicts, settings, instrument, name)) as making:
        dataset = making / "dataset"
        _write(dataset, examined, accepted, settings, instrument, display)
        verify(dataset, display=display)
        write_report(dataset)
        rename_into_place(dataset, out)
    return verdicts


def _request(
    verdicts: list[ScanVerdict], settings: MeasuredSettings, instrument: Instrument, name: str
) -> dict[str, Any]:
    """Return what an interrupted attempt must have been asked for, to be finished by this one."""
    return {
        "verdicts": hashlib.sha256(json.dumps([one.as_row() for one in verdicts]).encode()).hexdigest(),
        "settings": settings.model_dump(mode="json"),
        "instrument": instrument.model_dump(mode="json"),
        "name": name,
        "version": __version__,
    }


def _write(
    dataset: Path,
    examined: Sequence[Examined],
    accepted: Sequence[Examined],
    settings: MeasuredSettings,
    instrument: Instrument,
    display: Display,
) -> None:
    labels = columns_of([found.labels for found in accepted], settings.split)
    layout = _layout(accepted, instrument, labels)
    attributes = _attributes(settings, instrument, labels["source"][0])
    zarr_store.create(dataset, layout, labels, instrument.two_theta_deg, attributes)
    keys = []
    with display.phase("write", len(accepted), "scans"):
        for shard in range(layout.n_shards):
            with ShardWriter(dataset, layout, shard) as writer:
                digest = hashlib.sha256()
                for row in layout.rows(shard):
                    values = _row(accepted[row], settings, instrument, layout)
                    digest.update(values["scan_sha256"].tobytes())
                    writer.add(values)
                    display.advance(row + 1)
                keys.append(digest.hexdigest()[:32])
                writer.commit(keys[-1])
    _write_table(dataset, examined, [SPLITS[i] for i in labels["split"].tolist()], attributes["configuration"])
    zarr_store.finalise(dataset, {}, keys)


def _layout(accepted: Sequence[Examined], instrument: Instrument, labels: dict[str, Any]) -> Layout:
    crystals = [found.labels.crystal for found in accepted if found.labels.structure is not None]
    per_shard = shard_length(len(accepted), None)
    return Layout(
        n_structures=len(accepted),
        n_augmentations=1,
        n_points=instrument.n_points,
        structures_per_shard=per_shard,
        shard_reflections=shard_reflections((most_reflections(c, instrument.d_min_A) for c in crystals), per_shard),
        n_lines=len(instrument.lines),
        text_bytes=zarr_store.text_bytes(labels),
        scan_slots=max(found.verdict.points or 1 for found in accepted),
        draws=draws(),
    )


def _row(
    found: Examined, settings: MeasuredSettings, instrument: Instrument, layout: Layout
) -> dict[str, NDArray[Any]]:
    """Return the arrays of a scan: its pattern, the scan itself, and the reflections of its structure."""
    scan, used = found.entry.read(), found.verdict.wavelength_A
    assert used is not None
    stored, maximum = quantise(bring_scan(scan, used, instrument, settings)[None])
    reflections: Reflections | None = None
    if found.labels.structure is not None:
        with suppress(Unsimulable):  # the structure has an element without form factor
            reflections = crystal_reflections(
                found.labels.crystal, instrument.d_min_A, [line.wavelength_A for line in instrument.lines]
            )
    return {
        "pattern": stored,
        "pattern_max": maximum,
        **{draw.name: np.full(1, np.nan) for draw in layout.draws},
        "overlap": np.full(1, np.nan, dtype=np.float32),
        "n_variance_floor": np.zeros(1, dtype=np.int32),
        **reflection_values(reflections, layout),
        **stored_scan(scan, used),
        "has_lattice": np.asarray(found.labels.niggli is not None),
    }


def _attributes(settings: MeasuredSettings, instrument: Instrument, name: str) -> dict[str, Any]:
    simulation = SimulationSettings.model_validate({"instrument": instrument, "augmentation": {"count": 1}})
    job = Job(
        simulation=simulation,
        density=DensitySettings.model_validate({}),
        store=StoreSettings.model_validate({}),
        run=RunSettings.model_validate({}),
    )
    curation = CurateJob((), CurationSettings.model_validate({}), Limits()).fingerprint()
    measured = settings.model_dump(mode="json", include={"protocol", "background", "alpha2"})
    configuration = {**curation, **job.content(), "catalog": [{"name": name, "kind": "measured"}], "measured": measured}
    return {
        "title": TITLE,
        "source": f"pxrd-datagen {__version__}, measured scans",
        "software": {"pxrd-datagen": __version__, **{library: version(library) for library in SOFTWARE}},
        "configuration": configuration,
        "crystal_systems": dict(enumerate(CRYSTAL_SYSTEMS, start=1)),
        "instrument": instrument.model_dump(mode="json"),
        "reflections": job.reflections(),
        "engine": engine_statement("native"),
        "licence_note": LICENCE_NOTE,
    }


def _write_table(
    dataset: Path, examined: Sequence[Examined], splits: Sequence[str], configuration: dict[str, Any]
) -> None:
    """Write the verdict on every scan, refused ones too, and add the table to the ledger."""
    kept = [field for field in VERDICT_SCHEMA if field.name != "seconds"]
    verdicts = [found.verdict for found in examined]
    number = Counter(verdict.reason or verdict.status for verdict in verdicts)
    meanings = {code: REASONS.get(code) or STRUCTURE_REASONS[code].meaning for code in number if code != "accepted"}
    about = {
        "n_records": len(examined),
        "counts": dict(sorted(number.items())),
        "fingerprint": configuration,
        "crystal_systems": dict(enumerate(CRYSTAL_SYSTEMS, start=1)),
        "reasons": dict(sorted(meanings.items())),
    }
    lines, row = [], 0
    for found in examined:
        is_row = found.labels.accepted
        labels = replace(found.labels, split=splits[row]) if is_row else found.labels
        line = {name: value for name, value in labels.to_row().items() if name != "seconds"}
        line |= dict.fromkeys(field.name for field in ADDED) | {"row": row if is_row else None}
        lines.append(line)
        row += is_row
    described = pa.schema([*kept, *ADDED]).with_metadata({METADATA_KEY: json.dumps(about)})
    path = dataset / CURATION_TABLE
    with replacing(path) as temporary:
        pq.write_table(pa.Table.from_pylist(lines, schema=described), temporary, **COMPRESSION)
    frame = ledger.read_frame(dataset) or {}
    ledger.write_frame(dataset, {**frame, CURATION_TABLE: file_entry(path)})
