"""GSAS-II as an engine: translate crystal, instrument and augmentations for it, and its patterns back."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from curation.crystal import Crystal
from curation.reflections import ABSENT, half_sphere, merge_groups
from datagen.errors import EngineError
from datagen.simulate.augmentation import Augmentations, native_only
from datagen.simulate.background import add_background
from datagen.simulate.extras import add_extras
from datagen.simulate.gsas2.cell import Handover, p1, symmetric
from datagen.simulate.gsas2.process import Gsas2StartError, UnsupportedByGsas2, ask, process
from datagen.simulate.instrument import Instrument
from datagen.simulate.patterns import Patterns, diagnose
from datagen.simulate.refusal import NoFormFactor, NoReflections
from datagen.simulate.second_phases import add_second_phases
from datagen.simulate.sticks import Sticks, lorentz_polarisation

Array = NDArray[np.float64]
Cell = Literal["p1", "symmetric"]

MAX_POINTS = 25_000
"""Largest number of points that GSAS-II simulates."""
EDGE = 1e-7
"""Relative uncertainty of 1/d within which a reflection at the edge of the range may be inside or outside."""
_ROCK_SALT_TIMEOUT_S = 300.0
_SPECIES = re.compile(r"([A-Z][a-z]?)(?:(\d*)([+-]))?$")


def simulate(
    crystal: Crystal,
    instrument: Instrument,
    augmentations: Augmentations,
    *,
    cell: Cell = "p1",
    average_friedel: bool = True,
    timeout_s: float | None = None,
) -> Patterns:
    """Return one pattern per augmentation, computed by GSAS-II; raise `NoReflections` if none is in the range.

    `cell`: hand over every atom in P1, or the asymmetric unit in the setting GSAS-II knows. `average_friedel`: a powder
    shows the mean of |F(hkl)|^2 and |F(-h-k-l)|^2, of which GSAS-II computes one; False leaves it at that.

    If GSAS-II fails for a crystal and then computes rock salt, the crystal is the cause: `UnsupportedByGsas2`. If it
    fails for both, GSAS-II itself is broken: `EngineError`.
    """
    _check(instrument, augmentations)
    try:
        return _simulate(crystal, instrument, augmentations, cell, average_friedel, timeout_s)
    except Gsas2StartError:
        raise
    except EngineError as failure:
        _simulate_rock_salt()
        raise UnsupportedByGsas2(str(failure)) from failure


def _simulate_rock_salt() -> None:
    """Raise what GSAS-II does wrong with the simplest crystal."""
    xyz = np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]])
    primitive_A = 2.82 * (np.ones((3, 3)) - np.eye(3))
    salt = Crystal.canonical(primitive_A, ("Na", "Cl"), np.ones(2), xyz, np.full(2, 0.01))
    plain = Augmentations.of(
        U_cdeg2=[1.0], V_cdeg2=[0.0], W_cdeg2=[1.0], microstrain=[1000.0], crystallite_size_um=[1.0]
    )
    _simulate(salt, Instrument.preset("alphadiffract"), plain, "p1", True, _ROCK_SALT_TIMEOUT_S)


def _simulate(
    crystal: Crystal,
    instrument: Instrument,
    augmentations: Augmentations,
    cell: Cell,
    average_friedel: bool,
    timeout_s: float | None,
) -> Patterns:
    handover = p1(crystal) if cell == "p1" else symmetric(crystal)
    types, warnings = _types(handover.species)
    if _count_range(crystal, instrument)[1] == 0:
        raise _nothing(instrument)
    request = {**_request(handover, types, instrument, augmentations), "average_friedel": average_friedel}
    with tempfile.TemporaryDirectory(prefix="pxrd-gsas2-") as scratch:
        folder = Path(scratch)
        answer = ask(request, folder, timeout_s)
        two_theta_deg, calculated, reflections = (
            np.load(folder / f"{name}.npy", allow_pickle=False) for name in ("two_theta", "pattern", "reflections")
        )
    if not np.allclose(two_theta_deg, instrument.two_theta_deg, rtol=0, atol=1e-9):
        raise EngineError("GSAS-II calculated on another 2theta grid than asked for")
    _check_atoms(handover, types, answer["atoms_per_cell"])

    sticks = _sticks(crystal, handover, reflections, instrument, warnings)
    _check_count(crystal, instrument, cell, reflections)
    # GSAS-II's profiles are per 0.01 degrees, and its intensity is proportional to 1/V, not to 1/V^2.
    intensity = calculated * (100.0 * instrument.lines[0].weight / handover.volume_A3)
    return _finish(intensity, crystal, sticks, instrument, augmentations)


def version() -> str:
    """Return the version of GSAS-II; raise `Gsas2StartError` if it cannot be started."""
    return process().version


def _finish(
    intensity: Array, crystal: Crystal, sticks: Sticks, instrument: Instrument, augmentations: Augmentations
) -> Patterns:
    single = intensity.astype(np.float32)
    maximum = single.max(axis=1)
    add_second_phases(crystal, instrument, augmentations, single, maximum)
    top = maximum.copy()
    add_extras(instrument, augmentations, single, maximum)
    add_background(instrument, augmentations, top, single, maximum)
    return Patterns(single, maximum, sticks, diagnose(sticks, instrument, augmentations))


def _check(instrument: Instrument, augmentations: Augmentations) -> None:
    if beyond := native_only(augmentations):
        raise EngineError(f"GSAS-II is not asked for {', '.join(beyond)}; use the native engine or leave them out")
    if len(instrument.lines) > 2:
        raise EngineError(f"GSAS-II knows one line or a doublet, the instrument has {len(instrument.lines)}")
    if instrument.n_points > MAX_POINTS:
        raise EngineError(f"GSAS-II simulates up to {MAX_POINTS} points, the instrument has {instrument.n_points}")


def _types(species: tuple[str, ...]) -> tuple[list[str], tuple[str, ...]]:
    """Return GSAS-II's names of the scatterers (`Fe+3` for `Fe3+`; neutral if not tabulated), and warnings."""
    known = process().form_factors
    types: dict[str, str] = {}
    warnings: list[str] = []
    for name in dict.fromkeys(species):
        match = _SPECIES.match(name)
        element = match[1] if match else name.rstrip("0123456789.+-")
        ion = f"{element}{match[3]}{match[2] or 1}" if match and match[3] else element
        types[name] = ion if ion in known else element
        if types[name] not in known:
            raise NoFormFactor(f"GSAS-II has no form factor for {name}")
        if ion not in known or not match:
            warnings.append(f"{name}: no form factor for this ion, neutral {element} used")
    return [types[name] for name in species], tuple(warnings)


