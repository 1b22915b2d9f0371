"""Build a dataset from rows of existing ones: resumable, renamed into place when it is complete."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen.errors import StoreError
from datagen.inspect.verify import verify
from datagen.progress import Display, Silence, one_line, size
from datagen.share.curation_table import SourceRow
from datagen.share.finished import FinishedDataset
from datagen.share.manifest import file_entry
from datagen.share.row_reader import RowReader
from datagen.simulate.phase_library import LIBRARY_FILE
from datagen.steps.shards import shard_length
from datagen.store import files, ledger, schema, zarr_store
from datagen.store.bounded_table import CURATION_TABLE
from datagen.store.damaged import damage_explained
from datagen.store.lock import locked
from datagen.store.schema import Layout
from datagen.store.shard_reader import Value
from datagen.store.shard_writer import ShardWriter

ROOM = 0.8
"""Of the estimated bytes: rows may be smaller than the mean of their dataset."""


@dataclass(frozen=True)
class Recipe:
    """Rows, layout and attributes of a new dataset."""

    sources: Sequence[FinishedDataset]
    rows: Sequence[SourceRow]
    layout: Layout
    attributes: dict[str, Any]
    write_table: Callable[[Path], None]
    """Writes the curation table to a path."""
    change: Callable[[SourceRow, dict[str, Value]], dict[str, Value]] | None = None
    """Function from a row's arrays to those that are written; must be determined by `attributes` and the row."""
    keeps_library: bool = True
    """Whether a library of second phases that the sources keep is kept too."""
    place: Callable[[Path, Path], None] = field(default=lambda finished, out: rename_into_place(finished, out))
    """Moves the finished dataset to its final path."""

    def fingerprint(self) -> dict[str, Any]:
        """Return what decides every byte: the sources' content, the rows, the layout and the attributes."""
        rows = np.asarray(self.rows, dtype="<i8").reshape(-1, 2)
        return {
            "sources": [source.content for source in self.sources],
            "rows": hashlib.sha256(rows.tobytes()).hexdigest(),
            "layout": self.layout.to_dict(),
            "attributes": hashlib.sha256(json.dumps(self.attributes, sort_keys=True).encode()).hexdigest(),
        }


def layout_of_rows(sources: Sequence[FinishedDataset], rows: Sequence[SourceRow], n_augmentations: int) -> Layout:
    """Return a layout that holds rows of all sources; rows of a source without densities have none."""
    layouts = [source.layout for source in sources]
    methods = [m for layout in layouts if (m := layout.density_method) is not None]
    configured = {source.configuration["store"]["structures_per_shard"] for source in sources}
    per_shard = configured.pop() if len(configured) == 1 else None
    first = layouts[0]
    per_shard_now = shard_length(len(rows), per_shard)
    return Layout(
        n_structures=len(rows),
        n_augmentations=n_augmentations,
        n_points=first.n_points,
        structures_per_shard=per_shard_now,
        format_version=first.format_version,
        shard_reflections=sum(_of_shards(layout, per_shard_now) for layout in layouts),
        reflection_slots=max(layout.reflection_slots for layout in layouts),
        member_slots=max(layout.member_slots for layout in layouts),
        n_lines=first.n_lines,
        text_bytes=zarr_store.text_bytes(labels_of(sources, rows)),
        with_members=first.with_members,
        scan_slots=max(layout.scan_slots for layout in layouts),
        with_xrd_peaks=any(layout.with_xrd_peaks for layout in layouts),
        density_method=methods[0] if methods else None,
        draws=first.draws,
        extra_draws=first.extra_draws,
    )


