"""Which datasets does a group know, and where do they lie? One TOML file on a shared path, readable by URL too."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from datagen.errors import ConfigError, StoreError
from datagen.share.finished import Finished, open_finished
from datagen.share.manifest import MANIFEST
from datagen.share.origins import PUBLICATION
from datagen.store import files
from datagen.store.location import Where, is_url, locate
from datagen.store.lock import locked

LIST = "datasets.toml"
ENVIRONMENT = "PXRD_DATASETS"
"""Names the list where `--list` does not: a path, or an http(s) address to read from."""
_HEADER = "# Datasets this group knows; written by datagen catalog. Every line may also be edited by hand.\n"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_TIMEOUT_s = 30.0


@dataclass(frozen=True)
class Entry:
    """One dataset of the list."""

    location: str
    """Path or address."""
    version: str
    checksum: str
    """SHA-256 of the publication's `SHA256SUMS`, which names every file; else of all the dataset's checksums."""
    bytes: int
    structures: int
    patterns: int
    densities: int
    licences: list[str]


def default_list() -> str:
    """Where the list is when nothing else is said."""
    return os.environ.get(ENVIRONMENT) or LIST


def read_list(where: str) -> dict[str, Entry]:
    """Every entry by name; an empty list where there is no file yet."""
    text = _text(where)
    try:
        content: dict[str, Any] = tomllib.loads(text)
        return {name: Entry(**entry) for name, entry in sorted(content.get("dataset", {}).items())}
    except (tomllib.TOMLDecodeError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{where}: expected a list of datasets as datagen catalog writes it, found {error}"
        ) from error


def add(where: str, name: str, location: str) -> Entry:
    """Enter a finished dataset; the facts are taken from it, wherever it lies."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r}: expected a name of letters, digits, dots, dashes and underscores")
    if is_url(location) and "@" in location.partition("://")[2].partition("/")[0]:
        raise ConfigError("the address holds a name or password, which a list that others read must not keep")
    entry = _entry(open_finished(locate(location)), location if is_url(location) else str(Path(location).absolute()))
    with locked(_lock_folder(where)):
        known = read_list(where)
        if name in known:
            raise ConfigError(f"{where}: the name {name} is taken by {known[name].location}; remove it first")
        _write(where, {**known, name: entry})
    return entry


def dataset_called(text: str) -> Where:
    """What a person means by a dataset: a folder, a zip, an address, or a name of the group's list."""
    if is_url(text) or Path(text).exists() or not _NAME.fullmatch(text):
        return locate(text)
    known = read_list(default_list())
    return locate(find(default_list(), text, known).location if known else text)


def remove(where: str, name: str) -> None:
    """Take a name off the list; the dataset itself stays where it is."""
    with locked(_lock_folder(where)):
        known = read_list(where)
        find(where, name, known)
        del known[name]
        _write(where, known)


def find(where: str, name: str, known: dict[str, Entry] | None = None) -> Entry:
    """The entry of that name, or a refusal that names what is near."""
    known = read_list(where) if known is None else known
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        meant = f"; did you mean {', '.join(near)}?" if near else ""
        raise ConfigError(f"{where}: no dataset is called {name}{meant}")
    return known[name]


def _entry(dataset: Finished, location: str) -> Entry:
    published = PUBLICATION in dataset.attributes
    try:
        checksum = hashlib.sha256(dataset.path.read(MANIFEST)).hexdigest() if published else dataset.content
    except FileNotFoundError:
        raise StoreError(f"{dataset.path}: is a publication without its {MANIFEST}; fetch it again") from None
    n = dataset.layout.n_structures
    return Entry(
        location=location,
        version=dataset.attributes[PUBLICATION]["version"] if published else "unpublished",
        checksum=checksum,
        bytes=sum(int(entry["size"]) for entry in dataset.files.values()),
        structures=n,
        patterns=n * dataset.layout.n_augmentations,
        densities=sum(receipt.n_densities for receipt in dataset.receipts.values()),
        licences=sorted(set(dataset.column("licence").tolist())),
    )


def _text(where: str) -> str:
    try:
        if where.startswith(("http://", "https://")):
            with urlopen(where, timeout=_TIMEOUT_s) as answer:  # noqa: S310 (the scheme was just looked at)
                return str(answer.read().decode())
        return Path(where).read_text(encoding="utf-8") if Path(where).exists() else ""
    except (URLError, OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{where}: the list of datasets cannot be read ({error})") from error


def _lock_folder(where: str) -> Path:
    if is_url(where):
        raise ConfigError(f"{where}: a list can be read from an address, not written; name its file with --list")
    path = Path(where).absolute()
    if not path.parent.is_dir():
        raise ConfigError(f"{where}: its folder does not exist; make it first")
    return path.with_name(f".{path.name}.lock")


def _write(where: str, entries: dict[str, Entry]) -> None:
    """Strings and lists of strings look the same in JSON and TOML."""
    parts = [_HEADER]
    for name, entry in sorted(entries.items()):
        lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in asdict(entry).items()]
        parts.append(f"\n[dataset.{json.dumps(name)}]\n" + "".join(lines))
    files.write_bytes(Path(where), "".join(parts).encode())
