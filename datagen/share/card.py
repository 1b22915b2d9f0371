"""One page about a dataset for somebody who has never heard of it: what, how much, how good, how opened, what terms."""

from __future__ import annotations

from typing import Any

from datagen.share.facts import Facts
from datagen.share.origins import publications
from datagen.store.schema import DENSITY_MEANINGS

CARD = "README.md"


def card(facts: Facts) -> str:
    """The page, as Markdown; a function of the facts alone."""
    naming = facts.naming
    parts = [
        f"# {naming.name}\n",
        f"Version {naming.version}" + (f", {naming.date}" if naming.date else "") + f". {_what(facts)}\n",
        "## In numbers\n",
        _table(_numbers(facts)),
        "## Opening it\n",
        _opening(facts),
        "## How it was made, and how good it is\n",
        _quality(facts),
        "## Terms\n",
        _terms(facts),
        "## Citing it\n",
        _citation(facts),
        "## Files\n",
        _files(facts),
    ]
    return "\n".join(parts)


def _what(facts: Facts) -> str:
    if not facts.has_arrays:
        return f"Labels of {facts.n_structures:,} curated crystal structures, without patterns and without coordinates."
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
    return (
        "```python\n"
        "import xarray\n"
        'dataset = xarray.open_zarr("PATH OF THIS FOLDER")\n'
        "dataset.pattern[0, 0].plot()  # relative intensity over 2θ\n"
        "```\n\n"
        "For a `.zarr.zip`, open `zarr.storage.ZipStore(PATH)` in place of the path. Rows are structures; every\n"
        "variable carries its units and meaning. `labels.parquet` has the labels as a plain table.\n"
    )


def _quality(facts: Facts) -> str:
    source = facts.attributes.get("source", "unknown")
    text = f"Made by {source}. Every structure was checked before use (`curation.parquet` has each verdict).\n"
    if not facts.has_arrays:
        return f"Made by {source}. Every structure was checked before use.\n"
    agreement: Any = facts.attributes.get("engine", {}).get("agreement_with_gsas2")
    if isinstance(agreement, dict):
        text += (
            f"\nAgreement of the engine with {agreement['reference']}, as the largest difference over the "
            f"pattern's maximum: median {agreement['median']:g}, 95th percentile {agreement['percentile_95']:g}, "
            f"worst {agreement['worst']:g}, of {agreement['patterns']:,} patterns of {agreement['crystals']:,} "
            "crystals. Noise and background are not in the patterns.\n"
        )
    elif agreement:
        text += f"\nAgreement with GSAS-II: {agreement}. Noise and background are not in the patterns.\n"
    return text


def _terms(facts: Facts) -> str:
    lines = ["| licence of the source | structures | here | withheld |", "|---|---|---|---|"]
    for row in facts.licences:
        stays = ", ".join(row.withheld) or "-"
        lines += [f"| {_cell(row.licence)} | {row.n_structures:,} | {', '.join(row.published)} | {stays} |"]
    text = "\n".join(lines) + "\n\nEach structure has the terms of its source: the label `licence` of its row.\n"
    if facts.has_arrays and any(row.withheld for row in facts.licences):
        text += (
            "What is withheld reads as absent: no reflections (`n_reflections` is 0), `has_density` false, no\n"
            "structure in `curation.parquet`. Such rows cannot be replayed or broadened anew.\n"
        )
    return text


def _citation(facts: Facts) -> str:
    by = ", ".join(facts.naming.creators) or "The publishers of this dataset"
    year = f" ({facts.naming.date[:4]})" if facts.naming.date else ""
    where = f" {facts.naming.url}" if facts.naming.url else ""
    text = (
        f"> {by}{year}. {facts.naming.name}, version {facts.naming.version}.{where}\n\n"
        "Please cite the sources of the structures too (label `source`, `source_id`)"
    )
    older = publications(facts.attributes)
    if not older:
        return text + ".\n"
    return text + ", and the datasets that this one was made of:\n\n" + "".join(f"- {_named(each)}\n" for each in older)


def _named(publication: dict[str, Any]) -> str:
    by = ", ".join(publication.get("creators", []))
    url = publication.get("url", "")
    return _cell(
        (f"{by}. " if by else "")
        + f"{publication['name']}, version {publication['version']}."
        + (f" {url}" if url else "")
    )


def _files(facts: Facts) -> str:
    rows = [("labels.parquet", "labels as a table"), ("croissant.json", "MLCommons Croissant metadata")]
    rows.append(("dataset.jsonld", "schema.org metadata"))
    if facts.has_arrays:
        rows.insert(0, ("zarr.json and folders beside it", "the arrays, one Zarr v3 group"))
        rows.append(("curation.parquet", "verdicts on the inputs"))
        rows.append(("ledger/", "receipts of what was written"))
    rows.append(("SHA256SUMS", "check all files with `sha256sum -c SHA256SUMS`"))
    return _table(rows)


def _table(rows: list[tuple[str, str]]) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {_cell(a)} | {_cell(b)} |" for a, b in rows)]) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
