"""Opening and reading of a dataset: one Zarr v3 group as `docs/store-format.md` specifies it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from datagen.errors import StoreError
from datagen.progress import one_line
from datagen.store import schema
from datagen.store.confined import refuse_links_out
from datagen.store.damaged import damage_explained
from datagen.store.files import from_json
from datagen.store.location import Where, is_url, location_of
from datagen.store.schema import FORMAT, READABLE_VERSIONS, Draw, Layout, Variable
from datagen.store.shard_file import codecs

if TYPE_CHECKING:
    import xarray
    import zarr

    from datagen.store.bounded_store import BoundedStore

MOST_METADATA_BYTES = 1 << 26


def array_metadata(variable: Variable, layout: Layout) -> dict[str, Any]:
    """The array's zarr.json."""
    dtype = np.dtype(variable.dtype)
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(schema.shape(variable, layout)),
        "data_type": dtype.name,
        "chunk_grid": {
            "name": "regular",
            "configuration": {"chunk_shape": list(schema.file_shape(variable, layout))},
        },
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": "NaN" if variable.fill != variable.fill else variable.fill,
        "codecs": codecs(dtype, variable.chunk),
        "attributes": variable.cf_attributes(),
        "dimension_names": list(variable.dims),
    }


def read_attributes(dataset: Where) -> dict[str, Any]:
    """Return the group's attributes; refuse what is not a dataset of this format and version."""
    attributes: dict[str, Any] = _read_group(dataset)["attributes"]
    return attributes


def read_metadata(dataset: Where) -> tuple[dict[str, Any], Layout]:
    """Return the group's attributes and the layout, with the draws that the arrays' metadata describe."""
    content = _read_group(dataset)
    return content["attributes"], _layout_of(dataset, content)


def _layout_of(dataset: Where, content: dict[str, Any]) -> Layout:
    attributes: dict[str, Any] = content["attributes"]
    try:
        layout = Layout.from_dict(attributes["layout"], _draws(content), attributes["format_version"])
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise StoreError(
            f"{dataset}/zarr.json: the layout is malformed ({one_line(repr(error), 200)}); run again"
        ) from error
    return layout


def _draws(content: Mapping[str, Any]) -> list[Draw]:
    """Return the draws of a dataset: those of its shard variables that are not part of the format itself."""
    own = {variable.name for variable in schema.every_variable()}
    arrays = content["consolidated_metadata"]["metadata"]
    found = []
    for name in content["attributes"]["shard_variables"]:
        if name not in own:
            array = arrays[name]
            dims, attributes = array["dimension_names"], array["attributes"]
            axis = (dims[2], array["shape"][2]) if len(dims) > 2 else None
            names = tuple(attributes.get("flag_meanings", "").split())
            found.append(Draw(name, attributes["units"], attributes["long_name"], axis, array["data_type"], names))
    return found


def _read_group(dataset: Where) -> dict[str, Any]:
    """Return the group's zarr.json."""
    path = f"{dataset}/zarr.json"
    location = location_of(dataset)
    try:
        # An address has limits of its own, and asking for a size is a request.
        if not is_url(str(location)) and (location.size("zarr.json") or 0) > MOST_METADATA_BYTES:
            raise StoreError(f"{path}: expected at most {MOST_METADATA_BYTES:,} bytes; fetch the dataset again")
        content = from_json(location.read("zarr.json"))
    except (FileNotFoundError, NotADirectoryError):
        raise StoreError(f"{dataset}: no dataset here; expected {path}") from None
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path}: expected JSON, found something else ({error}); run again") from error
    attributes = content.get("attributes") if isinstance(content, dict) else None
    if not isinstance(attributes, dict):
        raise StoreError(f"{path}: expected a group with attributes, found none")
    if attributes.get("format") != FORMAT:
        found_format = one_line(repr(attributes.get("format")), 80)
        raise StoreError(f"{dataset}: expected a dataset of format {FORMAT}, found {found_format}")
    version = attributes.get("format_version")
    if type(version) is not int or version not in READABLE_VERSIONS:
        raise StoreError(
            f"{dataset}: expected format version {' or '.join(map(str, READABLE_VERSIONS))}, found "
            f"{one_line(repr(attributes.get('format_version')), 80)}; "
            "read it with the version of pxrd-datagen that wrote it"
        )
    found: dict[str, Any] = content
    return found


def read_layout(dataset: Where) -> Layout:
    """Return the layout the dataset was created with."""
    return read_metadata(dataset)[1]


def open_group(dataset: Where) -> zarr.Group:
    """The dataset for reading, after its format and version were checked."""
    import zarr

    _check(dataset)
    with damage_explained(dataset, "its metadata"):
        return zarr.open_group(_store(dataset), mode="r", zarr_format=3)


def open_array(dataset: Where, name: str) -> zarr.Array[Any]:
    """Return one array for reading."""
    import zarr

    with damage_explained(dataset, f"the metadata of {name}"):
        found = open_group(dataset)[name]
        assert isinstance(found, zarr.Array)
    return found


def open_xarray(dataset: Where) -> xarray.Dataset:
    """As `xarray.open_zarr`, and text as strings instead of bytes."""
    import xarray

    _check(dataset)
    with damage_explained(dataset, "its labels and coordinates"):
        found: xarray.Dataset = xarray.open_zarr(_store(dataset), zarr_format=3)
        for variable in schema.LABELS:
            if schema.is_text(variable):
                text = np.array(decode_text(found[variable.name].values), dtype=np.str_)
                found[variable.name] = ("structure", text, {"long_name": variable.long_name})
    return found


def check_arrays(dataset: Where, layout: Layout, content: dict[str, Any] | None = None) -> None:
    """Raise if shapes or types of arrays contradict the layout: zarr would allocate what they state.

    `content` is that of the group's zarr.json, if it has been read.
    """
    try:
        arrays: Any = (content or _read_group(dataset))["consolidated_metadata"]["metadata"]
        found = {name: {key: entry.get(key) for key in _FIXED} for name, entry in arrays.items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{dataset}: zarr.json has no metadata of arrays; fetch the dataset again") from error
    with damage_explained(dataset, "its layout"):
        _compare(dataset, layout, found)


def _compare(dataset: Where, layout: Layout, found: dict[str, dict[str, Any]]) -> None:
    for variable in schema.variables(layout):
        expected = array_metadata(variable, layout)
        for key in _FIXED:
            if (value := found.get(variable.name, {}).get(key)) != expected[key]:
                raise StoreError(
                    f"{dataset}: array {variable.name}: expected {key} {expected[key]}, found "
                    f"{one_line(repr(value), 80)}; fetch the dataset again"
                )


_FIXED = ("shape", "data_type", "chunk_grid", "fill_value")


def _check(dataset: Where) -> None:
    content = _read_group(dataset)
    check_arrays(dataset, _layout_of(dataset, content), content)
    if isinstance(dataset, Path):
        refuse_links_out(dataset)


def _store(dataset: Where) -> BoundedStore:
    from zarr.storage import LocalStore

    from datagen.store.bounded_store import BoundedStore

    store = location_of(dataset).zarr_store()
    return BoundedStore(LocalStore(store, read_only=True) if isinstance(store, Path) else store)


def decode_text(rows: NDArray[np.uint8]) -> list[str]:
    """Strings of a text variable's bytes."""
    return [row.tobytes().rstrip(b"\0").decode() for row in rows]
