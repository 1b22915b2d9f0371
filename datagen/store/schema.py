"""Variables of a dataset: dimensions, types, units, meanings and chunks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from curation.labels import CRYSTAL_SYSTEMS, N_ELEMENTS
from datagen.store.density_codes import CODES as DENSITY_CODES

FORMAT = "pxrd-datagen"
FORMAT_VERSION = 2
"""Incremented if readers of the old version would misread the new one; readers refuse unknown versions."""
READABLE_VERSIONS = (1, 2)
"""Format 1 has reflections of its instrument, in padded rows; it is read, copied and checked, no longer made."""

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
RUN_CHUNK = 65536
"""Reflections of a shard, one structure after another, that are compressed together."""
LABEL_CHUNK = 16384
"""Structures per file of a label; a smaller dataset has one file, of its own length."""
TEXT_STEP_BYTES = 32
"""Widths of texts are multiples of it, so that longer names of later versions fit; padding takes no space."""
ROTATIONS = 24
"""Most proper rotations of a point group."""

Home = Literal["label", "shard", "coordinate"]
DRAW_TYPES = ("float64", "float32", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool")


@dataclass(frozen=True, slots=True)
class Draw:
    """A parameter drawn for every pattern: how the dataset stores it."""

    name: str
    units: str
    long_name: str
    axis: tuple[str, int] | None = None
    """Further axis of each value, name and length."""
    dtype: str = "float64"
    names: tuple[str, ...] = ()
    """Meanings of the values 0, 1, ..., if they are numbers of a list."""

    def __post_init__(self) -> None:
        texts = (self.name, self.units, self.long_name, self.dtype)
        if not all(type(text) is str for text in texts) or self.dtype not in DRAW_TYPES:
            raise ValueError(f"draw {str(self.name)[:80]!r}: expected texts and a number's type, found another")
        if self.axis is not None and (type(self.axis[0]) is not str or type(self.axis[1]) is not int):
            raise ValueError(f"draw {self.name[:80]!r}: expected name and length of an axis, found others")

    def variable(self) -> Variable:
        """Return its variable."""
        dims = ("structure", "augmentation", *((self.axis[0],) if self.axis else ()))
        fill = float("nan") if np.dtype(self.dtype).kind == "f" else 0
        flags = _flags([*range(len(self.names))], self.names) if self.names else {}
        return Variable(self.name, dims, self.dtype, self.long_name, "shard", self.units, fill, attributes=flags)


LARGEST_SIZES = {
    "n_structures": 1_000_000_000,
    "n_augmentations": 10_000_000,
    "n_points": 10_000_000,
    "structures_per_shard": 4096,
    "shard_reflections": 2_000_000_000,
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
    """Patterns of each structure; 0: the dataset has reflections only."""
    n_points: int
    structures_per_shard: int = 128
    shard_reflections: int = 1024
    """Most reflections of all structures of a shard together; rounded up to whole chunks."""
    text_bytes: dict[str, int] = field(default_factory=dict)
    """Width of each text variable: its longest value fits, in UTF-8."""
    label_rows: int | None = None
    """Structures per file of a label in a dataset that was extended: as before; None: `LABEL_CHUNK`, or all."""
    n_lines: int = 1
    """Wavelengths of the instrument."""
    format_version: int = FORMAT_VERSION
    """The following three are those of format 1 alone."""
    reflection_slots: int = 1024
    """Most reflections of any structure; rounded up to whole chunks."""
    member_slots: int = 1024
    """Most Friedel pairs, over all reflections, of any structure; rounded up likewise."""
    with_members: bool = False
    """Whether the reflections have each Friedel pair's share."""
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
        if self.label_rows is not None:
            sizes.append(("label_rows", self.label_rows, LABEL_CHUNK))
        for name, value, largest in sizes:
            least = 0 if name == "n_augmentations" and self.format_version > 1 else 1
            if type(value) is not int or not least <= value <= largest:
                raise ValueError(f"layout: expected {name} from {least} to {largest:,}, found {value!r}")

    @property
    def with_patterns(self) -> bool:
        """Whether the dataset has patterns, not only reflections."""
        return self.n_augmentations > 0

    @property
    def measured(self) -> bool:
        """Whether the patterns were measured."""
        return self.scan_slots > 0

    @property
    def n_shards(self) -> int:
        """Number of shards; the last may hold fewer structures."""
        return -(-self.n_structures // self.structures_per_shard)

    @property
    def rows_per_label_file(self) -> int:
        """Structures per file of a label."""
        return self.label_rows or min(LABEL_CHUNK, self.n_structures)

    def rows(self, shard: int) -> range:
        """Return the rows of a shard, which are consecutive."""
        if not 0 <= shard < self.n_shards:
            raise ValueError(f"shard {shard} does not exist: the dataset has shards 0 to {self.n_shards - 1}")
        first = shard * self.structures_per_shard
        return range(first, min(first + self.structures_per_shard, self.n_structures))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for the dataset's attributes."""
        left_out = {"draws", "extra_draws", "format_version"}
        left_out |= {"shard_reflections"} if self.format_version == 1 else _OF_FORMAT_1
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in left_out}
        if not self.measured:
            del plain["scan_slots"]
        if self.label_rows is None:
            del plain["label_rows"]
        return {**plain, "extra_augmentations": [draw.name for draw in self.extra_draws]}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any], draws: Iterable[Draw], format_version: int = FORMAT_VERSION) -> Layout:
        """Return the layout of a dataset's attributes and the draws that it stores."""
        extra = plain["extra_augmentations"]
        sizes = {name: value for name, value in plain.items() if name != "extra_augmentations"}
        by_name = {draw.name: draw for draw in draws}
        return cls(
            **sizes,
            format_version=format_version,
            draws=tuple(draw for name, draw in by_name.items() if name not in extra),
            extra_draws=tuple(by_name[name] for name in extra),
        )


