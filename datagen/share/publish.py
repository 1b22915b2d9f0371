"""Publish a dataset: redacted, verified, described, read-only."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from datagen.errors import ConfigError, StoreError
from datagen.inspect.browse.page import PAGE, page_beside_zip, page_bytes
from datagen.inspect.verify import verify
from datagen.progress import Display, one_line
from datagen.share.card import CARD, card
from datagen.share.citation import CITATION, citation
from datagen.share.compose import Recipe, compose, layout_of_rows, private_folder, refuse_taken, rename_into_place
from datagen.share.curation_table import SourceRow, source_metadata_by_catalog, source_metadata_of, write_lines
from datagen.share.facts import Naming, facts_of
from datagen.share.finished import FinishedDataset, open_finished
from datagen.share.hub import check_hub_destination, upload_to_hub
from datagen.share.labels_table import LABELS_TABLE, write_labels
from datagen.share.licences import LicenceSummary, Terms, summary
from datagen.share.manifest import entries, write_manifest, write_zip
from datagen.share.metadata import CROISSANT, SCHEMA_ORG, croissant, schema_org
from datagen.share.origins import PUBLICATION, derived_attributes
from datagen.share.published_settings import published_attributes, published_table_metadata
from datagen.share.redact import (
    TABLE_COLUMNS,
    open_line,
    published_source_metadata,
    redacted_line,
    redacted_values,
)
from datagen.share.reflections_table import REFLECTIONS_TABLE, write_reflections
from datagen.share.upload import check_destination, upload
from datagen.simulate.phase_library import LIBRARY_FILE, Phase, library, load_library
from datagen.store import files, hub_address
from datagen.store.shard_reader import Value

ZIP = ".zarr.zip"


def licence_summaries(dataset: Path, terms: Terms) -> list[LicenceSummary]:
    """Return what would be published and withheld by licence, without writing anything."""
    return summary(open_finished(dataset).column("licence").tolist(), terms)


def source_metadata_names(dataset: Path, terms: Terms) -> tuple[list[str], list[str]]:
    """Return the names of the source metadata that open rows keep, and of those that are withheld."""
    return _source_metadata(open_finished(dataset), terms)


def _source_metadata(source: FinishedDataset, terms: Terms) -> tuple[list[str], list[str]]:
    by_catalog = source_metadata_by_catalog(source)
    known = set().union(*by_catalog.values())
    if unknown := sorted(set(terms.source_metadata) - known):
        raise ConfigError(
            f"--source-metadata {unknown[0]}: no structure of {source.path} has it; expected one of "
            f"{one_line(', '.join(sorted(known))) or 'none'}"
        )
    allowed = published_source_metadata(source.configuration["catalog"], terms.source_metadata)
    kept = {name for catalog, names in by_catalog.items() for name in names & allowed.get(catalog, set())}
    return sorted(kept), sorted(known - kept)


def publish(
    dataset: Path, dest: Path, naming: Naming, terms: Terms, display: Display | None = None, *, page: bool = False
) -> None:
    """Write the publication to a folder, or to one file if the name ends in `.zarr.zip`.

    With `page`, the page to look at it is written into the folder, or beside the zip.

    Raises unless the dataset is complete and every checksum holds. Equal dataset, naming and terms give equal bytes.
    """
    refuse_taken(dest)
    if page and terms.profile == "labels":
        raise ConfigError("--page: expected a profile with arrays, found labels; leave the page out")
    beside = page_beside_zip(dest)
    if page and dest.name.endswith(ZIP) and not (beside.is_file() and beside.read_bytes() == page_bytes()):
        refuse_taken(beside)
    source = open_finished(dataset)
    if PUBLICATION in source.attributes:
        version = source.attributes[PUBLICATION]["version"]
        raise StoreError(f"{dataset}: is already a publication (version {version}); copy it instead")
    if terms.source_metadata:
        _source_metadata(source, terms)
    if terms.profile == "labels":
        if dest.name.endswith(ZIP):
            raise ConfigError(f"{dest}: expected a folder, not a {ZIP}: labels are a table without arrays")
        verify(dataset, display=display)
        _publish_labels(source, dest, naming, terms)
        return
    if source.layout.measured and terms.restricted != "leave-out":
        _refuse_restricted_scans(source, terms)
    _refuse_restricted_phases(source, terms)
    rows: list[SourceRow] = [
        (0, row) for row, licence in enumerate(source.column("licence")) if terms.publishes(licence)
    ]
    if not rows:
        raise StoreError(f"{dataset}: no structure may be published under these terms; nothing was written")
    compose(dest, _recipe(source, rows, naming, terms, page), display)


def _refuse_restricted_scans(source: FinishedDataset, terms: Terms) -> None:
    """Raise if a scan is restricted: nothing would be left of it without its pattern."""
    closed = sorted({licence for licence in source.column("licence").tolist() if terms.withholds(licence)})
    if closed:
        raise ConfigError(
            f"{source.path}: holds measured scans under {one_line(', '.join(closed), 200)}, which is not an open "
            "licence: leave them out with --restricted leave-out, or declare the licence open"
        )


def _refuse_restricted_phases(source: FinishedDataset, terms: Terms) -> None:
    """Raise if lines of crystals that are to be left out are in the patterns of all others."""
    if terms.restricted == "leave-out" and (closed := _restricted_phases(source, terms)):
        raise ConfigError(
            f"{source.path}: its patterns hold second phases under {one_line(', '.join(closed), 200)}, which is not an "
            "open licence: make it with a phase_library of open crystals, declare the licence open, or redact "
            "restricted structures instead of leaving them out"
        )


def _restricted_phases(source: FinishedDataset, terms: Terms) -> list[str]:
    """Return the licences of second phases that are not open."""
    return sorted({phase.licence for phase in phases_of(source) if not terms.is_open(phase.licence)})


def phases_of(source: FinishedDataset) -> tuple[Phase, ...]:
    """Return the phases of the library that a dataset keeps; none if it is the bundled one."""
    if LIBRARY_FILE not in source.frame:
        return ()
    data = source.bytes_of({LIBRARY_FILE: source.frame[LIBRARY_FILE]})[LIBRARY_FILE]
    return library(load_library(bytes(data)))


def publish_to_url(
    dataset: Path,
    url: str,
    naming: Naming,
    terms: Terms,
    display: Display | None = None,
    *,
    private: bool = False,
    page: bool = False,
) -> None:
    """Publish to an object store or the Hub: write a copy beside the dataset, upload it and remove it.

    A repeated call resumes both writing and uploading. A new repository on the Hub is public unless `private`.
    """
    on_hub = hub_address.is_hub(url)
    if on_hub:
        check_hub_destination(url, naming.version)
        naming = replace(naming, url=naming.url or hub_address.page_url(hub_address.parse(url).repository))
    else:
        check_destination(url)
    source = open_finished(dataset)
    request = json.dumps([source.content, _plain(asdict(naming)), _plain(asdict(terms)), page], sort_keys=True)
    staged = dataset.with_name(f".{dataset.name}.publication-{hashlib.sha256(request.encode()).hexdigest()[:12]}")
    if not staged.exists():  # complete, since it is renamed last; its name has a hash of the request
        publish(dataset, staged, naming, terms, display, page=page)
    if on_hub:
        upload_to_hub(staged, url, naming.version, private=private, display=display)
    else:
        upload(staged, url, display)
    shutil.rmtree(staged)


def _recipe(source: FinishedDataset, rows: list[SourceRow], naming: Naming, terms: Terms, page: bool) -> Recipe:
    licences = source.column("licence").tolist()
    allowed = published_source_metadata(source.configuration["catalog"], terms.source_metadata)
    withheld = [terms.withholds(licence) for licence in licences]

    def change(row: SourceRow, values: dict[str, Value]) -> dict[str, Value]:
        return redacted_values(values) if withheld[row[1]] else values

    def line(entry: dict[str, Any]) -> dict[str, Any]:
        if terms.withholds(entry["licence"]):
            return redacted_line(entry)
        return open_line(entry, source_metadata_of(source, entry), allowed)

    def table(path: Path) -> None:
        write_lines(
            path,
            [source],
            {row: new for new, row in enumerate(rows)},
            {},
            only_rows=terms.restricted == "leave-out",
            columns=TABLE_COLUMNS,
            change=line,
            change_metadata=published_table_metadata,
        )

    def place(finished: Path, out: Path) -> None:
        published = open_finished(finished)
        zipped = out.name.endswith(ZIP)
        _describe(published, finished, naming, terms, page=page and not zipped)
        if zipped:
            refuse_taken(out)
            if page:
                files.write_bytes(page_beside_zip(out), page_bytes())
            write_zip(finished, out)
        else:
            rename_into_place(finished, out)

    given = _plain({"terms": asdict(terms)})
    attributes = derived_attributes("publish", [source], [len(rows)], given)
    attributes = published_attributes(attributes) | {
        "title": naming.name,
        PUBLICATION: _plain(asdict(naming) | asdict(terms)),
    }
    layout = layout_of_rows([source], rows, source.layout.n_augmentations)
    kept = terms.profile == "full" and not _restricted_phases(source, terms)
    return Recipe([source], rows, layout, attributes, table, change, keeps_library=kept, place=place)


def _publish_labels(source: FinishedDataset, dest: Path, naming: Naming, terms: Terms) -> None:
    fingerprint = {"source": source.content, **_plain(asdict(naming) | asdict(terms))}
    with private_folder(dest, fingerprint) as making:
        folder = making / "labels"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        _describe(source, folder, naming, terms)
        rename_into_place(folder, dest)


def _describe(dataset: FinishedDataset, folder: Path, naming: Naming, terms: Terms, *, page: bool = False) -> None:
    """Write the card, the labels table, the metadata, the page if wanted, and last the manifest."""
    if not np.any([terms.publishes(licence) for licence in dataset.column("licence").tolist()]):
        raise StoreError(f"{dataset.path}: no structure may be published under these terms; nothing was written")
    facts = facts_of(dataset, naming, terms)
    write_labels(dataset, terms, folder / LABELS_TABLE)
    if facts.has_reflections:
        write_reflections(dataset, terms, folder / REFLECTIONS_TABLE)
    files.write_bytes(folder / CARD, card(facts).encode())
    files.write_bytes(folder / CITATION, citation(facts).encode())
    files.write_bytes(folder / SCHEMA_ORG, files.to_json(schema_org(facts)))
    known = dataset.files if facts.has_arrays else {}
    described = {name: entry for name, entry in entries(folder, known).items() if "/" not in name}
    files.write_bytes(folder / CROISSANT, files.to_json(croissant(facts, described, dataset.layout)))
    if page:
        files.write_bytes(folder / PAGE, page_bytes())
    write_manifest(folder, known)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, tuple | list) else value