def _request(
    handover: Handover, types: list[str], instrument: Instrument, augmentations: Augmentations
) -> dict[str, Any]:
    a = augmentations
    axes = a.march_hkl @ np.linalg.inv(handover.to_crystal_hkl)
    return {
        "space_group": handover.space_group,
        "cell": handover.cell,
        "atoms": [
            [kind, xyz, occupancy, u_iso]
            for kind, xyz, occupancy, u_iso in zip(
                types,
                handover.fractional.tolist(),
                handover.occupancy.tolist(),
                handover.u_iso_A2.tolist(),
                strict=True,
            )
        ],
        "range_deg": [instrument.two_theta_min_deg, instrument.two_theta_max_deg],
        "n_points": instrument.n_points,
        "sample_type": "Bragg-Brentano" if instrument.geometry == "reflection" else "Debye-Scherrer",
        "goniometer_radius_mm": instrument.goniometer_radius_mm,
        "instprm": _instprm(instrument),
        "augmentations": [
            {
                "U": a.U_cdeg2[i],
                "V": a.V_cdeg2[i],
                "W": a.W_cdeg2[i],
                "X": a.X_cdeg[i],
                "Y": a.Y_cdeg[i],
                "microstrain": a.microstrain[i],
                "crystallite_size_um": a.crystallite_size_um[i],
                "zero_shift_deg": a.zero_shift_deg[i],
                "displacement_um": a.displacement_um[i],
                "march_r": a.march_r[i],
                "march_hkl": axes[i].tolist(),
            }
            for i in range(len(a))
        ],
    }


def _instprm(instrument: Instrument) -> list[tuple[str, Any]]:
    """Return the lines of an instrument parameter file; widths and zero shift belong to the augmentation."""
    first, *second = instrument.lines
    if second:
        lines = [("Lam1", first.wavelength_A), ("Lam2", second[0].wavelength_A)]
        lines.append(("I(L2)/I(L1)", second[0].weight / first.weight))
    else:
        lines = [("Lam", first.wavelength_A)]
    rest = [("Polariz.", instrument.polarisation), ("Azimuth", 0.0), ("Zero", 0.0)]
    widths = [(name, 0.0) for name in "UVWXYZ"]
    return [("Type", "PXC"), ("Bank", 1), *lines, *rest, *widths, ("SH/L", instrument.sh_over_l)]