_OF_FORMAT_1 = frozenset({"reflection_slots", "member_slots", "with_members"})


@dataclass(frozen=True, slots=True)
class Variable:
    """One array: its meaning, and when it is written.

    `label` variables are known for all structures before simulation and written at creation; `shard` variables are
    written shard by shard, every file by the one task that owns the shard; `coordinate` variables name an axis.
    """

    name: str
    dims: tuple[str, ...]
    dtype: str
    long_name: str
    home: Home
    units: str | None = None
    fill: float | int | bool = 0
    chunk: tuple[int, ...] | None = None
    """Shape of the inner chunks of a sharded array; None: one chunk per file."""
    optional: bool = False
    """A structure may lack it and then takes no space; a flag variable says which have it."""
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def is_run(self) -> bool:
        """Whether a shard's structures follow one another along the second axis, as long as each is."""
        return self.dims[0] == "shard"

    @property
    def fill_value(self) -> Any:
        """Fill value in the type of the array."""
        return np.dtype(self.dtype).type(self.fill)

    def cf_attributes(self) -> dict[str, Any]:
        """Return the attributes of the CF conventions."""
        found: dict[str, Any] = {"long_name": self.long_name}
        if self.units is not None:
            found["units"] = self.units
        return found | self.attributes


def _text(name: str, long_name: str) -> Variable:
    """Return a variable of text as UTF-8 bytes: Zarr v3 has no core type for text."""
    dims = ("structure", f"{name}_byte")
    return Variable(name, dims, "uint8", long_name, "label", attributes={"encoding": "UTF-8, padded with zero bytes"})


def _flags(values: list[int], meanings: tuple[str, ...]) -> dict[str, Any]:
    return {"flag_values": values, "flag_meanings": " ".join(meanings)}


