"""The card of a publication: one page of Markdown with contents, quality, terms and citation."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from datagen.progress import printable
from datagen.share.facts import Facts
from datagen.share.front_matter import TABLE_SPLIT, front_matter
from datagen.share.origins import publications
from datagen.store.schema import DENSITY_MEANINGS

CARD = "README.md"


def card(facts: Facts) -> str:
    """Return the Markdown page; text from the dataset cannot add markup or HTML to it."""
    naming = facts.naming
    parts = [
        f"# {_text(naming.name)}\n",
        f"Version {_text(naming.version)}" + (f", {_text(naming.date)}" if naming.date else "") + f". {_what(facts)}\n",
        "## In numbers\n",
        _table(_numbers(facts)),
        "## Opening\n",
        _opening(facts),
        "## Method and quality\n",
        _quality(facts),
        "## Terms\n",
        _terms(facts),
        "## Citation\n",
        _citation(facts),
        "## Files\n",
        _files(facts),
    ]
    return front_matter(facts) + "\n".join(parts)


def _what(facts: Facts) -> str:
    if not facts.has_arrays:
        return f"Labels of {facts.n_structures:,} curated crystal structures, without patterns and without coordinates."
    if "measured" in facts.attributes["configuration"]:
        return (
            f"{facts.n_patterns:,} measured powder X-ray diffraction patterns with the labels of their samples: a test "
            "set for models that read structures from patterns. The scans as measured are in the variables `scan_*`."
        )
    kind = "model densities of free atoms" if facts.density_method == "independent_atoms" else "electron densities"
    densities = f", and {facts.n_densities:,} {kind}" if facts.n_densities else ""
    return (
        f"{facts.n_patterns:,} simulated powder X-ray diffraction patterns of {facts.n_structures:,} curated crystal "
        f"structures, with labels{densities}: training data for models that read structures from patterns."
    )


def _numbers(facts: Facts) -> list[tuple[str, str]]:
    rows = [("structures", f"{facts.n_structures:,}, in {facts.n_groups:,} groups of one formula and space group")]
    if facts.has_arrays:
        instrument = facts.attributes["instrument"]
        lines = " and ".join(f"{line['wavelength_A']:g} Å" for line in instrument["lines"])
        span = f"{instrument['two_theta_min_deg']:g} to {instrument['two_theta_max_deg']:g}° 2θ"
        rows.append(("patterns", f"{facts.n_patterns:,}: {span}, {facts.n_points:,} points, {lines}"))
        meaning = DENSITY_MEANINGS[facts.density_method] if facts.density_method and facts.n_densities else ""
        rows.append(("electron densities", f"{facts.n_densities:,}" + (f": {meaning}" if meaning else "")))
    rows += [
        ("split", ", ".join(f"{count:,} {name}" for name, count in facts.splits.items())),
        ("crystal systems", ", ".join(f"{count:,} {name}" for name, count in facts.systems.items())),
        ("space groups", f"{facts.n_space_groups} of 230"),
        ("elements", f"{facts.n_elements}"),
        ("volume of the primitive cell", f"{facts.volume_A3[0]:.4g} to {facts.volume_A3[1]:.4g} Å³"),
        ("atoms in the primitive cell", f"{facts.n_atoms[0]:,} to {facts.n_atoms[1]:,}"),
    ]
    return rows


def _opening(facts: Facts) -> str:
    if not facts.has_arrays:
        return '```python\nimport pandas\nlabels = pandas.read_parquet("labels.parquet")\n```\n'
    on_hub = _HUB_PAGE.fullmatch(facts.naming.url)
    tables = (
        f"The folder: `datagen datasets download hf://{on_hub[1]} FOLDER`. "
        f'The tables: `datasets.load_dataset("{on_hub[1]}", "labels", split="{TABLE_SPLIT}")`'
        f"{' or `reflections`' if facts.has_reflections else ''}; the column `split` names the split for training.\n"
        if on_hub
        else ""
    )
    return (
        "```python\n"
        "import xarray\n"
        'dataset = xarray.open_zarr("PATH OF THIS FOLDER")\n'
        "dataset.pattern[0, 0].plot()  # relative intensity against 2θ\n"
        "```\n\n"
        "For a `.zarr.zip`, open `zarr.storage.ZipStore(PATH)` in place of the path. Rows are structures; every\n"
        "variable carries its units and meaning. `labels.parquet` has the labels as a plain table.\n" + tables
    )


def _quality(facts: Facts) -> str:
    source = _text(facts.attributes.get("source", "unknown"))
    text = f"Made by {source}. Every structure was curated (verdicts: `curation.parquet`).\n"
    if not facts.has_arrays:
        return f"Made by {source}. Every structure was curated.\n"
    agreement: Any = facts.attributes.get("engine", {}).get("agreement_with_gsas2")
    if isinstance(agreement, dict):
        text += (
            f"\nAgreement of the engine with {_text(agreement['reference'])}, as the largest difference over the "
            f"pattern's maximum: median {agreement['median']:g}, 95th percentile {agreement['percentile_95']:g}, "
            f"worst {agreement['worst']:g}, of {agreement['patterns']:,} patterns of {agreement['crystals']:,} "
            "crystals. Noise and background are not in the patterns.\n"
        )
    elif agreement:
        text += f"\nAgreement with GSAS-II: {_text(agreement)}. Noise and background are not in the patterns.\n"
    return text


def _terms(facts: Facts) -> str:
    lines = ["| licence of the source | structures | published | withheld |", "|---|---|---|---|"]
    for row in facts.licences:
        withheld = ", ".join(row.withheld) or "-"
        lines += [f"| {_text(row.licence)} | {row.n_structures:,} | {', '.join(row.published)} | {withheld} |"]
    text = "\n".join(lines) + "\n\nEach structure has the terms of its source: the label `licence` of its row.\n"
    if facts.has_arrays and any(row.withheld for row in facts.licences):
        text += (
            "What is withheld reads as absent: no reflections (`n_reflections` is 0), `has_density` false, no\n"
            "structure in `curation.parquet`. Such rows can be neither replayed nor broadened differently.\n"
        )
    return text


def _citation(facts: Facts) -> str:
    by = _text(", ".join(facts.naming.creators)) or "The publishers of this dataset"
    year = f" ({_text(facts.naming.date[:4])})" if facts.naming.date else ""
    where = f" {_url(facts.naming.url)}" if facts.naming.url else ""
    text = (
        f"> {by}{year}. {_text(facts.naming.name)}, version {_text(facts.naming.version)}.{where}\n\n"
        "Please cite the sources of the structures too (label `source`, `source_id`)"
    )
    cited = publications(facts.attributes)
    if not cited:
        return text + ".\n"
    return (
        text + ", and the datasets from which this one was made:\n\n" + "".join(f"- {_named(each)}\n" for each in cited)
    )


def _named(publication: dict[str, Any]) -> str:
    by = _text(", ".join(publication.get("creators", [])))
    url = _url(publication.get("url", ""))
    named = f"{_text(publication['name'])}, version {_text(publication['version'])}."
    return (f"{by}. " if by else "") + named + (f" {url}" if url else "")


def _files(facts: Facts) -> str:
    rows = [("labels.parquet", "labels as a table"), ("croissant.json", "MLCommons Croissant metadata")]
    if facts.has_reflections:
        rows.insert(1, ("reflections.parquet", "reflections of the open structures as a table"))
    rows += [("dataset.jsonld", "schema.org metadata"), ("CITATION.cff", "citation, for reference managers")]
    if facts.has_arrays:
        rows.insert(0, ("zarr.json and its folders", "arrays, one Zarr v3 group"))
        rows.append(("curation.parquet", "verdicts on the inputs"))
        rows.append(("ledger/", "receipts with the checksum of every file"))
    rows.append(("SHA256SUMS", "check all files with `sha256sum -c SHA256SUMS`"))
    return _table(rows)


def _table(rows: list[tuple[str, str]]) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {_cell(a)} | {_cell(b)} |" for a, b in rows)]) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _text(foreign: object) -> str:
    """Return text from a dataset as one line of Markdown, with markup and HTML escaped."""
    line = printable(" ".join(str(foreign).split()))
    escaped = re.sub(r"([\\`*_\[\]|#!~$])", r"\\\1", line)
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _url(foreign: str) -> str:
    """Return a URL without characters that end a link or begin markup."""
    return quote(foreign, safe="/:?#@!$&+,;=%~.-_") if _URL.match(foreign) else _text(foreign)


_HUB_PAGE = re.compile(r"https?://[^/]+/datasets/([A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+)")
_URL = re.compile(r"https?://|10\.\d{4,9}/")
