"""A Materials Project without a network: answers as the web server and the object store give them.

The real client mp-api runs on top of it, with its own checking of documents; only what travels is made up.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pytest
import requests
from monty.json import MontyEncoder
from pymatgen.core import Lattice, Structure
from pymatgen.io.vasp import Chgcar, Poscar

KEY = "0123456789abcdef0123456789abcdef"
SYMMETRY = {
    "crystal_system": "Cubic",
    "symbol": "Fm-3m",
    "number": 225,
    "point_group": "m-3m",
    "symprec": 0.1,
    "angle_tolerance": 5.0,
    "version": "2.5",
}


def rock_salt(a_A: float, cation: str = "Na", anion: str = "Cl") -> Structure:
    return Structure(
        Lattice(np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) * a_A / 2), [cation, anion], [[0] * 3, [0.5] * 3]
    )


def answer(content: Any, status_code: int = 200) -> requests.Response:
    """What the server sends back."""
    response = requests.Response()
    response.status_code = status_code
    response.url = "https://api.materialsproject.org/somewhere"
    response._content = json.dumps(content, cls=MontyEncoder).encode()
    return response


class FakeMaterialsProject:
    """Materials and tasks by id; `fail` may raise or answer in the place of any request."""

    def __init__(self) -> None:
        self.database_version = "2026.01.01"
        self.materials: dict[str, dict[str, Any]] = {}
        self.densities: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.fail: Callable[[str], requests.Response | None] = lambda _request: None
        self.keys_seen: set[str | None] = set()

    def add(
        self, material_id: str, structure: Structure, density_tasks: dict[str, bool] | None = None, **more: Any
    ) -> None:
        """A material; `density_tasks` are its static calculations, oldest first, and whether each has a density."""
        self.materials[material_id] = {
            "material_id": material_id,
            "formula_pretty": structure.composition.reduced_formula,
            "structure": structure.as_dict(),
            "symmetry": SYMMETRY,
            "energy_above_hull": 0.0,
            "theoretical": False,
            "database_IDs": {"icsd": ["icsd-18189"]},
            "tasks": list(density_tasks),
        }  # fmt: skip
        for task_id, has_density in density_tasks.items():
            if has_density:
                grid = np.arange(8.0).reshape(2, 2, 2) + len(self.densities)
                content = {"data": Chgcar(Poscar(structure), {"total": grid})}
                self.densities[task_id] = gzip.compress(json.dumps(content, cls=MontyEncoder).encode())

    def send(self, prepared: requests.PreparedRequest) -> requests.Response:
        """In the place of the network: the last step of every request."""
        url = urlsplit(str(prepared.url))
        assert (prepared.method, url.scheme, url.netloc) == ("GET", "https", "api.materialsproject.org")
        request = url.path.strip("/")
        self.requests.append(request)
        self.keys_seen.add(prepared.headers.get("x-api-key"))
        if (failure := self.fail(request)) is not None:
            return failure
        params = dict(parse_qsl(url.query))
        if request == "heartbeat":
            return answer({"version": "0.86.4", "db_version": self.database_version, "access_controlled_batch_ids": []})
        if request == "materials/summary":
            return self._documents(self._selected(params), params)
        if request == "materials/core":
            relaxation = {"mp-9999": "GGA Structure Optimization"}
            found = [
                {"material_id": m["material_id"], "calc_types": dict.fromkeys(m["tasks"], "GGA Static") | relaxation}
                for m in self._selected(params)
            ]
            return self._documents(found, params)
        if request == "materials/tasks":
            wanted = params["task_ids"].split(",")
            tasks = [task for m in self.materials.values() for task in m["tasks"]]
            found = [
                {
                    "task_id": task,
                    "last_updated": {"$date": f"{datetime(2025, 1, 1 + i, tzinfo=UTC):%Y-%m-%dT%H:%M:%SZ}"},
                }
                for i, task in enumerate(tasks)
                if task in wanted
            ]
            return self._documents(found, params)
        return answer({"detail": f"no such page: {request}"}, 404)

    def _selected(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        found = list(self.materials.values())
        if "material_ids" in params:
            found = [m for m in found if m["material_id"] in params["material_ids"].split(",")]
        if "chemsys" in params:
            systems = {"-".join(sorted(system.split("-"))) for system in params["chemsys"].split(",")}
            found = [m for m in found if Structure.from_dict(m["structure"]).chemical_system in systems]
        if "has_props" in params:
            found = [m for m in found if m["tasks"]]
        return found

    @staticmethod
    def _documents(found: list[dict[str, Any]], params: dict[str, Any]) -> requests.Response:
        fields = params["_fields"].split(",")
        data = [{key: m[key] for key in fields if key in m} for m in found]
        return answer({"data": data, "meta": {"total_doc": len(data)}})

    def download_fileobj(self, bucket: str, key: str, into: BytesIO) -> None:
        """In the place of boto3's S3 client."""
        from botocore.exceptions import ClientError

        self.requests.append(f"s3://{bucket}/{key}")
        self.fail(self.requests[-1])
        name = key.removeprefix("chgcars/").removesuffix(".json.gz")
        for task_id, content in self.densities.items():
            if alpha(task_id) == name:
                into.write(content)
                return
        raise ClientError({"Error": {"Code": "404", "Message": "Not Found"}}, "HeadObject")

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put this in the place of the network."""
        from mp_api.client.core import client

        monkeypatch.setenv("MP_API_KEY", KEY)
        monkeypatch.setattr(requests.Session, "send", lambda _session, prepared, **_more: self.send(prepared))
        monkeypatch.setattr(client.boto3, "client", lambda *_, **__: self)
        client._Rester._get_heartbeat_info.cache_clear()


def alpha(task_id: str) -> str:
    from emmet.core.mpid import AlphaID
    from mp_api.client.core.utils import validate_ids

    return AlphaID(validate_ids([task_id])[0].split("-")[-1], prefix="mp").string
