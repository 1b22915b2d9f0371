"""Crystallography Open Database: a local mirror, or entries by number, downloaded once."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from catalogs import defects
from catalogs.config import CodCatalog
from catalogs.containers import records_in, renamed
from catalogs.densities import beside, by_block
from catalogs.download_files import read_answer, save_download
from catalogs.errors import CatalogError
from catalogs.folder import read_file
from catalogs.names import stem
from catalogs.reading import MB, Place
from catalogs.record import Defect, Record

Opener = Callable[[str], IO[bytes]]
"""Opens an address for reading; raises HTTPError or OSError."""

RETRIES = 5
PAUSE_S = 0.2
"""Pause between two downloads: the COD is run by volunteers."""

_NUMBER = re.compile(r"\d{7}")


def open_address(url: str) -> IO[bytes]:
    """Open a URL of the COD; the timeout limits silence, not the whole download."""
    answer: IO[bytes] = urlopen(Request(url, headers={"User-Agent": "pxrd-datagen"}), timeout=60)  # noqa: S310  # https by config
    return answer


def records(
    config: CodCatalog, opener: Opener = open_address, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Record]:
    """Yield a record per data block, of every file of the mirror or of the requested numbers in ascending order."""
    wanted = _wanted(config)
    if wanted is None:
        yield from (renamed(record, cod_number, "cod_id") for record in records_in(config))
    elif config.path.is_file():
        for record in records_in(config):
            number = cod_number(record)
            if record.defect is not None or (number is not None and int(number[:7]) in wanted):
                yield renamed(record, cod_number, "cod_id")
    else:
        for entry in wanted:
            yield from _entry(config, entry, opener, sleep)


def cod_number(record: Record) -> str | None:
    """Return the seven digits that name a COD file, or None for other names."""
    path, _, block = record.source_id.partition("#")
    number = stem(path)
    return number + (f"#{block}" if block else "") if _NUMBER.fullmatch(number) else None


def kept_at(folder: Path, number: int) -> Path:
    """Return the path of an entry in a mirror of the COD: 1/00/00/1000000.cif."""
    digits = str(number)
    return folder / digits[0] / digits[1:3] / digits[3:5] / f"{digits}.cif"


def _wanted(config: CodCatalog) -> dict[int, None] | None:
    """Return the requested numbers, each once, in ascending order; None for everything."""
    if not config.ids and config.ids_file is None:
        return None
    numbers = set(config.ids)
    if config.ids_file is not None:
        try:
            text = config.ids_file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CatalogError(
                "the list of COD numbers cannot be read",
                where=f"catalog {config.name!r}",
                found=f"{config.ids_file}: {error}",
                do="correct ids_file",
            ) from error
        for line in text.splitlines():
            for word in line.partition("#")[0].replace(",", " ").split():
                if not _NUMBER.fullmatch(word):
                    raise CatalogError(
                        f"{config.ids_file} contains a word that is not a COD number",
                        where=f"catalog {config.name!r}",
                        expected="seven digits",
                        found=repr(word[:40]),
                        do="correct the list",
                    )
                numbers.add(int(word))
    return dict.fromkeys(sorted(numbers))


def _entry(config: CodCatalog, number: int, opener: Opener, sleep: Callable[[float], None]) -> Iterator[Record]:
    name = f"{number}.cif"
    choices = [kept_at(config.path, number), kept_at(config.path / "cif", number), config.path / name]
    choices += [choice.with_name(f"{name}.gz") for choice in choices]
    path = next((choice for choice in choices if choice.is_file()), None)
    address = config.url.format(id=number)
    origin = address if path is None else str(path)
    place = Place(
        config.name,
        str(number),
        origin,
        config.licence,
        {"cod_id": str(number)},
        beside(config.path, config.density, name),
        by_block(config.density),
    )
    if path is None:
        if not config.download:
            detail = f"{number} is not in {config.path}; download = true would fetch it"
            yield place.refused(Defect(defects.NOT_FOUND, detail))
            return
        got = _download(config, address, opener, sleep)
        if isinstance(got, Defect):
            yield place.refused(got)
            return
        path = choices[0]
        save_download(path, got)
    raw = read_file(path, config.max_file_MB)
    if isinstance(raw, Defect):
        yield place.refused(raw)
    else:
        yield from place.records(raw)


def _download(config: CodCatalog, address: str, opener: Opener, sleep: Callable[[float], None]) -> bytes | Defect:
    trouble = ""
    for attempt in range(RETRIES + 1):
        sleep(PAUSE_S if attempt == 0 else 2.0 ** (attempt - 1))
        try:
            with opener(address) as answer:
                raw = read_answer(answer, int(config.max_file_MB * MB))
        except HTTPError as error:
            if error.code in (404, 410):
                return Defect(defects.NOT_FOUND, f"{address}: {error.code} {error.reason}")
            trouble = f"{error.code} {error.reason}"
        except (URLError, HTTPException, OSError) as error:
            trouble = str(error)
        else:
            if len(raw) > config.max_file_MB * MB:
                return Defect(defects.TOO_LARGE, f"more than {config.max_file_MB:g} MB at {address}")
            return raw
    raise CatalogError(
        f"no answer from the COD after {RETRIES + 1} attempts",
        where=f"catalog {config.name!r}, {address}",
        found=trouble,
        do="check the network and run again; completed downloads are kept",
    )
