"""Provenance of derived datasets, independent of where their sources are stored."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from datagen.config.fingerprint import TITLE
from datagen.share.finished import FinishedDataset

DERIVED_FROM = "derived_from"
PUBLICATION = "publication"
"""Attribute of a published dataset; datasets derived from one do not have it."""
_CITED = ("name", "version", "creators", "url")


def derived_attributes(
    operation: str, sources: Sequence[FinishedDataset], n_rows: Sequence[int], given: dict[str, Any]
) -> dict[str, Any]:
    """Return attributes for a dataset of rows of these sources, `n_rows` from each.

    The configuration is the first source's, with the catalogs of all. `derived_from` holds every source's own
    configuration, software and provenance, and the name and version of those that were published.
    """
    first = copy.deepcopy(sources[0].attributes)
    first.pop(PUBLICATION, None)
    first["title"] = TITLE
    first["configuration"]["catalog"] = _union([source.configuration["catalog"] for source in sources])
    first["software"] = _joined([source.attributes.get("software", {}) for source in sources])
    first["source"] = " and ".join(_union([[source.attributes.get("source", "unknown")] for source in sources]))
    first[DERIVED_FROM] = {
        "operation": operation,
        "given": given,
        "sources": [
            {
                "content_sha256": source.content,
                "n_structures": source.layout.n_structures,
                "n_rows_taken": count,
                "configuration": source.configuration,
                "software": source.attributes.get("software", {}),
                **_cited(source),
                **({DERIVED_FROM: older} if (older := source.attributes.get(DERIVED_FROM)) else {}),
            }
            for source, count in zip(sources, n_rows, strict=True)
        ],
    }
    return first


def publications(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    """Return every publication among the sources and their sources, each once: name, version, creators, url."""
    found: list[dict[str, Any]] = []
    for source in attributes.get(DERIVED_FROM, {}).get("sources", []):
        older = publications(source)
        found += [source[PUBLICATION], *older] if PUBLICATION in source else older
    return _union([found])


def _cited(source: FinishedDataset) -> dict[str, Any]:
    named = source.attributes.get(PUBLICATION)
    return {} if named is None else {PUBLICATION: {key: named[key] for key in _CITED if key in named}}


def _union(lists: Sequence[Sequence[Any]]) -> list[Any]:
    found: list[Any] = []
    for items in lists:
        found += [item for item in items if item not in found]
    return found


def _joined(versions: Sequence[dict[str, str]]) -> dict[str, str]:
    names = sorted({name for each in versions for name in each})
    return {name: " and ".join(_union([[each[name]] for each in versions if name in each])) for name in names}