LABELS: tuple[Variable, ...] = (
    _text("source", "Name of the catalog the structure came from"),
    _text("source_id", "Identifier within the source"),
    _text("licence", "Terms on which the source gives the structure"),
    _text("structure_hash", "Content hash of the crystal that was simulated, hexadecimal"),
    _text("group", "Reduced formula and space group; structures of one group are in one split"),
    _text("formula", "Reduced chemical formula"),
    Variable("split", ("structure",), "uint8", "Split", "label", attributes=_flags([0, 1, 2], SPLITS)),
    Variable(
        "crystal_system",
        ("structure",),
        "uint8",
        "Crystal system",
        "label",
        attributes=_flags(list(range(1, 8)), CRYSTAL_SYSTEMS),
    ),
    Variable("space_group", ("structure",), "uint8", "Space-group number of International Tables A, 1 to 230", "label"),
    Variable(
        "niggli",
        ("structure", "niggli_parameter"),
        "float64",
        "Niggli-reduced primitive cell: a, b, c, alpha, beta, gamma",
        "label",
        units="angstrom angstrom angstrom degree degree degree",
        fill=float("nan"),
    ),
    Variable(
        "volume",
        ("structure",),
        "float64",
        "Volume of the primitive cell",
        "label",
        units="angstrom3",
        fill=float("nan"),
    ),
    Variable("n_atoms", ("structure",), "int32", "Atomic sites in the primitive cell", "label", units="1"),
    Variable(
        "composition",
        ("structure", "element"),
        "float32",
        "Atomic fraction of each element",
        "label",
        units="1",
    ),
)
"""Labels, known before simulation."""


DIAGNOSTICS: tuple[Variable, ...] = (
    Variable(
        "overlap",
        ("structure", "augmentation"),
        "float32",
        "Fraction of neighbouring peaks that are not resolved",
        "shard",
        "1",
        float("nan"),
    ),
    Variable(
        "n_variance_floor",
        ("structure", "augmentation"),
        "int32",
        "Peaks for which U, V and W give less than the least Gaussian variance",
        "shard",
        "1",
    ),
)
"""Diagnostics of each pattern."""


def variables(layout: Layout) -> tuple[Variable, ...]:
    """Return every variable of a dataset of this layout, coordinates first, in the order of the specification."""
    chosen: tuple[Variable, ...] = (
        *_coordinates(layout),
        *LABELS,
        *(_patterns(layout) if layout.with_patterns else ()),
        *(_padded_reflections(layout) if layout.format_version == 1 else _reflections(layout)),
        *(_SCANS if layout.measured else ()),
    )
    if layout.with_xrd_peaks:
        chosen += _XRD_PEAKS
    if layout.density_method is not None:
        chosen += densities(layout.density_method)
    return chosen


def every_variable() -> tuple[Variable, ...]:
    """Every variable that any layout may have, apart from the draws."""
    new = Layout(1, 1, 1, n_lines=2, with_xrd_peaks=True, scan_slots=1, density_method="fourier")
    old = replace(new, format_version=1, with_members=True)
    return tuple({variable.name: variable for layout in (old, new) for variable in variables(layout)}.values())


def _coordinates(layout: Layout) -> tuple[Variable, ...]:
    found = [Variable("two_theta", ("two_theta",), "float64", "Diffraction angle 2theta", "coordinate", "degree")]
    if layout.with_patterns:
        found.append(
            Variable("augmentation", ("augmentation",), "int32", "Number of the augmentation", "coordinate", "1")
        )
    found.append(Variable("element", ("element",), "int16", "Atomic number", "coordinate", "1"))
    if layout.with_xrd_peaks:
        found.append(
            Variable("xrd_bin", ("xrd_bin",), "float64", "Lower edge of the bin in 2theta", "coordinate", "degree")
        )
    if layout.density_method is not None:
        meaning = "Fractional coordinate along cell vector "
        found += [
            Variable(axis, (axis,), "float64", meaning + edge, "coordinate", "1")
            for axis, edge in zip("xyz", "abc", strict=True)
        ]
    return tuple(found)


