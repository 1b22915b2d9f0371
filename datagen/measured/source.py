"""Entries of a collection: each scan with what belongs to it, by a table, by equal names, or in the file itself."""

from __future__ import annotations

import csv
import io
import tarfile
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath

from datagen.errors import DatagenError
from datagen.measured.arrays import of_arrays
from datagen.measured.entry import Entry
from datagen.measured.truth import Truth, merged, of_dif, of_instrument_file, of_opxrd, of_row, of_rruff_head
from trainer.scans.collect import ARCHIVES
from trainer.scans.formats.content import MOST_BYTES
from trainer.scans.read import SUFFIXES, bare_suffix, read_bytes
from trainer.scans.scan import Scan

TABLES = ("index.csv", "table.csv")
DIF_MARK = "__DIF"
PATTERN_COLUMN, CIF_COLUMN = "pattern", "cif"


def entries(source: Path) -> Iterator[Entry]:
    """Yield the scans of a folder, an archive or an array collection with their truths, in the order of names.

    A table (index.csv, with a column `pattern`) decides where there is one. Else files of one stem belong together:
    a scan, a CIF, a DIF (`STEM__DIF.txt`). RRUFF and opXRD files state their own. The only structure of a
    folder belongs to its scans if it has none of its own stem, and the only GSAS instrument file to all of them.
    """
    if source.suffix.lower() == ".npz":
        yield from of_arrays(source)
        return
    files = _files(source)
    table = next((name for name in sorted(files) if PurePosixPath(name).name in TABLES), None)
    found = _by_table(files, table) if table is not None else _by_stem(files)
    if not found:
        raise DatagenError(f"{source}: expected a folder or an archive of scans, found none in {len(files)} files")
    yield from found


def _by_table(files: dict[str, Callable[[], bytes]], table: str) -> list[Entry]:
    folder = PurePosixPath(table).parent
    reader = csv.DictReader(io.StringIO(files[table]().decode("utf-8-sig", errors="replace")))
    if PATTERN_COLUMN not in (reader.fieldnames or []):
        raise DatagenError(f"{table}: expected a column {PATTERN_COLUMN!r}, found {', '.join(reader.fieldnames or [])}")
    found = []
    for row in reader:
        name, cif = (str(folder / row[key]) if row.get(key) else "" for key in (PATTERN_COLUMN, CIF_COLUMN))
        text = files[cif]().decode("utf-8", errors="replace") if cif in files else None
        found.append(Entry(name, partial(_scan, name, files.get(name, _missing(name))), of_row(row, text)))
    return found


def _by_stem(files: dict[str, Callable[[], bytes]]) -> list[Entry]:
    groups: dict[str, list[str]] = defaultdict(list)
    for name in sorted(files):
        path = PurePosixPath(name)
        groups[str(path.parent / path.name.split(".")[0].split(DIF_MARK)[0])].append(name)
    found: list[Entry] = []
    of_folder = _of_folders(files, alone={names[0] for names in groups.values() if len(names) == 1})
    for names in groups.values():
        texts = {n: files[n]().decode("utf-8", errors="replace") for n in names if _may_state(n)}
        structures = [n for n, text in texts.items() if n.lower().endswith(".cif") and "_atom_site" in text]
        scans = [n for n in names if bare_suffix(n) in SUFFIXES and DIF_MARK not in n]
        scans = [n for n in scans if n not in structures or "_pd_meas_" in texts[n] or "_pd_proc_" in texts[n]]
        entry_json = next((n for n in scans if n.lower().endswith(".json")), None)
        if entry_json is not None:  # an opXRD entry comes with the same pattern as columns
            scans = [entry_json]
        for scan in scans:
            shared = of_folder.get(str(PurePosixPath(scan).parent), [])
            truth = _truth(scan, texts, structures, shared)
            found.append(Entry(scan, partial(_scan, scan, files[scan]), truth))
    return found


