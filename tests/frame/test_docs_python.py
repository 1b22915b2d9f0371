"""Every Python block of the README and of docs/ runs; the blocks of a page share their names, as in a notebook."""

from __future__ import annotations

import importlib.util
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import datagen
from catalogs.record import Record
from datagen.inspect.demo_scan import write_demo_scan
from tests.datagen.small_runs import EXAMPLES, write_cifs

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
N_POINTS = 2000


def blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


BLOCKS = [pytest.param(page, i, id=f"{page.name}-{i + 1}") for page in PAGES for i in range(len(blocks(page)))]


@dataclass
class Notebook:
    """The names that a page's blocks have defined so far."""

    names: dict[str, Any]
    done: int = 0

    def run(self, page: Path, number: int) -> None:
        """Run the blocks up to this one."""
        for i, block in enumerate(blocks(page)[self.done : number + 1], start=self.done):
            self.done = i + 1
            if re.search(r"\b(torch|trainer)\b", block) and not importlib.util.find_spec("torch"):
                continue
            exec(compile(block, f"{page.name}, Python block {i + 1}", "exec"), self.names)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that the pages name: CIFs, a configuration, a dataset, and with torch a checkpoint and a scan."""
    folder = tmp_path_factory.mktemp("docs")
    write_cifs(folder / "cifs", ["halite", "quartz"])
    shutil.copy(EXAMPLES / "quartz.cif", folder)
    (folder / "config.toml").write_text('[[catalog]]\nkind = "folder"\npath = "cifs"\n')
    content: dict[str, Any] = {
        "catalog": [{"kind": "examples", "name": "minerals"}],
        "simulation": {
            "instrument": {"base": "alphadiffract", "n_points": N_POINTS},
            "augmentation": {"count": 40},
        },
        "store": {"xrd_peaks": "none"},
    }
    datagen.run(content, folder / "minerals.zarr", cluster="inline")
    write_demo_scan(folder / "quartz.xye")
    for name in ("my.zarr", "my-dataset", "my-cifs.zarr"):
        shutil.copytree(folder / "minerals.zarr", folder / name)
    if importlib.util.find_spec("torch"):
        _write_checkpoint_and_scan(folder)
    return folder


def _write_checkpoint_and_scan(folder: Path) -> None:
    from tests.trainer.small import ALPHADIFFRACT
    from trainer.training.fit import BEST, fit

    config = replace(ALPHADIFFRACT, epochs=1, samples_per_structure=1)
    fit(config, folder / "minerals.zarr", folder / "run", device="cpu")
    shutil.copy(folder / "run" / BEST, folder / "best.pt")
    angle = np.linspace(4.5, 20.5, 4000)
    counts = 20 + sum(1000 * np.exp(-0.5 * ((angle - peak) / 0.03) ** 2) for peak in (8.4, 10.7, 14.6, 19.6))
    text = "\n".join(f"{x:.4f} {y:.2f} {y**0.5:.2f}" for x, y in zip(angle, counts, strict=True))
    (folder / "scan.xye").write_text(f"# wavelength 0.619921\n{text}\n")


@pytest.fixture(scope="module")
def notebooks(folder: Path) -> dict[Path, Notebook]:
    """A namespace for each page; docs/curation.md begins with a record at hand."""
    record = Record("docs", "quartz.cif", (folder / "quartz.cif").read_text(), "quartz.cif", "CC0-1.0")
    return {page: Notebook({"record": record} if page.name == "curation.md" else {}) for page in PAGES}


@pytest.fixture
def _bucket(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let addresses of object stores mean the dataset."""
    if importlib.util.find_spec("obstore"):
        import obstore.store

        monkeypatch.setattr(obstore.store, "from_url", lambda url: obstore.store.LocalStore(folder / "my.zarr"))


@pytest.mark.usefixtures("_bucket")
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(("page", "number"), BLOCKS)
def test_a_block_runs(
    page: Path, number: int, folder: Path, notebooks: dict[Path, Notebook], monkeypatch: pytest.MonkeyPatch
) -> None:
    block = blocks(page)[number]
    if re.search(r"\b(torch|trainer)\b", block):
        pytest.importorskip("torch")
    if "onnx" in block:
        pytest.importorskip("onnxruntime")
    if "obstore" in block:
        pytest.importorskip("obstore")
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.chdir(folder)
    notebooks[page].run(page, number)


def test_the_first_page_begins_with_a_notebook_of_at_most_twelve_lines() -> None:
    first = blocks(ROOT / "docs" / "python.md")[0]
    assert len([line for line in first.splitlines() if line.strip()]) <= 12
    for name in ("datagen.simulate(", "datagen.curate(", "datagen.open_dataset(", "DataLoader(", "trainer.predict("):
        assert name in first
