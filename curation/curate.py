"""Curation of one record: the screens in their order."""

from __future__ import annotations

import math
import time
import traceback
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalogs.record import Record
from curation.atoms import Array, Atoms, cell_parameters
from curation.composition import reduced_formula
from curation.crystal import Crystal
from curation.labels import crystal_system_of
from curation.lattice_rules import bravais_lattice, lattice_deviation, lattice_points
from curation.niggli import NIGGLI_TOLERANCE, Metric, metric_of, reduce_metric
from curation.read import read_structure
from curation.reasons import Refused
from curation.reflections import count_reflections
from curation.settings import CurationSettings
from curation.split import group_of, split_of
from curation.symmetry import Grid, Primitive, change_basis, primitive_cell, search, search_grid, symmetrised_metric
from curation.verdict import Verdict

Row = dict[str, Any]


def curate_record(record: Record, settings: CurationSettings) -> Verdict:
    """Return the verdict on a record; bad input is refused, never an exception."""
    start = time.perf_counter()
    if record.defect is not None:
        return Verdict.refusal(record, record.defect.reason, record.defect.detail)
    row: Row = {}
    try:
        _screen(record, settings, row)
    except Refused as refused:
        row |= {"status": "refused", "reason": refused.code, "detail": refused.detail, **refused.values}
    except MemoryError:
        raise  # handled by the sandbox
    except Exception:  # noqa: BLE001 - a bug refuses this record and shows in the counts
        row |= {"status": "refused", "reason": "internal_error", "detail": traceback.format_exc(limit=-4)}
    else:
        row["status"] = "accepted"
    return Verdict.about(record, **row, seconds=time.perf_counter() - start)


def _screen(record: Record, settings: CurationSettings, row: Row) -> None:
    """Run all screens in order; each writes its values to the row before it may refuse."""
    atoms, min_distance_A = _read(record, settings, row)
    _refuse_beyond_any_cell(atoms, settings)
    primitive = _one_space_group(atoms, min_distance_A, settings, row)
    reduced = _reduced(primitive, row)
    _check_lattice(reduced, settings, row)
    _check_size(reduced, settings, row)
    crystal = _crystal(reduced.atoms)
    _check_reflections(crystal, settings, row)
    _label(crystal, settings, row)


def _read(record: Record, settings: CurationSettings, row: Row) -> tuple[Atoms, float]:
    reading = read_structure(record.text, record.format, settings, row)
    atoms = reading.atoms
    row |= {
        "n_atoms_read": atoms.n_sites,
        "volume_read": atoms.volume_A3,
        "formula": reduced_formula(atoms.amounts()),
        "min_distance_A": reading.min_distance_A,
    }
    return atoms, reading.min_distance_A


def _refuse_beyond_any_cell(atoms: Atoms, settings: CurationSettings) -> None:
    """Refuse before the expensive search cells that no symmetry makes small enough.

    A smaller cell divides the number of sites of every kind, so their greatest common divisor bounds the factor.
    """
    divisor = math.gcd(*np.bincount(atoms.kind, minlength=len(atoms.occupants)).tolist())
    for code, value, limit, unit in (
        ("too_many_atoms", atoms.n_sites / divisor, settings.max_atoms + 1, "sites"),
        ("volume_too_large", atoms.volume_A3 / divisor, settings.max_volume_A3, "A^3"),
    ):
        if value >= limit:
            whole = "" if divisor == 1 else f", and even a {divisor} times smaller cell has {value:.0f}"
            raise Refused(code, f"the cell has {value * divisor:.0f} {unit}{whole}; symmetry was not searched")


def _one_space_group(atoms: Atoms, min_distance_A: float, settings: CurationSettings, row: Row) -> Primitive:
    pairs = settings.tolerance_pairs
    first = search(atoms, pairs[0])
    if first is None:
        primitive, grid = None, Grid((first, *(search(atoms, pair) for pair in pairs[1:])), None)
    else:
        primitive = primitive_cell(atoms, first)
        if primitive.atoms.n_sites > settings.max_atoms:  # and the conventional cell is no smaller
            raise Refused(
                "too_many_atoms",
                f"the primitive cell has {primitive.atoms.n_sites} sites (space group {first.number} at the tightest "
                "tolerances); symmetry was not searched further",
                n_atoms=primitive.atoms.n_sites,
            )
        primitive = change_basis(primitive, _reduction(symmetrised_metric(primitive)))
        grid = search_grid(atoms, primitive, first, pairs, min_distance_A)
    numbers = tuple(None if r is None else r.number for r in grid.results)
    sizes = tuple(None if r is None else r.n_primitive for r in grid.results)
    row |= {
        "symprec_A": tuple(s for s, _ in pairs),
        "angle_tolerance_deg": tuple(a for _, a in pairs),
        "space_group_at": numbers,
        "n_primitive_at": sizes,
    }
    described = ", ".join(f"{n or 'none'} at {s:g} A, {a:g} deg" for n, (s, a) in zip(numbers, pairs, strict=True))
    if first is None or primitive is None or None in numbers:
        raise Refused("symmetry_failed", f"space group {described}")
    if len(set(numbers)) > 1:
        raise Refused("symmetry_unstable", f"space group {described}")
    if grid.in_reverse is not None and grid.in_reverse != numbers:
        raise Refused(
            "symmetry_unstable", f"space group {described}; with the atoms in reverse order {grid.in_reverse}"
        )
    if len(set(sizes)) > 1:
        row["warnings"] = tuple(sorted({*row["warnings"], "cell_depends_on_tolerance"}))
    row |= {
        "space_group": first.number,
        "crystal_system": crystal_system_of(first.number),
        "bravais_lattice": bravais_lattice(first.number, first.symbol),
    }
    return primitive


