"""Making of an index from the structures that `curation.parquet` lists, whatever the instrument of the dataset."""

from __future__ import annotations

import glob
import os
import shutil
import socket
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

from curation.cores import usable_cores
from datagen.errors import StoreError
from datagen.identification.index import TABLE, Index, folder_of, load_index
from datagen.identification.index_entry import entry_of
from datagen.identification.index_lines import structures_of
from datagen.identification.index_writer import IndexWriter, write_facts
from datagen.steps.workers import Workers
from datagen.store.damaged import damage_explained
from datagen.store.location import Location, location_of

REPLACEMENTS = 5
_AT_ONCE = 64
_PARTIAL = ".partial"


def open_index(
    dataset: Path | Location,
    *,
    workers: int | None = None,
    cluster: Workers | None = None,
    report: Callable[[int], None] = lambda n: None,
) -> Index:
    """Return the index of a dataset, made first where there is none or it is stale."""
    folder = folder_of(dataset)
    found = load_index(dataset, folder)
    if found is None:
        build_index(dataset, folder, workers=workers, cluster=cluster, report=report)
        found = load_index(dataset, folder)
    if found is None:
        raise StoreError(f"{location_of(dataset)}: its table changed while its index was made; re-run the same command")
    return found


def build_index(
    dataset: Path | Location,
    out: Path,
    *,
    workers: int | None = None,
    cluster: Workers | None = None,
    report: Callable[[int], None] = lambda n: None,
) -> Path:
    """Make the index of a dataset in folder `out`, whole or not at all: by processes here, or the workers of a cluster.

    `report` is called with the number of structures done.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    _sweep(out)
    # Of its own name: two programs may make the index of one dataset at a time.
    partial = Path(tempfile.mkdtemp(prefix=_prefix(out, os.getpid()), suffix=_PARTIAL, dir=out.parent))
    try:
        location = location_of(dataset)
        with damage_explained(location, TABLE):
            table_sha256 = location.checksum(TABLE)
        with IndexWriter(partial) as writer:
            if cluster is None:
                for done, one in enumerate(_entries_of(location, workers or usable_cores()), start=1):
                    writer.add(one)
                    report(done)
            else:
                from datagen.identification.index_on_cluster import index_on_cluster

                index_on_cluster(cluster, location, writer, partial, report)
        write_facts(partial, writer, table_sha256, str(location))
        return _replaced(out, partial)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _prefix(out: Path, process: int) -> str:
    return f".{out.name}.{socket.gethostname()}-{process}."


def _sweep(out: Path) -> None:
    """Remove what programs on this machine have left that were killed."""
    for leftover in out.parent.glob(f".{glob.escape(out.name)}.*{_PARTIAL}"):
        process = leftover.name.removeprefix(f".{out.name}.{socket.gethostname()}-").split(".")[0]
        if process.isdigit() and not _is_running(int(process)):
            shutil.rmtree(leftover, ignore_errors=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        return True
    return True


def _entries_of(location: Location, workers: int) -> Iterator[dict[str, Any]]:
    """Yield the entries of all structures, in their order; few batches ahead of the one that is yielded."""
    lines = structures_of(location)
    with ProcessPoolExecutor(workers) as pool:
        ahead: deque[Future[list[dict[str, Any]]]] = deque()
        while (batch := list(islice(lines, _AT_ONCE))) or ahead:
            if batch:
                ahead.append(pool.submit(_entries, batch, str(location)))
            if len(ahead) > 4 * workers or not batch:
                yield from ahead.popleft().result()


def _replaced(out: Path, partial: Path) -> Path:
    partial.chmod(0o755)
    for _ in range(REPLACEMENTS):
        shutil.rmtree(out, ignore_errors=True)
        try:
            partial.rename(out)
        except OSError:  # another program put its index there in between
            continue
        return out
    raise StoreError(f"{out}: the new index could not be moved there; other programs make it at the same time")


def _entries(lines: list[dict[str, Any]], dataset: str) -> list[dict[str, Any]]:
    return [entry_of(line, dataset) for line in lines]
