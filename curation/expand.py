"""Expansion of the asymmetric unit to the whole cell: special positions, shared sites and overlaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.atoms import Array, Atoms, Occupant
from curation.niggli import metric_of, reduce_metric
from curation.operators import Operators
from curation.plausible import Contact, shortest_contact
from curation.reasons import Refused
from curation.settings import CurationSettings

LARGEST_MISFIT = 0.03
"""Largest relative change of a cell's metric by operators that fit it."""
COORDINATE_DECIMALS = 10
"""Coordinates are rounded to this first, so that results do not depend on the order of additions."""


@dataclass(frozen=True, eq=False)
class Sites:
    """The atoms that a CIF lists."""

    label: tuple[str, ...]
    species: tuple[str, ...]
    occupancy: Array
    u_iso_A2: Array
    fractional: Array
    resolution: Array
    """The last printed digit of the coordinates, as a fraction of a cell edge."""
    multiplicity: NDArray[np.int64]
    """As stated in the CIF; 0 if it is not."""


@dataclass(frozen=True, eq=False)
class Expansion:
    """The whole cell, and the values of the checks."""

    atoms: Atoms
    max_occupancy: float
    min_distance_A: float
    contact: Contact | None
    """The contact that is shortest for its elements."""


def expand(
    lattice_A: Array, sites: Sites, operators: Operators, settings: CurationSettings, warnings: set[str]
) -> Expansion:
    """Return all atoms of the cell in the order of the CIF; raise `Refused` if they cannot all be present."""
    _check_operators_fit(lattice_A, operators)
    origin, positions = _images(lattice_A, sites, operators, settings, warnings)
    positions = _wrapped(positions)
    order = np.argsort(origin, kind="stable")  # the order of the CIF
    origin, positions = origin[order], positions[order]
    try:
        change = reduce_metric(metric_of(lattice_A))
    except ArithmeticError as error:
        raise Refused("reduction_failed", str(error)) from error
    lattice, reduced = change @ lattice_A, positions @ np.linalg.inv(change)
    first, second, distance = close_pairs(lattice, reduced, max(settings.merge_distance_A, settings.min_distance_A))
    shares = _shared_sites(origin, first, second, distance, sites, settings)
    occupants, max_occupancy = _occupants(shares, origin, sites, settings, warnings)
    kept = np.array([i for i in range(len(origin)) if shares[i] == i])
    _refuse_overlap(shares, origin, sites, settings, (first, second, distance), warnings)
    kinds = {k: n for n, k in enumerate(dict.fromkeys(occupants[i] for i in kept.tolist()))}
    kind = np.array([kinds[occupants[i]] for i in kept.tolist()], dtype=np.intc)
    atoms = Atoms(lattice_A, positions[kept], kind, tuple(kinds))
    contact = shortest_contact(atoms, lattice, reduced[kept], 1.0 + settings.occupancy_tolerance)
    return Expansion(atoms, max_occupancy, shortest_distance(lattice, reduced[kept]), contact)


def _wrapped(fractional: Array) -> Array:
    found: Array = np.round(fractional - np.floor(fractional), COORDINATE_DECIMALS) % 1.0 + 0.0
    return found


def misfit(lattice_A: Array, operators: Operators) -> float:
    """Return the largest change of the cell's metric by an operator, relative to its longest edge squared."""
    g = lattice_A @ lattice_A.T
    r = operators.rotations
    return float(np.max(np.abs(r.transpose(0, 2, 1) @ g @ r - g)) / np.max(np.diag(g)))


def _check_operators_fit(lattice_A: Array, operators: Operators) -> None:
    """Refuse operators that change the cell's metric, such as hexagonal operators on a rhombohedral cell."""
    off = misfit(lattice_A, operators)
    if off > LARGEST_MISFIT:
        raise Refused("bad_symmetry", f"the operators do not fit the cell: they change its metric by {off:.0%}")


