"""Derivation of the Wyckoff positions of all space groups from their operators alone.

`python -m catalogs.generated.derive_positions > catalogs/generated/positions.csv` writes the table.

Points of a grid of 24ths of the cell are sorted by their site symmetry: every position of the 230 groups has points on
that grid which lie on no position of higher symmetry. Two points have the same Wyckoff position if an image of one is
fixed by exactly the site symmetry of the other.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from fractions import Fraction

import gemmi
import numpy as np
from numpy.typing import NDArray

DENOMINATOR = 24
"""Grid points along each edge; translations of all operators are multiples of 1/24."""
N_GROUPS = 230

Ints = NDArray[np.int64]
_GRID: Ints = np.array(list(itertools.product(range(DENOMINATOR), repeat=3)), dtype=np.int64)
_SHIFTS: Ints = np.array(list(itertools.product(range(-2, 3), repeat=3)), dtype=np.int64)
_MOST_SPELLINGS = 200
"""Equivalent descriptions of a position among which the shortest is chosen."""


@dataclass(frozen=True)
class WyckoffPosition:
    """A Wyckoff position of a space group in the reference setting."""

    group: int
    multiplicity: int
    """Points in the conventional cell."""
    triplet: str
    """Coordinates of its first point, such as `x,2x,1/4`."""


def operators(group: int) -> tuple[Ints, Ints]:
    """Return rotations and translations, in 24ths, of a group's reference setting, centring included."""
    ops = [op.wrap() for op in gemmi.find_spacegroup_by_number(group).operations()]
    rotations = np.array([op.rot for op in ops], dtype=np.int64) // gemmi.Op.DEN
    translations = np.array([op.tran for op in ops], dtype=np.int64) * DENOMINATOR // gemmi.Op.DEN
    return rotations, translations


def positions(group: int) -> list[WyckoffPosition]:
    """Return the Wyckoff positions of a group, the smallest multiplicity first."""
    rotations, translations = operators(group)
    fixed = _fixed_by(rotations, translations)
    order = fixed.sum(axis=1)
    is_left = np.ones(len(_GRID), dtype=bool)
    found = []
    for n_fixing in sorted(set(order.tolist()), reverse=True):
        while (is_left & (order == n_fixing)).any():
            candidates = np.flatnonzero(is_left & (order == n_fixing))
            space = _Subspace.fixed_by(rotations, translations, fixed[candidates[0]], _GRID[candidates[0]])
            members = _orbits(candidates[space.contains(_GRID[candidates])], rotations, translations)
            is_left[members] = False
            spellings = {
                _Subspace.fixed_by(rotations, translations, fixed[i], _GRID[i]).triplet()
                for i in members[:: max(1, len(members) // _MOST_SPELLINGS)].tolist()
            }
            triplet = min(spellings, key=lambda text: (len(text), text.count("-"), text))
            found.append(WyckoffPosition(group, len(rotations) // n_fixing, triplet))
    return sorted(found, key=lambda each: (each.multiplicity, len(set("xyz") & set(each.triplet)), each.triplet))


def _fixed_by(rotations: Ints, translations: Ints) -> NDArray[np.bool_]:
    """Return which operators fix which grid points, up to a translation of the lattice."""
    images = np.einsum("gij,nj->ngi", rotations, _GRID) + translations
    fixed: NDArray[np.bool_] = ((images - _GRID[:, None, :]) % DENOMINATOR == 0).all(axis=2)
    return fixed


def _orbits(members: Ints, rotations: Ints, translations: Ints) -> Ints:
    """Return the indices of all images of grid points."""
    images = (np.einsum("gij,nj->ngi", rotations, _GRID[members]) + translations) % DENOMINATOR
    found: Ints = np.unique(images @ np.array([DENOMINATOR**2, DENOMINATOR, 1]))
    return found


@dataclass(frozen=True, eq=False)
class _Subspace:
    """The points that a site symmetry fixes: x = projection x + origin, in 24ths of the cell."""

    projection: NDArray[np.float64]
    origin: NDArray[np.float64]

    @classmethod
    def fixed_by(cls, rotations: Ints, translations: Ints, chosen: NDArray[np.bool_], point: Ints) -> _Subspace:
        """Average the operators that fix a point, each with the lattice translation that brings it back."""
        r = rotations[chosen]
        moved = point - r @ point  # the translation part of an operator that fixes the point
        return cls(r.mean(axis=0), moved.mean(axis=0))

    def contains(self, points: Ints) -> NDArray[np.bool_]:
        """Return which points belong to the subspace, up to a translation of the lattice."""
        shifted = points[:, None, :] + DENOMINATOR * _SHIFTS
        off = shifted @ self.projection.T + self.origin - shifted
        close: NDArray[np.bool_] = np.abs(off) < 1e-6
        return np.asarray(np.any(np.all(close, axis=2), axis=1), dtype=np.bool_)

    def triplet(self) -> str:
        """Return the coordinates as text: integer multiples of free parameters, and fractions."""
        basis = integer_basis(self.projection)
        origin = [Fraction(round(v * 12), 12 * DENOMINATOR) for v in self.origin.tolist()]
        names = []
        for row in basis:
            pivot = next(i for i, v in enumerate(row) if v)
            step = origin[pivot] / row[pivot]
            origin = [o - step * v for o, v in zip(origin, row, strict=True)]
            names.append("xyz"[pivot])
        return ",".join(
            _coordinate([(row[i], name) for row, name in zip(basis, names, strict=True)], origin[i] % 1)
            for i in range(3)
        )


def integer_basis(projection: NDArray[np.float64]) -> list[list[int]]:
    """Return the shortest integer vectors, in echelon form, that span the range of a projection."""
    rows = [[Fraction(v).limit_denominator(12) for v in column] for column in projection.T.tolist()]
    basis: list[list[Fraction]] = []
    for pivot in range(3):
        row = next((r for r in rows if r[pivot] and not any(r[:pivot])), None)
        if row is None:
            continue
        basis = [[a - b[pivot] / row[pivot] * c for a, c in zip(b, row, strict=True)] for b in basis]
        basis.append(row)
        rows = [[a - r[pivot] / row[pivot] * c for a, c in zip(r, row, strict=True)] for r in rows]
    return [_primitive(row) for row in basis]


def _primitive(row: list[Fraction]) -> list[int]:
    """Return the shortest integer vector along a rational one, its first entry positive."""
    scale = math.lcm(*(v.denominator for v in row))
    whole = [int(v * scale) for v in row]
    divisor = math.gcd(*whole) * (1 if next(v for v in whole if v) > 0 else -1)
    return [v // divisor for v in whole]


def _coordinate(terms: list[tuple[int, str]], constant: Fraction) -> str:
    text = "".join(f"{v:+d}{name}".replace("1", "", 1) if abs(v) == 1 else f"{v:+d}{name}" for v, name in terms if v)
    text += f"+{constant}" if constant else ""
    return text.removeprefix("+") or "0"


def main() -> None:
    """Print the table."""
    print("group,multiplicity,x,y,z")
    for group in range(1, N_GROUPS + 1):
        for each in positions(group):
            print(f"{group},{each.multiplicity},{each.triplet}")


if __name__ == "__main__":
    main()
