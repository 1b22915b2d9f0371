"""Size and speed of stored patterns: the chosen codec, its alternatives, and a whole dataset.

`python -m benchmarks.store` prints a table and, as its last line, JSON. Crystals are accepted ones of
materials_project.zip (PXRD_SHARED_DATA, or ../shared/data beside the repository), else the bundled examples. `--all`
takes every crystal instead of every tenth, `--alternatives` measures all alternatives instead of a few.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numcodecs import Blosc, GZip, Zstd
from numcodecs import blosc as blosc_library
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks._data import data_folder
from catalogs.config import ExamplesCatalog, ZipCatalog
from catalogs.open import open_catalog
from curation.curate import curate_record
from curation.settings import CurationSettings
from curation.verdict import Verdict
from datagen.simulate.augmentation import AugmentationSettings, draw
from datagen.simulate.instrument import Instrument
from datagen.simulate.native import simulate
from datagen.simulate.patterns import Patterns
from datagen.simulate.reflections import crystal_reflections
from datagen.simulate.refusal import Unsimulable
from datagen.simulate.xrd_peaks import xrd_peaks, xrd_peaks_cost_seconds
from datagen.steps.labels import most_reflections, shard_reflections
from datagen.steps.layout import draws
from datagen.steps.row import pattern_values, reflection_values
from datagen.store import schema, zarr_store
from datagen.store.quantise import dequantise, quantise
from datagen.store.shard_file import CODEC
from datagen.store.shard_writer import ShardWriter
from tests.datagen.label_columns import label_columns
from trainer.data.store import open_dataset

EVERY = 10
SETTINGS = AugmentationSettings()
INSTRUMENT = Instrument.preset("alphadiffract")


@dataclass(frozen=True)
class Alternative:
    """A way to store a structure's patterns."""

    bits: int
    order: str
    chunk: int
    """Patterns compressed together."""
    codec: str
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--alternatives", action="store_true")
    asked = parser.parse_args()
    blosc_library.use_threads = False
    verdicts = crystals(1 if asked.all else EVERY)
    chosen = verdicts[::EVERY] if asked.all else verdicts
    sample = (p.intensity for v in chosen if (p := patterns_of(v)) is not None)
    relative = [intensity / intensity.max(axis=1, keepdims=True) for intensity in sample]
    alternatives = list(every_alternative() if asked.alternatives else the_nearest())
    measured = [measure(a, relative) for a in alternatives]
    show(measured)
    simulable = [v for v in verdicts if patterns_of(v) is not None]
    result = {
        "structures": len(simulable),
        **whole_dataset(simulable),
        "xrd_peaks_ms": round(peaks_ms(simulable), 2),
        "xrd_peaks_200_A3_predicted_ms": round(1e3 * xrd_peaks_cost_seconds(200.0), 2),
        "alternatives": measured,
    }
    print(json.dumps(result))


def crystals(every: int) -> list[Verdict]:
    """Return accepted crystals of the archive, or of the bundled examples if it is absent."""
    folder = data_folder()
    archive = folder / "structures" / "materials_project.zip"
    config = (
        ZipCatalog(name="materials_project", path=archive, licence="CC-BY-4.0")
        if archive.is_file()
        else ExamplesCatalog(name="examples")
    )
    settings = CurationSettings()
    chosen = list(open_catalog(config))[:: every if archive.is_file() else 1]
    return [v for v in (curate_record(record, settings) for record in chosen) if v.accepted]


def patterns_of(verdict: Verdict) -> Patterns | None:
    """Return 100 patterns of a crystal, or None if the engine refuses it."""
    try:
        return simulate(verdict.crystal, INSTRUMENT, draws_of(verdict))
    except Unsimulable:
        return None


def draws_of(verdict: Verdict) -> Any:
    """Return the augmentations of a crystal."""
    return draw(SETTINGS, 0, verdict.crystal.structure_hash(), range(SETTINGS.count))


CHOSEN = Blosc("zstd", CODEC["clevel"], Blosc.SHUFFLE, CODEC["blocksize"])
NAME = "blosc zstd 2, bytes, 2 MiB"


def codecs() -> Iterator[tuple[str, Any]]:
    """Yield the codecs of Zarr v3's core: Blosc by shuffle and block (`auto`: Blosc's choice), zstd and gzip alone."""
    yield NAME, CHOSEN
    for level in (1, 3, 4):
        yield f"blosc zstd {level}, bytes, 2 MiB", Blosc("zstd", level, Blosc.SHUFFLE, 1 << 21)
    yield "blosc zstd 2, bits, 2 MiB", Blosc("zstd", 2, Blosc.BITSHUFFLE, 1 << 21)
    yield "blosc zstd 2, none, 2 MiB", Blosc("zstd", 2, Blosc.NOSHUFFLE, 1 << 21)
    yield "blosc zstd 2, bytes, 256 KiB", Blosc("zstd", 2, Blosc.SHUFFLE, 1 << 18)
    for name, mode in (("bytes", Blosc.SHUFFLE), ("bits", Blosc.BITSHUFFLE)):
        for level in (1, 3, 5):
            yield f"blosc zstd {level}, {name}, auto", Blosc("zstd", level, mode)
    yield "blosc lz4 5, bytes, 2 MiB", Blosc("lz4", 5, Blosc.SHUFFLE, 1 << 21)
    yield "blosc lz4hc 5, bytes, 2 MiB", Blosc("lz4hc", 5, Blosc.SHUFFLE, 1 << 21)
    yield "zstd 3", Zstd(level=3)
    yield "gzip 5", GZip(level=5)


