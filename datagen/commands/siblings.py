"""Packages of this project beside `datagen`, whose short names a user's own files can hide."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path

from datagen.errors import DatagenError

SIBLINGS = ("catalogs", "cluster", "curation", "trainer")
ROOT = Path(__file__).resolve().parents[2]


def check() -> None:
    """Raise unless Python finds each sibling where it finds this package."""
    for name in SIBLINGS:
        if (found := hidden_by(name)) is not None:
            raise DatagenError(hidden(name, found))


def hidden_by(name: str) -> Path | None:
    """Return the file that Python imports in place of our package (our folder if none), or None if it imports ours."""
    module = sys.modules.get(name)
    try:
        spec = find_spec(name) if module is None else module.__spec__
    except ValueError:  # a module without a spec
        spec = None
    found = _file(spec) if spec is not None else getattr(module, "__file__", None)
    if found is None:
        return ROOT / name
    return None if Path(found).resolve() == ROOT / name / "__init__.py" else Path(found)


def would_hide(name: str, folder: Path) -> Path | None:
    """Return the file of `folder` that Python would import in place of our package if it were started there."""
    if folder.resolve() == ROOT:
        return None
    found = _file(PathFinder.find_spec(name, [str(folder)]))
    return None if found is None else Path(found)


def hidden(name: str, found: Path) -> str:
    """Return the message for a package that cannot be imported."""
    ours = ROOT / name
    if found == ours:
        return f"the package {name!r} of pxrd-datagen is missing: expected it at {ours}; reinstall pxrd-datagen"
    return (
        f"import {name}: expected the package of pxrd-datagen at {ours}, found {found}, which hides it; "
        f"rename {found.name if found.name != '__init__.py' else found.parent.name}, or start Python elsewhere or with "
        "`python -P`"
    )


def _file(spec: ModuleSpec | None) -> str | None:
    """Return the file of a module or package; None for a folder without `__init__.py`, which hides nothing."""
    return None if spec is None or not spec.has_location else spec.origin
