"""Fingerprints: what decides bytes is compared, what only explains code is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from datagen.config.fingerprint import code_digest, refuse_other_settings
from datagen.errors import PlanError

CODE = '''"""A module."""

LIMIT = 3
"""Of something."""


class Shape:
    """A shape."""

    sides: int = 4
    """How many."""


def area(width: float) -> float:
    """Return the area."""
    # Squares only.
    return width * width
'''


def digest(folder: Path, text: str) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "module.py").write_text(text)
    return code_digest(folder)


def test_comments_and_docstrings_do_not_count(tmp_path: Path) -> None:
    other = CODE.replace("A module", "Shapes").replace("Return the area", "Compute it").replace("Of some", "Of any")
    other = other.replace("How many", "Number of sides").replace("# Squares only.", "# A longer reason.\n")
    other = other.replace("LIMIT = 3", "LIMIT  =  3").replace('"""A shape."""\n', "\n")
    assert digest(tmp_path / "a", CODE) == digest(tmp_path / "b", other)


@pytest.mark.parametrize(
    ("old", "new"),
    [("LIMIT = 3", "LIMIT = 4"), ("width * width", "width + width"), ("sides: int = 4", "sides: int = 3")],
)
def test_code_counts(tmp_path: Path, old: str, new: str) -> None:
    assert digest(tmp_path / "a", CODE) != digest(tmp_path / "b", CODE.replace(old, new))


def test_a_text_that_code_uses_counts(tmp_path: Path) -> None:
    a, b = 'MESSAGE = "one"\n', 'MESSAGE = "two"\n'
    assert digest(tmp_path / "a", a) != digest(tmp_path / "b", b)


def test_names_of_modules_count(tmp_path: Path) -> None:
    before = digest(tmp_path / "a", CODE)
    (tmp_path / "a" / "module.py").rename(tmp_path / "a" / "other.py")
    assert code_digest(tmp_path / "a") != before


def test_every_difference_is_listed_with_what_to_do() -> None:
    then = {"simulation": {"seed": 0, "gone": 1}, "code": {"curation": "a"}, "list": [1, 2]}
    now = {"simulation": {"seed": 1, "new": 2}, "code": {"curation": "b"}, "list": [1, 3]}
    with pytest.raises(PlanError) as caught:
        refuse_other_settings(then, now, Path("my.zarr"), "discard it with --restart")
    assert str(caught.value).splitlines() == [
        "my.zarr: begun with other settings:",
        "  simulation.seed: was 0, now 1",
        "  simulation.gone: was 1, now not set",
        "  simulation.new: was not set, now 2",
        '  code.curation: was "a", now "b" (curation\'s own code has changed)',
        "  list[1]: was 2, now 3",
        "restore them to resume, or choose another folder with --out, or discard it with --restart",
    ]
    refuse_other_settings(then, then, Path("my.zarr"))
