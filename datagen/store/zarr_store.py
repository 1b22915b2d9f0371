"""Creation and completion of a dataset: one Zarr v3 group as `docs/store-format.md` specifies it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from catalogs.atomic_write import sweep
from datagen.errors import StoreError
from datagen.store import files as disk
from datagen.store import ledger, schema
from datagen.store.confined import refuse_links_out
from datagen.store.reading import array_metadata, read_attributes, read_metadata
from datagen.store.schema import FORMAT, Layout, Variable
from datagen.store.shard_file import encode_chunk
from datagen.store.shard_writer import clear_partial


class Column(Protocol):
    """Values of a label: an array, a list of texts, or anything that gives parts of itself."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...

    def __getitem__(self, which: slice, /) -> Any: ...


def create(
    dataset: Path,
    layout: Layout,
    labels: Mapping[str, Column],
    two_theta_deg: NDArray[np.float64],
    attributes: Mapping[str, Any],
) -> None:
    """Write the frame: metadata of every array, coordinates and labels, and the frame's receipt last.

    `labels` has a column for each of `schema.LABELS`, text as strings. Doing it again changes nothing; doing it with
    other labels (a quarantined structure makes room) replaces the frame and leaves shards alone.
    """
    with disk.disk_errors_explained(dataset):
        refuse_links_out(dataset)
        _refuse_foreign(dataset, layout)
        frame = dataset / ledger.FOLDER / ledger.FRAME
        frame.unlink(missing_ok=True)
        contents: dict[str, bytes] = {}
        for variable in schema.variables(layout):
            contents[f"{variable.name}/zarr.json"] = disk.to_json(array_metadata(variable, layout))
        coordinates = schema.coordinate_values(layout, two_theta_deg)
        for variable in schema.variables(layout):
            if variable.home == "coordinate":
                contents[schema.chunk_key(variable, 0)] = encode_chunk(coordinates[variable.name])
            elif variable.home == "label":
                for index, chunk in enumerate(_label_chunks(variable, labels, layout)):
                    contents[schema.chunk_key(variable, index)] = encode_chunk(chunk)
        # The group's own metadata first: whatever else is found beside it is then known to be ours.
        metadata = {"zarr.json": _group_metadata(layout, attributes, complete=False)}
        _put(dataset, metadata)
        _put(dataset, contents)
        files = {name: ledger.entry_of(data) for name, data in (metadata | contents).items()}
        ledger.write_frame(dataset, files)


def _put(dataset: Path, contents: Mapping[str, bytes]) -> None:
    """Write what is not there already."""
    places = {dataset / name: data for name, data in contents.items()}
    disk.write_all({p: data for p, data in places.items() if not (p.is_file() and p.read_bytes() == data)})


def finalise(dataset: Path, attributes: Mapping[str, Any], keys: Sequence[str] | None = None) -> None:
    """Count the receipts against the plan, clear what is not part of the dataset, and mark it complete.

    `keys` are the content keys that the plan expects, one a shard. `attributes` are added to those of creation.
    """
    with disk.disk_errors_explained(dataset):
        before, layout = read_metadata(dataset)
        frame = ledger.read_frame(dataset)
        if frame is None:
            raise StoreError(f"{dataset}: the frame is not complete; expected {ledger.FRAME}: run again")
        receipts = ledger.committed(dataset)
        missing = [s for s in range(layout.n_shards) if s not in receipts]
        if missing:
            raise StoreError(
                f"{dataset}: {len(missing)} of {layout.n_shards} shards are not committed (the first is {missing[0]}); "
                "expected all of them: run again"
            )
        for shard, key in enumerate(keys or ()):
            if receipts[shard].key != key:
                raise StoreError(
                    f"{dataset}: shard {shard} was made for other content; expected key {key}, found "
                    f"{receipts[shard].key}: run again"
                )
        for shard in sorted(set(receipts) - set(range(layout.n_shards))):
            ledger.revoke(dataset, shard)
            del receipts[shard]
        damaged = [d for r in receipts.values() for d in ledger.damages(dataset, r.files, deep=False)]
        if damaged:
            raise StoreError(f"{dataset}: {len(damaged)} files are not as committed, the first {damaged[0]}: verify it")
        refuse_links_out(dataset)
        clear_partial(dataset)
        _remove_unnamed(dataset, layout, ledger.named_files(receipts.values(), frame))
        metadata = _group_metadata(layout, {**before, **attributes}, complete=True)
        disk.write_bytes(dataset / "zarr.json", metadata)
        ledger.write_frame(dataset, {**frame, "zarr.json": ledger.entry_of(metadata)})


def text_bytes(labels: Mapping[str, Column]) -> dict[str, int]:
    """Return the width of each text variable that holds these labels."""
    return {
        v.name: _whole_steps(max((len(str(text).encode()) for text in labels[v.name]), default=1))
        for v in schema.LABELS
        if schema.is_text(v)
    }


