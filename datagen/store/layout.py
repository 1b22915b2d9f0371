"""Sizes of a dataset, fixed when it is created, and the constants of the format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from datagen.store.variable import Draw

FORMAT = "pxrd-datagen"
FORMAT_VERSION = 1
"""Incremented if readers of the old version would misread the new one; readers refuse unknown versions."""

PATTERN_STEP = 2.0**-13
"""Quantisation step of a pattern relative to its maximum; rounding to nearest errs by half of it at most."""
PATTERN_FILL = 65535
"""Stored where there is no pattern; CF's `_FillValue`, so readers that know CF see NaN there."""

DENSITY_POINTS = 50
XRD_BINS = 1024
NIGGLI = ("a", "b", "c", "alpha", "beta", "gamma")
SPLITS = ("train", "validation", "test")
UNITS = ("arbitrary", "counts", "counts_per_second")
"""Units of a scan's intensities."""
UNKNOWN = 0
"""Crystal system, space group and n_atoms of a measured scan where they are not known."""

RAGGED = ("reflection", "member", "scan_point")
"""Axes along which structures differ in length."""
REFLECTION_CHUNK = 1024
"""Slots of one structure that are compressed together; slots beyond the last reflection take no space."""
LABEL_CHUNK = 16384
"""Structures per file of a label."""

LARGEST_SIZES = {
    "n_structures": 1_000_000_000,
    "n_augmentations": 10_000_000,
    "n_points": 10_000_000,
    "structures_per_shard": 4096,
    "reflection_slots": 10_000_000,
    "member_slots": 10_000_000,
    "n_lines": 100,
}
"""Of a layout: beyond them a dataset is damaged or hostile, and nothing is allocated for it."""
LONGEST_TEXT_BYTES = 100_000


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes that determine the shape of every array; fixed when the dataset is created."""

    n_structures: int
    n_augmentations: int
    n_points: int
    structures_per_shard: int = 128
    reflection_slots: int = 1024
    """Most reflections of any structure; rounded up to whole chunks."""
    member_slots: int = 1024
    """Most Friedel pairs, over all reflections, of any structure; rounded up likewise."""
    n_lines: int = 1
    """Wavelengths of the instrument."""
    text_bytes: dict[str, int] = field(default_factory=dict)
    """Bytes of the longest value of each text variable, in UTF-8."""
    with_members: bool = False
    """Whether the sticks keep each Friedel pair's share, which preferred orientation needs."""
    with_xrd_peaks: bool = False
    scan_slots: int = 0
    """Most points of any measured scan, rounded up likewise; 0: the patterns are simulated."""
    density_method: str | None = None
    """Origin of the densities, one of `DENSITY_MEANINGS`; None: the dataset has none."""
    draws: tuple[Draw, ...] = ()
    """Parameters drawn for every pattern that every dataset stores."""
    extra_draws: tuple[Draw, ...] = ()
    """Those stored because they can have an effect in this dataset."""

    def __post_init__(self) -> None:
        sizes = [(name, getattr(self, name), largest) for name, largest in LARGEST_SIZES.items()]
        sizes += [(f"text_bytes.{name}", value, LONGEST_TEXT_BYTES) for name, value in self.text_bytes.items()]
        for name, value, largest in sizes:
            if type(value) is not int or not 1 <= value <= largest:
                raise ValueError(f"layout: expected {name} from 1 to {largest:,}, found {value!r}")

    @property
    def measured(self) -> bool:
        """Whether the patterns were measured."""
        return self.scan_slots > 0

    @property
    def n_shards(self) -> int:
        """Number of shards; the last may hold fewer structures."""
        return -(-self.n_structures // self.structures_per_shard)

    def rows(self, shard: int) -> range:
        """Return the rows of a shard, which are consecutive."""
        if not 0 <= shard < self.n_shards:
            raise ValueError(f"shard {shard} does not exist: the dataset has shards 0 to {self.n_shards - 1}")
        first = shard * self.structures_per_shard
        return range(first, min(first + self.structures_per_shard, self.n_structures))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for the dataset's attributes."""
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("draws", "extra_draws")}
        if not self.measured:
            del plain["scan_slots"]
        return {**plain, "extra_augmentations": [draw.name for draw in self.extra_draws]}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any], draws: Iterable[Draw]) -> Layout:
        """Return the layout of a dataset's attributes and the draws that it stores."""
        extra = plain["extra_augmentations"]
        sizes = {name: value for name, value in plain.items() if name != "extra_augmentations"}
        by_name = {draw.name: draw for draw in draws}
        return cls(
            **sizes,
            draws=tuple(draw for name, draw in by_name.items() if name not in extra),
            extra_draws=tuple(by_name[name] for name in extra),
        )
