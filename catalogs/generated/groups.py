"""Operators and Wyckoff positions of the 230 space groups as arrays, in the reference setting of each."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

N_GROUPS = 230
TABLE = Path(__file__).with_name("positions.csv")
"""Wyckoff positions: group, multiplicity and coordinates, made by `catalogs.generated.derive_positions`."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_PRIMITIVE_VECTORS: dict[str, list[list[float]]] = {
    "P": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "A": [[1, 0, 0], [0, 0.5, 0.5], [0, -0.5, 0.5]],
    "C": [[0.5, 0.5, 0], [-0.5, 0.5, 0], [0, 0, 1]],
    "I": [[-0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.5, 0.5, -0.5]],
    "F": [[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]],
    "R": [[2 / 3, 1 / 3, 1 / 3], [-1 / 3, 1 / 3, 1 / 3], [-1 / 3, -2 / 3, 1 / 3]],
}
"""Rows: vectors of a primitive cell in terms of the conventional one, by the letter of the lattice."""
_FACTOR = re.compile(r"(\d)([xyz])")
"""A multiple such as `2x`, which gemmi writes `2*x`."""
_GENERIC_POINT = np.array([0.1234567, 0.2718281, 0.4142135])


@dataclass(frozen=True, eq=False)
class Group:
    """A space group; positions are numbered as in the table."""

    number: int
    name: str
    """Hermann-Mauguin symbol with the setting's extension, such as `F d -3 m:1`."""
    triplets: tuple[str, ...]
    """All operators as text, the identity first."""
    rotations: Floats
    """All operators of the conventional cell, acting on fractional coordinates as columns."""
    translations: Floats
    primitive: Floats
    """Rows: vectors of the primitive cell in terms of the conventional one."""
    point_rotations: Floats
    """The distinct rotations."""
    multiplicity: Ints
    """Points of each position in the primitive cell."""
    directions: Floats
    """(position, 3, 3): columns are the directions of the free parameters, zero where there is none."""
    origin: Floats
    """(position, 3): the point of a position whose parameters are 0."""
    n_free: Ints
    """Free parameters of each position."""
    first_image: Ints
    """Start of each position's operators in `image_operators`, and the end of the last."""
    image_operators: Ints
    """Operators that make all points of the primitive cell from the first, for one position after the other."""

    @property
    def n_centring(self) -> int:
        """Lattice points in the conventional cell."""
        return round(1.0 / abs(float(np.linalg.det(self.primitive))))


@cache
def group(number: int) -> Group:
    """Return a space group by its number."""
    setting = gemmi.find_spacegroup_by_number(number)
    ops = sorted((op.wrap() for op in setting.operations()), key=lambda op: op.triplet() != "x,y,z")
    rotations = np.array([op.rot for op in ops], dtype=np.float64) / gemmi.Op.DEN
    translations = np.array([op.tran for op in ops], dtype=np.float64) / gemmi.Op.DEN
    primitive = np.array(_PRIMITIVE_VECTORS[setting.hm[0]], dtype=np.float64)
    parsed = [gemmi.Op(_FACTOR.sub(r"\1*\2", triplet)) for triplet in _table()[number]]
    directions = np.array([op.rot for op in parsed], dtype=np.float64) / gemmi.Op.DEN
    origin = np.array([op.tran for op in parsed], dtype=np.float64) / gemmi.Op.DEN
    inverse = np.asarray(np.linalg.inv(primitive), dtype=np.float64)
    images = [
        _image_operators(rotations, translations, m @ _GENERIC_POINT + o, inverse)
        for m, o in zip(directions, origin, strict=True)
    ]
    sizes = [len(each) for each in images]
    return Group(
        number,
        setting.xhm(),
        tuple(op.triplet() for op in ops),
        rotations,
        translations,
        primitive,
        np.unique(rotations, axis=0),
        np.array(sizes, dtype=np.int64),
        directions,
        origin,
        np.any(directions != 0, axis=1).sum(axis=1).astype(np.int64),
        np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        np.concatenate(images),
    )


@cache
def _table() -> dict[int, list[str]]:
    """Return the coordinates of the positions of each group."""
    found: dict[int, list[str]] = {}
    with TABLE.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            found.setdefault(int(row["group"]), []).append(",".join(row[name] for name in "xyz"))
    return found


def _image_operators(rotations: Floats, translations: Floats, point: Floats, to_primitive: Floats) -> Ints:
    """Return the first operator that makes each image of a point that is distinct in the primitive cell."""
    images = (rotations @ point + translations) @ to_primitive
    d = images[:, None, :] - images[None, :, :]
    same = (np.abs(d - np.rint(d)) < 1e-5).all(axis=2)
    found: Ints = np.flatnonzero(same.argmax(axis=1) == np.arange(len(images))).astype(np.int64)
    return found
