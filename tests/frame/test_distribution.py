"""The source archive and the wheel made from it work without the repository: the tutorial's commands run with them."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

import datagen

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("catalogs", "cluster", "curation", "datagen", "trainer")
_TEXT = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
TUTORIAL = re.findall(r"```(sh|python)\n(.*?)```", _TEXT, re.DOTALL)
QUICK = {
    "datagen run": "--cluster inline --quiet",
    "trainer evaluate": "--samples 1",
}
"""Options that make the commands of the tutorial quick; their results are of the same kind."""


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel, and a folder to work in."""

    python: Path
    folder: Path

    def run(self, command: list[str]) -> str:
        """Run a program of the environment in the folder; return its output."""
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "NUMBA_CACHE"))},
            "PATH": f"{self.python.parent}{os.pathsep}{os.environ['PATH']}",
            "MPLBACKEND": "Agg",
            "COLUMNS": "140",
        }
        program = str(self.python.parent / command[0])
        options = {"cwd": self.folder, "env": environment, "capture_output": True, "text": True, "timeout": 900}
        ran = subprocess.run([program, *command[1:]], check=False, **options)  # type: ignore[call-overload]
        assert ran.returncode == 0, f"{shlex.join(command)}\n{ran.stdout}\n{ran.stderr}"
        return ran.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the source archive, and from it the wheel."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return folder


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Install the wheel into an environment that borrows the packages of this one, but not this checkout."""
    home = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True, timeout=60)
    python = home / "bin" / "python"
    site = next(home.glob("lib/python*/site-packages"))
    # Paths added by a .pth file are searched last, and .pth files in them are not followed.
    borrowed = [path for path in sys.path if Path(path).name == "site-packages"]
    (site / "borrowed.pth").write_text("\n".join(borrowed) + "\n")
    (wheel,) = built.glob("*.whl")
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    ran = subprocess.run([*command, str(wheel)], capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    _lend_compiled_kernels(site)
    return Installed(python, tmp_path_factory.mktemp("user"))


def _lend_compiled_kernels(site: Path) -> None:
    """Copy what numba has compiled in this checkout: compiling it again takes a minute and tests nothing."""
    for index in (path for package in PACKAGES for path in (ROOT / package).rglob("__pycache__/*.nb[ic]")):
        folder = site / index.parent.relative_to(ROOT)
        folder.mkdir(exist_ok=True)
        shutil.copy(index, folder)
    for package in PACKAGES:
        for source in (ROOT / package).rglob("*.py"):
            shutil.copystat(source, site / source.relative_to(ROOT))


def test_both_have_every_file_of_the_packages(built: Path) -> None:
    expected = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    (wheel,) = built.glob("*.whl")
    (archive,) = built.glob("*.tar.gz")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == expected
    with tarfile.open(archive) as opened:
        sources = {name.partition("/")[2] for name in opened.getnames()}
    assert expected <= sources
    assert {"README.md", "LICENSE", "Makefile", "mkdocs.yml", "containers/Dockerfile", "tests/conftest.py"} <= sources
    assert f"-{datagen.__version__}-" in wheel.name


def _steps() -> Iterator[tuple[str, list[str]]]:
    """Yield the tutorial's commands and code, in order."""
    for language, block in TUTORIAL:
        if language == "python":
            yield "Python", ["python", "-c", block]
        else:
            for line in block.strip().splitlines():
                command = shlex.split(line)
                quick = QUICK.get(" ".join(command[:2]), "").split()
                yield " ".join(command[:3]), command + quick


@pytest.mark.timeout(1500)  # some thirty commands, each of which loads its libraries
def test_the_tutorial_works_with_the_wheel(installed: Installed) -> None:
    if find_spec("torch") is None:
        pytest.skip("the tutorial trains a network, and torch is not installed")
    outputs: dict[str, str] = {}
    for name, command in _steps():
        outputs[name] = outputs.get(name, "") + installed.run(command)
    assert str(installed.python.parent.parent) in outputs["datagen doctor"]
    assert "95 structures" in outputs["datagen demo"]
    assert "152" in outputs["trainer predict demo/quartz.xye"] or "154" in outputs["trainer predict demo/quartz.xye"]
    assert outputs["datagen identify demo/quartz.xye"].splitlines()[2].split()[:2] == ["SiO2", "154"]
    assert (installed.folder / "my-cifs.zarr" / "report.html").is_file()
    assert not any(f"{ROOT}{os.sep}" in text for text in outputs.values())
