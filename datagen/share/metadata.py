"""Machine-readable metadata of a publication: MLCommons Croissant 1.1 and schema.org."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from datagen.share.card import CARD
from datagen.share.citation import doi_of
from datagen.share.facts import Facts
from datagen.share.labels_table import LABELS_TABLE, SCHEMA
from datagen.share.reflections_table import REFLECTIONS_TABLE, table_schema
from datagen.store import schema
from datagen.store.schema import Layout, Variable

CROISSANT = "croissant.json"
SCHEMA_ORG = "dataset.jsonld"
_CROISSANT = "http://mlcommons.org/croissant/1.1"
_TERMS = (
    *(
        "arrayShape",
        "citeAs",
        "column",
        "containedIn",
        "equivalentProperty",
        "extract",
        "field",
        "fileProperty",
        "fileObject",
        "fileSet",
        "format",
    ),
    *(
        "includes",
        "isArray",
        "isLiveDataset",
        "jsonPath",
        "key",
        "md5",
        "parentField",
        "path",
        "recordSet",
        "references",
        "regex",
    ),
    *("repeated", "replace", "samplingRate", "separator", "source", "subField", "transform"),
)
"""Terms that Croissant 1.1 adds to schema.org, https://docs.mlcommons.org/croissant/docs/croissant-spec.html."""


def croissant(facts: Facts, files: dict[str, dict[str, Any]], layout: Layout) -> dict[str, Any]:
    """Return Croissant metadata: the dataset, its files, the columns of its tables, and its arrays.

    Croissant states type and shape of arrays, but no codec of Zarr: their files are sets that a Zarr library reads.
    """
    others = (REFLECTIONS_TABLE, "zarr.json", "curation.parquet")
    named = [LABELS_TABLE, CARD, *(name for name in others if name in files)]
    record_sets = [_record_set("structures", _LABELS, [_column(LABELS_TABLE, "structures", f) for f in SCHEMA])]
    if facts.has_reflections:
        columns = [_column(REFLECTIONS_TABLE, "reflections", f) for f in table_schema(layout)]
        record_sets.append(_record_set("reflections", _REFLECTIONS, columns))
    arrays: list[Variable] = []
    if facts.has_arrays:
        arrays = [v for v in schema.variables(layout) if v.home != "label" and not v.is_run]
        record_sets += [_array(variable, layout) for variable in arrays]
    return {
        "@context": _context(),
        "@type": "sc:Dataset",
        **_about(facts),
        "conformsTo": _CROISSANT,
        "citeAs": f"{_by(facts)}. {facts.naming.name}, version {facts.naming.version}. {facts.naming.url}".rstrip(),
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": name,
                "name": name,
                "contentUrl": name,
                "contentSize": f"{files[name]['size']} B",
                "encodingFormat": _FORMATS[name.rpartition(".")[2]],
                "sha256": files[name]["sha256"],
            }
            for name in named
        ]
        + [_array_files(variable) for variable in arrays],
        "recordSet": record_sets,
    }


def schema_org(facts: Facts) -> dict[str, Any]:
    """Return schema.org metadata for search engines."""
    measured = ["X-ray diffraction intensity", "crystal system", "space group", "unit cell", "chemical composition"]
    return {
        "@context": "https://schema.org/",
        "@type": "Dataset",
        **_about(facts),
        "variableMeasured": measured if facts.has_arrays else measured[1:],
        "measurementTechnique": "simulated powder X-ray diffraction",
        "isAccessibleForFree": True,
    }


def description(facts: Facts) -> str:
    """Return the dataset's description in one sentence."""
    return (
        f"{facts.n_structures} curated crystal structures with {facts.n_patterns} simulated powder X-ray "
        f"diffraction patterns and {facts.n_densities} electron densities; labels, splits and provenance of each."
    )


def _about(facts: Facts) -> dict[str, Any]:
    naming = facts.naming
    found: dict[str, Any] = {
        "name": naming.name,
        "description": description(facts),
        "version": naming.version,
        "license": [row.licence for row in facts.licences],
        "keywords": ["powder diffraction", "crystallography", "machine learning", "training data"],
        "creator": [{"@type": "Organization", "name": name} for name in naming.creators or (_by(facts),)],
    }
    if naming.url:
        found["url"] = naming.url
    if doi_of(naming.url) is not None:
        found["identifier"] = naming.url
    if naming.date:
        found["datePublished"] = naming.date
    return found