def _patterns(layout: Layout) -> tuple[Variable, ...]:
    return (
        Variable(
            "pattern",
            ("structure", "augmentation", "two_theta"),
            "uint16",
            "Diffracted intensity relative to the pattern's maximum",
            "shard",
            "1",
            PATTERN_FILL,
            (1, layout.n_augmentations, layout.n_points),
            attributes={"scale_factor": PATTERN_STEP, "_FillValue": PATTERN_FILL, "ancillary_variables": "pattern_max"},
        ),
        Variable(
            "pattern_max",
            ("structure", "augmentation"),
            "float64",
            "Maximum of the pattern, in the engine's units: times pattern, the intensity",
            "shard",
            "1",
            float("nan"),
        ),
        *(draw.variable() for draw in layout.draws),
        *DIAGNOSTICS,
        *(draw.variable() for draw in layout.extra_draws),
    )


def _ragged(name: str, dims: tuple[str, ...], dtype: str, long_name: str, units: str, fill: float) -> Variable:
    """Return an array along `reflection` or `member`, padded with fill values."""
    chunk = (1, *(REFLECTION_CHUNK if dim in RAGGED else 3 for dim in dims[1:]))
    return Variable(name, dims, dtype, long_name, "shard", units, fill, chunk, optional=True)


def _run(name: str, dtype: str, long_name: str, units: str, fill: float, *more: tuple[str, int]) -> Variable:
    """Return an array along the reflections of a shard, one structure after another."""
    dims = ("shard", "reflection", *(axis for axis, _ in more))
    chunk = (1, RUN_CHUNK, *(length for _, length in more))
    return Variable(name, dims, dtype, long_name, "shard", units, fill, chunk, optional=True)


def _reflections(layout: Layout) -> tuple[Variable, ...]:
    """Return the reflections that belong to the crystal: one of each family of equivalent ones."""
    nan = float("nan")
    meaning = "Multiplicity times |F|^2, without Lorentz and polarisation factors"
    found: tuple[Variable, ...] = (
        Variable("n_reflections", ("structure",), "int32", "Number of reflections", "shard", "1"),
        _run("reflection_d", "float32", "Distance of the lattice planes", "angstrom", nan),
        _run("reflection_f2", "float32", meaning, "e2", nan),
    )
    if layout.n_lines > 1:
        more = ("further_line", layout.n_lines - 1)
        found += (_run("reflection_f2_lines", "float32", f"{meaning}, at further lines", "e2", nan, more),)
    hkl, rotations = (
        "Miller indices of one of the family, in the crystal's cell",
        "Proper rotations of the point group, matrices that act on hkl; zeros where there are fewer",
    )
    return (
        *found,
        _run("reflection_hkl", "int16", hkl, "1", 0, ("hkl", 3)),
        Variable("rotations", ("structure", "rotation", "hkl", "hkl_other"), "int8", rotations, "shard", "1"),
    )


def _padded_reflections(layout: Layout) -> tuple[Variable, ...]:
    """Return the reflections of format 1, which belong to an instrument."""
    nan = float("nan")
    along = ("structure", "reflection")
    found: tuple[Variable, ...] = (
        Variable(
            "n_reflections",
            ("structure",),
            "int32",
            "Number of reflections: filled entries of the axis reflection",
            "shard",
            "1",
        ),
        _ragged("reflection_two_theta", along, "float64", "Bragg angle 2theta, before any shift", "degree", nan),
        _ragged("reflection_intensity", along, "float64", "Area under the peak", "e2 angstrom-6 degree", nan),
    )
    if layout.n_lines > 1:
        found += (_ragged("reflection_line", along, "uint8", "Which of the instrument's lines", "1", 255),)
    if layout.with_members:
        members = ("structure", "member")
        found += (
            _ragged("reflection_members", along, "int32", "Friedel pairs that make up the reflection", "1", 0),
            Variable("n_members", ("structure",), "int32", "Friedel pairs of all reflections together", "shard", "1"),
            _ragged("member_hkl", (*members, "hkl"), "int16", "Miller indices, of the crystal's own cell", "1", 0),
            _ragged("member_intensity", members, "float64", "Share of the pair", "e2 angstrom-6 degree", nan),
            Variable(
                "reciprocal_metric",
                ("structure", "hkl", "hkl_other"),
                "float64",
                "Metric tensor of the crystal's reciprocal cell: angles between hkl",
                "shard",
                "angstrom-2",
                nan,
            ),
        )
    return found