def _of_shards(layout: Layout, structures_per_shard: int) -> int:
    """Return a bound of the reflections that a shard of the new dataset can have of the structures of this one."""
    shards = -(-structures_per_shard // layout.structures_per_shard)
    return layout.shard_reflections * min(shards, layout.n_shards)


def labels_of(sources: Sequence[FinishedDataset], rows: Sequence[SourceRow]) -> dict[str, NDArray[Any]]:
    """Return the label columns of these rows."""
    source_of = np.array([source for source, _ in rows])
    row_of = np.array([row for _, row in rows])
    found: dict[str, NDArray[Any]] = {}
    for variable in schema.LABELS:
        for number, source in enumerate(sources):
            column = source.column(variable.name)
            if variable.name not in found:
                found[variable.name] = np.empty((len(rows), *column.shape[1:]), dtype=column.dtype)
            found[variable.name][source_of == number] = column[row_of[source_of == number]]
    return found


def refuse_taken(out: Path) -> None:
    """Raise if the path exists: nothing is overwritten."""
    if out.exists() or out.is_symlink():
        raise StoreError(f"{out}: exists already; choose another path, or remove it")


def compose(out: Path, recipe: Recipe, display: Display | None = None) -> None:
    """Write the dataset beside `out`, verify it and rename it; a re-run resumes.

    Committed shards of an interrupted attempt are kept. Equal sources and rows give equal bytes.
    """
    display = display or Silence()
    with private_folder(out, recipe.fingerprint()) as making:
        dataset = making / "dataset"
        refuse_full_disk(out, dataset, recipe)
        two_theta_deg = recipe.sources[0].column("two_theta")
        labels = labels_of(recipe.sources, recipe.rows)
        zarr_store.create(dataset, recipe.layout, labels, two_theta_deg, recipe.attributes)
        keys = _write_shards(dataset, recipe, display)
        _write_table(dataset, recipe)
        _copy_library(dataset, recipe)
        zarr_store.finalise(dataset, {}, keys)
        verify(dataset, display=display)
        recipe.place(dataset, out)


def refuse_full_disk(out: Path, dataset: Path, recipe: Recipe) -> None:
    """Raise if the disk has less room than the rows take in their own datasets, without the shards made already."""
    taken = Counter(source for source, _ in recipe.rows)
    needed = 0.0
    for number, source in enumerate(recipe.sources):
        n_bytes = sum(receipt.size for receipt in source.receipts.values())
        before, now = source.layout.n_augmentations, recipe.layout.n_augmentations
        needed += n_bytes * taken[number] / source.layout.n_structures * (now / before if before else 1.0)
    made = sum(entry.stat().st_size for entry in dataset.rglob("*") if entry.is_file())
    free = shutil.disk_usage(out.absolute().parent).free
    if free < ROOM * (needed - made):
        raise StoreError(
            f"{out}: takes about {size(needed - made)} more, {out.absolute().parent} has {size(free)} free; free disk "
            "space, or choose another place"
        )


@contextmanager
def private_folder(out: Path, fingerprint: dict[str, Any]) -> Iterator[Path]:
    """Lock a working folder beside `out`, for one fingerprint only; remove it when the block succeeds."""
    refuse_taken(out)
    making = out.with_name(f".{out.name}.making")
    with files.disk_errors_explained(out), locked(making):
        _begin(making, fingerprint)
        yield making
    shutil.rmtree(making, ignore_errors=True)


def rename_into_place(finished: Path, out: Path) -> None:
    """Rename a finished folder; raise if the name is taken."""
    refuse_taken(out)
    finished.rename(out)
    files.sync_folder(out.parent)


def _begin(making: Path, fingerprint: dict[str, Any]) -> None:
    path = making / "recipe.json"
    if path.exists():
        before = json.loads(path.read_bytes())
        if before != fingerprint:
            changed = sorted(name for name in fingerprint if before.get(name) != fingerprint[name])
            raise StoreError(
                f"{making}: was begun with different {', '.join(changed)}; re-run the earlier command to finish it, "
                "or remove that folder"
            )
    else:
        files.write_bytes(path, files.to_json(fingerprint))


def _write_shards(dataset: Path, recipe: Recipe, display: Display) -> list[str]:
    readers = [RowReader(source, recipe.layout) for source in recipe.sources]
    recipe_hash = hashlib.sha256(json.dumps(recipe.fingerprint(), sort_keys=True).encode()).hexdigest()
    keys = []
    with display.phase("copy", recipe.layout.n_shards, "shards"):
        for shard in range(recipe.layout.n_shards):
            keys.append(hashlib.sha256(f"{recipe_hash} {shard}".encode()).hexdigest()[:32])
            receipt = ledger.read(dataset, shard)
            if receipt is None or receipt.key != keys[-1] or ledger.damages(dataset, receipt.files):
                ledger.revoke(dataset, shard)
                with ShardWriter(dataset, recipe.layout, shard) as writer:
                    for position in recipe.layout.rows(shard):
                        source, row = recipe.rows[position]
                        where = recipe.sources[source].path
                        with damage_explained(where, f"row {row}"):
                            values = readers[source].for_writer(row)
                            changed = values if recipe.change is None else recipe.change((source, row), values)
                        try:
                            writer.add(changed)
                        except (ValueError, TypeError, KeyError) as error:
                            raise StoreError(
                                f"{where}: the values of row {row} contradict each other ({one_line(error, 200)}); "
                                "fetch the dataset again"
                            ) from error
                    writer.commit(keys[-1])
            display.advance(shard + 1)
    return keys


def _copy_library(dataset: Path, recipe: Recipe) -> None:
    """Copy the library of second phases, which is that of all sources: their settings name its content."""
    source = recipe.sources[0]
    if not recipe.keeps_library or LIBRARY_FILE not in source.frame:
        return
    data = source.bytes_of({LIBRARY_FILE: source.frame[LIBRARY_FILE]})[LIBRARY_FILE]
    files.write_bytes(dataset / LIBRARY_FILE, bytes(data))
    frame = ledger.read_frame(dataset) or {}
    ledger.write_frame(dataset, {**frame, LIBRARY_FILE: file_entry(dataset / LIBRARY_FILE)})


def _write_table(dataset: Path, recipe: Recipe) -> None:
    path = dataset / CURATION_TABLE
    recipe.write_table(path)
    frame = ledger.read_frame(dataset) or {}
    ledger.write_frame(dataset, {**frame, CURATION_TABLE: file_entry(path)})
