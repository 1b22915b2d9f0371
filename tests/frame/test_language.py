"""Words that the project's plain English does without, in code, help, messages and documents."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORDS = (
    r"so many", r"by chance", r"go(?:es|ing)? on", r"anew", r"mend(?:s|ed|ing)?", r"stand(?:s|ing)? for",
    r"(?:is|are) told", r"nobody", r"somebody", r"whoever", r"l(?:ies|ie) in", r"houses?", r"befall?(?:s|en)?",
    r"judg(?:e|es|ed|ing)", r"set aside", r"side of (?:a|the) split", r"strangers?", r"casualt(?:y|ies)",
    r"give the command again", r"binds? nobody", r"will do",
)  # fmt: skip
MARKER = re.compile(r"(?<![\w-])(" + "|".join(WORDS) + r")(?![\w-])", re.IGNORECASE)
ALLOWED = {
    "set_aside": "a name of the stored format",
}
"""Longer texts around a marker that are not dialect, with the reason."""


def sources() -> list[Path]:
    """Return the product's modules and documents."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for package in ("benchmarks", "catalogs", "cluster", "curation", "datagen", "trainer"):
        found += sorted((ROOT / package).rglob("*.py"))
    return found


def test_no_marker_of_the_dialect() -> None:
    found = []
    for path in sources():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            for match in MARKER.finditer(line):
                if not any(text in line for text in ALLOWED):
                    found += [f"{path.relative_to(ROOT)}:{number}: {match[0]!r} in {line.strip()[:90]}"]
    assert found == [], "\n" + "\n".join(found)


def test_module_docstrings_are_statements() -> None:
    """No questions: a module says what it holds."""
    import ast

    wrong = []
    for path in sources():
        if path.suffix == ".py" and (text := ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))):
            first = text.splitlines()[0]
            if "?" in first:
                wrong.append(f"{path.relative_to(ROOT)}: {first}")
    assert wrong == [], "\n" + "\n".join(wrong)
