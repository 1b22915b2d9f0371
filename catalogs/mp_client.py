"""Queries of the Materials Project through its client mp-api, with retries and without exposing the key."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any, TypeVar

from catalogs.config import MaterialsProjectCatalog
from catalogs.errors import CatalogError

T = TypeVar("T")

FIELDS = ["material_id", "formula_pretty", "symmetry", "energy_above_hull", "theoretical", "structure", "database_IDs"]
_REFUSED = ("status code 401", "status code 403", "API key", "Unauthorized")
_WRONG = ("status code 400", "status code 422", "does not support the request", "invalid fields", "not a valid")
_ABSENT = "No object found"


@dataclass(frozen=True)
class Density:
    """A density as the Materials Project's JSON, with its task and its atoms as a CIF."""

    task_id: str
    json: bytes
    cif: str


def connect() -> Any:
    """Return mp-api's client; mp-api reads the key from its own or pymatgen's settings."""
    try:
        from mp_api.client import MPRester
    except ImportError as error:
        raise CatalogError(
            "the Materials Project's client is not installed",
            where="kind = 'materials_project'",
            do="python -m pip install 'pxrd-datagen[mp]'",
        ) from error
    from pymatgen.core import SETTINGS

    if not (os.environ.get("MP_API_KEY") or SETTINGS.get("PMG_MAPI_KEY")):
        raise CatalogError(
            "there is no key for the Materials Project",
            where="kind = 'materials_project'",
            expected="the environment variable MP_API_KEY, or PMG_MAPI_KEY in pymatgen's ~/.config/.pmgrc.yaml",
            do="get one at https://materialsproject.org/api; it is never written anywhere by this program",
        )
    return MPRester(mute_progress_bars=True)


class Client:
    """The queries that the catalog needs, retried before they raise `CatalogError`."""

    def __init__(self, where: str, retries: int, connecting: Callable[[], Any], sleep: Callable[[float], None]) -> None:
        self._where = where
        self._retries = retries
        self._connecting = connecting
        self._sleep = sleep
        self._lock = Lock()
        self._rester: Any = None

    def database_version(self) -> str:
        """Return the current version of the database."""
        return str(self._ask(lambda rester: rester.db_version))

    def material_ids(self, config: MaterialsProjectCatalog) -> set[str]:
        """Return the ids that meet the configuration's criteria, and those it names, whether they exist or not."""
        found = {_usual_id(named) for named in config.material_ids}
        for criteria in _criteria(config):
            found |= {_id(document, "material_id") for document in self._summaries(criteria, ["material_id"])}
        return found

    def structures(self, ids: list[str]) -> list[dict[str, Any]]:
        """Return the documents of these materials with the structure as a CIF; unknown ids are left out."""
        return [_plain(document) for document in self._summaries({"material_ids": ids}, FIELDS)]

    def _summaries(self, criteria: dict[str, Any], fields: list[str]) -> list[Any]:
        return list(self._ask(lambda rester: rester.materials.summary.search(**criteria, fields=fields)))

    def density(self, material_id: str) -> Density | None:
        """Return the newest charge density of a material, or None if no task has one.

        As the client's own choice among the static calculations, but where the newest has none the next is taken.
        """
        from emmet.core.vasp.calc_types import CalcType

        static = [CalcType.GGA_Static, CalcType.GGA_U_Static]
        tasks = self._ask(lambda rester: rester.get_task_ids_associated_with_material_id(material_id, static))
        if not tasks:
            return None
        dated = self._ask(
            lambda rester: rester.materials.tasks.search(
                task_ids=[str(task) for task in tasks], fields=["last_updated", "task_id"]
            )
        )
        for document in sorted(dated, key=lambda d: (_get(d, "last_updated"), _id(d, "task_id")), reverse=True):
            task_id = _id(document, "task_id")
            if (density := self._density_of_task(task_id)) is not None:
                return Density(task_id, _density_json(density), cif_of(density.structure))
        return None

    def _density_of_task(self, task_id: str) -> Any:
        return self._ask(lambda rester: rester.get_charge_density_from_task_id(task_id), absent=True)

    def _ask(self, question: Callable[[Any], T], *, absent: bool = False) -> Any:
        """Return the result; None if the object does not exist and the caller accepts that."""
        for attempt in range(self._retries + 1):
            if attempt:
                self._sleep(2.0 ** (attempt - 1))
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    return question(self._connected())
            except CatalogError:
                raise
            except _network_troubles() as error:
                trouble = self._without_key(error)
                if absent and _ABSENT in trouble:
                    return None
                if any(sign in trouble for sign in _REFUSED):
                    raise self._error("rejects the API key", trouble, "check MP_API_KEY") from None
                if any(sign in trouble for sign in _WRONG):
                    raise self._error("rejects the query", trouble, "check the query, and update mp-api") from None
        raise self._error(
            f"does not answer after {self._retries + 1} attempts",
            trouble,
            "check the network and https://status.materialsproject.org, then run again; completed downloads are kept",
        )

    def _connected(self) -> Any:
        with self._lock:
            if self._rester is None:
                self._rester = self._connecting()
            return self._rester

    def _without_key(self, error: Exception) -> str:
        text = f"{type(error).__name__}: {error}"
        for key in (getattr(self._rester, "api_key", None), os.environ.get("MP_API_KEY")):
            if key:
                text = text.replace(str(key), "(key)")
        return " ".join(text.split())[:400]

    def _error(self, what: str, found: str, do: str) -> CatalogError:
        return CatalogError(f"the Materials Project {what}", where=self._where, found=found, do=do)


