"""Fingerprints: every setting and version that decides a byte of a dataset, and the comparison of two of them.

There is one answer to "was this begun with other settings": `refuse_other_settings`.
"""

from __future__ import annotations

import ast
import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import curation
from catalogs.config import CatalogConfig
from curation.labels import CRYSTAL_SYSTEMS
from curation.sandbox import Limits
from curation.settings import CurationSettings
from datagen import __version__
from datagen.config.config import DatagenConfig
from datagen.config.job import Job
from datagen.errors import PlanError

SOFTWARE = ("numpy", "numba", "gemmi", "spglib", "zarr", "numcodecs", "mp-pyrho")
TITLE = "Powder diffraction patterns simulated from curated crystal structures"
LICENCE_NOTE = (
    "Each structure has the terms of its source: see the variable licence. Structures from restricted sources, such as "
    "the ICSD, and anything they can be rebuilt from may not be passed on without the source's leave."
)


DECIDING_LIBRARIES = ("gemmi", "numpy", "spglib")
"""Libraries whose version decides verdicts."""
SHOWN_CHARACTERS = 200


@dataclass(frozen=True)
class CurateJob:
    """Everything that decides the content of a curation table."""

    catalogs: tuple[CatalogConfig, ...]
    settings: CurationSettings
    limits: Limits

    @classmethod
    def of(cls, config: DatagenConfig) -> CurateJob:
        """Return the part of a configuration that concerns curation."""
        return cls(config.catalog, config.curation, config.limits)

    def fingerprint(self) -> dict[str, Any]:
        """Return settings and versions as plain values; equal fingerprints give equal tables."""
        return {
            "catalog": [catalog.model_dump(mode="json") for catalog in self.catalogs],
            "curation": self.settings.model_dump(mode="json"),
            "limits": self.limits.model_dump(mode="json"),
            "code": {
                "curation": _curation_digest(),
                **{name: version(name) for name in DECIDING_LIBRARIES},
            },
        }


@cache
def _curation_digest() -> str:
    """Return the digest of curation's code: half a second, once for each process."""
    return code_digest(Path(next(iter(curation.__path__))))


def code_digest(package: Path) -> str:
    """Return a digest of a package's code without comments and docstrings, whose change decides nothing."""
    digest = hashlib.sha256()
    for path in sorted(package.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            # A string alone is a docstring, of attributes too.
            body = getattr(node, "body", None)
            if isinstance(body, list):
                kept = [statement for statement in body if not _is_text(statement)]
                node.body = kept or [ast.Pass()]  # type: ignore[attr-defined]
        digest.update(path.name.encode() + b"\0" + ast.unparse(tree).encode() + b"\0")
    return digest.hexdigest()[:16]


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def differences(then: Any, now: Any, at: str = "") -> list[str]:
    """Return a line for each field in which two fingerprints differ: its path, the value then and now."""
    if isinstance(then, dict) and isinstance(now, dict):
        lines = []
        for key in [*then, *(key for key in now if key not in then)]:
            path = f"{at}.{key}" if at else str(key)
            if key not in now:
                lines.append(f"{path}: was {_shown(then[key])}, now not set")
            elif key not in then:
                lines.append(f"{path}: was not set, now {_shown(now[key])}")
            else:
                lines += differences(then[key], now[key], path)
        return lines
    if isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        return [
            line for i, (a, b) in enumerate(zip(then, now, strict=True)) for line in differences(a, b, f"{at}[{i}]")
        ]
    return [] if then == now else [f"{at}: was {_shown(then)}, now {_shown(now)}"]


def refuse_other_settings(then: Any, now: Any, where: Path, *other_remedies: str) -> None:
    """Raise PlanError with every difference if `where` was begun with other settings."""
    lines = differences(then, now)
    if not lines:
        return
    explained = [
        f"{line} (curation's own code has changed)" if line.startswith("code.curation") else line for line in lines
    ]
    remedies = ["restore them to resume", "choose another folder with --out", *other_remedies]
    raise PlanError("\n  ".join([f"{where}: begun with other settings:", *explained]) + f"\n{', or '.join(remedies)}")


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + "..."


def job_of(config: DatagenConfig) -> Job:
    """Return the part of a configuration that shards are made with."""
    return Job(simulation=config.simulation, density=config.density, store=config.store, run=config.run)


def fingerprint_of(config: DatagenConfig) -> dict[str, Any]:
    """Return everything that decides a dataset's content as plain values; equal fingerprints give equal bytes."""
    return {**CurateJob.of(config).fingerprint(), **job_of(config).content()}


def attributes_of(config: DatagenConfig) -> dict[str, Any]:
    """Return the dataset's attributes, which do not depend on time, place or interruptions of the run."""
    settings = config.simulation
    return {
        "title": TITLE,
        "source": f"pxrd-datagen {__version__}, engine {settings.engine}",
        "software": {"pxrd-datagen": __version__, **{name: version(name) for name in SOFTWARE}},
        "configuration": fingerprint_of(config),
        "crystal_systems": dict(enumerate(CRYSTAL_SYSTEMS, start=1)),
        "instrument": settings.instrument.model_dump(mode="json"),
        "reflections": job_of(config).reflections(),
        "engine": engine_statement(settings.engine),
        "licence_note": LICENCE_NOTE,
    }


def engine_statement(engine: str) -> dict[str, Any]:
    """Return the name of the engine and its agreement with GSAS-II."""
    if engine == "gsas2":
        return {"name": "gsas2", "agreement_with_gsas2": "these are GSAS-II's own patterns"}
    from datagen.simulate.agreement import AGREEMENT

    return {"name": engine, "agreement_with_gsas2": AGREEMENT}
