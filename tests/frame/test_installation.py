"""The package as users get it: a wheel without the repository, and user's files that hide its packages."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import datagen

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("catalogs", "cluster", "curation", "datagen", "trainer")


def python(*arguments: str, cwd: Path, packages: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python in another folder; with `packages`, ours are imported from there and libraries as usual."""
    environment = {**os.environ, **({"PYTHONPATH": str(packages)} if packages else {})}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked; built without a network by the backend that is installed."""
    out = tmp_path_factory.mktemp("wheel")
    code = f"from hatchling.build import build_wheel; print(build_wheel({str(out)!r}))"
    built = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(out / built.stdout.split()[-1]) as archive:
        archive.extractall(out / "unpacked")
    return out / "unpacked"


def test_a_wheel_holds_the_packages_and_their_data_and_nothing_else(wheel: Path) -> None:
    metadata = f"pxrd_datagen-{datagen.__version__}.dist-info"
    assert {path.name for path in wheel.iterdir()} == {*PACKAGES, metadata}
    for path in ("catalogs/examples/quartz.cif", "trainer/models/qmixer.safetensors"):
        assert (wheel / path).is_file(), path
    listed = subprocess.run(["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=False)
    assert [name for name in listed.stdout.splitlines() if not (wheel / name).exists()] == []


def test_the_wheel_works_without_the_repository(wheel: Path, tmp_path: Path) -> None:
    where = python("-c", "import datagen, trainer; print(datagen.__file__)", cwd=tmp_path, packages=wheel)
    assert where.stdout.strip() == str(wheel / "datagen" / "__init__.py")
    small = ["--limit", "2", "--set", "simulation.augmentation.count=2", "--out", "d.zarr", "--cluster", "inline"]
    examples = str(wheel / "catalogs" / "examples")
    ran = python("-m", "datagen", "run", examples, *small, cwd=tmp_path, packages=wheel)
    assert ran.returncode == 0, ran.stderr
    assert "2 structures, 4 patterns" in ran.stdout
    scan = tmp_path / "scan.xy"
    scan.write_text("".join(f"{5 + i * 0.02:.2f} {10 + 1000 * (i % 300 == 0)}\n" for i in range(3500)))
    ran = python("-m", "trainer", "predict", "scan.xy", "--wavelength", "1.5406", cwd=tmp_path, packages=wheel)
    assert ran.returncode == 0, ran.stderr
    assert "space group" in ran.stdout.lower()


@pytest.mark.parametrize("name", ["cluster.py", "catalogs/__init__.py", "curation.py"])
def test_a_user_s_file_that_hides_a_package_is_a_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("x = 1\n")
    package = name.split("/")[0].removesuffix(".py")
    for arguments in (("-m", "datagen", "doctor"), ("-c", "import datagen; datagen.curate")):
        ran = python(*arguments, cwd=tmp_path)
        assert ran.returncode != 0
        assert f"cannot import the package {package!r} of pxrd-datagen" in ran.stderr.replace("\n", " ")
        assert str(tmp_path / name) in ran.stderr.replace("\n", "")
    assert python("-m", "datagen", "doctor", cwd=tmp_path).stderr.count("Traceback") == 0


def test_the_sdist_holds_what_the_tests_need(tmp_path: Path) -> None:
    code = f"from hatchling.build import build_sdist; print(build_sdist({str(tmp_path)!r}))"
    built = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    with tarfile.open(tmp_path / built.stdout.split()[-1]) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert {"README.md", "LICENSE", "tests/conftest.py", "docs/design.md", "Makefile", "constraints.txt"} <= names
