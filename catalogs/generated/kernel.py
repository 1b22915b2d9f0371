"""Generation of a crystal in compiled code: contents, cell, points and the check for further symmetry.

Numbers of a crystal come from its own stream (`draws.stream`). One file, because numba's cache notices changes of the
caller's file only.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from catalogs.compiled import compiled
from catalogs.generated.tables import ElementTables, GroupTables

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Stream = NDArray[np.uint64]

MOST_ATTEMPTS = 3000
"""Contents drawn before a group is given up."""
N_CELLS = 6
EXPANSION = 1.04
"""Contents that do not fit are tried again, each time in a cell larger by this factor."""
N_POINTS = 16
"""Points tried for each orbit."""
DIGITS = 1e6
"""Free parameters are multiples of the inverse, so that they can be written exactly."""
SPREAD = 0.5
"""Standard deviation of ln(multiplicity) and ln(share) when orbits are matched to elements by both."""
SMALLEST_ANGLE_FACTOR = 0.2
"""Smallest volume of a cell relative to the product of its edges."""

LENGTH_TOLERANCE_A = 0.102
ANGLE_TOLERANCE_DEG = 5.1
SITE_TOLERANCE_A = 0.225
"""Tolerances of the search for more symmetry, the loosest at which curation looks for it: a crystal without more
symmetry here has the same space group at every tolerance there."""
MOST_ROTATIONS = 192
"""Rotations of a lattice within the tolerances, which are more than the 24 of a cubic one if it is nearly two kinds."""
REDUCTION_GAIN = 1e-9
"""Relative gain of a squared length below which a vector of a cell is not replaced."""


@compiled
def make_crystal(
    g: GroupTables, known: ElementTables, element_weight: Floats, max_atoms: int, s: Stream
) -> tuple[int, Floats, Ints, Ints, Floats]:
    """Return attempts, the cell (A, degrees), and position, element and first atom of each orbit.

    Attempts are more than `MOST_ATTEMPTS` if nothing fitted.
    """
    cell = np.empty(6)
    for attempt in range(1, MOST_ATTEMPTS + 1):
        position, element = draw_contents(g, known, element_weight, max_atoms, s)
        first = np.zeros((len(position), 3))
        if len(position) > 0 and _place_contents(g, known, position, element, s, cell, first):
            return attempt, cell, position, element, first
    return MOST_ATTEMPTS + 1, cell, position, element, first


@compiled
def _place_contents(
    g: GroupTables, known: ElementTables, position: Ints, element: Ints, s: Stream, cell: Floats, first: Floats
) -> bool:
    """Fill in a cell and the first atom of each orbit, at the distances and with the symmetry they should have."""
    kind, required_A = _required_distances(element, known.shortest_A)
    n_atoms, atoms_A3 = 0, 0.0
    for o in range(len(position)):
        n = g.multiplicity[position[o]]
        n_atoms += n
        atoms_A3 += n * g.n_centring * known.atomic_volume_A3[element[o]]
    atoms, atom_kind = np.empty((n_atoms, 3)), np.empty(n_atoms, dtype=np.int64)
    volume_A3 = atoms_A3 * draw_quantile(known.volume_ratio, 0, s)
    for _ in range(N_CELLS):
        is_cell = draw_cell(g.shapes, volume_A3, s, cell)
        volume_A3 *= EXPANSION
        if not is_cell:
            continue
        reduced_A, to_reduced = change_to_reduced(g, cell_vectors(cell))
        if place(reduced_A, to_reduced, g, position, kind, required_A, s, first, atoms, atom_kind):
            known_codes = rotation_codes(g.point_rotations, to_reduced)
            if not has_more_symmetry(reduced_A, atoms, atom_kind, known_codes):
                return True
    return False


@compiled
def _required_distances(element: Ints, shortest_A: Floats) -> tuple[Ints, Floats]:
    """Return the elements as numbers from 0, and the shortest distance of each two of those."""
    kind = np.empty(len(element), dtype=np.int64)
    different = np.empty(len(element), dtype=np.int64)
    n = 0
    for o in range(len(element)):
        k = 0
        while k < n and different[k] != element[o]:
            k += 1
        if k == n:
            different[n] = element[o]
            n += 1
        kind[o] = k
    required_A = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            required_A[i, j] = shortest_A[different[i], different[j]]
    return kind, required_A


# Contents


@compiled
def draw_contents(
    g: GroupTables, known: ElementTables, element_weight: Floats, max_atoms: int, s: Stream
) -> tuple[Ints, Ints]:
    """Return the position and the element of each orbit, fixed positions first; nothing if no orbit fits.

    Elements of weight 0 are not drawn. Orbits that would make more than `max_atoms` in the conventional cell are left
    out.
    """
    position = _draw_positions(g, max_atoms // g.n_centring, s)
    n = len(position)
    element = np.empty(n, dtype=np.int64)
    if n == 0:
        return position, element
    row = min(n, len(known.n_elements)) - 1
    elements = _draw_elements(known.affinity, element_weight, min(n, 1 + pick(known.n_elements[row], s)), s)
    _assign(g.multiplicity, position, elements, known, s, element)
    for i in range(1, n):  # insertion sort by free parameters
        j, p, e = i, position[i], element[i]
        while j > 0 and g.n_free[position[j - 1]] > g.n_free[p]:
            position[j], element[j] = position[j - 1], element[j - 1]
            j -= 1
        position[j], element[j] = p, e
    return position, element


@compiled
def _draw_positions(g: GroupTables, most: int, s: Stream) -> Ints:
    """Return the positions of orbits with at most `most` atoms in the primitive cell."""
    wanted = pick(g.n_orbits, s) + 1
    weights = g.position_weight.copy()
    found = np.empty(wanted, dtype=np.int64)
    for n in range(wanted):
        for i in range(len(weights)):
            if g.multiplicity[i] > most:
                weights[i] = 0.0
        position = pick(weights, s)
        if position < 0:
            return found[:n]
        found[n] = position
        most -= g.multiplicity[position]
        if g.n_free[position] == 0:
            weights[position] = 0.0
    return found


@compiled
def _draw_elements(affinity: Floats, element_weight: Floats, wanted: int, s: Stream) -> Ints:
    """Return different elements, each drawn by its affinity to those before it."""
    weights = element_weight.copy()
    found = np.empty(wanted, dtype=np.int64)
    for n in range(wanted):
        element = pick(weights, s)
        if element < 0:
            return found[:n]
        found[n] = element
        for i in range(len(weights)):
            weights[i] *= affinity[element, i]
        weights[element] = 0.0
    return found


@compiled
def _assign(multiplicity: Ints, position: Ints, elements: Ints, known: ElementTables, s: Stream, found: Ints) -> None:
    """Find an element for each orbit: every element once, large orbits to elements of large share, then at random."""
    n, n_elements = len(position), len(elements)
    order = np.arange(n)
    for i in range(n - 1):  # shuffle
        j = i + int(uniform(s) * (n - i))
        order[i], order[j] = order[j], order[i]
    size, share, weights = np.empty(n_elements), np.empty(n_elements), np.empty(n_elements)
    for i in range(n_elements):
        size[i] = math.log(multiplicity[position[order[i]]]) + SPREAD * normal(s)
        share[i] = known.log_share[elements[i]] + SPREAD * normal(s)
        weights[i] = known.orbits_per_crystal[elements[i]]
    for _ in range(n_elements):
        largest, commonest = 0, 0
        for i in range(1, n_elements):
            largest = i if size[i] > size[largest] else largest
            commonest = i if share[i] > share[commonest] else commonest
        found[order[largest]] = elements[commonest]
        size[largest] = share[commonest] = -math.inf
    for i in range(n_elements, n):
        found[order[i]] = elements[pick(weights, s)]


# Cells


@compiled
def draw_cell(shapes: Floats, volume_A3: float, s: Stream, cell: Floats) -> bool:
    """Draw a, b, c in A and alpha, beta, gamma in degrees; return False if the angles drawn enclose next to none.

    `shapes` has quantiles of ln(b/a), ln(c/a), alpha, beta, gamma, equal ones of what is not free.
    """
    for i in range(5):
        cell[i + 1] = shapes[i, 0] if shapes[i, 0] == shapes[i, -1] else draw_quantile(shapes, i, s)
    ca, cb, cg = _cosine(cell[3]), _cosine(cell[4]), _cosine(cell[5])
    square = 1.0 - ca * ca - cb * cb - cg * cg + 2.0 * ca * cb * cg
    if square < SMALLEST_ANGLE_FACTOR**2:
        return False
    b, c = math.exp(cell[1]), math.exp(cell[2])
    a = (volume_A3 / (b * c * math.sqrt(square))) ** (1.0 / 3.0)
    cell[0], cell[1], cell[2] = a, a * b, a * c
    return True


@compiled
def cell_vectors(cell: Floats) -> Floats:
    """Return rows a, b, c in A, a along x and b in the xy plane."""
    ca, cb, cg = _cosine(cell[3]), _cosine(cell[4]), _cosine(cell[5])
    sg = 1.0 if cg == 0.0 else math.sin(math.radians(cell[5]))
    x, y = cb, (ca - cb * cg) / sg
    found = np.zeros((3, 3))
    found[0, 0] = cell[0]
    found[1, 0], found[1, 1] = cell[1] * cg, cell[1] * sg
    found[2, 0], found[2, 1] = cell[2] * x, cell[2] * y
    found[2, 2] = cell[2] * math.sqrt(1.0 - x * x - y * y)
    return found


@compiled
def _cosine(angle_deg: float) -> float:
    return 0.0 if angle_deg == 90.0 else math.cos(math.radians(angle_deg))


@compiled
def change_to_reduced(g: GroupTables, conventional_A: Floats) -> tuple[Floats, Floats]:
    """Return the reduced primitive cell, and the change of row vectors from the conventional cell to it."""
    change = np.empty((3, 3))
    reduced_A = reduce_cell(_product(g.primitive, conventional_A), change)
    return reduced_A, _product(g.to_primitive, _inverse(change))


@compiled
def reduce_cell(lattice_A: Floats, change: Floats) -> Floats:
    """Return the reduced cell (Minkowski's reduction) and fill in the integer change of basis, of determinant +1."""
    cell = lattice_A.copy()
    for i in range(3):
        for j in range(3):
            change[i, j] = 1.0 if i == j else 0.0
    for _ in range(200):
        _sort_by_length(cell, change)
        g00, g11, g22 = _dot(cell, 0, 0), _dot(cell, 1, 1), _dot(cell, 2, 2)
        g01, g02, g12 = _dot(cell, 0, 1), _dot(cell, 0, 2), _dot(cell, 1, 2)
        m = np.rint(g01 / g00)
        if 2.0 * m * g01 - m * m * g00 > REDUCTION_GAIN * g11:
            _subtract(cell, change, 1, m, 0.0)
            continue
        det = g00 * g11 - g01 * g01
        m0 = np.rint((g11 * g02 - g01 * g12) / det)
        n0 = np.rint((g00 * g12 - g01 * g02) / det)
        gain, best_m, best_n = 0.0, 0.0, 0.0
        for dm in range(-1, 2):
            for dn in range(-1, 2):
                m, n = m0 + dm, n0 + dn
                more = 2.0 * (m * g02 + n * g12) - (m * m * g00 + n * n * g11 + 2.0 * m * n * g01)
                if more > gain:
                    gain, best_m, best_n = more, m, n
        if gain <= REDUCTION_GAIN * g22:
            break
        _subtract(cell, change, 2, best_m, best_n)
    if _determinant(change) < 0.0:
        for i in range(3):
            for j in range(3):
                change[i, j] = -change[i, j]
                cell[i, j] = -cell[i, j]
    return cell


@compiled
def _sort_by_length(cell: Floats, change: Floats) -> None:
    for i in range(2):
        for j in range(2 - i):
            if _dot(cell, j, j) > _dot(cell, j + 1, j + 1) * (1.0 + REDUCTION_GAIN):
                for k in range(3):
                    cell[j, k], cell[j + 1, k] = cell[j + 1, k], cell[j, k]
                    change[j, k], change[j + 1, k] = change[j + 1, k], change[j, k]


@compiled
def _subtract(cell: Floats, change: Floats, row: int, m: float, n: float) -> None:
    """Subtract m times the first and, of the third vector, n times the second."""
    for k in range(3):
        cell[row, k] -= m * cell[0, k] + (n * cell[1, k] if row == 2 else 0.0)
        change[row, k] -= m * change[0, k] + (n * change[1, k] if row == 2 else 0.0)


@compiled
def plane_spacings(lattice_A: Floats) -> Floats:
    """Return the distance of the lattice planes that each vector steps over, in A."""
    volume = abs(_determinant(lattice_A))
    found = np.empty(3)
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        square = _dot(lattice_A, j, j) * _dot(lattice_A, k, k) - _dot(lattice_A, j, k) ** 2
        found[i] = volume / math.sqrt(square)
    return found


# Points


@compiled
def place(
    reduced_A: Floats,
    to_reduced: Floats,
    g: GroupTables,
    position: Ints,
    kind: Ints,
    required_A: Floats,
    s: Stream,
    first: Floats,
    atoms: Floats,
    atom_kind: Ints,
) -> bool:
    """Place an atom of each orbit and all its images; return whether all distances are kept.

    `reduced_A` is a reduced primitive cell and `to_reduced` changes row vectors from the conventional to that cell;
    `required_A` is the shortest distance between atoms of two kinds. The first of `N_POINTS` points that keeps the
    distances is taken, else the orbit fails. `first`, the first atom of each orbit, has conventional coordinates;
    `atoms`, all of them, those of the reduced cell.
    """
    for o in range(len(position)):  # an atom's own images in other cells: the first vector is the shortest
        if required_A[kind[o], kind[o]] ** 2 > _dot(reduced_A, 0, 0):
            return False
    spacing_A = plane_spacings(reduced_A)
    directions, origin, rotations, translations = g.directions, g.origin, g.rotations, g.translations
    point = np.empty(3)
    filled = 0
    for o in range(len(position)):
        p = position[o]
        begin = g.first_image[p]
        n = g.first_image[p + 1] - begin
        for k in range(filled, filled + n):
            atom_kind[k] = kind[o]
        placed = False
        for _ in range(N_POINTS if g.n_free[p] > 0 else 1):
            _draw_point(directions, origin, p, s, point)
            placed = True
            for k in range(n):
                _add_image(rotations, translations, g.image_operators[begin + k], point, to_reduced, atoms, filled + k)
                # The first image is the point itself: it is compared with all atoms before, then with its images.
                start, end = (0, filled) if k == 0 else (filled + k, filled + k + 1)
                if not _keeps_distances(reduced_A, spacing_A, atoms, atom_kind, filled, start, end, required_A):
                    placed = False
                    break
            if placed:
                break
        if not placed:
            return False
        for j in range(3):
            first[o, j] = point[j]
        filled += n
    return True


@compiled
def _draw_point(directions: Floats, origin: Floats, p: int, s: Stream, point: Floats) -> None:
    """Draw a point of a Wyckoff position."""
    for i in range(3):
        point[i] = origin[p, i]
    for j in range(3):
        x, y, z = directions[p, 0, j], directions[p, 1, j], directions[p, 2, j]
        if x != 0.0 or y != 0.0 or z != 0.0:
            u = np.rint(uniform(s) * DIGITS) / DIGITS
            point[0] += x * u
            point[1] += y * u
            point[2] += z * u


@compiled
def _add_image(
    rotations: Floats, translations: Floats, op: int, point: Floats, to_reduced: Floats, atoms: Floats, atom: int
) -> None:
    """Apply an operator to a point, and change to coordinates of the reduced cell from 0 to 1."""
    x, y, z = translations[op, 0], translations[op, 1], translations[op, 2]
    for j in range(3):
        x += rotations[op, 0, j] * point[j]
        y += rotations[op, 1, j] * point[j]
        z += rotations[op, 2, j] * point[j]
    for j in range(3):
        v = x * to_reduced[0, j] + y * to_reduced[1, j] + z * to_reduced[2, j]
        atoms[atom, j] = v - np.floor(v)


@compiled
def _keeps_distances(
    lattice_A: Floats, spacing_A: Floats, atoms: Floats, kind: Ints, new: int, start: int, end: int, required_A: Floats
) -> bool:
    """Return whether atom `new` keeps its distance from all images of atoms from `start` to before `end`."""
    for j in range(start, end):
        u, v, w = atoms[new, 0] - atoms[j, 0], atoms[new, 1] - atoms[j, 1], atoms[new, 2] - atoms[j, 2]
        u, v, w = u - np.rint(u), v - np.rint(v), w - np.rint(w)
        if _is_near(lattice_A, spacing_A, u, v, w, required_A[kind[new], kind[j]]):
            return False
    return True


@compiled
def _is_near(lattice_A: Floats, spacing_A: Floats, u: float, v: float, w: float, limit_A: float) -> bool:
    """Return whether a difference of coordinates from -0.5 to 0.5, or one a cell further, is shorter than a limit.

    Only images are looked at that are nearer than the limit along the normals of the lattice planes.
    """
    n0 = _images_within(abs(u), spacing_A[0], limit_A)
    n1 = _images_within(abs(v), spacing_A[1], limit_A)
    n2 = _images_within(abs(w), spacing_A[2], limit_A)
    for i in range(n0):
        a = u + _shift(i, u)
        for j in range(n1):
            b = v + _shift(j, v)
            for k in range(n2):
                c = w + _shift(k, w)
                x = a * lattice_A[0, 0] + b * lattice_A[1, 0] + c * lattice_A[2, 0]
                y = a * lattice_A[0, 1] + b * lattice_A[1, 1] + c * lattice_A[2, 1]
                z = a * lattice_A[0, 2] + b * lattice_A[1, 2] + c * lattice_A[2, 2]
                if x * x + y * y + z * z < limit_A * limit_A:
                    return True
    return False


@compiled
def _images_within(u: float, spacing_A: float, limit_A: float) -> int:
    """Return how many of u, u - 1 and u + 1, for u from 0 to 0.5, are within the limit."""
    if u * spacing_A >= limit_A:
        return 0
    if (1.0 - u) * spacing_A >= limit_A:
        return 1
    return 2 if (1.0 + u) * spacing_A >= limit_A else 3


@compiled
def _shift(i: int, u: float) -> float:
    """Return the cells between a difference and its image i, the nearest image first."""
    if i == 0:
        return 0.0
    return 1.0 if (u < 0.0) == (i == 1) else -1.0


# Symmetry


@compiled
def has_more_symmetry(lattice_A: Floats, atoms: Floats, kind: Ints, known_codes: Floats) -> bool:
    """Return whether the crystal may have an operation beyond the known rotations.

    That is a rotation of the reduced lattice that is not among the known ones, or a translation shorter than its
    vectors, that maps every atom near one of its kind.
    """
    rotations = np.empty((MOST_ROTATIONS, 3, 3))
    n_rotations = lattice_rotations(lattice_A, LENGTH_TOLERANCE_A, ANGLE_TOLERANCE_DEG, rotations)
    if n_rotations == MOST_ROTATIONS:
        return True
    spacing_A = plane_spacings(lattice_A)
    rarest = _rarest(kind)
    first = 0
    while kind[first] != rarest:
        first += 1
    identity = _code(1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    r, image, translation = np.empty((3, 3)), np.empty(3), np.empty(3)
    for c in range(2 * n_rotations):
        for i in range(3):
            for j in range(3):
                r[i, j] = rotations[c // 2, i, j] if c % 2 == 0 else -rotations[c // 2, i, j]
        code = _matrix_code(r)
        if code != identity and _is_among(code, known_codes):
            continue
        _rotate(r, atoms, first, image)
        for j in range(len(kind)):
            if kind[j] != rarest or (code == identity and j == first):
                continue
            for k in range(3):
                translation[k] = atoms[j, k] - image[k]
            if _maps_all(lattice_A, spacing_A, atoms, kind, r, translation, SITE_TOLERANCE_A):
                return True
    return False


@compiled
def lattice_rotations(lattice_A: Floats, length_tolerance_A: float, angle_tolerance_deg: float, found: Floats) -> int:
    """Fill in the proper rotations that keep lengths and angles of a reduced cell within tolerances; return how many.

    They act on fractional coordinates as columns: column j is the image of vector j, which is one of the 26 with
    components -1, 0 and 1.
    """
    candidates, lengths = np.empty((27, 3)), np.empty(27)
    own, least, most = np.empty(3), np.empty((3, 3)), np.empty((3, 3))
    tolerance = math.radians(angle_tolerance_deg)
    for i in range(3):
        own[i] = math.sqrt(_dot(lattice_A, i, i))
        for j in range(i):
            angle = math.acos(_dot(lattice_A, i, j) / (own[i] * own[j]))
            least[i, j], most[i, j] = math.cos(angle + tolerance), math.cos(angle - tolerance)
    for i in range(27):
        candidates[i, 0], candidates[i, 1], candidates[i, 2] = i // 9 - 1, i // 3 % 3 - 1, i % 3 - 1
        lengths[i] = math.sqrt(_metric_product(lattice_A, candidates, i, i))
    n, chosen = 0, np.empty(3, dtype=np.int64)
    for a in range(27):
        if not _keeps_angles(lattice_A, candidates, lengths, own, least, most, chosen, 0, a, length_tolerance_A):
            continue
        for b in range(27):
            if not _keeps_angles(lattice_A, candidates, lengths, own, least, most, chosen, 1, b, length_tolerance_A):
                continue
            for c in range(27):
                if not _keeps_angles(
                    lattice_A, candidates, lengths, own, least, most, chosen, 2, c, length_tolerance_A
                ):
                    continue
                for i in range(3):
                    for j in range(3):
                        found[n, i, j] = candidates[chosen[j], i]
                if _determinant(found[n]) == 1.0:
                    n += 1
                    if n == len(found):
                        return n
    return n


@compiled
def _keeps_angles(
    lattice_A: Floats,
    candidates: Floats,
    lengths: Floats,
    own: Floats,
    least: Floats,
    most: Floats,
    chosen: Ints,
    i: int,
    candidate: int,
    tolerance_A: float,
) -> bool:
    """Choose the image of vector i; return whether its length and its angles with those before are kept."""
    if abs(lengths[candidate] - own[i]) > tolerance_A:
        return False
    chosen[i] = candidate
    for j in range(i):
        product = _metric_product(lattice_A, candidates, candidate, chosen[j])
        cosine = product / (lengths[candidate] * lengths[chosen[j]])
        if cosine < least[i, j] or cosine > most[i, j]:
            return False
    return True


@compiled
def _metric_product(lattice_A: Floats, vectors: Floats, i: int, j: int) -> float:
    """Return the scalar product of two vectors given by coordinates, in A^2."""
    found = 0.0
    for k in range(3):
        x = vectors[i, 0] * lattice_A[0, k] + vectors[i, 1] * lattice_A[1, k] + vectors[i, 2] * lattice_A[2, k]
        y = vectors[j, 0] * lattice_A[0, k] + vectors[j, 1] * lattice_A[1, k] + vectors[j, 2] * lattice_A[2, k]
        found += x * y
    return found


@compiled
def rotation_codes(rotations: Floats, to_reduced: Floats) -> Floats:
    """Return the codes of rotations in coordinates of the reduced cell."""
    found = np.empty(len(rotations))
    forth = np.empty((3, 3))
    for i in range(3):
        for j in range(3):
            forth[i, j] = to_reduced[j, i]
    back = _inverse(forth)
    for k in range(len(rotations)):
        r = _product(_product(forth, rotations[k]), back)
        for i in range(3):
            for j in range(3):
                r[i, j] = np.rint(r[i, j])
        found[k] = _matrix_code(r)
    return found


@compiled
def _matrix_code(r: Floats) -> float:
    return _code(r[0, 0], r[0, 1], r[0, 2], r[1, 0], r[1, 1], r[1, 2], r[2, 0], r[2, 1], r[2, 2])


@compiled
def _code(a: float, b: float, c: float, d: float, e: float, f: float, g: float, h: float, i: float) -> float:
    """Return a number that differs between matrices of small integers."""
    return ((((((((a * 9 + b) * 9 + c) * 9 + d) * 9 + e) * 9 + f) * 9 + g) * 9) + h) * 9 + i


@compiled
def _is_among(code: float, codes: Floats) -> bool:
    for known in codes:  # noqa: SIM110  compiled code has no generators
        if known == code:
            return True
    return False


@compiled
def _rarest(kind: Ints) -> int:
    """Return the kind with the fewest atoms."""
    counts = np.zeros(len(kind), dtype=np.int64)
    for k in kind:
        counts[k] += 1
    best = -1
    for k in range(len(counts)):
        if counts[k] > 0 and (best < 0 or counts[k] < counts[best]):
            best = k
    return best


@compiled
def _rotate(r: Floats, atoms: Floats, i: int, image: Floats) -> None:
    for k in range(3):
        image[k] = r[k, 0] * atoms[i, 0] + r[k, 1] * atoms[i, 1] + r[k, 2] * atoms[i, 2]


@compiled
def _maps_all(
    lattice_A: Floats, spacing_A: Floats, atoms: Floats, kind: Ints, r: Floats, translation: Floats, reach_A: float
) -> bool:
    """Return whether an operation maps every atom onto one of its kind within a distance."""
    image = np.empty(3)
    for i in range(len(kind)):
        _rotate(r, atoms, i, image)
        found = False
        for j in range(len(kind)):
            if kind[j] != kind[i]:
                continue
            u = image[0] + translation[0] - atoms[j, 0]
            v = image[1] + translation[1] - atoms[j, 1]
            w = image[2] + translation[2] - atoms[j, 2]
            if _is_near(lattice_A, spacing_A, u - np.rint(u), v - np.rint(v), w - np.rint(w), reach_A):
                found = True
                break
        if not found:
            return False
    return True


# Matrices


@compiled
def _dot(m: Floats, i: int, j: int) -> float:
    """Return the scalar product of two rows."""
    return float(m[i, 0] * m[j, 0] + m[i, 1] * m[j, 1] + m[i, 2] * m[j, 2])


@compiled
def _determinant(m: Floats) -> float:
    return float(
        m[0, 0] * (m[1, 1] * m[2, 2] - m[1, 2] * m[2, 1])
        - m[0, 1] * (m[1, 0] * m[2, 2] - m[1, 2] * m[2, 0])
        + m[0, 2] * (m[1, 0] * m[2, 1] - m[1, 1] * m[2, 0])
    )


@compiled
def _inverse(m: Floats) -> Floats:
    found = np.empty((3, 3))
    det = _determinant(m)
    for i in range(3):
        a, b = (i + 1) % 3, (i + 2) % 3
        for j in range(3):
            c, d = (j + 1) % 3, (j + 2) % 3
            found[j, i] = (m[a, c] * m[b, d] - m[a, d] * m[b, c]) / det
    return found


@compiled
def _product(a: Floats, b: Floats) -> Floats:
    found = np.empty((3, 3))
    for i in range(3):
        for j in range(3):
            found[i, j] = a[i, 0] * b[0, j] + a[i, 1] * b[1, j] + a[i, 2] * b[2, j]
    return found


# Random numbers

_MULTIPLIERS = (np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157))
_INCREMENTS = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBB67AE8584CAA73B))
_ROUNDS = 10
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_SPARE_BITS = np.uint64(11)
_ONE = np.uint64(1)


