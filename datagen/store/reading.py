"""Opening and reading of a dataset: one Zarr v3 group as `docs/store-format.md` specifies it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from datagen.errors import StoreError
from datagen.store import schema
from datagen.store.confined import refuse_links_out
from datagen.store.location import Where, location_of
from datagen.store.schema import FORMAT, FORMAT_VERSION, Draw, Layout, Variable
from datagen.store.shard_file import codecs

if TYPE_CHECKING:
    import xarray
    import zarr


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
    attributes: dict[str, Any] = content["attributes"]
    try:
        layout = Layout.from_dict(attributes["layout"], _draws(content))
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise StoreError(f"{dataset}/zarr.json: the layout is malformed ({error!r}); run again") from error
    return attributes, layout


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
    try:
        content = json.loads(location_of(dataset).read("zarr.json"))
    except (FileNotFoundError, NotADirectoryError):
        raise StoreError(f"{dataset}: no dataset here; expected {path}") from None
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise StoreError(f"{path}: expected JSON, found something else ({error}); run again") from error
    attributes = content.get("attributes", {}) if isinstance(content, dict) else {}
    if attributes.get("format") != FORMAT:
        raise StoreError(f"{dataset}: expected a dataset of format {FORMAT}, found {attributes.get('format')!r}")
    if attributes.get("format_version") != FORMAT_VERSION:
        raise StoreError(
            f"{dataset}: expected format version {FORMAT_VERSION}, found {attributes.get('format_version')}; "
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

    read_attributes(dataset)
    if isinstance(dataset, Path):
        refuse_links_out(dataset)
    return zarr.open_group(location_of(dataset).zarr_store(), mode="r", zarr_format=3)


def open_array(dataset: Where, name: str) -> zarr.Array[Any]:
    """One array for reading."""
    import zarr

    found = open_group(dataset)[name]
    assert isinstance(found, zarr.Array)
    return found


def open_xarray(dataset: Where) -> xarray.Dataset:
    """As `xarray.open_zarr`, and text as strings instead of bytes."""
    import xarray

    read_attributes(dataset)
    found: xarray.Dataset = xarray.open_zarr(location_of(dataset).zarr_store(), zarr_format=3)
    for variable in schema.LABELS:
        if schema.is_text(variable):
            text = np.array(decode_text(found[variable.name].values), dtype=np.str_)
            found[variable.name] = ("structure", text, {"long_name": variable.long_name})
    return found


def decode_text(rows: NDArray[np.uint8]) -> list[str]:
    """Strings of a text variable's bytes."""
    return [row.tobytes().rstrip(b"\0").decode() for row in rows]
