"""Front matter of the card: YAML that the Hugging Face Hub reads.

Keys as in https://huggingface.co/docs/hub/datasets-cards and .../datasets-manual-configuration.
"""

from __future__ import annotations

from datagen.progress import printable
from datagen.share.facts import Facts
from datagen.share.labels_table import LABELS_TABLE
from datagen.share.reflections_table import REFLECTIONS_TABLE

TABLE_SPLIT = "structures"
"""Name of the only split of both tables. "train", the Hub's default, would hold the structures of all splits."""
_LICENCES = {
    "CC-BY-4.0": "cc-by-4.0",
    "CC0-1.0": "cc0-1.0",
    "CC-BY-SA-4.0": "cc-by-sa-4.0",
    "CC-BY-NC-4.0": "cc-by-nc-4.0",
    "ODC-BY-1.0": "odc-by",
    "ODbL-1.0": "odbl",
    "PDDL-1.0": "pddl",
}
"""Identifiers of the Hub by SPDX identifier."""
_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))


def front_matter(facts: Facts) -> str:
    """Return the YAML block; text from the dataset is quoted and cannot add keys or markup."""
    licences = {row.licence for row in facts.licences}
    known = _LICENCES.get(next(iter(licences))) if len(licences) == 1 else None
    size = next((name for limit, name in _SIZES if facts.n_structures < limit), "n>1T")
    lines = [
        "---",
        f"pretty_name: {_quoted(facts.naming.name)}",
        f"license: {known}" if known else "license: other\nlicense_name: per-structure",
        "tags: [powder-diffraction, x-ray-diffraction, crystallography, materials-science, chemistry, zarr]",
        f'size_categories: ["{size}"]',
        "configs:",
        *_config("labels", LABELS_TABLE),
        "    default: true",
    ]
    if facts.has_reflections:
        lines += _config("reflections", REFLECTIONS_TABLE)
    return "\n".join([*lines, "---\n\n"])


def _config(name: str, file: str) -> list[str]:
    return [
        f"  - config_name: {name}",
        "    data_files:",
        f"      - split: {TABLE_SPLIT}",
        f"        path: {file}",
    ]


def _quoted(foreign: str) -> str:
    line = printable(" ".join(foreign.split()))
    plain = (c if c.isascii() and (c.isalnum() or c in " .,:_-/") else f"\\U{ord(c):08x}" for c in line)
    return '"' + "".join(plain) + '"'
