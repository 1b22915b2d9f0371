"""Metadata of a dataset: its attributes, receipts and the shapes of its variables, checked before they are used."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import zarr
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, ShardingCodec

from trainer.data.limits import (
    MOST_AUGMENTATIONS,
    MOST_CHUNK_BYTES,
    MOST_POINTS,
    MOST_STRUCTURES,
)
from trainer.data.location import Location
from trainer.errors import TrainerError

FORMAT = "pxrd-datagen"
KNOWN_VERSIONS = (1, 2)
LEDGER = "ledger"
VERIFY = "run datagen verify on the dataset"
CODECS = (BloscCodec, BytesCodec, Crc32cCodec, ShardingCodec)
MOST_LINES = 16
INSTRUMENT_NUMBERS = ("polarisation", "sh_over_l", "goniometer_radius_mm", "two_theta_min_deg", "two_theta_max_deg")
LARGEST_NUMBER = 1e9
ANY = None
TRAILING: dict[str, tuple[str, tuple[int | None, ...]]] = {
    "split": ("iu", ()),
    "crystal_system": ("iu", ()),
    "space_group": ("iu", ()),
    "niggli": ("f", (6,)),
    "composition": ("f", (118,)),
    "group": ("u", (ANY,)),
    "volume": ("f", ()),
    "n_reflections": ("iu", ()),
    "rotations": ("i", (24, 3, 3)),
    "reflection_two_theta": ("f", (ANY,)),
    "reflection_intensity": ("f", (ANY,)),
    "reflection_line": ("iu", (ANY,)),
    "reflection_members": ("iu", (ANY,)),
    "n_members": ("iu", ()),
    "member_hkl": ("i", (ANY, 3)),
    "member_intensity": ("f", (ANY,)),
    "reciprocal_metric": ("f", (3, 3)),
    "n_scan_points": ("iu", ()),
    "scan_two_theta": ("f", (ANY,)),
    "scan_intensity": ("f", (ANY,)),
    "scan_sigma": ("f", (ANY,)),
    "scan_wavelength": ("f", ()),
    "has_lattice": ("b", ()),
    "has_xrd_peaks": ("b", ()),
    "xrd_peaks": ("f", (1024,)),
    "has_density": ("b", ()),
    "density": ("f", (50, 50, 50)),
}
"""Kind of number, and shape behind the axis of structures, of the variables that are read."""


@dataclass(frozen=True)
class Layout:
    """Sizes of a dataset."""

    n_structures: int
    n_augmentations: int
    n_points: int
    structures_per_shard: int


OF_SHARDS: dict[str, tuple[str, tuple[int | None, ...]]] = {
    "reflection_d": ("f", (ANY,)),
    "reflection_f2": ("f", (ANY,)),
    "reflection_f2_lines": ("f", (ANY, ANY)),
    "reflection_hkl": ("i", (ANY, 3)),
}
"""Likewise, behind the axis of shards: structures of a shard follow one another."""


def read_attributes(location: Location) -> dict[str, Any]:
    """Read the attributes of a dataset; refuse other formats and versions."""
    try:
        found = read_json(location, "zarr.json").get("attributes", {})
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise TrainerError(f"{location}: no dataset here; expected {location}/zarr.json") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        kind = found.get("format") if isinstance(found, dict) else found
        raise TrainerError(f"{location}: expected a dataset of format {FORMAT}, found {kind!r:.80}")
    if found.get("format_version") not in KNOWN_VERSIONS:
        raise TrainerError(
            f"{location}: expected a format version out of {KNOWN_VERSIONS}, found "
            f"{found.get('format_version')!r:.80}; use the trainer of the version that wrote it"
        )
    return found


def read_layout(location: Location, attributes: dict[str, Any]) -> Layout:
    """Return the sizes that the attributes state, within the limits."""
    stated = attributes.get("layout")
    if not isinstance(stated, dict):
        raise TrainerError(f"{location}: its attributes have no layout; {VERIFY}")
    most = {
        "n_structures": MOST_STRUCTURES,
        "n_augmentations": MOST_AUGMENTATIONS,
        "n_points": MOST_POINTS,
        "structures_per_shard": MOST_STRUCTURES,
    }
    for name, limit in most.items():
        value = stated.get(name)
        least = 0 if name == "n_augmentations" and attributes.get("format_version") != 1 else 1
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= limit:
            raise TrainerError(
                f"{location}: layout.{name}: expected {least} to {limit:,}, found {value!r:.80}; {VERIFY}"
            )
    extra = stated.get("extra_augmentations", [])
    if not isinstance(extra, list) or not all(isinstance(name, str) for name in extra):
        raise TrainerError(f"{location}: layout.extra_augmentations: expected names, found {extra!r:.80}; {VERIFY}")
    names = attributes.get("shard_variables")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TrainerError(f"{location}: its attributes have no list of shard_variables; {VERIFY}")
    return Layout(**{name: stated[name] for name in most})


def read_instrument(location: Location, attributes: dict[str, Any], layout: Layout) -> dict[str, Any]:
    """Return the instrument that the attributes state, its numbers finite and its range that of the patterns."""
    found = attributes.get("instrument")
    if not isinstance(found, dict):
        raise TrainerError(f"{location}: its attributes name no instrument; its reflections cannot be broadened")
    lines = found.get("lines")
    lines = lines if isinstance(lines, list) and lines else [None]
    wavelengths: list[Any] = [line.get("wavelength_A") if isinstance(line, dict) else None for line in lines]
    weights: list[Any] = [line.get("weight", 1.0) if isinstance(line, dict) else None for line in lines]
    numbers = [found[name] for name in INSTRUMENT_NUMBERS if name in found]
    if not all(is_number(value) for value in (*wavelengths, *weights, *numbers)):
        raise TrainerError(f"{location}: instrument: expected finite numbers, found other values; {VERIFY}")
    low, high = found.get("two_theta_min_deg", 0), found.get("two_theta_max_deg", 180)
    if min(wavelengths) <= 0 or len(wavelengths) > MOST_LINES or not -180 <= low < high <= 180:
        raise TrainerError(
            f"{location}: instrument: expected 1 to {MOST_LINES} positive wavelengths and a range of 2theta, found "
            f"{wavelengths!r:.80} and {low} to {high} degrees; {VERIFY}"
        )
    if found.get("n_points", layout.n_points) != layout.n_points:
        raise TrainerError(
            f"{location}: instrument.n_points: expected {layout.n_points}, found {found['n_points']!r:.80}; {VERIFY}"
        )
    return found


def read_range(location: Location, attributes: dict[str, Any], name: str) -> tuple[float, float, float] | None:
    """Return minimum, maximum and share of what a parameter of the patterns was drawn from; None if not stated."""
    stated: Any = attributes
    for part in ("configuration", "simulation", "augmentation"):
        stated = stated.get(part, {})
        if not isinstance(stated, dict):
            raise TrainerError(
                f"{location}: {part}: expected an object in its attributes, found {stated!r:.80}; {VERIFY}"
            )
    shares = stated.get("probability", {})
    share = shares.get(name, 1.0) if isinstance(shares, dict) else shares
    if not is_number(share) or not 0 <= share <= 1:
        raise TrainerError(f"{location}: probability of {name}: expected 0 to 1, found {share!r:.80}; {VERIFY}")
    if name not in stated:
        return None
    ends = stated[name]
    if not isinstance(ends, list) or len(ends) != 2 or not all(map(is_number, ends)) or ends[0] > ends[1]:
        raise TrainerError(f"{location}: {name}: expected [minimum, maximum], found {ends!r:.80}; {VERIFY}")
    return float(ends[0]), float(ends[1]), float(share)


def is_number(value: Any) -> bool:
    """Return whether a value of JSON is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST_NUMBER