def cif_of(structure: Any) -> str:
    """Return all atoms of a pymatgen structure as a CIF with full precision."""
    from pymatgen.io.cif import CifWriter

    plain = structure.copy(site_properties={})
    plain.remove_oxidation_states()
    return str(CifWriter(plain, significant_figures=10))


def _network_troubles() -> tuple[type[Exception], ...]:
    """Return the exceptions of the client for failures of network or server, including invalid JSON."""
    troubles: tuple[type[Exception], ...] = (OSError, ValueError, KeyError)  # requests' own are OSErrors
    try:
        from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]
        from mp_api.client import MPRestError
    except ImportError:  # told in a sentence by `connect`
        return troubles
    return (*troubles, BotoCoreError, ClientError, MPRestError)


def _criteria(config: MaterialsProjectCatalog) -> list[dict[str, Any]]:
    """Return the configuration's criteria as keywords of the client; long lists in several queries."""
    if config.material_ids:
        ids = list(config.material_ids)
        return [{"material_ids": ids[i : i + 500]} for i in range(0, len(ids), 500)]
    criteria: dict[str, Any] = {"deprecated": False}
    if config.chemsys:
        criteria["chemsys"] = list(config.chemsys)
    if config.elements:
        criteria["elements"] = list(config.elements)
    if config.exclude_elements:
        criteria["exclude_elements"] = list(config.exclude_elements)
    for name in ("num_elements", "num_sites", "theoretical", "crystal_system"):
        if (value := getattr(config, name)) is not None:
            criteria[name] = value
    if config.max_energy_above_hull_eV is not None:
        criteria["energy_above_hull"] = (0.0, config.max_energy_above_hull_eV)
    if config.with_density:
        criteria["has_props"] = ["charge_density"]
    groups = config.space_group or (None,)
    return [criteria | ({"spacegroup_number": number} if number else {}) for number in groups]


def _plain(document: Any) -> dict[str, Any]:
    symmetry = _get(document, "symmetry")
    known = _get(document, "database_IDs") or {}
    return {
        "material_id": _id(document, "material_id"),
        "formula": _get(document, "formula_pretty"),
        "space_group_number": _get(symmetry, "number") if symmetry is not None else None,
        "energy_above_hull_eV": _get(document, "energy_above_hull"),
        "theoretical": _get(document, "theoretical"),
        "database_ids": " ".join(str(i) for ids in known.values() for i in ids) or None,
        "cif": cif_of(_get(document, "structure")),
    }


def _get(document: Any, name: str) -> Any:
    """Return a field of a document, which may be a model or a dictionary."""
    return document.get(name) if isinstance(document, dict) else getattr(document, name, None)


def _id(document: Any, name: str) -> str:
    """Return an id as the web site writes it (mp-149); the client converts some to letters."""
    value = _get(document, name)
    return str(getattr(value, "string", value))


def _usual_id(named: str) -> str:
    from emmet.core.mpid import validate_identifier

    try:
        return str(getattr(validate_identifier(named, serialize=False), "string", named))
    except ValueError:
        return named  # not an id: reported as not found


def _density_json(density: Any) -> bytes:
    from monty.json import MontyEncoder

    return json.dumps({"data": density.as_dict()}, cls=MontyEncoder).encode()