def every_alternative() -> Iterator[Alternative]:
    """Return all alternatives: codecs at the chosen quantisation; then bits, order and chunk with the chosen codec."""
    for name, codec in codecs():
        yield Alternative(13, "two_theta fastest", 100, name, codec.encode, codec.decode)
    yield from list(the_nearest())[1:]


def the_nearest() -> Iterator[Alternative]:
    """Return the choice, and alternatives that differ from it in one respect."""
    for bits, order, chunk in (
        (13, "two_theta fastest", 100),
        (12, "two_theta fastest", 100),
        (14, "two_theta fastest", 100),
        (15, "two_theta fastest", 100),
        (13, "augmentation fastest", 100),
        (13, "two_theta fastest", 10),
        (13, "two_theta fastest", 1),
    ):
        yield Alternative(bits, order, chunk, NAME, CHOSEN.encode, CHOSEN.decode)


def measure(alternative: Alternative, relative: list[NDArray[np.float32]]) -> dict[str, Any]:
    """Return bytes per pattern and ms per structure."""
    size = 0
    encoding = decoding = 0.0
    for patterns in relative:
        stored = np.rint(patterns * 2**alternative.bits).astype(np.uint16)
        began = time.process_time()
        chunks = []
        for first in range(0, len(stored), alternative.chunk):
            part = stored[first : first + alternative.chunk]
            chunks.append(alternative.encode(np.ascontiguousarray(part.T if alternative.order[0] == "a" else part)))
        encoding += time.process_time() - began
        size += sum(map(len, chunks))
        began = time.process_time()
        for chunk in chunks:
            alternative.decode(chunk)
        decoding += time.process_time() - began
    n = len(relative)
    return {
        "bits": alternative.bits,
        "order": alternative.order,
        "patterns_per_chunk": alternative.chunk,
        "codec": alternative.codec,
        "bytes_per_pattern": round(size / sum(map(len, relative))),
        "encode_ms": round(1e3 * encoding / n, 2),
        "decode_ms": round(1e3 * decoding / n, 2),
    }


def whole_dataset(verdicts: list[Verdict]) -> dict[str, Any]:
    """Write and read a dataset of these structures as a run does; return times and bytes on disk."""
    labels = label_columns(verdicts)
    lines = [line.wavelength_A for line in INSTRUMENT.lines]
    layout = schema.Layout(
        n_structures=len(verdicts),
        n_augmentations=SETTINGS.count,
        n_points=INSTRUMENT.n_points,
        shard_reflections=shard_reflections((most_reflections(v.crystal, INSTRUMENT.d_min_A) for v in verdicts), 128),
        text_bytes=zarr_store.text_bytes(labels),
        draws=draws(),
    )
    quantising = adding = committing = reading = 0.0
    worst = 0.0
    checksums: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        zarr_store.create(path, layout, labels, INSTRUMENT.two_theta_deg, {})
        for shard in range(layout.n_shards):
            with ShardWriter(path, layout, shard) as writer:
                for row in layout.rows(shard):
                    patterns = patterns_of(verdicts[row])
                    assert patterns is not None
                    began = time.process_time()
                    quantise(patterns.intensity)
                    quantising += time.process_time() - began
                    exact = patterns.intensity / patterns.intensity.max(axis=1, keepdims=True)
                    crystal = verdicts[row].crystal
                    values = pattern_values(patterns, draws_of(verdicts[row]), layout)
                    values |= reflection_values(crystal_reflections(crystal, INSTRUMENT.d_min_A, lines), layout)
                    worst = max(worst, float(np.abs(dequantise(values["pattern"]) - exact).max()))
                    checksums.append(zlib.crc32(values["pattern"].tobytes()))
                    began = time.process_time()
                    writer.add(values)
                    adding += time.process_time() - began
                began = time.process_time()
                writer.commit("benchmark")
                committing += time.process_time() - began
        zarr_store.finalise(path, {})
        dataset = open_dataset(path)
        for row, checksum in enumerate(checksums):
            began = time.process_time()
            stored = dataset.stored_pattern(row)
            reading += time.process_time() - began
            assert zlib.crc32(stored.tobytes()) == checksum
        sizes = {
            v.name: sum(f.stat().st_size for f in (path / v.name).rglob("*") if f.is_file())
            for v in schema.variables(layout)
        }
        total = sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
    n = len(verdicts)
    return {
        "bytes_per_pattern": round(sizes["pattern"] / n / SETTINGS.count),
        "bytes_per_pattern_everything": round(total / n / SETTINGS.count),
        "sticks_bytes_per_structure": round(sum(b for v, b in sizes.items() if "reflection" in v) / n),
        "largest_error_of_maximum": worst,
        "largest_error_log2": round(float(np.log2(worst)), 3),
        "quantise_ms": round(1e3 * quantising / n, 2),
        "encode_ms": round(1e3 * adding / n, 2),
        "commit_ms": round(1e3 * committing / n, 2),
        "read_ms": round(1e3 * reading / n, 2),
    }


def peaks_ms(verdicts: list[Verdict]) -> float:
    """Return the time in ms of CrystalNet's vector, the mean over some structures."""
    chosen = verdicts[:40]
    xrd_peaks(chosen[0].crystal)
    began = time.process_time()
    for verdict in chosen:
        xrd_peaks(verdict.crystal)
    return 1e3 * (time.process_time() - began) / len(chosen)


def show(measured: list[dict[str, Any]]) -> None:
    """Return the table of alternatives."""
    table = Table(box=None, pad_edge=False)
    for name in measured[0]:
        table.add_column(name, no_wrap=True)
    for row in measured:
        table.add_row(*(str(value) for value in row.values()))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