def read_receipt(location: Location, name: str, n_shards: int) -> tuple[int, dict[str, Any]] | None:
    """Return shard and receipt of a file of the ledger; None if it does not exist or is of another version.

    The files that a receipt names are confined to the dataset.
    """
    try:
        found = read_json(location, f"{LEDGER}/{name}")
    except FileNotFoundError:
        return None
    shard, files = found.get("shard"), found.get("files")
    if found.get("format_version") not in KNOWN_VERSIONS:
        return None
    if not isinstance(shard, int) or isinstance(shard, bool) or not 0 <= shard < n_shards:
        raise TrainerError(f"{location}/{LEDGER}/{name}: expected a shard of 0 to {n_shards - 1}, found {shard!r:.80}")
    if not isinstance(files, dict) or not all(
        re.fullmatch(r"\w+(/\w+)+", key) and isinstance(entry, dict) and isinstance(entry.get("size"), int)
        for key, entry in files.items()
    ):
        raise TrainerError(f"{location}/{LEDGER}/{name}: expected files of the dataset with their sizes; {VERIFY}")
    return shard, found


def check_variable(location: Location, name: str, array: zarr.Array[Any], layout: Layout) -> None:
    """Refuse a variable whose shape, type, chunks or codecs are not those of the format."""
    shape, where = array.shape, f"{location}: {name}"
    dims = array.metadata.dimension_names  # type: ignore[union-attr]
    if name == "two_theta":
        expected: tuple[str, tuple[int | None, ...]] = "f", (layout.n_points,)
    elif name == "pattern":
        expected = "u", (layout.n_structures, layout.n_augmentations, layout.n_points)
    elif name in OF_SHARDS:
        n_shards = -(-layout.n_structures // layout.structures_per_shard)
        expected = OF_SHARDS[name][0], (n_shards, *OF_SHARDS[name][1])
    elif name in TRAILING:
        expected = TRAILING[name][0], (layout.n_structures, *TRAILING[name][1])
    elif dims == (name,):
        expected = "iuf", (ANY,)
    else:
        expected = "iufb", (layout.n_structures, *(ANY for _ in shape[1:]))
    kinds, sizes = expected
    if len(shape) != len(sizes) or any(e not in (ANY, n) for n, e in zip(shape, sizes, strict=True)):
        shown = tuple("any" if size is ANY else size for size in sizes)
        raise TrainerError(f"{where}: expected the shape {shown}, found {shape}; {VERIFY}")
    if array.dtype.kind not in kinds:
        raise TrainerError(f"{where}: expected numbers of kind {kinds}, found {array.dtype}; {VERIFY}")
    for codec in _codecs(array.metadata.codecs):  # type: ignore[union-attr]
        if not isinstance(codec, CODECS):
            raise TrainerError(f"{where}: expected chunks in Blosc, found the codec {type(codec).__name__}; {VERIFY}")
    if min((*array.chunks, *(array.shards or ()), 1)) < 1:
        raise TrainerError(f"{where}: expected chunks of at least 1 entry, found {array.chunks}; {VERIFY}")
    inner = math.prod(array.shards or array.chunks)
    row = 0 if name in OF_SHARDS else math.prod(shape[1:]) * array.dtype.itemsize
    for size, what in ((math.prod(array.chunks) * array.dtype.itemsize, "chunks"), (row, "structures")):
        if size > MOST_CHUNK_BYTES:
            raise TrainerError(f"{where}: expected {what} of at most {MOST_CHUNK_BYTES:,} bytes, found {size:,}")
    if array.shards is not None and inner // max(1, math.prod(array.chunks)) > MOST_STRUCTURES:
        raise TrainerError(f"{where}: expected at most {MOST_STRUCTURES:,} chunks in a file")


def _codecs(codecs: Collection[Any]) -> list[Any]:
    found: list[Any] = []
    for codec in codecs:
        found.append(codec)
        if isinstance(codec, ShardingCodec):
            found += _codecs((*codec.codecs, *codec.index_codecs))
    return found


def read_json(location: Location, name: str) -> dict[str, Any]:
    """Read a JSON object."""
    try:
        content = json.loads(location.read(name), parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError, IsADirectoryError) as error:
        raise TrainerError(
            f"{location}/{name}: expected JSON, found something else ({error}); run datagen verify"
        ) from error
    if not isinstance(content, dict):
        raise TrainerError(f"{location}/{name}: expected an object, found {type(content).__name__}; run datagen verify")
    return content


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} where a finite number was expected")
    return value
