"""Publish a dataset as a record of Zenodo or of another InvenioRDM server."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from datagen.progress import Display, Silence
from datagen.share.facts import Naming, facts_of
from datagen.share.finished import FinishedDataset, open_finished
from datagen.share.licences import Terms
from datagen.share.metadata import description
from datagen.share.publish import publish
from datagen.share.zenodo import Draft, check_limits, check_naming, metadata_of, pack, parse
from datagen.share.zenodo_client import Client


@dataclass(frozen=True)
class Deposit:
    """A record with all its files, published or not yet."""

    record: str
    doi: str
    page: str
    is_published: bool


def publish_to_zenodo(
    dataset: Path,
    dest: str,
    naming: Naming,
    terms: Terms,
    confirm: Callable[[Deposit], bool],
    display: Display | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Deposit:
    """Reserve a DOI, write the publication with it, upload it, and publish it if `confirm` returns true.

    A draft is left otherwise, which a repeated call continues; it also resumes an interrupted one.
    """
    display = display or Silence()
    record = parse(dest)
    check_naming(dest, naming)
    client = Client(sleep=sleep)
    source = open_finished(dataset)
    check_limits(dest, 1, _least_bytes(source, terms))
    request = json.dumps([client.server, record, source.content, asdict(naming), asdict(terms)], sort_keys=True)
    name = f".{dataset.name}.deposit-{hashlib.sha256(request.encode()).hexdigest()[:12]}"
    publication, packed = dataset.with_name(f"{name}.zarr"), dataset.with_name(name)
    draft = Draft(client, dataset.with_name(f"{name}.json"))
    facts = facts_of(source, naming, terms)
    metadata = metadata_of(naming, facts, description(facts))
    draft.begin(record, metadata)

    naming = replace(naming, url=f"https://doi.org/{draft.doi}")
    if not publication.exists():  # complete, since it is renamed last
        publish(dataset, publication, naming, terms, display)
    pack(publication, packed, f"{dataset.name.split('.')[0]}-{naming.version}")
    paths = list(packed.iterdir())
    check_limits(dest, len(paths), sum(path.stat().st_size for path in paths))
    draft.upload(packed, metadata, display)
    deposit = Deposit(draft.id, draft.doi, f"{client.server}/uploads/{draft.id}", is_published=False)
    if not confirm(deposit):
        return deposit
    client.publish(draft.id)
    draft.forget()
    for folder in (publication, packed):
        shutil.rmtree(folder)
    return replace(deposit, page=f"{client.server}/records/{draft.id}", is_published=True)


def _least_bytes(source: FinishedDataset, terms: Terms) -> int:
    """Return the size of the patterns that are published at least: a refusal before anything is written."""
    if terms.profile == "labels":
        return 0
    licences = source.column("licence").tolist()
    kept = sum(terms.publishes(licence) for licence in licences)
    patterns = sum(int(entry["size"]) for name, entry in source.files.items() if name.startswith("pattern/"))
    return patterns * kept // (2 * max(len(licences), 1))  # half of them, since rows differ in size
