"""Cartesian coordinates of a CIF as fractional ones: by the matrix that it states, or mmCIF's convention.

Core CIF: `_atom_sites_Cartn_tran_matrix_11` and `_atom_sites_fract_tran_matrix_11`; mmCIF:
`_atom_sites.Cartn_transf_matrix[1][1]` and `_atom_sites.fract_transf_matrix[1][1]`. Without a matrix, the axes of a
core CIF are not defined; those of mmCIF are the Protein Data Bank's, a along x and b in the xy plane.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import gemmi
import numpy as np

from curation.atoms import Array
from curation.cif_block import DICTIONARY, MMCIF, Block, text_of
from curation.reasons import Refused

_MATRIX, _VECTOR = ("_atom_sites_{}_tran_matrix_{}{}", "_atom_sites_{}_tran_vector_{}")
_MMCIF_MATRIX, _MMCIF_VECTOR = ("_atom_sites_{}_transf_matrix[{}][{}]", "_atom_sites_{}_transf_vector[{}]")
_TOLERANCE = 0.01
"""Relative, of the squared edges and their products that a matrix implies."""


@dataclass(frozen=True, eq=False)
class Frame:
    """fractional = matrix @ Cartesian + shift."""

    matrix: Array
    shift: Array

    def fractional(self, xyz: Array) -> Array:
        """Return fractional coordinates of rows of Cartesian ones, A."""
        found: Array = np.asarray(xyz @ self.matrix.T + self.shift, dtype=np.float64)
        return found


def cartesian_frame(block: Block, lattice: Array) -> Frame | None:
    """Return how Cartesian coordinates become fractional; None if the block has none.

    Raises `Refused` if their axes are not defined, or contradict the cell.
    """
    if not len(block.find_values("_atom_site_Cartn_x")):
        return None
    if (to_fractional := _affine(block, "fract")) is not None:
        frame = Frame(*to_fractional)
    elif (to_cartesian := _affine(block, "Cartn")) is not None:
        matrix, shift = to_cartesian
        if not abs(float(np.linalg.det(matrix))) > 0:
            raise Refused("bad_cell", "the matrix of Cartesian coordinates has no inverse")
        inverse: Array = np.linalg.inv(matrix).astype(np.float64)
        frame = Frame(inverse, -inverse @ shift)
    elif MMCIF in (text_of(block, DICTIONARY) or "").lower():
        return Frame(np.linalg.inv(lattice).T.astype(np.float64), np.zeros(3))
    else:
        raise Refused("cartesian_only", "coordinates are given as _atom_site_Cartn_x only")
    _check(frame, lattice)
    return frame


def _affine(block: Block, kind: str) -> tuple[Array, Array] | None:
    """Return matrix and vector of the transformation to `fract` or `Cartn`; None if none is stated."""
    for matrix_tag, vector_tag in ((_MATRIX, _VECTOR), (_MMCIF_MATRIX, _MMCIF_VECTOR)):
        texts = [[text_of(block, matrix_tag.format(kind, i, j)) for j in (1, 2, 3)] for i in (1, 2, 3)]
        if all(text is None for row in texts for text in row):
            continue
        shift = [text_of(block, vector_tag.format(kind, i)) or "0" for i in (1, 2, 3)]
        stated = [text or "?" for row in texts for text in row] + shift
        numbers = [float(gemmi.cif.as_number(text)) for text in stated]
        if not all(math.isfinite(number) for number in numbers):
            raise Refused("bad_cell", f"the matrix {matrix_tag.format(kind, 1, 1)} is not complete")
        return np.array(numbers[:9]).reshape(3, 3), np.array(numbers[9:])
    return None


def _check(frame: Frame, lattice: Array) -> None:
    """Refuse a matrix whose cell is not the cell stated: columns of its inverse are the cell vectors."""
    metric = lattice @ lattice.T
    reached = frame.matrix @ frame.matrix.T @ metric  # the identity, if both are of one cell
    if not np.allclose(reached, np.eye(3), atol=_TOLERANCE):
        raise Refused("bad_cell", "the matrix of Cartesian coordinates belongs to another cell")
