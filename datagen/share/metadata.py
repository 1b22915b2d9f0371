"""Machine-readable metadata of a publication: MLCommons Croissant 1.0 and schema.org."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from datagen.share.card import CARD
from datagen.share.facts import Facts
from datagen.share.labels_table import LABELS_TABLE, SCHEMA

CROISSANT = "croissant.json"
SCHEMA_ORG = "dataset.jsonld"
_CROISSANT_1_0 = "http://mlcommons.org/croissant/1.0"
_TERMS = (
    *("citeAs", "column", "equivalentProperty", "extract", "field", "fileProperty", "fileObject", "fileSet", "format"),
    *("includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex"),
    *("repeated", "replace", "samplingRate", "separator", "source", "subField", "transform"),
)
"""Terms that Croissant 1.0 adds to schema.org, https://docs.mlcommons.org/croissant/docs/croissant-spec.html."""


def croissant(facts: Facts, files: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return Croissant metadata: the dataset, its files and the fields of the labels table.

    Croissant cannot describe Zarr arrays; `zarr.json` is listed as a file.
    """
    named = [LABELS_TABLE, CARD, *(name for name in ("zarr.json", "curation.parquet") if name in files)]
    return {
        "@context": _context(),
        "@type": "sc:Dataset",
        **_about(facts),
        "conformsTo": _CROISSANT_1_0,
        "citeAs": f"{_by(facts)}. {facts.naming.name}, version {facts.naming.version}.",
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
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "structures",
                "name": "structures",
                "description": "Labels of every structure, one row each, in the order of the arrays' first axis.",
                "field": [_field(field) for field in SCHEMA],
            }
        ],
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


def _about(facts: Facts) -> dict[str, Any]:
    naming = facts.naming
    found: dict[str, Any] = {
        "name": naming.name,
        "description": (
            f"{facts.n_structures} curated crystal structures with {facts.n_patterns} simulated powder X-ray "
            f"diffraction patterns and {facts.n_densities} electron densities; labels, splits and provenance of each."
        ),
        "version": naming.version,
        "license": [row.licence for row in facts.licences],
        "keywords": ["powder diffraction", "crystallography", "machine learning", "training data"],
        "creator": [{"@type": "Organization", "name": name} for name in naming.creators] or _by(facts),
    }
    if naming.url:
        found["url"] = naming.url
    if naming.date:
        found["datePublished"] = naming.date
    return found


def _by(facts: Facts) -> str:
    return ", ".join(facts.naming.creators) or "The publishers of this dataset"


def _field(field: pa.Field) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"structures/{field.name}",
        "name": field.name,
        "description": field.metadata[b"description"].decode(),
        "dataType": _TYPES[str(field.type)],
        "source": {"fileObject": {"@id": LABELS_TABLE}, "extract": {"column": field.name}},
    }


_TYPES = {"string": "sc:Text", "int64": "sc:Integer", "double": "sc:Float", "bool": "sc:Boolean"}
_FORMATS = {"parquet": "application/x-parquet", "json": "application/json", "md": "text/markdown"}


def _context() -> dict[str, Any]:
    own: dict[str, Any] = {term: f"cr:{term}" for term in _TERMS}
    return {
        "@language": "en",
        "@vocab": "https://schema.org/",
        **own,
        "conformsTo": "dct:conformsTo",
        "cr": "http://mlcommons.org/croissant/",
        "rai": "http://mlcommons.org/croissant/RAI/",
        "data": {"@id": "cr:data", "@type": "@json"},
        "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
        "dct": "http://purl.org/dc/terms/",
        "examples": {"@id": "cr:examples", "@type": "@json"},
        "sc": "https://schema.org/",
    }
