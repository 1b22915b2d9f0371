"""Plausibility of contacts and volumes.

Both checks give warnings by default. They detect what no other check does: surplus or missing atoms, and lengths in
other units.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import gemmi
import numpy as np

from curation.atomic_volumes import ATOMIC_VOLUME_A3
from curation.atoms import Array, Atoms, Occupant
from curation.composition import element_amounts, element_of

SHORTEST_CONTACT = 0.5
"""Shortest plausible contact, as a fraction of the sum of two covalent radii."""
SMALLEST_VOLUME, LARGEST_VOLUME = 0.5, 6.0
"""Plausible volumes relative to the sum of atomic volumes; open frameworks are large."""


@dataclass(frozen=True)
class Contact:
    """The shortest contact relative to the covalent radii of its elements."""

    elements: tuple[str, str]
    distance_A: float
    ratio: float
    """Distance over the sum of the covalent radii."""

    def __str__(self) -> str:
        return f"{self.elements[0]}-{self.elements[1]} {self.distance_A:.3f} A"


def shortest_contact(atoms: Atoms, lattice_A: Array, fractional: Array, full: float) -> Contact | None:
    """Return the shortest contact relative to covalent radii, below their sum.

    The lattice is Niggli-reduced, `fractional` the sites in it. Sites whose occupancies add up to at most `full` may be
    alternatives of one atom and do not count; a mixed site counts as its smallest element.
    """
    smallest = [_smallest(occupants) for occupants in atoms.occupants]
    radius = np.array([r for _, r, _ in smallest])[atoms.kind]
    occupancy = np.array([o for _, _, o in smallest])[atoms.kind]
    best: tuple[float, float, int, int] | None = None
    translation = float(np.linalg.norm(lattice_A[0]))
    largest = int(np.argmax(radius))
    if 2.0 * occupancy[largest] > full:
        best = (translation / (2.0 * float(radius[largest])), translation, largest, largest)
    step = max(1, 500_000 // max(len(fractional), 1))
    for start in range(0, len(fractional), step):
        d = fractional[start : start + step, None, :] - fractional[None, :, :]
        d -= np.rint(d)
        d = d @ lattice_A
        distance = np.sqrt(np.einsum("ijk,ijk->ij", d, d))
        ratio = distance / (radius[start : start + step, None] + radius[None, :])
        ratio[occupancy[start : start + step, None] + occupancy[None, :] <= full] = np.inf
        rows = np.arange(len(ratio))
        ratio[rows, rows + start] = np.inf
        at = int(np.argmin(ratio))
        i, j = divmod(at, ratio.shape[1])
        if best is None or ratio[i, j] < best[0]:
            best = (float(ratio[i, j]), float(distance[i, j]), i + start, j)
    if best is None or not np.isfinite(best[0]):
        return None
    ratio_found, distance_found, first, second = best
    names = sorted((smallest[atoms.kind[first]][0], smallest[atoms.kind[second]][0]))
    return Contact((names[0], names[1]), distance_found, ratio_found)


def volume_ratio(amounts: dict[str, float], volume_A3: float) -> float:
    """Return the volume of a cell over the sum of the usual volumes of its atoms, amounts by species."""
    return volume_A3 / sum(ATOMIC_VOLUME_A3[element] * n for element, n in element_amounts(amounts).items())


def _smallest(occupants: tuple[Occupant, ...]) -> tuple[str, float, float]:
    """Return element and covalent radius of the smallest occupant, and the site's occupancy."""
    elements = [element_of(species) for species, _, _ in occupants]
    element = min(elements, key=_radius_A)
    return element, _radius_A(element), sum(occupancy for _, occupancy, _ in occupants)


@lru_cache(maxsize=128)
def _radius_A(element: str) -> float:
    return float(gemmi.Element(element).covalent_r)