def stream(seed: int, number: int) -> Stream:
    """Return the random numbers of a crystal, which depend on nothing but seed and number.

    They are those of `numpy.random.Philox(key=seed, counter=[0, 0, 0, number])`, a generator that compiled code takes
    as long to open as to make a crystal. The values: two of the key, four of the counter, four random ones, and how
    many of those were used.
    """
    return np.array([seed, 0, 0, 0, 0, number, 0, 0, 0, 0, 4], dtype=np.uint64)


@compiled
def uniform(s: Stream) -> float:
    """Return the next number of a stream, from 0 to 1."""
    if s[10] == np.uint64(4):
        _next_block(s)
    value = s[6 + np.int64(s[10])] >> _SPARE_BITS
    s[10] += _ONE
    return float(np.float64(value) * 2.0**-53)


@compiled
def _next_block(s: Stream) -> None:
    s[2] += _ONE
    k0, k1 = s[0], s[1]
    c0, c1, c2, c3 = s[2], s[3], s[4], s[5]
    for _ in range(_ROUNDS):
        high0, low0 = _wide_product(_MULTIPLIERS[0], c0)
        high1, low1 = _wide_product(_MULTIPLIERS[1], c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0 += _INCREMENTS[0]
        k1 += _INCREMENTS[1]
    s[6], s[7], s[8], s[9] = c0, c1, c2, c3
    s[10] = np.uint64(0)


@compiled
def _wide_product(a: np.uint64, b: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Return the high and the low 64 bits of a product."""
    a0, a1, b0, b1 = a & _LOW, a >> _HALF, b & _LOW, b >> _HALF
    middle = a1 * b0 + ((a0 * b0) >> _HALF)
    other = a0 * b1 + (middle & _LOW)
    return a1 * b1 + (middle >> _HALF) + (other >> _HALF), a * b


@compiled
def normal(s: Stream) -> float:
    """Return a number of the standard normal distribution."""
    radius = math.sqrt(-2.0 * math.log(1.0 - uniform(s)))
    return radius * math.cos(2.0 * math.pi * uniform(s))


@compiled
def pick(weights: Floats, s: Stream) -> int:
    """Return an index with a probability proportional to its weight, -1 if all weights are 0."""
    total = 0.0
    for w in weights:
        total += w
    at, last = uniform(s) * total, -1
    for i in range(len(weights)):
        if weights[i] > 0.0:
            last = i
            at -= weights[i]
            if at < 0.0:
                break
    return last


@compiled
def draw_quantile(quantiles: Floats, row: int, s: Stream) -> float:
    """Return a value of the distribution whose equally spaced quantiles are in a row."""
    at = uniform(s) * (quantiles.shape[1] - 1)
    i = min(int(at), quantiles.shape[1] - 2)
    return float(quantiles[row, i] + (at - i) * (quantiles[row, i + 1] - quantiles[row, i]))
