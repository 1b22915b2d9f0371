"""The cell given to GSAS-II: every atom in P1, or the asymmetric unit in the one setting it has for each group."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import spglib
from numpy.typing import NDArray

from datagen.simulate.gsas2.process import UnsupportedByGsas2

if TYPE_CHECKING:
    from curation.crystal import Crystal

Array = NDArray[np.float64]
SAME_POSITION = 1e-4
"""Fractional distance below which two idealised positions are the same site."""


@dataclass(frozen=True, eq=False)
class Handover:
    """A crystal in the terms of GSAS-II."""

    space_group: int
    cell: tuple[float, ...]
    """a, b, c in A, alpha, beta, gamma in degrees."""
    species: tuple[str, ...]
    occupancy: Array
    fractional: Array
    u_iso_A2: Array
    multiplicity: NDArray[np.int64]
    """Atoms of each entry per cell."""
    volume_A3: float
    to_crystal_hkl: Array
    """(3, 3): a row of indices of this cell times this matrix gives indices of the crystal's own cell."""
    rotations: NDArray[np.int64]
    """(operation, 3, 3): a row of indices times each matrix gives the equivalent reflections."""

    def equivalents(self, hkl: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return all symmetry equivalents, one of each Friedel pair (pair, 3), and their number per reflection."""
        star = np.einsum("ni,oij->noj", np.rint(hkl).astype(np.int64), self.rotations)
        first = np.take_along_axis(star, (star != 0).argmax(axis=2)[:, :, None], axis=2)
        star *= np.sign(first)
        code = star @ np.array([1 << 40, 1 << 20, 1])
        order = np.argsort(code, axis=1)
        new = np.diff(np.take_along_axis(code, order, axis=1), axis=1, prepend=np.iinfo(np.int64).min) != 0
        return np.take_along_axis(star, order[:, :, None], axis=1)[new], new.sum(axis=1)


def p1(crystal: Crystal) -> Handover:
    """Return the crystal's own cell, without any symmetry."""
    return Handover(
        1,
        cell_parameters(crystal.lattice_A),
        crystal.species,
        crystal.occupancy,
        crystal.fractional,
        crystal.u_iso_A2,
        np.ones(len(crystal.species), dtype=np.int64),
        crystal.volume_A3,
        np.eye(3),
        np.eye(3, dtype=np.int64)[None],
    )


def symmetric(crystal: Crystal, symprec_A: float = 0.01) -> Handover:
    """Return the standard cell: origin choice 2 (at the centre), hexagonal axes, unique axis b, cell choice 1.

    Positions and cell are idealised to the symmetry found, within `symprec_A` or, where spglib gives none, a tenth or
    a hundredth of it.
    """
    positions, contents = _sites(crystal)
    kinds = {content: i for i, content in enumerate(dict.fromkeys(contents))}
    cell = (crystal.lattice_A.tolist(), positions.tolist(), [kinds[c] for c in contents])
    tolerances = (symprec_A, symprec_A / 10, symprec_A / 100)
    found = next(filter(None, (_standardised(cell, tolerance) for tolerance in tolerances)), None)
    if found is None:
        raise UnsupportedByGsas2(f"no symmetry found within {symprec_A} A")
    dataset, operations = found
    # A coordinate of -1e-16 becomes 1.0 in GSAS-II, which then finds no atom on that site, without a message.
    fractional = np.round(dataset.std_positions, 12) % 1.0
    orbits = _orbits(fractional, operations["rotations"], operations["translations"])
    by_kind = {i: content for content, i in kinds.items()}
    atoms = [(i, size, *atom) for i, size in orbits for atom in by_kind[int(dataset.std_types[i])]]
    return Handover(
        int(dataset.number),
        cell_parameters(dataset.std_lattice),
        tuple(name for _, _, name, _, _ in atoms),
        np.array([occupancy for *_, occupancy, _ in atoms]),
        fractional[[i for i, *_ in atoms]],
        np.array([u_iso for *_, u_iso in atoms]),
        np.array([size for _, size, *_ in atoms]),
        abs(float(np.linalg.det(dataset.std_lattice))),
        np.asarray(dataset.transformation_matrix, dtype=np.float64),
        np.asarray(operations["rotations"], dtype=np.int64),
    )


def _standardised(
    cell: tuple[list[list[float]], list[list[float]], list[int]], symprec_A: float
) -> tuple[spglib.SpglibDataset, dict[str, NDArray[Any]]] | None:
    with quiet_spglib():
        found = spglib.get_symmetry_dataset(cell, symprec=symprec_A)
        if found is None:
            return None
        hall = gsas2_hall_number(found.number)
        dataset = spglib.get_symmetry_dataset(cell, symprec=symprec_A, hall_number=hall)
        operations = spglib.get_symmetry_from_database(hall)
    return None if dataset is None or operations is None else (dataset, operations)


def cell_parameters(lattice_A: Array) -> tuple[float, ...]:
    """Return a, b, c in A and alpha, beta, gamma in degrees of a cell given by its vectors as rows."""
    lengths = np.linalg.norm(lattice_A, axis=1)
    unit = lattice_A / lengths[:, None]
    cosines = np.array([unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1]])
    return tuple(float(v) for v in (*lengths, *np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0)))))


@contextmanager
def quiet_spglib() -> Iterator[None]:
    """Hide the warning of spglib, at every call, about a future change of its errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


@cache
def gsas2_hall_number(space_group: int) -> int:
    """Return the Hall number (spglib, 1 to 530) of GSAS-II's setting of a space group."""
    with quiet_spglib():
        settings = [(hall, spglib.get_spacegroup_type(hall)) for hall in range(530, 0, -1)]
    choices = {found.choice: hall for hall, found in settings if found is not None and found.number == space_group}
    return next(choices[wanted] for wanted in ("H", "2", "b1", "b", "") if wanted in choices)


def _sites(crystal: Crystal) -> tuple[Array, list[tuple[tuple[str, float, float], ...]]]:
    """Return distinct positions and, for each, its sorted (species, occupancy, U_iso)."""
    here: dict[tuple[float, ...], list[tuple[str, float, float]]] = {}
    for xyz, name, occupancy, u_iso in zip(
        crystal.fractional.tolist(),
        crystal.species,
        crystal.occupancy.tolist(),
        crystal.u_iso_A2.tolist(),
        strict=True,
    ):
        here.setdefault(tuple(xyz), []).append((name, occupancy, u_iso))
    return np.array(list(here)), [tuple(sorted(atoms)) for atoms in here.values()]


def _orbits(positions: Array, rotations: NDArray[np.int32], translations: Array) -> list[tuple[int, int]]:
    """Return first member and size of each set of equivalent positions."""
    seen = np.zeros(len(positions), dtype=bool)
    orbits: list[tuple[int, int]] = []
    for i in range(len(positions)):
        if seen[i]:
            continue
        images = rotations @ positions[i] + translations
        apart = images[:, None, :] - positions[None, :, :]
        apart -= np.round(apart)
        orbit = (np.abs(apart) < SAME_POSITION).all(axis=2).any(axis=0)
        orbits.append((i, int(orbit.sum())))
        seen |= orbit
    return orbits
