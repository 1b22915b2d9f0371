"""Publish to Zenodo: reserve a DOI, write it into the publication, upload, and publish when confirmed."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

from datagen.errors import ConfigError, StoreError
from datagen.progress import Display, one_line, size
from datagen.share.card import CARD
from datagen.share.citation import CITATION
from datagen.share.facts import Facts, Naming
from datagen.share.labels_table import LABELS_TABLE
from datagen.share.manifest import write_zips
from datagen.share.zenodo_client import Client, RecordNotFoundError
from datagen.store import files

SCHEME = "zenodo:"
MAX_BYTES, MAX_FILES = 50 * 10**9, 100
"""Limits of a record, https://help.zenodo.org/docs/deposit/about-records/."""
PART_BYTES = 2 * 10**9
"""A larger publication is divided into zips of this size, since a file whose upload is cut is sent again."""
_ALONE = (CARD, LABELS_TABLE, CITATION)
"""Files that are also uploaded by themselves, so that the record's page shows them."""
_FORM = re.compile(r"zenodo:(\d+|[a-z0-9]{5}-[a-z0-9]{5})?")
_RIGHTS = {"CC-BY-4.0": "cc-by-4.0", "CC0-1.0": "cc0-1.0", "CC-BY-SA-4.0": "cc-by-sa-4.0"}


def parse(dest: str) -> str | None:
    """Return the record of which a new version is published; None for a new record."""
    found = _FORM.fullmatch(dest)
    if found is None:
        raise ConfigError(
            f"{one_line(dest, 200)}: expected zenodo: for a new record, or zenodo:RECORD, such as "
            "zenodo:1234567, for a new version of a record"
        )
    return found[1]


class Draft:
    """The draft of a record, remembered in a file beside the dataset so that a re-run resumes it."""

    def __init__(self, client: Client, state: Path) -> None:
        self._client, self._state = client, state
        self.id, self.doi = "", ""

    def begin(self, record: str | None, metadata: dict[str, Any]) -> None:
        """Make or resume the draft, and reserve its DOI."""
        if self._state.exists():
            draft = self._resumed(json.loads(self._state.read_bytes()))
        else:
            draft = self._client.new_draft(metadata) if record is None else self._client.new_version(record)
            self._remember(draft["id"])
        self.id = str(draft["id"])
        self.doi = self._client.reserve_doi(draft)

    def _resumed(self, state: dict[str, str]) -> dict[str, Any]:
        try:
            return self._client.draft(state["draft"])
        except RecordNotFoundError:
            raise StoreError(
                f"{self._client.server}: the draft {state['draft']} was published or discarded; to begin a new one, "
                f"remove {self._state}"
            ) from None

    def _remember(self, draft: object) -> None:
        content = {"server": self._client.server, "draft": str(draft)}
        files.write_bytes(self._state, files.to_json(content))

    def upload(self, folder: Path, metadata: dict[str, Any], display: Display) -> None:
        """Send the files that the draft does not have, and its metadata; delete others."""
        self._client.update(self._client.draft(self.id), metadata)
        paths = sorted(folder.iterdir())
        there = self._client.files(self.id)
        for name in there.keys() - {path.name for path in paths}:
            self._client.delete(self.id, name)
        sent = 0
        with display.phase("upload", len(paths), "files"):
            for count, path in enumerate(paths, start=1):
                checksum = md5_of(path)
                entry = there.get(path.name)
                if entry is None or entry.get("status") != "completed" or entry.get("checksum") != checksum:
                    if entry is not None:
                        self._client.delete(self.id, path.name)
                    found = self._client.upload(self.id, path.name, path).get("checksum")
                    if found != checksum:
                        raise StoreError(
                            f"{self._client.server}: {path.name}: expected checksum {checksum}, found "
                            f"{one_line(found, 60)}; re-run the same command to send it again"
                        )
                    sent += path.stat().st_size
                display.advance(count, size(sent))

    def forget(self) -> None:
        """Remove the file beside the dataset."""
        self._state.unlink(missing_ok=True)


def check_naming(dest: str, naming: Naming) -> None:
    """Raise without what a record must state."""
    for value, option in ((naming.creators, "--creator"), (naming.date, "--date")):
        if not value:
            raise ConfigError(f"{dest.rstrip(':')}: expected {option}, which a record must state")
    if naming.url:
        raise ConfigError(f"{dest.rstrip(':')}: expected no --url; the record's DOI is used")


def check_limits(dest: str, n_files: int, n_bytes: int) -> None:
    """Raise if a record cannot hold so much."""
    if n_bytes > MAX_BYTES or n_files > MAX_FILES:
        found = f"{n_files} and {size(n_bytes)}"
        raise StoreError(
            f"{dest.rstrip(':')}: expected at most {MAX_FILES} files and {size(MAX_BYTES)}, found {found}; "
            "publish a subset, fewer patterns (datagen subset --patterns) or to an object store"
        )


def pack(publication: Path, folder: Path, name: str) -> None:
    """Write the files of a deposit: zips that unpack to the publication, and what a page shows."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    write_zips(publication, folder, name, PART_BYTES)
    for each in _ALONE:
        shutil.copyfile(publication / each, folder / each)


def metadata_of(naming: Naming, facts: Facts, description: str) -> dict[str, Any]:
    """Return the record's metadata."""
    licences = sorted({row.licence for row in facts.licences})
    known = _RIGHTS.get(licences[0]) if len(licences) == 1 else None
    rights: dict[str, Any] = (
        {"id": known}
        if known
        else {
            "title": {"en": "Terms of each structure"},
            "description": {"en": f"Each structure has the terms of its source: {', '.join(licences)}"},
        }
    )
    return {
        "resource_type": {"id": "dataset"},
        "title": naming.name,
        "version": naming.version,
        "publication_date": naming.date,
        "publisher": "Zenodo",
        "creators": [{"person_or_org": {"type": "organizational", "name": name}} for name in naming.creators],
        "description": description,
        "rights": [rights],
    }


def md5_of(path: Path) -> str:
    """Return the checksum of a file as the server states it."""
    with path.open("rb") as file:
        return "md5:" + hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