def _reduction(metric: Array) -> NDArray[np.int64]:
    try:
        return reduce_metric(_six(metric))
    except ArithmeticError as error:
        raise Refused("reduction_failed", str(error)) from error


def _six(metric: Array) -> Metric:
    return tuple(float(metric[i, j]) for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)))  # type: ignore[return-value]


def _reduced(primitive: Primitive, row: Row) -> Primitive:
    """Return the Niggli cell in its standard orientation; refuse a reduction that is not reliable.

    The reduction uses the metric averaged over the crystal's rotations, whose equalities are exact, so that noise does
    not decide between two forms. The cell itself is not averaged.
    """
    change = _reduction(symmetrised_metric(primitive))
    reduced = change_basis(primitive, change)
    averaged = symmetrised_metric(reduced)
    again = change_basis(reduced, _reduction(averaged))
    before, after = np.array(_six(averaged)), np.array(_six(symmetrised_metric(again)))
    row |= {
        "niggli_determinant": float(np.linalg.det(change)),
        "niggli_volume_ratio": reduced.atoms.volume_A3 / primitive.atoms.volume_A3,
        "niggli_idempotence": float(np.max(np.abs(after - before)) / np.max(before)),
    }
    if any(abs(row[name] - 1.0) > NIGGLI_TOLERANCE for name in ("niggli_determinant", "niggli_volume_ratio")):
        raise Refused("reduction_failed", f"determinant {row['niggli_determinant']:g}, expected +1")
    if row["niggli_idempotence"] > NIGGLI_TOLERANCE:
        raise Refused("reduction_failed", f"reduced again, the cell changes by {row['niggli_idempotence']:.1e}")
    atoms = reduced.atoms
    # Cholesky's factor of the metric has a along x and b in the xy plane.
    lattice: Array = np.asarray(np.linalg.cholesky(atoms.lattice_A @ atoms.lattice_A.T), dtype=np.float64)
    standing = Atoms(lattice, atoms.fractional, atoms.kind, atoms.occupants)
    row |= {"n_atoms": atoms.n_sites, "volume": standing.volume_A3}
    names = ("niggli_a", "niggli_b", "niggli_c", "niggli_alpha", "niggli_beta", "niggli_gamma")
    row |= dict(zip(names, cell_parameters(lattice), strict=True))
    return Primitive(standing, reduced.rotations, reduced.translations)


def _check_lattice(reduced: Primitive, settings: CurationSettings, row: Row) -> None:
    lattice = row["bravais_lattice"]
    deviation, character = lattice_deviation(metric_of(reduced.atoms.lattice_A), lattice)
    row |= {"lattice_deviation": deviation, "lattice_character": character}
    if deviation > settings.lattice_tolerance:
        raise Refused(
            "lattice_mismatch",
            f"off by {deviation:.1e} from the nearest reduced {lattice} cell (form {character}), "
            f"allowed are {settings.lattice_tolerance:g}",
        )


def _check_size(reduced: Primitive, settings: CurationSettings, row: Row) -> None:
    n = lattice_points(row["bravais_lattice"])
    n_atoms, volume = reduced.atoms.n_sites * n, row["volume"] * n
    row |= {"n_atoms_conventional": n_atoms, "volume_conventional": volume}
    if not volume < settings.max_volume_A3:
        raise Refused("volume_too_large", f"{volume:.0f} A^3, expected below {settings.max_volume_A3:.0f}")
    if n_atoms > settings.max_atoms:
        raise Refused("too_many_atoms", f"{n_atoms} sites, expected at most {settings.max_atoms}")


def _check_reflections(crystal: Crystal, settings: CurationSettings, row: Row) -> None:
    limits = settings.two_theta_min_deg, settings.two_theta_max_deg
    row["n_reflections"] = count_reflections(crystal, settings.wavelength_A, limits)
    if row["n_reflections"] == 0:
        raise Refused(
            "no_reflections", f"between {limits[0]:g} and {limits[1]:g} degrees at {settings.energy_keV:g} keV"
        )


def _label(crystal: Crystal, settings: CurationSettings, row: Row) -> None:
    # Of the conventional cell, whatever cell is listed: a repeated one may allow other whole numbers.
    n = lattice_points(row["bravais_lattice"])
    # Rounded, because the order of the sum depends on the origin.
    formula = reduced_formula({species: round(n * amount, 6) for species, amount in crystal.amounts().items()})
    group = group_of(formula, row["space_group"])
    row |= {
        "formula": formula,
        "structure": crystal.to_json(),
        "structure_hash": crystal.structure_hash(),
        "group": group,
        "split": split_of(group, settings.seed, settings.split),
    }


def _crystal(atoms: Atoms) -> Crystal:
    sites = [(site, *occupant) for site, kind in enumerate(atoms.kind.tolist()) for occupant in atoms.occupants[kind]]
    where, species, occupancy, u_iso = zip(*sites, strict=True)
    return Crystal.canonical(
        atoms.lattice_A, species, np.array(occupancy), atoms.fractional[list(where)], np.array(u_iso)
    )