_SCANS: tuple[Variable, ...] = (
    Variable("n_scan_points", ("structure",), "int32", "Points of the scan", "shard", "1"),
    _ragged(
        "scan_two_theta",
        ("structure", "scan_point"),
        "float64",
        "Angles of the scan as measured",
        "degree",
        float("nan"),
    ),
    _ragged("scan_intensity", ("structure", "scan_point"), "float64", "Intensities as measured", "1", float("nan")),
    _ragged(
        "scan_sigma",
        ("structure", "scan_point"),
        "float32",
        "Standard uncertainties: as stated, by counting statistics, or from the scatter",
        "1",
        float("nan"),
    ),
    Variable(
        "scan_wavelength", ("structure",), "float64", "Main wavelength of the scan", "shard", "angstrom", float("nan")
    ),
    Variable(
        "scan_unit",
        ("structure",),
        "uint8",
        "Unit of the scan's intensities",
        "shard",
        fill=255,
        attributes=_flags(list(range(len(UNITS))), UNITS),
    ),
    Variable("scan_sha256", ("structure", "digest_byte"), "uint8", "Checksum of angles and intensities", "shard", "1"),
    Variable("has_lattice", ("structure",), "bool", "Whether the Niggli cell is known", "shard", fill=False),
)
"""The scans themselves; only in datasets of measured patterns."""

_XRD_PEAKS: tuple[Variable, ...] = (
    Variable(
        "xrd_peaks",
        ("structure", "xrd_bin"),
        "float32",
        "CrystalNet's stick vector: Mo K-alpha, largest peak in each of 1024 bins of 2theta, highest scaled to 1",
        "shard",
        "1",
        float("nan"),
        optional=True,
    ),
    Variable("has_xrd_peaks", ("structure",), "bool", "Whether xrd_peaks was computed", "shard", fill=False),
)

DENSITY_MEANINGS = {
    "fourier": "Electron density of the source's calculation, exact Fourier interpolation onto 50^3 points",
    "crystalnet": "Electron density of the source's calculation, resampled by CrystalNet's rule (PyRho, linear)",
    "independent_atoms": "Model, not a calculation: sum of free atoms from form factors, all electrons",
}
DENSITY_FRAMES = {
    "fourier": "cell of the density's source, as density_lattice gives it; it may differ from the structure's cell",
    "crystalnet": "cell of the density's source, as density_lattice gives it; it may differ from the structure's cell",
    "independent_atoms": "cell of the structure that was simulated",
}


def densities(method: str) -> tuple[Variable, ...]:
    """Return the variables of electron densities, their origin, and the reason if a structure has none."""
    nan = float("nan")
    points = DENSITY_POINTS
    about = {"method": method, "frame": DENSITY_FRAMES[method], "supercell": "identity"}
    return (
        Variable(
            "density",
            ("structure", "x", "y", "z"),
            "float32",
            DENSITY_MEANINGS[method],
            "shard",
            "e angstrom-3",
            nan,
            (1, points, points, points),
            optional=True,
            attributes=about,
        ),
        Variable("has_density", ("structure",), "bool", "Whether the structure has a density", "shard", fill=False),
        Variable(
            "density_reason",
            ("structure",),
            "uint8",
            "Why the structure has no density",
            "shard",
            fill=255,
            attributes=_flags(list(DENSITY_CODES.values()), tuple(DENSITY_CODES)),
        ),
        Variable(
            "density_electrons",
            ("structure", "before_after"),
            "float64",
            "Electrons per cell in the source's density, before and after resampling",
            "shard",
            "1",
            nan,
            optional=True,
        ),
        Variable(
            "density_lattice",
            ("structure", "cell_vector", "cartesian"),
            "float64",
            "Cell vectors a, b, c of the density's frame, one a row",
            "shard",
            "angstrom",
            nan,
            optional=True,
        ),
    )


