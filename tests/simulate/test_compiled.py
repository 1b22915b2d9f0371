"""Machine code is kept where it can be: also from a read-only installation, and with no place at all."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import numpy as np
from datagen.simulate.rng import _philox, uniforms
uniforms(0, "a", np.array([1]), 4)
print(sum(_philox.stats.cache_hits.values()) if hasattr(_philox, "stats") else 0)
print(getattr(_philox._cache, "cache_path", None))
"""


def _run(package: Path, **environment: str) -> list[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=package,
        env={**clean, "PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture
def read_only(tmp_path: Path) -> Path:
    """Our package in a place where numba finds no folder beside it: a file named __pycache__ is in the way.

    Permissions would not stop a test that runs as root.
    """
    package = tmp_path / "site"
    for room in ("datagen", "curation"):
        shutil.copytree(ROOT / room, package / room, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "datagen" / "simulate" / "__pycache__").write_text("")
    return package


def test_a_read_only_installation_caches_where_it_is_told(read_only: Path, tmp_path: Path) -> None:
    where = tmp_path / "cache"
    first = _run(read_only, NUMBA_CACHE_DIR=str(where))
    second = _run(read_only, NUMBA_CACHE_DIR=str(where))
    assert first[1].startswith(str(where))
    assert (first[0], second[0]) == ("0", "1")


def test_a_read_only_installation_caches_in_the_users_folder(read_only: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    _, where = _run(read_only, HOME=str(home), XDG_CACHE_HOME=str(home / ".cache"))
    assert where.startswith(str(home))


def test_with_no_place_to_cache_it_still_computes(read_only: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("")
    hits, where = _run(read_only, HOME=str(blocked), XDG_CACHE_HOME=str(blocked / "x"))
    assert (hits, where) == ("0", "None")


def test_many_processes_may_fill_one_cache_at_once(read_only: Path, tmp_path: Path) -> None:
    where = str(tmp_path / "cache")
    clean = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
    environment = {**clean, "PYTHONPATH": str(read_only), "NUMBA_CACHE_DIR": where}
    running = [
        subprocess.Popen([sys.executable, "-c", PROGRAM], cwd=read_only, env=environment, stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    assert _run(read_only, NUMBA_CACHE_DIR=where)[0] == "1"