def _by(facts: Facts) -> str:
    return ", ".join(facts.naming.creators) or "The publishers of this dataset"


_LABELS = "Labels of every structure, one row each, in the order of the arrays' first axis."
_REFLECTIONS = "Reflections of every open structure, one row each; `row` is its row in `structures`."
_ROWS = "A record for every structure, in the order of `structures`"
_AXIS = "One record: an axis of the arrays"
_READING = "The files are those of a Zarr v3 array, which a Zarr library reads from the folder as a whole."


def _record_set(name: str, description: str, fields: list[dict[str, Any]]) -> dict[str, Any]:
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "description": description, "field": fields}


def _column(table: str, record_set: str, field: pa.Field) -> dict[str, Any]:
    kind, shape = field.type, list[int]()
    while pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        shape.append(kind.list_size if pa.types.is_fixed_size_list(kind) else -1)
        kind = kind.value_type
    return {
        "@type": "cr:Field",
        "@id": f"{record_set}/{field.name}",
        "name": field.name,
        "description": field.metadata[b"description"].decode(),
        "dataType": _TYPES.get(str(kind)) or _number(kind.to_pandas_dtype()),
        **_shape(tuple(shape)),
        "source": {"fileObject": {"@id": table}, "extract": {"column": field.name}},
    }


def _array(variable: Variable, layout: Layout) -> dict[str, Any]:
    """Return a record set of one field: Croissant joins no files of arrays."""
    whole = schema.shape(variable, layout)
    by_structure = variable.dims[0] == "structure"
    stated = "".join(f", {name} {value}" for name, value in variable.attributes.items() if name == "scale_factor")
    unit = f", {variable.units}" if variable.units not in (None, "1") else ""
    field = {
        "@type": "cr:Field",
        "@id": f"arrays/{variable.name}/values",
        "name": variable.name,
        "description": f"{variable.long_name}{unit}{stated}",
        "dataType": _number(np.dtype(variable.dtype)),
        **_shape(whole[1:] if by_structure else whole),
        "source": {"fileSet": {"@id": f"{variable.name}/c"}, "extract": {"fileProperty": "content"}},
    }
    return _record_set(f"arrays/{variable.name}", f"{_ROWS if by_structure else _AXIS}. {_READING}", [field])


def _array_files(variable: Variable) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": f"{variable.name}/c",
        "name": f"{variable.name}/c",
        "description": f"Files of the Zarr v3 array {variable.name}",
        "includes": f"{variable.name}/c/**",
        "encodingFormat": "application/vnd.zarr; version=3",
    }


def _shape(lengths: tuple[int, ...]) -> dict[str, Any]:
    return {"isArray": True, "arrayShape": ",".join(map(str, lengths))} if lengths else {}


def _number(dtype: Any) -> str:
    found = np.dtype(dtype)
    if found.kind == "b":
        return "sc:Boolean"
    return f"cr:{_KINDS[found.kind]}{8 * found.itemsize}"


_KINDS = {"i": "Int", "u": "UInt", "f": "Float"}
_TYPES = {"string": "sc:Text", "int64": "sc:Integer", "double": "sc:Float", "bool": "sc:Boolean"}
_FORMATS = {"parquet": "application/x-parquet", "json": "application/json", "md": "text/markdown"}


def _context() -> dict[str, Any]:
    own: dict[str, Any] = {term: f"cr:{term}" for term in _TERMS}
    return {
        "@language": "en",
        "@vocab": "https://schema.org/",
        **own,
        "description": {"@container": "@language"},
        "name": {"@container": "@language"},
        "conformsTo": "dct:conformsTo",
        "cr": "http://mlcommons.org/croissant/",
        "rai": "http://mlcommons.org/croissant/RAI/",
        "data": {"@id": "cr:data", "@type": "@json"},
        "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
        "dct": "http://purl.org/dc/terms/",
        "examples": {"@id": "cr:examples", "@type": "@json"},
        "sc": "https://schema.org/",
    }