def _images(
    lattice_A: Array, sites: Sites, operators: Operators, settings: CurationSettings, warnings: set[str]
) -> tuple[NDArray[np.intp], Array]:
    """Return site index and fractional coordinates of every distinct image of every site."""
    r, t = operators.rotations, operators.translations
    n = len(r)
    images = np.einsum("nij,sj->sni", r, sites.fractional) + t
    d = images - sites.fractional[:, None, :]
    d -= np.rint(d)
    distance2 = np.sum((d @ lattice_A) ** 2, axis=2)
    reach = _reach(lattice_A, sites, distance2, n, settings)
    fixed = distance2 <= (reach**2)[:, None]
    order = fixed.sum(axis=1)
    general = order == 1
    origin = [np.repeat(np.flatnonzero(general), n)]
    found = [images[general].reshape(-1, 3)]
    for s in np.flatnonzero(~general).tolist():
        orbit = _special_orbit(lattice_A, sites.fractional[s], operators, fixed[s], d[s], float(reach[s]))
        if float(np.sqrt(distance2[s][fixed[s]].max())) > _rounding(lattice_A, sites)[s]:
            warnings.add("special_position_snapped")
        origin.append(np.full(len(orbit), s))
        found.append(orbit)
    which = np.concatenate(origin)
    stated = sites.multiplicity
    if n > 1 and np.any((stated > 0) & (stated != np.bincount(which, minlength=len(stated)))):
        warnings.add("multiplicity_contradiction")
    return which, np.concatenate(found)


def _rounding(lattice_A: Array, sites: Sites) -> Array:
    """Return the largest distance of images of a site on a special position that rounding explains, A."""
    rounding: Array = np.maximum(1e-3, 2.0 * sites.resolution * float(np.linalg.norm(lattice_A, axis=1).max()))
    return rounding


def _reach(lattice_A: Array, sites: Sites, distance2: Array, n: int, settings: CurationSettings) -> Array:
    """Return the distance within which images of each site are one atom on a special position, A.

    It is what rounding explains; for an atom with an occupancy too high to be split it is `snap_distance_A`, unless the
    CIF's multiplicity counts the images as separate atoms.
    """
    rounding = np.minimum(_rounding(lattice_A, sites), settings.snap_distance_A)
    full = sites.occupancy > 0.5 * (1.0 + settings.occupancy_tolerance)
    snapped = np.count_nonzero(distance2 <= settings.snap_distance_A**2, axis=1)
    contradicted = (sites.multiplicity > 0) & (sites.multiplicity * snapped > n)
    reach: Array = np.where(full & ~contradicted, settings.snap_distance_A, rounding)
    return np.maximum(reach, rounding)


def _special_orbit(
    lattice_A: Array, xyz: Array, operators: Operators, fixed: NDArray[np.bool_], d: Array, reach_A: float
) -> Array:
    """Return the orbit of a site moved exactly onto its special position, the mean of the coinciding images."""
    centre = xyz + d[fixed].mean(axis=0)
    images = operators.rotations @ centre + operators.translations
    kept: list[Array] = []
    left = images
    while len(left):
        kept.append(left[0])
        d = left - left[0]
        d -= np.rint(d)
        left = left[np.sum((d @ lattice_A) ** 2, axis=1) > reach_A**2]
    return np.array(kept)


def close_pairs(
    lattice_A: Array, fractional: Array, reach_A: float
) -> tuple[NDArray[np.intp], NDArray[np.intp], Array]:
    """Return pairs of sites (first < second) closer than `reach_A`, and their distances; the cell is Niggli-reduced."""
    rows, columns, distances = [], [], []
    n = len(fractional)
    block = max(1, 500_000 // max(n, 1))
    for start in range(0, n, block):
        d = fractional[start : start + block, None, :] - fractional[None, :, :]
        d -= np.rint(d)
        d = d @ lattice_A
        distance = np.sqrt(np.einsum("ijk,ijk->ij", d, d))
        i, j = np.nonzero(distance < reach_A)
        upper = i + start < j
        rows.append(i[upper] + start)
        columns.append(j[upper])
        distances.append(distance[i[upper], j[upper]])
    return np.concatenate(rows), np.concatenate(columns), np.concatenate(distances)


def shortest_distance(lattice_A: Array, fractional: Array) -> float:
    """Return the shortest distance between two sites, periodic images included, A; the cell is Niggli-reduced."""
    n = len(fractional)
    shortest = float(np.linalg.norm(lattice_A[0]))  # the shortest translation
    widths = 1.0 / np.linalg.norm(np.linalg.inv(lattice_A), axis=0)
    for i in range(n - 1):
        d = fractional[i + 1 :] - fractional[i]
        d -= np.rint(d)
        d2 = d @ lattice_A
        shortest = min(shortest, float(np.sqrt(np.einsum("ij,ij->i", d2, d2).min())))
        if shortest > 0.5 * widths.min():  # rounding may miss the nearest image
            d2 = (d[:, None, :] + _SHIFTS) @ lattice_A
            shortest = min(shortest, float(np.sqrt(np.einsum("ijk,ijk->ij", d2, d2).min())))
    return shortest


_SHIFTS = np.array([[i, j, k] for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)], dtype=np.float64)


