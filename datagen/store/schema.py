"""Variables of a dataset: dimensions, types, units, meanings and chunks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.labels import CRYSTAL_SYSTEMS, N_ELEMENTS
from datagen.store.density_codes import CODES as DENSITY_CODES
from datagen.store.layout import (
    DENSITY_POINTS,
    PATTERN_FILL,
    PATTERN_STEP,
    RAGGED,
    REFLECTION_CHUNK,
    SPLITS,
    UNITS,
    XRD_BINS,
    Layout,
)
from datagen.store.variable import Variable, flags


def _text(name: str, long_name: str) -> Variable:
    """Return a variable of text as UTF-8 bytes: Zarr v3 has no core type for text."""
    dims = ("structure", f"{name}_byte")
    return Variable(name, dims, "uint8", long_name, "label", attributes={"encoding": "UTF-8, padded with zero bytes"})


LABELS: tuple[Variable, ...] = (
    _text("source", "Name of the catalog the structure came from"),
    _text("source_id", "Identifier within the source"),
    _text("licence", "Terms on which the source gives the structure"),
    _text("structure_hash", "Content hash of the crystal that was simulated, hexadecimal"),
    _text("group", "Reduced formula and space group; structures of one group are in one split"),
    _text("formula", "Reduced chemical formula"),
    Variable("split", ("structure",), "uint8", "Split", "label", attributes=flags([0, 1, 2], SPLITS)),
    Variable(
        "crystal_system",
        ("structure",),
        "uint8",
        "Crystal system",
        "label",
        attributes=flags(list(range(1, 8)), CRYSTAL_SYSTEMS),
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
        *_patterns(layout),
        *(draw.variable() for draw in layout.draws),
        *DIAGNOSTICS,
        *(draw.variable() for draw in layout.extra_draws),
        *_sticks(layout),
        *(_SCANS if layout.measured else ()),
    )
    if layout.with_xrd_peaks:
        chosen += _XRD_PEAKS
    if layout.density_method is not None:
        chosen += densities(layout.density_method)
    return chosen


def every_variable() -> tuple[Variable, ...]:
    """Every variable that any layout may have, apart from the draws."""
    return variables(
        Layout(1, 1, 1, n_lines=2, with_members=True, with_xrd_peaks=True, scan_slots=1, density_method="fourier")
    )


def _coordinates(layout: Layout) -> tuple[Variable, ...]:
    found = [
        Variable("two_theta", ("two_theta",), "float64", "Diffraction angle 2theta", "coordinate", "degree"),
        Variable("augmentation", ("augmentation",), "int32", "Number of the augmentation", "coordinate", "1"),
        Variable("element", ("element",), "int16", "Atomic number", "coordinate", "1"),
    ]
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
    )


def _ragged(name: str, dims: tuple[str, ...], dtype: str, long_name: str, units: str, fill: float) -> Variable:
    """Return an array along `reflection` or `member`, padded with fill values."""
    chunk = (1, *(REFLECTION_CHUNK if dim in RAGGED else 3 for dim in dims[1:]))
    return Variable(name, dims, dtype, long_name, "shard", units, fill, chunk, optional=True)


def _sticks(layout: Layout) -> tuple[Variable, ...]:
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
        attributes=flags(list(range(len(UNITS))), UNITS),
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
            attributes=flags(list(DENSITY_CODES.values()), tuple(DENSITY_CODES)),
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
