"""Errors that the user can act on: what, where, expected, found, what to do. Bad input is a refused row instead."""

from __future__ import annotations

import importlib.util
from pathlib import Path

PACKAGES = ("catalogs", "cluster", "curation", "datagen")
"""Installed together; the first three have names that files of users have too."""


class DatagenError(Exception):
    """An error that the user can correct; the command line shows its message and exits with code 2."""


class ConfigError(DatagenError):
    """The configuration is invalid; the message lists every mistake."""


class PlanError(DatagenError):
    """The run does not fit, or does not match what was begun in this folder."""


class StoreError(DatagenError):
    """A dataset is missing, damaged, of another version, or in use."""


class EngineError(DatagenError):
    """A simulation engine is missing or failed as a whole."""


class InstallationError(DatagenError, ImportError):
    """A file of the user hides a package of the project."""


def refuse_hidden_packages() -> None:
    """Raise if Python would import one of our packages from elsewhere than beside this one."""
    root = Path(__file__).resolve().parents[1]
    for name in PACKAGES:
        found = importlib.util.find_spec(name)
        origin = found.origin if found is not None else None
        if origin is None:
            where = next(iter(found.submodule_search_locations or ()), None) if found is not None else None
            said = f"found only the folder {where}" if where else "it is missing"
        elif Path(origin).resolve().parents[1] == root:
            continue
        else:
            said = f"found {origin}"
        raise InstallationError(
            f"Python cannot import the package {name!r} of pxrd-datagen: expected {root / name}, {said}; "
            "rename that file or folder, start Python elsewhere, or install pxrd-datagen again"
        )


def expected_errors() -> tuple[type[Exception], ...]:
    """Return every class of error that is shown as a message, without a traceback; the rest are bugs."""
    from catalogs.errors import CatalogError
    from cluster.errors import ClusterError

    return DatagenError, CatalogError, ClusterError
