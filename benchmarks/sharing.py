"""Cost of deriving and publishing datasets, and of reading them remotely.

`python -m benchmarks.sharing [DATASET]` prints a table and, as its last line, JSON; the default dataset is made of the
bundled crystals. Writing is measured in process time relative to a copy of the same files, reading in wall time
relative to the folder: the patterns of one random structure at a time from a zip, a web server and an S3 server on
loopback, the servers in a process of their own. Every figure is the median of several interleaved repeats.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from datagen.config.config import parse_config
from datagen.run import run
from datagen.share.facts import Naming
from datagen.share.licences import Terms
from datagen.share.merge import merge
from datagen.share.publish import publish
from datagen.share.subset import Selection, subset
from datagen.share.upload import upload
from datagen.store.location import Where, locate
from datagen.store.reading import open_array
from tests.share.servers import s3_server, web_server

REPEATS = 5
READS = 100
NAMING = Naming("benchmark")
WRITERS = ("publish", "zip", "subset", "merge")
READERS = ("zip", "web", "s3")


def main() -> None:
    """Measure, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path, nargs="?", help="a finished dataset; default: the bundled crystals'")
    given: Path | None = parser.parse_args().dataset
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset = given.absolute() if given is not None else bundled(folder / "bundled.zarr")
        writing = measure_writing(dataset, folder)
        reading = measure_reading(folder)
    table = Table("what", "s", "ratio", box=None)
    for what, seconds in writing.items():
        table.add_row(what, f"{seconds:.3g}", f"{seconds / writing['copy']:.3g} of a copy")
    for what, seconds in reading.items():
        table.add_row(f"read {what}", f"{seconds:.3g}", f"{seconds / reading['folder']:.3g} of the folder")
    Console().print(table)
    found = {f"{what}_over_copy": writing[what] / writing["copy"] for what in WRITERS}
    found |= {f"read_{what}_over_folder": reading[what] / reading["folder"] for what in READERS}
    print(json.dumps({"benchmark": "sharing", **found}))


def bundled(out: Path) -> Path:
    """A dataset of the bundled crystals, 100 patterns each, with densities."""
    content = {"catalog": [{"kind": "examples", "name": "minerals"}]}
    settings = parse_config(content, where="benchmark", base=Path.cwd())
    run(settings, out, profile=settings.cluster.choose("inline"))
    return out


def measure_writing(dataset: Path, folder: Path) -> dict[str, float]:
    """Return the process seconds of each writer; the last outputs are kept in `folder`."""
    halves = [folder / "cubic.zarr", folder / "others.zarr"]
    subset(dataset, halves[0], Selection(where="crystal_system == 'cubic'"))
    subset(dataset, halves[1], Selection(where="crystal_system != 'cubic'"))
    made: dict[str, tuple[Path, Callable[[Path], object]]] = {
        "copy": (folder / "copy.zarr", lambda out: shutil.copytree(dataset, out)),
        "publish": (folder / "published.zarr", lambda out: publish(dataset, out, NAMING, Terms())),
        "zip": (folder / "published.zarr.zip", lambda out: publish(dataset, out, NAMING, Terms())),
        "subset": (folder / "whole.zarr", lambda out: subset(dataset, out, Selection())),
        "merge": (folder / "merged.zarr", lambda out: merge(halves, out)),
    }
    seconds: dict[str, list[float]] = {what: [] for what in made}
    for _ in range(REPEATS):
        for what, (out, make) in made.items():
            if out.is_file():
                out.unlink()
            shutil.rmtree(out, ignore_errors=True)
            began = time.process_time()
            make(out)
            seconds[what].append(time.process_time() - began)
    return {what: float(np.median(each)) for what, each in seconds.items()}


def measure_reading(folder: Path) -> dict[str, float]:
    """Return the wall seconds for the patterns of `READS` structures in random order, by location."""
    published = folder / "published.zarr"
    seconds: dict[str, list[float]] = {}
    with servers(published) as (web, bucket):
        upload(published, f"{bucket}/published.zarr")
        places: dict[str, Where] = {
            "folder": published,
            "zip": locate(f"{published}.zip"),
            "web": locate(web),
            "s3": locate(f"{bucket}/published.zarr"),
        }
        arrays = {what: open_array(place, "pattern") for what, place in places.items()}
        rows = np.random.default_rng(0).integers(0, arrays["folder"].shape[0], READS).tolist()
        for _ in range(REPEATS):
            for what, patterns in arrays.items():
                began = time.perf_counter()
                for row in rows:
                    assert np.asarray(patterns[row]).any()
                seconds.setdefault(what, []).append(time.perf_counter() - began)
    return {what: float(np.median(each)) for what, each in seconds.items()}


@contextmanager
def servers(folder: Path) -> Iterator[tuple[str, str]]:
    """Run a web server of this folder and an S3 server with one bucket in another process; yield their URLs."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    server = context.Process(target=_serve, args=(folder, there), daemon=True)
    server.start()
    web, bucket, environment = here.recv()
    os.environ |= environment
    yield web, bucket
    here.send("enough")
    server.join()


def _serve(folder: Path, asked: Connection) -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with web_server(folder) as web, s3_server() as bucket:
        environment = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        asked.send((web.url, bucket, environment))
        asked.recv()


if __name__ == "__main__":
    main()