def _whole_steps(n_bytes: int) -> int:
    return max(-(-n_bytes // schema.TEXT_STEP_BYTES), 1) * schema.TEXT_STEP_BYTES


def _label_chunks(variable: Variable, labels: Mapping[str, Column], layout: Layout) -> Iterator[NDArray[Any]]:
    """Yield the files of a label, each made of the part of the column that it holds."""
    if variable.name not in labels:
        raise ValueError(f"labels lack a column {variable.name}")
    column, whole = labels[variable.name], schema.shape(variable, layout)
    if len(column) != whole[0]:
        raise ValueError(f"labels: {variable.name}: expected {whole[0]} values, found {len(column)}")
    per_file = schema.file_shape(variable, layout)
    for first in range(0, len(column), per_file[0]):
        chunk = np.full(per_file, variable.fill_value, dtype=variable.dtype)
        part = _encoded(variable, column[first : first + per_file[0]], whole[1:])
        chunk[: len(part)] = part
        yield chunk


def _encoded(variable: Variable, given: Any, inner: tuple[int, ...]) -> NDArray[Any]:
    """Return a part of a column as it is stored."""
    if schema.is_text(variable):
        return _encode_text(variable, given, inner[0])
    values = np.asarray(given)
    column = values.astype(variable.dtype)
    if column.shape[1:] != inner or (column.dtype.kind in "iu" and not np.array_equal(column, values)):
        raise ValueError(
            f"labels: {variable.name}: expected {variable.dtype} of shape {inner}, found {values.dtype} of shape "
            f"{values.shape[1:]}"
        )
    return column


def _encode_text(variable: Variable, texts: Sequence[str], width: int) -> NDArray[np.uint8]:
    rows = [text.encode() for text in texts]
    longest = max((len(row) for row in rows), default=0)
    if longest > width or any(b"\0" in row for row in rows):
        raise ValueError(
            f"labels: {variable.name}: expected texts of at most {width} bytes without zero bytes, found some of "
            f"{longest}"
        )
    return np.frombuffer(b"".join(row.ljust(width, b"\0") for row in rows), dtype=np.uint8).reshape(-1, width)


def _group_metadata(layout: Layout, attributes: Mapping[str, Any], *, complete: bool) -> bytes:
    """The group's zarr.json, with the metadata of every array in it: readers need not list the folder."""
    own = {
        "format": FORMAT,
        "format_version": layout.format_version,
        "Conventions": "CF-1.11",
        **{k: v for k, v in attributes.items() if k not in _OWN_ATTRIBUTES},
        "layout": layout.to_dict(),
        "shard_variables": [v.name for v in schema.variables(layout) if v.home == "shard"],
        "complete": complete,
    }
    arrays = {v.name: array_metadata(v, layout) for v in sorted(schema.variables(layout), key=lambda v: v.name)}
    consolidated = {"kind": "inline", "must_understand": False, "metadata": arrays}
    return disk.to_json(
        {"zarr_format": 3, "node_type": "group", "attributes": own, "consolidated_metadata": consolidated}
    )


_OWN_ATTRIBUTES = ("format", "format_version", "Conventions", "layout", "shard_variables", "complete")


def _refuse_foreign(dataset: Path, layout: Layout) -> None:
    """Never write into a folder that holds something else, nor under shards of another shape."""
    if (dataset / "zarr.json").exists():
        before = read_attributes(dataset)["layout"]
        changed = [k for k, v in layout.to_dict().items() if k not in _MAY_CHANGE and before.get(k) != v]
        if changed and ledger.committed(dataset):
            raise StoreError(
                f"{dataset}: shards were written with another {', '.join(changed)}; expected "
                f"{[before.get(k) for k in changed]}, found {[layout.to_dict()[k] for k in changed]}: "
                "restore the configuration, or choose another place with --out"
            )
    elif dataset.is_dir():
        ours = {variable.name for variable in (*schema.every_variable(), *schema.variables(layout))}
        if strange := sorted(p.name for p in dataset.iterdir() if p.name in ours):
            raise StoreError(f"{dataset}: holds {strange[0]} but no zarr.json; choose an empty folder with --out")


_MAY_CHANGE = ("n_structures", "text_bytes", "label_rows")
"""Sizes that no shard depends on."""


def _remove_unnamed(dataset: Path, layout: Layout, named: set[str]) -> None:
    """Delete files in the arrays' folders that no receipt names: remains of interrupted or superseded shards."""
    for folder in (dataset, dataset / ledger.FOLDER):
        sweep(folder)
    for variable in schema.variables(layout):
        for path in sorted((dataset / variable.name).rglob("*")):
            if path.is_file() and path.relative_to(dataset).as_posix() not in named:
                path.unlink()