def sizes(layout: Layout) -> dict[str, int]:
    """Return the length of every dimension."""

    def whole_chunks(slots: int) -> int:
        return -(-slots // REFLECTION_CHUNK) * REFLECTION_CHUNK

    return {
        "structure": layout.n_structures,
        "shard": layout.n_shards,
        "augmentation": layout.n_augmentations,
        "two_theta": layout.n_points,
        "reflection": whole_chunks(layout.reflection_slots)
        if layout.format_version == 1
        else -(-layout.shard_reflections // RUN_CHUNK) * RUN_CHUNK,
        "rotation": ROTATIONS,
        "further_line": layout.n_lines - 1,
        "member": whole_chunks(layout.member_slots),
        "scan_point": whole_chunks(layout.scan_slots),
        "digest_byte": 32,
        "hkl": 3,
        "hkl_other": 3,
        **dict(draw.axis for draw in (*layout.draws, *layout.extra_draws) if draw.axis),
        "element": N_ELEMENTS,
        "niggli_parameter": len(NIGGLI),
        "xrd_bin": XRD_BINS,
        "x": DENSITY_POINTS,
        "y": DENSITY_POINTS,
        "z": DENSITY_POINTS,
        "before_after": 2,
        "cell_vector": 3,
        "cartesian": 3,
        **{f"{v.name}_byte": layout.text_bytes.get(v.name, 1) for v in LABELS if is_text(v)},
    }


def is_text(variable: Variable) -> bool:
    """Return whether the bytes of the variable are text."""
    return variable.dims[-1] == f"{variable.name}_byte"


def shape(variable: Variable, layout: Layout) -> tuple[int, ...]:
    """Return the shape of the whole array."""
    length = sizes(layout)
    return tuple(length[dim] for dim in variable.dims)


def file_shape(variable: Variable, layout: Layout) -> tuple[int, ...]:
    """Return the shape of one file: a shard or a chunk of labels along `structure`, everything along other axes."""
    whole = shape(variable, layout)
    if variable.is_run:
        return (1, *whole[1:])
    if variable.dims[0] != "structure":
        return whole
    per_file = layout.structures_per_shard if variable.home == "shard" else layout.rows_per_label_file
    return (per_file, *whole[1:])


def chunks_per_file(variable: Variable, layout: Layout) -> int:
    """Return the number of inner chunks of one file of a sharded array."""
    assert variable.chunk is not None
    return math.prod(n // c for n, c in zip(file_shape(variable, layout), variable.chunk, strict=True))


def chunk_key(variable: Variable, index: int) -> str:
    """Return the path below the dataset of the array's file number `index` along the first axis."""
    return "/".join((variable.name, "c", str(index), *("0" for _ in variable.dims[1:])))


def coordinate_values(layout: Layout, two_theta_deg: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    """Return the values of every coordinate variable."""
    values: dict[str, NDArray[Any]] = {
        "two_theta": np.asarray(two_theta_deg, dtype=np.float64),
        "augmentation": np.arange(layout.n_augmentations, dtype=np.int32),
        "element": np.arange(1, N_ELEMENTS + 1, dtype=np.int16),
        "xrd_bin": np.arange(XRD_BINS) * (180.0 / XRD_BINS),
        **{axis: np.arange(DENSITY_POINTS) / DENSITY_POINTS for axis in "xyz"},
    }
    return {v.name: values[v.name] for v in _coordinates(layout)}
