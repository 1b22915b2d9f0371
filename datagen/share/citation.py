"""The citation of a publication in the Citation File Format, https://citation-file-format.github.io."""

from __future__ import annotations

import json
import re

from datagen.progress import printable
from datagen.share.facts import Facts

CITATION = "CITATION.cff"
_DOI = re.compile(r"(?:https?://(?:dx\.)?doi\.org/)?(10\.\d{4,9}/\S+)")


def doi_of(url: str) -> str | None:
    """Return the DOI that a URL resolves or is; None for others."""
    found = _DOI.fullmatch(url)
    return found[1] if found else None


def citation(facts: Facts) -> str:
    """Return the YAML; text is quoted as JSON, which YAML contains."""
    naming = facts.naming
    doi = doi_of(naming.url)
    lines = [
        "cff-version: 1.2.0",
        'message: "Please cite this dataset, and the sources of its structures."',
        "type: dataset",
        f"title: {_quoted(naming.name)}",
        f"version: {_quoted(naming.version)}",
        "authors:",
        *(f"  - name: {_quoted(name)}" for name in naming.creators or ("The publishers of this dataset",)),
    ]
    if naming.date:
        lines.append(f"date-released: {_quoted(naming.date)}")
    if doi is not None:
        lines.append(f"doi: {_quoted(doi)}")
    elif naming.url.startswith(("https://", "http://")):
        lines.append(f"url: {_quoted(naming.url)}")
    return "\n".join([*lines, ""])


def _quoted(text: str) -> str:
    return json.dumps(printable(" ".join(text.split())), ensure_ascii=True)
