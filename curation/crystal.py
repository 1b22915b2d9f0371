"""Structure of a row: all atoms of one cell, and their content hash."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curation.atoms import cell_parameters
from curation.composition import reduced_formula

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

LATTICE_DECIMALS = 6
"""Decimals of cell vectors (1e-6 A) and coordinates (1e-7 of an edge): below experiment, above rounding."""
FRACTIONAL_DECIMALS = 7
OCCUPANCY_DECIMALS = 6
U_ISO_DECIMALS = 6
DEFAULT_U_ISO_A2 = 0.01
"""GSAS-II's default for sites without displacement data."""
MOST_ATOMS = 1_000_000
SHORTEST_A, LONGEST_A, SMALLEST_A3 = 0.1, 100_000.0, 0.1
"""Limits of stored crystals, beyond any real one."""

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Crystal:
    """Atoms of one cell in P1; a site shared by several species has one entry for each.

    Make one with `Crystal.canonical`, which rounds and sorts: the hash is then a function of exactly what is stored,
    and whatever is computed from a crystal is a function of its hash.
    """

    lattice_A: Array
    """Rows are the cell vectors a, b, c."""
    species: tuple[str, ...]
    """Element with charge where the source states one: `Fe`, `Fe3+`, `O2-`, `D`."""
    occupancy: Array
    fractional: Array
    u_iso_A2: Array

    @classmethod
    def canonical(
        cls,
        lattice_A: Array,
        species: list[str] | tuple[str, ...],
        occupancy: Array,
        fractional: Array,
        u_iso_A2: Array | float = DEFAULT_U_ISO_A2,
    ) -> Crystal:
        """Round, wrap into the cell and sort, so that equal content gives equal bytes."""
        lattice = _rounded(lattice_A, LATTICE_DECIMALS)
        xyz = _rounded(np.mod(np.asarray(fractional, dtype=np.float64), 1.0), FRACTIONAL_DECIMALS) % 1.0
        occ = _rounded(occupancy, OCCUPANCY_DECIMALS)
        u_iso = _rounded(np.broadcast_to(np.asarray(u_iso_A2, dtype=np.float64), occ.shape), U_ISO_DECIMALS)
        order = sorted(range(len(species)), key=lambda i: (species[i], *xyz[i], occ[i], u_iso[i]))
        return cls(lattice, tuple(species[i] for i in order), occ[order], xyz[order], u_iso[order])

    def __repr__(self) -> str:
        a, b, c, alpha, beta, gamma = cell_parameters(self.lattice_A)
        cell = f"{a:.4f} {b:.4f} {c:.4f} A, {alpha:.3f} {beta:.3f} {gamma:.3f} deg"
        return f"<Crystal {reduced_formula(self.amounts())}: {self.n_sites} sites, {cell}>"

    def amounts(self) -> dict[str, float]:
        """Return the atoms of each species in the cell, weighted by occupancy."""
        found: dict[str, float] = {}
        for species, occupancy in zip(self.species, self.occupancy.tolist(), strict=True):
            found[species] = found.get(species, 0.0) + occupancy
        return found

    @property
    def volume_A3(self) -> float:
        """Cell volume."""
        return abs(float(np.linalg.det(self.lattice_A)))

    @property
    def n_sites(self) -> int:
        """Number of distinct positions, as pymatgen counts sites."""
        return len({tuple(p) for p in self.fractional.tolist()})

    def structure_hash(self) -> str:
        """Return the content hash, 32 hexadecimal digits; independent of file name, site order and formatting."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:32]

    def to_json(self) -> str:
        """Return compact, exact and stable JSON."""
        content = {
            "lattice_A": self.lattice_A.tolist(),
            "species": list(self.species),
            "occupancy": self.occupancy.tolist(),
            "fractional": self.fractional.tolist(),
            "u_iso_A2": self.u_iso_A2.tolist(),
        }
        return json.dumps(content, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Crystal:
        """Return the crystal of `to_json`, bit for bit."""
        content: dict[str, Any] = json.loads(text)
        found = cls(
            np.array(content["lattice_A"], dtype=np.float64).reshape(3, 3),
            tuple(content["species"]),
            np.array(content["occupancy"], dtype=np.float64),
            np.array(content["fractional"], dtype=np.float64).reshape(-1, 3),
            np.array(content["u_iso_A2"], dtype=np.float64),
        )
        _check(found)
        return found

    @classmethod
    def from_pymatgen(cls, structure: Structure, u_iso_A2: float = DEFAULT_U_ISO_A2) -> Crystal:
        """Convert a pymatgen structure, which has no displacement data: all sites have `u_iso_A2`."""
        species: list[str] = []
        occupancy: list[float] = []
        fractional: list[Array] = []
        for site in structure:
            for specie, occ in site.species.items():
                species.append(str(specie))
                occupancy.append(float(occ))
                fractional.append(site.frac_coords)
        return cls.canonical(
            structure.lattice.matrix, species, np.array(occupancy), np.array(fractional).reshape(-1, 3), u_iso_A2
        )

    def to_pymatgen(self) -> Structure:
        """Return a pymatgen structure; species that share a position become one site."""
        from pymatgen.core.lattice import Lattice
        from pymatgen.core.structure import Structure

        sites: dict[tuple[float, ...], dict[str, float]] = {}
        for name, occ, xyz in zip(self.species, self.occupancy.tolist(), self.fractional.tolist(), strict=True):
            here = sites.setdefault(tuple(xyz), {})
            here[name] = here.get(name, 0.0) + occ
        return Structure(Lattice(self.lattice_A), list(sites.values()), list(sites))


def _rounded(values: Array | float, decimals: int) -> Array:
    found: Array = np.asarray(np.round(np.asarray(values, dtype=np.float64), decimals), dtype=np.float64) + 0.0
    return found


def _check(crystal: Crystal) -> None:
    """Raise ValueError for untrusted content that is not a valid crystal."""
    n = len(crystal.species)
    arrays = (crystal.occupancy, crystal.u_iso_A2, crystal.fractional, crystal.lattice_A)
    if {a.shape for a in arrays} != {(n,), (n, 3), (3, 3)} or not 0 < n <= MOST_ATOMS:
        raise ValueError(f"crystal: expected arrays for 1 to {MOST_ATOMS:,} atoms, found {[a.shape for a in arrays]}")
    if not all(isinstance(name, str) for name in crystal.species) or not all(np.isfinite(a).all() for a in arrays):
        raise ValueError("crystal: expected names of species and finite numbers")
    lengths = np.linalg.norm(crystal.lattice_A, axis=1)
    if not (lengths.min() >= SHORTEST_A and lengths.max() <= LONGEST_A and crystal.volume_A3 >= SMALLEST_A3):
        raise ValueError(
            f"crystal: expected a cell with edges of {SHORTEST_A:g} to {LONGEST_A:g} A and a volume of at least "
            f"{SMALLEST_A3:g} A^3, found {lengths.tolist()} A and {crystal.volume_A3:g} A^3"
        )
