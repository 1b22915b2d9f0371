"""What compiled code needs to know of a space group and of the statistics, as named tuples of arrays."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from catalogs.generated.cell import bravais_lattice, shape_quantiles
from catalogs.generated.groups import group
from catalogs.generated.statistics import statistics

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class GroupTables(NamedTuple):
    """Operators, positions and distributions of a space group; see `Group` and `Statistics`."""

    rotations: Floats
    translations: Floats
    primitive: Floats
    to_primitive: Floats
    """Inverse of `primitive`: changes row vectors of coordinates from the conventional to the primitive cell."""
    point_rotations: Floats
    n_centring: int
    multiplicity: Ints
    directions: Floats
    origin: Floats
    n_free: Ints
    first_image: Ints
    image_operators: Ints
    n_orbits: Floats
    position_weight: Floats
    shapes: Floats


class ElementTables(NamedTuple):
    """Distributions of elements, volumes and distances; see `Statistics`."""

    n_elements: Floats
    """(number of orbits, number of elements): weights, both counted from 1."""
    affinity: Floats
    orbits_per_crystal: Floats
    log_share: Floats
    atomic_volume_A3: Floats
    volume_ratio: Floats
    """One row of quantiles."""
    shortest_A: Floats


@cache
def group_tables(number: int) -> GroupTables:
    """Return the tables of a space group."""
    g, known = group(number), statistics()
    return GroupTables(
        g.rotations,
        g.translations,
        g.primitive,
        np.ascontiguousarray(np.linalg.inv(g.primitive), dtype=np.float64),
        g.point_rotations,
        g.n_centring,
        g.multiplicity,
        g.directions,
        g.origin,
        g.n_free,
        g.first_image,
        g.image_operators,
        known.n_orbits[number - 1],
        known.position_weight[number - 1],
        shape_quantiles(bravais_lattice(number, g.name), known.shapes),
    )


@cache
def element_tables() -> ElementTables:
    """Return the tables of the elements."""
    known = statistics()
    return ElementTables(
        known.n_elements,
        known.affinity,
        known.orbits_per_crystal,
        np.log(known.share),
        known.atomic_volume_A3,
        known.volume_ratio[None],
        known.shortest_A,
    )
