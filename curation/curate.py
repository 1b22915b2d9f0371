"""One record in, one verdict out: the screens in their order, every check's value kept."""

from __future__ import annotations

import time
import traceback
from typing import Any

import numpy as np

from catalogs.record import Record
from curation.atoms import Atoms, cell_matrix, cell_parameters
from curation.checks import closest_pair, count_reflections
from curation.composition import reduced_formula
from curation.crystal import Crystal
from curation.labels import crystal_system_of
from curation.lattice_rules import bravais_lattice, lattice_deviation
from curation.niggli import metric_of, reduce_metric
from curation.read import read_cif
from curation.reasons import Refused
from curation.settings import CurationSettings
from curation.split import group_of, split_of
from curation.symmetry import Symmetry, find_symmetry, primitive_atoms
from curation.verdict import Verdict, tolerance_columns


def curate_record(record: Record, settings: CurationSettings) -> Verdict:
    """The verdict on one record; bad input is a refusal, never an exception."""
    start = time.perf_counter()
    found: dict[str, Any] = {"warnings": ()}
    if record.defect is not None:
        return Verdict.refusal(record, record.defect.reason, record.defect.detail)
    try:
        _screen(record.cif, settings, found)
    except Refused as refused:
        found |= {"status": "refused", "reason": refused.code, "detail": refused.detail}
    except MemoryError:
        raise  # the sandbox knows what to make of it
    except Exception:  # noqa: BLE001 - a flaw of ours costs this record, says so in its row, and shows in the counts
        found |= {"status": "refused", "reason": "internal_error", "detail": traceback.format_exc(limit=-4)}
    else:
        found |= {"status": "accepted"}
    return Verdict.about(record, **found, seconds=time.perf_counter() - start)


def _screen(cif: str, settings: CurationSettings, found: dict[str, Any]) -> None:
    reading = read_cif(cif, settings)
    atoms = reading.atoms
    found |= {
        "warnings": reading.warnings,
        "stated_space_group": reading.stated_space_group,
        "stated_formula": reading.stated_formula,
        "n_atoms_read": atoms.n_sites,
        "volume_read": atoms.volume_A3,
        "formula": reduced_formula(atoms.amounts()),
    }
    distance, i, j = closest_pair(atoms)
    found["min_distance_A"] = distance
    if distance < settings.min_distance_A:
        raise Refused("atoms_overlap", f"sites {i + 1} and {j + 1} are {distance:.3f} A apart")
    symmetry = _one_space_group(atoms, settings, found)
    primitive = primitive_atoms(atoms, symmetry)
    reduced = _reduce(primitive, found)
    _check_lattice(reduced, symmetry, settings, found)
    _check_size(reduced, symmetry, settings, found)
    found["n_reflections"] = count_reflections(
        reduced, settings.wavelength_A, (settings.two_theta_min_deg, settings.two_theta_max_deg)
    )
    if found["n_reflections"] == 0:
        raise Refused("no_reflections", "no reflection in the range")
    crystal = _crystal(reduced)
    group = group_of(found["formula"], symmetry.number)
    found |= {
        "structure": crystal.to_json(),
        "structure_hash": crystal.structure_hash(),
        "group": group,
        "split": split_of(group, settings.seed, settings.split),
    }


def _one_space_group(atoms: Atoms, settings: CurationSettings, found: dict[str, Any]) -> Symmetry:
    results = [find_symmetry(atoms, s, a) for s, a in settings.tolerance_pairs]
    found |= tolerance_columns(settings)
    found["space_group_at"] = tuple(None if r is None else r.number for r in results)
    found["n_primitive_at"] = tuple(None if r is None else r.n_primitive for r in results)
    numbers = {None if r is None else r.number for r in results}
    first = results[0]
    if None in numbers or first is None:
        raise Refused("symmetry_failed", f"space groups {found['space_group_at']}")
    if len(numbers) > 1:
        raise Refused("symmetry_unstable", f"space groups {found['space_group_at']}")
    found["space_group"] = first.number
    found["crystal_system"] = crystal_system_of(first.number)
    found["bravais_lattice"] = bravais_lattice(first.number, first.symbol)
    return first


def _reduce(primitive: Atoms, found: dict[str, Any]) -> Atoms:
    change = reduce_metric(metric_of(primitive.lattice_A))
    lattice = change @ primitive.lattice_A
    found["niggli_determinant"] = float(np.linalg.det(change))
    found["niggli_volume_ratio"] = abs(float(np.linalg.det(lattice))) / primitive.volume_A3
    parameters = cell_parameters(lattice)
    for name, value in zip(("a", "b", "c", "alpha", "beta", "gamma"), parameters, strict=True):
        found[f"niggli_{name}"] = value
    fractional = (primitive.fractional @ np.linalg.inv(change)) % 1.0
    return Atoms(cell_matrix(*parameters), fractional, primitive.kind, primitive.occupants)


def _check_lattice(reduced: Atoms, symmetry: Symmetry, settings: CurationSettings, found: dict[str, Any]) -> None:
    deviation, character = lattice_deviation(metric_of(reduced.lattice_A), found["bravais_lattice"])
    found |= {"lattice_deviation": deviation, "lattice_character": character}
    if deviation > settings.lattice_tolerance:
        raise Refused("lattice_mismatch", f"off by {deviation:.2e} from a reduced {found['bravais_lattice']} cell")


def _check_size(reduced: Atoms, symmetry: Symmetry, settings: CurationSettings, found: dict[str, Any]) -> None:
    multiplicity = {"P": 1, "F": 4, "R": 3}.get(found["bravais_lattice"][1], 2)
    found |= {
        "n_atoms": reduced.n_sites,
        "volume": reduced.volume_A3,
        "n_atoms_conventional": reduced.n_sites * multiplicity,
        "volume_conventional": reduced.volume_A3 * multiplicity,
    }
    if found["volume_conventional"] >= settings.max_volume_A3:
        raise Refused("volume_too_large", f"{found['volume_conventional']:.0f} A^3")
    if found["n_atoms_conventional"] > settings.max_atoms:
        raise Refused("too_many_atoms", f"{found['n_atoms_conventional']} atoms")


def _crystal(reduced: Atoms) -> Crystal:
    species, occupancy, fractional, u_iso = [], [], [], []
    for kind, xyz in zip(reduced.kind.tolist(), reduced.fractional, strict=True):
        for name, occ, u in reduced.occupants[kind]:
            species.append(name)
            occupancy.append(occ)
            fractional.append(xyz)
            u_iso.append(u)
    return Crystal.canonical(reduced.lattice_A, species, np.array(occupancy), np.array(fractional), np.array(u_iso))
