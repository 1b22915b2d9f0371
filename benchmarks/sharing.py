"""What passing datasets on costs: publish, zip, subset and merge against a plain copy, reads from a zip and a folder.

`python -m benchmarks.sharing DATASET` prints a table and, as its last line, JSON. Times are process time, ratios to a
copy of the same files side by side in one run; a reader's ratio is to reading the folder.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import zarr
from rich.console import Console
from rich.table import Table

from datagen.share.facts import Naming
from datagen.share.licences import Terms
from datagen.share.merge import merge
from datagen.share.publish import publish
from datagen.share.subset import Selection, subset

READS = 200
NAMING = Naming("benchmark")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path, help="a finished dataset")
    dataset: Path = parser.parse_args().dataset.absolute()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(dataset, Path(folder))
    table = Table("what", "s", "of a copy", box=None)
    for name, seconds in found.items():
        base = found["read folder"] if name.startswith("read") else found["copy"]
        table.add_row(name, f"{seconds:.3g}", f"{seconds / base:.3g}")
    Console().print(table)
    ratios = {f"{name}_over_copy": found[name] / found["copy"] for name in ("publish", "zip", "subset", "merge")}
    print(
        json.dumps({"benchmark": "sharing", **ratios, "read_zip_over_folder": found["read zip"] / found["read folder"]})
    )


def measure(dataset: Path, folder: Path) -> dict[str, float]:
    """Process seconds of each."""
    found = {
        "copy": timed(lambda: shutil.copytree(dataset, folder / "copy.zarr")),
        "publish": timed(lambda: publish(dataset, folder / "published.zarr", NAMING, Terms())),
        "zip": timed(lambda: publish(dataset, folder / "published.zarr.zip", NAMING, Terms())),
        "subset": timed(lambda: subset(dataset, folder / "whole.zarr", Selection())),
    }
    halves = [folder / "cubic.zarr", folder / "others.zarr"]
    subset(dataset, halves[0], Selection(where="crystal_system == 'cubic'"))
    subset(dataset, halves[1], Selection(where="crystal_system != 'cubic'"))
    found["merge"] = timed(lambda: merge(halves, folder / "merged.zarr"))
    found["read folder"] = timed(lambda: read(zarr.storage.LocalStore(folder / "published.zarr", read_only=True)))
    with zarr.storage.ZipStore(folder / "published.zarr.zip", mode="r") as archive:
        found["read zip"] = timed(lambda: read(archive))
    return found


def timed(work: Callable[[], object]) -> float:
    """Process seconds of a call."""
    began = time.process_time()
    work()
    return time.process_time() - began


def read(store: zarr.abc.store.Store) -> None:
    """The patterns of structures in random order."""
    patterns = zarr.open_group(store, mode="r")["pattern"]
    assert isinstance(patterns, zarr.Array)
    for row in np.random.default_rng(0).integers(0, patterns.shape[0], READS).tolist():
        assert np.asarray(patterns[row]).any()


if __name__ == "__main__":
    main()