def _of_folders(files: dict[str, Callable[[], bytes]], alone: set[str]) -> dict[str, list[Truth]]:
    """Return by folder what its only CIF, if it is beside no scan of its stem, and instrument file state."""
    by_folder: dict[str, dict[str, list[str]]] = defaultdict(lambda: {".cif": [], ".prm": []})
    for name in files:
        path = PurePosixPath(name)
        if path.suffix.lower() in (".cif", ".prm"):
            by_folder[str(path.parent)][path.suffix.lower()].append(name)
    found: dict[str, list[Truth]] = {}
    for folder, names in by_folder.items():
        truths = []
        if len(names[".cif"]) == 1 and names[".cif"][0] in alone:
            text = files[names[".cif"][0]]().decode("utf-8", errors="replace")
            if "_atom_site" in text:
                truths.append(Truth(PurePosixPath(names[".cif"][0]).name, cif=text))
        if len(names[".prm"]) == 1:
            stated = of_instrument_file(files[names[".prm"][0]]().decode("utf-8", errors="replace"))
            truths += [stated] if stated else []
        found[folder] = truths
    return found


def _scan(name: str, data: Callable[[], bytes]) -> Scan:
    return read_bytes(name, data())


def _may_state(name: str) -> bool:
    return name.lower().endswith((".cif", ".json", ".txt"))


def _truth(scan: str, texts: dict[str, str], structures: list[str], shared: list[Truth]) -> Truth | None:
    statements: list[Truth] = []
    if structures:
        own = scan if scan in structures else structures[0]
        statements.append(Truth(PurePosixPath(own).name, cif=texts[own]))
    for name, text in texts.items():
        if DIF_MARK in name and (dif := of_dif(text)) is not None:
            statements.append(dif)
    if scan in texts:
        statements += [t for t in (of_rruff_head(texts[scan]), of_opxrd(texts[scan])) if t is not None]
    statements += shared
    if not statements:
        return None
    whole = statements[0]
    for further in statements[1:]:
        whole = merged(whole, further)
    return whole


def _files(source: Path) -> dict[str, Callable[[], bytes]]:
    """Return the files of a folder or archive by their names below it."""
    if source.is_dir():
        paths = {p.relative_to(source).as_posix(): p for p in source.rglob("*") if p.is_file()}
        return {name: path.read_bytes for name, path in paths.items() if not _hidden(name)}
    if not source.is_file() or not source.name.lower().endswith(ARCHIVES):
        raise DatagenError(f"{source}: expected a folder or an archive ({', '.join(ARCHIVES)}) of scans")
    try:
        held = _of_zip(source) if source.suffix.lower() == ".zip" else _of_tar(source)
    except (zipfile.BadZipFile, tarfile.TarError, OSError, EOFError, zlib.error, RuntimeError) as error:
        raise DatagenError(f"{source}: is not a complete archive ({error})") from error
    return {name: (lambda data=data: data) for name, data in held.items() if not _hidden(name)}  # type: ignore[misc]


def _hidden(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)


def _of_zip(source: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(source) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
        _refuse_large(source, sum(info.file_size for info in infos))
        return {info.filename: archive.read(info) for info in infos}


def _of_tar(source: Path) -> dict[str, bytes]:
    held: dict[str, bytes] = {}
    total = 0
    with tarfile.open(source) as archive:
        for member in archive:
            if member.isfile() and (opened := archive.extractfile(member)) is not None:
                total += member.size
                _refuse_large(source, total)
                held[member.name] = opened.read()
    return held


def _refuse_large(source: Path, size: int) -> None:
    if size > 8 * MOST_BYTES:
        raise DatagenError(f"{source}: expands to more than {8 * MOST_BYTES:,} bytes; unpack it and give the folder")


def _missing(name: str) -> Callable[[], bytes]:
    def fail() -> bytes:
        raise FileNotFoundError(name)

    return fail
