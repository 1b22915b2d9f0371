"""The datasets registry: one TOML file on a shared path that gives datasets names, readable by URL too."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from datagen.errors import ConfigError, StoreError
from datagen.progress import one_line
from datagen.share.download import download
from datagen.share.finished import FinishedDataset, open_finished
from datagen.share.manifest import MANIFEST
from datagen.share.origins import PUBLICATION
from datagen.store import files
from datagen.store.location import Where, is_url, locate
from datagen.store.lock import locked

REGISTRY = "datasets.toml"
ENVIRONMENT = "PXRD_DATASETS"
"""Names the registry if `--registry` does not: a path, or an http(s) address to read from."""
MAX_BYTES = 10_000_000
"""Largest registry that is read: some 20,000 datasets."""
_HEADER = "# Registry of datasets, written by datagen datasets. Lines may also be edited by hand.\n"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_Count = Annotated[int, Field(ge=0)]


class RegisteredDataset(BaseModel):
    """One dataset of the registry."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    location: str
    """Path or address."""
    version: str
    checksum: str
    """SHA-256 of the publication's `SHA256SUMS`, which names every file; else of all the dataset's checksums."""
    bytes: _Count
    structures: _Count
    patterns: _Count
    densities: _Count
    licences: list[str]


def default_registry() -> str:
    """Return the registry that is used if none is named."""
    return os.environ.get(ENVIRONMENT) or REGISTRY


def read_registry(where: str) -> dict[str, RegisteredDataset]:
    """Return every dataset by name; none if there is no file yet."""
    text = _text(where)
    try:
        listed: Any = tomllib.loads(text).get("dataset", {})
        if not isinstance(listed, dict):
            raise _malformed(where, "'dataset' is not a table")
        if wrong := [name for name in listed if not _NAME.fullmatch(name)]:
            raise _malformed(where, f"the name {one_line(wrong[0], 80)}")
        return {name: RegisteredDataset.model_validate(entry) for name, entry in sorted(listed.items())}
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "an entry"
        raise _malformed(where, f"{one_line(field, 80)}: {first['msg'].lower()}") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise _malformed(where, one_line(error, 200)) from error


def add(where: str, name: str, location: str) -> RegisteredDataset:
    """Add a finished dataset; the facts are taken from it."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{one_line(name, 80)}: expected a name of letters, digits, dots, dashes and underscores")
    if is_url(location) and "@" in location.partition("://")[2].partition("/")[0]:
        raise ConfigError("the address holds a name or password, which a registry that others read must not keep")
    entry = _facts(open_finished(locate(location)), location if is_url(location) else str(Path(location).absolute()))
    with locked(_lock_folder(where)):
        known = read_registry(where)
        if name in known:
            raise ConfigError(f"{where}: the name {name} is taken by {known[name].location}; remove it first")
        _write(where, {**known, name: entry})
    return entry


def resolve_dataset(text: str) -> Where:
    """Return the dataset that a folder, a zip, an address or a registered name refers to."""
    if is_url(text) or Path(text).exists() or not _NAME.fullmatch(text):
        return locate(text)
    known = read_registry(default_registry())
    return locate(find(default_registry(), text, known).location if known else text)


def remove(where: str, name: str) -> None:
    """Remove a name; the dataset itself is not touched."""
    with locked(_lock_folder(where)):
        known = read_registry(where)
        find(where, name, known)
        del known[name]
        _write(where, known)


def find(where: str, name: str, known: dict[str, RegisteredDataset] | None = None) -> RegisteredDataset:
    """Return the dataset of that name; the error names similar ones."""
    known = read_registry(where) if known is None else known
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        meant = f"; did you mean {', '.join(near)}?" if near else ""
        raise ConfigError(f"{where}: no dataset is registered as {name}{meant}")
    return known[name]


def _facts(dataset: FinishedDataset, location: str) -> RegisteredDataset:
    published = PUBLICATION in dataset.attributes
    try:
        checksum = hashlib.sha256(dataset.path.read(MANIFEST)).hexdigest() if published else dataset.content
    except FileNotFoundError:
        raise StoreError(f"{dataset.path}: is a publication without its {MANIFEST}; fetch it again") from None
    n = dataset.layout.n_structures
    return RegisteredDataset(
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
        if is_url(where):
            return download(where, MAX_BYTES).decode()
        path = Path(where)
        if not path.exists():
            return ""
        if not path.is_file():
            raise ConfigError(f"{where}: expected the file of a datasets registry, found something else")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{where}: the datasets registry cannot be read ({error})") from error
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{where}: expected a datasets registry of at most {MAX_BYTES:,} bytes, found more")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise _malformed(where, "text that is not UTF-8") from error


def _malformed(where: str, what: str) -> ConfigError:
    return ConfigError(f"{where}: expected a registry as datagen datasets writes it, found {what}; correct that line")


def _lock_folder(where: str) -> Path:
    if is_url(where):
        raise ConfigError(f"{where}: a registry can be read from an address, not written; name its file: --registry")
    path = Path(where).absolute()
    if not path.parent.is_dir():
        raise ConfigError(f"{where}: its folder does not exist; create it first")
    return path.with_name(f".{path.name}.lock")


def _write(where: str, entries: dict[str, RegisteredDataset]) -> None:
    """Write the file; strings and lists of strings look the same in JSON and TOML."""
    parts = [_HEADER]
    for name, entry in sorted(entries.items()):
        lines = [f"{key} = {_toml(value)}\n" for key, value in entry.model_dump().items()]
        parts.append(f"\n[dataset.{json.dumps(name)}]\n" + "".join(lines))
    files.write_bytes(Path(where), "".join(parts).encode())


def _toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
