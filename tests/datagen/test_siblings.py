"""A user's own `cluster.py` and the like are named, instead of an import error from the depths."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from datagen.commands import doctor, siblings
from datagen.errors import DatagenError

ROOT = siblings.ROOT


def _python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)} | {"PYTHONSAFEPATH": ""}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(("name", "file"), [("cluster", "cluster.py"), ("trainer", "trainer/__init__.py")])
def test_the_command_line_names_the_file_that_hides_a_package(tmp_path: Path, name: str, file: str) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("")
    ran = _python(tmp_path, "-m", "datagen", "doctor")
    assert ran.returncode == 2
    assert ran.stderr == (
        f"datagen: import {name}: expected the package of pxrd-datagen at {ROOT / name}, found {tmp_path / file}, "
        f"which hides it; rename {file.split('/')[0]}, or start Python elsewhere or with `python -P`\n"
    )


def test_the_python_functions_name_it_too_and_importing_does_not_fail(tmp_path: Path) -> None:
    (tmp_path / "curation.py").write_text("")
    code = (
        "import datagen; print(datagen.__version__)\n"
        "try: datagen.curate\nexcept datagen.errors.DatagenError as e: print(e)"
    )
    ran = _python(tmp_path, "-c", code)
    assert ran.stdout.splitlines()[1].startswith("import curation: expected the package of pxrd-datagen"), ran.stderr


def test_a_folder_without_init_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "cluster").mkdir()
    assert siblings.would_hide("cluster", tmp_path) is None
    assert _python(tmp_path, "-c", "from datagen.commands import siblings; siblings.check()").returncode == 0


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(siblings, "SIBLINGS", ("catalogs", "no_such_sibling"))
    with pytest.raises(DatagenError, match=r"'no_such_sibling' of pxrd-datagen is missing: expected it at .*reinstall"):
        siblings.check()


def test_doctor_warns_of_a_file_in_this_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PROBES", {"imports": doctor.PROBES["imports"]})
    monkeypatch.chdir(tmp_path)
    assert [finding.status for finding in doctor.examine()] == ["ok"]
    (tmp_path / "cluster.py").write_text("")
    (finding,) = doctor.examine()
    assert (finding.part, finding.status) == ("import cluster", "optional")
    assert finding.fact == f"{tmp_path / 'cluster.py'} hides our package from a Python started in this folder"
    assert "rename it" in finding.remedy


def test_doctor_finds_a_distribution_that_overwrites_a_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "PROBES", {"imports": doctor.PROBES["imports"]})
    monkeypatch.setattr(
        doctor.metadata, "packages_distributions", lambda: {"cluster": ["pxrd-datagen", "python-cluster"]}
    )
    monkeypatch.chdir(tmp_path)
    (finding,) = doctor.examine()
    assert (finding.status, finding.fact) == ("problem", "python-cluster installs a package of this name too")
