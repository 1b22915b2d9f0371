"""Dependencies flow one way: catalogs <- curation <- datagen -> cluster; trainer alone."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("catalogs", "curation", "datagen", "cluster", "trainer")
MAY_IMPORT = {
    "catalogs": set(),
    "curation": {"catalogs"},
    "datagen": {"catalogs", "curation", "cluster", "trainer"},
    "cluster": set(),
    "trainer": set(),
}
FORBIDDEN = {
    "curation": {"dask", "distributed", "zarr", "xarray", "torch"},
    "catalogs": {"dask", "distributed", "zarr", "torch"},
    "cluster": {"pymatgen", "gemmi", "spglib", "zarr", "torch"},
    "trainer": {"dask", "distributed", "pymatgen", "gemmi", "spglib", "pyarrow", "pydantic"},
    "datagen": {"torch"},
}


def _imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_stands_before_it(room: str) -> None:
    for module in sorted((ROOT / room).rglob("*.py")):
        others = _imported(module) & (set(ROOMS) - {room})
        assert others <= MAY_IMPORT[room], f"{module.relative_to(ROOT)} imports {sorted(others - MAY_IMPORT[room])}"


def test_datagen_knows_of_the_trainer_only_scan_files_their_axis_and_one_network() -> None:
    for module in sorted((ROOT / "datagen").rglob("*.py")):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "trainer":
                # The numbers of the axis on which both compare scans have one home.
                allowed = node.module in ("trainer.errors", "trainer.simulate.axis")
                allowed = allowed or node.module.startswith("trainer.scans")
                # The one place where a network is asked beside the library.
                asked = ("trainer.prediction.qmixer", "trainer.prediction.cells.weigh")
                network = module.name == "network.py" and node.module in asked
                assert allowed or network, module


@pytest.mark.parametrize("room", sorted(FORBIDDEN))
def test_a_room_stays_free_of_what_it_need_not_know(room: str) -> None:
    for module in sorted((ROOT / room).rglob("*.py")):
        wrong = _imported(module) & FORBIDDEN[room]
        assert not wrong, f"{module.relative_to(ROOT)} imports {sorted(wrong)}"


def test_nothing_of_ours_is_stored_as_pickle_or_read_from_one() -> None:
    for room in ROOMS:
        for module in sorted((ROOT / room).rglob("*.py")):
            for node in ast.walk(ast.parse(module.read_text())):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "pickle":
                    # Weighing what Dask is about to send, and naming what torch raises, leave no file.
                    assert node.attr in ("dumps", "UnpicklingError"), f"{module}: pickle.{node.attr}"