def _shared_sites(
    origin: NDArray[np.intp],
    first: NDArray[np.intp],
    second: NDArray[np.intp],
    distance: Array,
    sites: Sites,
    settings: CurationSettings,
) -> list[int]:
    """Return for each position the lowest index of the positions within the merging distance."""
    shares = list(range(len(origin)))
    near = distance <= settings.merge_distance_A
    for i, j in zip(first[near].tolist(), second[near].tolist(), strict=True):
        if shares[j] == j and shares[i] == i:
            shares[j] = i
    return shares


def _occupants(
    shares: list[int],
    origin: NDArray[np.intp],
    sites: Sites,
    settings: CurationSettings,
    warnings: set[str],
) -> tuple[dict[int, tuple[Occupant, ...]], float]:
    """Return the occupants of each kept position, and the largest sum of occupancies before scaling."""
    members: dict[int, list[int]] = {}
    for i, j in enumerate(shares):
        members.setdefault(j, []).append(int(origin[i]))
    cache: dict[tuple[int, ...], tuple[Occupant, ...]] = {}
    found: dict[int, tuple[Occupant, ...]] = {}
    largest = 0.0
    for position, here in members.items():
        key = tuple(sorted(here))
        if key not in cache:
            key_once = _listed_once(key, sites) if len(set(key)) == len(key) > 1 else key
            if key_once != key:
                warnings.add("sites_listed_twice")
            total = float(sum(sites.occupancy[s] for s in key_once))
            largest = max(largest, total)
            if total > 1.0 + settings.occupancy_tolerance:
                if len(set(key)) < len(key):
                    twice = sites.label[max(key, key=key.count)]
                    raise Refused("atoms_overlap", f"images of {twice} coincide, though the CIF counts them apart")
                names = ", ".join(f"{sites.label[s]} {sites.occupancy[s]:g}" for s in key)
                raise Refused("occupancy_above_one", f"{total:.4g} atoms on one site: {names}", max_occupancy=total)
            scale = 1.0
            if total > 1.0:
                scale = 1.0 / total
                if total > 1.0 + 1e-6:
                    warnings.add("occupancy_scaled")
            cache[key] = _joined(key_once, sites, scale)
        found[position] = cache[key]
    return found, largest


def _listed_once(key: tuple[int, ...], sites: Sites) -> tuple[int, ...]:
    """Return one of the sites if all are the same atom with an occupancy over one half."""
    first = key[0]
    same = all(
        sites.species[s] == sites.species[first] and sites.occupancy[s] == sites.occupancy[first] for s in key[1:]
    )
    return (first,) if same and sites.occupancy[first] > 0.5 else key


def _joined(key: tuple[int, ...], sites: Sites, scale: float) -> tuple[Occupant, ...]:
    """Return the occupants in a fixed order; equal species with equal displacement are summed."""
    amounts: dict[tuple[str, float], float] = {}
    for s in key:
        name = (sites.species[s], float(sites.u_iso_A2[s]))
        amounts[name] = amounts.get(name, 0.0) + float(sites.occupancy[s]) * scale
    return tuple(sorted((species, round(occ, 8), u) for (species, u), occ in amounts.items()))


def _refuse_overlap(
    shares: list[int],
    origin: NDArray[np.intp],
    sites: Sites,
    settings: CurationSettings,
    pairs: tuple[NDArray[np.intp], NDArray[np.intp], Array],
    warnings: set[str],
) -> None:
    for i, j, distance in zip(*(p.tolist() for p in pairs), strict=True):
        if distance >= settings.min_distance_A or shares[i] == shares[j]:
            continue
        a, b = int(origin[i]), int(origin[j])
        if sites.occupancy[a] + sites.occupancy[b] > 1.0 + settings.occupancy_tolerance:
            raise Refused(
                "atoms_overlap",
                f"{sites.label[a]} and {sites.label[b]} are {distance:.3f} A apart, both present",
                min_distance_A=distance,
            )
        warnings.add("split_positions")