def _nothing(instrument: Instrument) -> NoReflections:
    return NoReflections(
        f"no reflection between {instrument.two_theta_min_deg} and {instrument.two_theta_max_deg} degrees"
    )


def _count_range(crystal: Crystal, instrument: Instrument) -> tuple[int, int]:
    """Return the smallest and largest possible number of Friedel pairs in the range of the first line."""
    wavelength = instrument.lines[0].wavelength_A
    limits = np.radians([instrument.two_theta_min_deg, instrument.two_theta_max_deg]) / 2
    low, high = 2 * np.sin(limits) / wavelength
    fewest = len(half_sphere(crystal.lattice_A, low * (1 + EDGE), high * (1 - EDGE))[1])
    most = len(half_sphere(crystal.lattice_A, low * (1 - EDGE), high * (1 + EDGE))[1])
    return fewest, most


def _check_count(crystal: Crystal, instrument: Instrument, cell: Cell, reflections: Array) -> None:
    """Raise if GSAS-II left reflections out, which it does with no more than a printed line.

    Of a symmetric cell it omits the reflections that symmetry forbids, so that only the upper bound is checked.
    """
    fewest, most = _count_range(crystal, instrument)
    found = int(reflections[:, 3].sum()) // 2
    if found > most or (cell == "p1" and found < fewest):
        raise EngineError(f"GSAS-II computed {found} reflections, expected {fewest} to {most}")


def _check_atoms(handover: Handover, types: list[str], found: dict[str, float]) -> None:
    """Raise if GSAS-II found other site symmetries, which would multiply atoms."""
    expected: dict[str, float] = {}
    for kind, occupancy, multiplicity in zip(types, handover.occupancy, handover.multiplicity, strict=True):
        expected[kind] = expected.get(kind, 0.0) + float(occupancy) * int(multiplicity)
    if expected.keys() != found.keys() or any(abs(found[k] - v) > 1e-6 * (1 + v) for k, v in expected.items()):
        raise EngineError(f"GSAS-II's cell holds {found}, handed over was {expected}")


def _sticks(
    crystal: Crystal, handover: Handover, reflections: Array, instrument: Instrument, warnings: tuple[str, ...]
) -> Sticks:
    """Merge GSAS-II's reflections (h, k, l, multiplicity, d, |F|^2) by |Q|, as the native engine does."""
    star, pairs = handover.equivalents(reflections[:, :3])
    if not np.array_equal(2 * pairs, reflections[:, 3].astype(np.int64)):
        raise EngineError("GSAS-II gives reflections another multiplicity than their symmetry does")
    seen = np.repeat(reflections[:, 5] > ABSENT * reflections[:, 5].max(), pairs)
    order = np.argsort(-np.repeat(reflections[:, 4], pairs)[seen], kind="stable")
    hkl = np.rint(star @ handover.to_crystal_hkl).astype(np.int32)[seen][order]
    q = 1.0 / np.repeat(reflections[:, 4], pairs)[seen][order]
    f2 = np.repeat(reflections[:, 5], pairs)[seen][order]
    group = merge_groups(q)
    sizes, n = np.bincount(group), len(instrument.lines)

    # GSAS-II's second line has the first line's structure, Lorentz and polarisation factors.
    two_theta = [2 * np.arcsin(np.minimum(1.0, line.wavelength_A * q / 2)) for line in instrument.lines]
    shares = 2.0 / handover.volume_A3**2 * f2 * lorentz_polarisation(two_theta[0], instrument.polarisation)
    shares = np.concatenate([line.weight * shares for line in instrument.lines])
    position = np.degrees(np.concatenate([np.bincount(group, weights=row) / sizes for row in two_theta]))
    line_of = np.repeat(np.arange(n), len(sizes))
    sizes = np.tile(sizes, n)
    order = np.argsort(position, kind="stable")
    members = np.argsort(np.repeat(np.argsort(order), sizes), kind="stable")
    start = np.concatenate([[0], np.cumsum(sizes[order])])
    return Sticks(
        two_theta_deg=position[order],
        intensity=np.add.reduceat(shares[members], start[:-1]),
        line=line_of[order],
        member_hkl=np.tile(hkl, (n, 1))[members],
        member_intensity=shares[members],
        member_start=start,
        reciprocal_metric=np.asarray(np.linalg.inv(crystal.lattice_A @ crystal.lattice_A.T), dtype=np.float64),
        warnings=warnings,
    )
