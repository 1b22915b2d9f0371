"""Edges of the graph of maximal subgroups, recomputed from the 230 groups and compared with the stored ones.

Computes every maximal subgroup of every space group from the symmetry operations and compares the pairs of types with
``trainer/training/subgroup_edges.csv``; ``--write`` rewrites that file.

A maximal subgroup keeps either all translations (translationengleiche: a maximal subgroup of the point group) or all
point operations (klassengleiche: a maximal invariant sublattice T' of the translations T, and a complement of T/T').
T/T' is an irreducible module of the point group over the integers modulo a prime p, so T' contains pT and the
sublattices are found among the invariant subspaces of F_p^3. The complements are the solutions of

    tau(g) + g tau(h) - tau(gh) = -c(g, h)   in T/T',   c(g, h) = w_g + g w_h - w_gh

which is linear in tau; solutions that differ by tau(g) = g t - t are conjugate and have the same type. Beyond p = 3
every such subgroup is isomorphic to its group (International Tables A1, 2.1.5), so the only new pair it can give is an
enantiomorphic one; p = 5 gives those that 2 and 3 do not (6_1 and 6_5).
"""

from __future__ import annotations

import csv
import itertools
import json
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import spglib
from numpy.typing import NDArray

EDGES_FILE = Path(__file__).resolve().parents[1] / "trainer" / "training" / "subgroup_edges.csv"
PRIMES = (2, 3, 5)

Matrix = NDArray[np.int64]
Key = tuple[int, ...]


def maximal_subgroup_edges(primes: tuple[int, ...] = PRIMES) -> dict[tuple[int, int], str]:
    """Pairs of types (lower number first) one of which is a maximal subgroup of the other, with "t", "k" or "tk"."""
    kinds: dict[tuple[int, int], set[str]] = {}
    for number in range(1, 231):
        rotations, translations = primitive_operations(number)
        found = {("t", other) for other in translationengleiche(rotations, translations)}
        found |= {("k", other) for p in primes for other in klassengleiche(rotations, translations, p)}
        for kind, other in found:
            if other != number:
                kinds.setdefault((min(number, other), max(number, other)), set()).add(kind)
    return {pair: "".join(sorted(kinds[pair], reverse=True)) for pair in sorted(kinds)}


def translationengleiche(rotations: Matrix, translations: NDArray[np.object_]) -> set[int]:
    """Types of the maximal subgroups that keep every translation."""
    index = {_key(w): i for i, w in enumerate(rotations)}
    table = np.array([[index[_key(a @ b)] for b in rotations] for a in rotations])
    subgroups = _all_subgroups(table)
    proper = [s for s in subgroups if len(s) < len(rotations)]
    maximal = [s for s in proper if not any(s < other for other in proper)]
    return {space_group_type(rotations[sorted(s)], translations[sorted(s)]) for s in maximal}


def klassengleiche(rotations: Matrix, translations: NDArray[np.object_], p: int) -> set[int]:
    """Types of the maximal subgroups that keep every point operation and lose translations of index p, p^2 or p^3."""
    index = {_key(w): i for i, w in enumerate(rotations)}
    types = set()
    for basis in maximal_invariant_sublattices(rotations, p):
        inverse = np.linalg.inv(basis.astype(float))
        adjugate = np.rint(inverse * p).astype(np.int64)  # p B^-1 is integral because T' contains pT
        quotient = _quotient_map(adjugate, p)  # T -> T/T' as vectors over F_p
        lifts = _lifts(quotient, p)
        d = len(quotient)
        n = len(rotations)
        # The action of each operation on T/T', and the equations for tau.
        action = [(quotient @ w @ lifts) % p for w in rotations]
        rows, right = [], []
        for g, h in itertools.product(range(n), _generators(rotations)):
            gh = index[_key(rotations[g] @ rotations[h])]
            c = translations[g] + rotations[g] @ translations[h] - translations[gh]
            if any(Fraction(x).denominator != 1 for x in c):
                raise ArithmeticError("operations do not close modulo lattice translations")
            block = np.zeros((d, n * d), dtype=np.int64)
            block[:, g * d : (g + 1) * d] += np.eye(d, dtype=np.int64)
            block[:, h * d : (h + 1) * d] += action[g]
            block[:, gh * d : (gh + 1) * d] -= np.eye(d, dtype=np.int64)
            rows.append(block % p)
            right.append((-(quotient @ np.array([int(x) for x in c]))) % p)
        for tau in _solutions_modulo_conjugation(np.vstack(rows), np.concatenate(right), action, p):
            shifts = (lifts @ tau.reshape(n, d).T).T
            exact = np.array([[Fraction(int(x), p) for x in row] for row in adjugate], dtype=object)
            w_new = [np.rint(inverse @ w @ basis).astype(np.int64) for w in rotations]
            t_new = [exact @ (t + s) for t, s in zip(translations, shifts, strict=True)]
            types.add(space_group_type(np.array(w_new), np.array(t_new, dtype=object)))
    return types


def maximal_invariant_sublattices(rotations: Matrix, p: int) -> list[Matrix]:
    """Bases (columns) of the maximal sublattices T' with pT < T' < T that the point group maps onto themselves."""
    vectors = [np.array(v) for v in itertools.product(range(p), repeat=3) if any(v)]
    lines = [v for v in vectors if v[np.flatnonzero(v)[0]] == 1]
    invariant_lines = [v for v in lines if all(_rank(np.array([v, w @ v]), p) == 1 for w in rotations)]
    # A plane is the kernel of a covector; it is invariant where the covector is, under the transposed action.
    invariant_planes = [u for u in lines if all(_rank(np.array([u, w.T @ u]), p) == 1 for w in rotations)]
    bases = [_sublattice(np.array([v for v in vectors if (u @ v) % p == 0]), p) for u in invariant_planes]
    lone_lines = [v for v in invariant_lines if all((u @ v) % p for u in invariant_planes)]
    bases += [_sublattice(v[None], p) for v in lone_lines]
    if not invariant_planes and not invariant_lines:
        bases.append(p * np.eye(3, dtype=np.int64))
    return bases


def primitive_operations(number: int) -> tuple[Matrix, NDArray[np.object_]]:
    """Coset representatives of a space group on a primitive basis: whole rotation matrices, exact translations."""
    hall = next(h for h in range(1, 531) if spglib.get_spacegroup_type(h).number == number)
    operations = spglib.get_symmetry_from_database(hall)
    exact = np.array([[Fraction(round(x * 24), 24) % 1 for x in t] for t in operations["translations"]], dtype=object)
    identity = np.eye(3, dtype=np.int64)
    centring = [t for w, t in zip(operations["rotations"], exact, strict=True) if np.array_equal(w, identity)]
    twelve = [[int(12 * x) for x in t] for t in centring] + (12 * identity).tolist()
    basis = _hermite(np.array(twelve)).T  # columns, in twelfths of the conventional cell
    inverse = np.linalg.inv(basis / 12.0)
    inverse_exact = np.array([[Fraction(round(x * 24), 24) for x in row] for row in inverse], dtype=object)
    chosen: dict[Key, tuple[Matrix, NDArray[np.object_]]] = {}
    for w, t in zip(operations["rotations"], exact, strict=True):
        w_primitive = np.rint(inverse @ w @ (basis / 12.0)).astype(np.int64)
        chosen.setdefault(_key(w_primitive), (w_primitive, inverse_exact @ t))
    return np.array([w for w, _ in chosen.values()]), np.array([t for _, t in chosen.values()], dtype=object)


def space_group_type(rotations: Matrix, translations: NDArray[np.object_]) -> int:
    """Return the number (1-230) of the group with these operations, by spglib in an invariant metric."""
    metric = sum(w.T @ w for w in rotations) / len(rotations)
    lattice = np.linalg.cholesky(metric)
    found = spglib.get_spacegroup_type_from_symmetry(
        rotations.astype("intc"), np.array(translations, dtype=float) % 1.0, lattice=lattice, symprec=1e-5
    )
    if found is None:
        raise ArithmeticError("spglib does not recognise a subgroup")
    return int(found.number)


def main() -> None:
    """Recompute, compare, print JSON; exit 1 where the stored list differs."""
    edges = maximal_subgroup_edges()
    if "--write" in sys.argv[1:]:
        with EDGES_FILE.open("w", newline="") as out:
            writer = csv.writer(out, lineterminator="\n")
            writer.writerow(["group", "other", "kind"])
            writer.writerows((a, b, kind) for (a, b), kind in edges.items())
    with EDGES_FILE.open(newline="") as source:
        stored = {(int(row["group"]), int(row["other"])): row["kind"] for row in csv.DictReader(source)}
    distance = _hops(edges)
    off_diagonal = distance[~np.eye(230, dtype=bool)]
    result = {
        "edges": len(edges),
        "edges_t": sum("t" in kind for kind in edges.values()),
        "edges_k": sum("k" in kind for kind in edges.values()),
        "largest_distance": int(off_diagonal.max()),
        "mean_distance": round(float(off_diagonal.mean()), 4),
        "stored_list_agrees": stored == edges,
    }
    print(json.dumps(result))
    if stored != edges:
        sys.exit(1)


def _hops(edges: dict[tuple[int, int], str]) -> NDArray[np.int64]:
    distance = np.full((230, 230), 99, dtype=np.int64)
    np.fill_diagonal(distance, 0)
    for a, b in edges:
        distance[a - 1, b - 1] = distance[b - 1, a - 1] = 1
    for k in range(230):
        np.minimum(distance, distance[:, k, None] + distance[None, k], out=distance)
    return distance


def _key(matrix: Matrix) -> Key:
    return tuple(int(x) for x in np.asarray(matrix).ravel())


def _generators(rotations: Matrix) -> list[int]:
    """A generating set of the point group, found greedily."""
    index = {_key(w): i for i, w in enumerate(rotations)}
    chosen: list[int] = []
    reached = {_key(np.eye(3, dtype=np.int64))}
    for i, w in enumerate(rotations):
        if _key(w) in reached:
            continue
        chosen.append(i)
        frontier = [rotations[index[k]] for k in reached]
        while frontier:
            product = [a @ rotations[c] for a in frontier for c in chosen]
            frontier = []
            for m in product:
                if _key(m) not in reached:
                    reached.add(_key(m))
                    frontier.append(m)
    return chosen or [0]


def _all_subgroups(table: Matrix) -> set[frozenset[int]]:
    """Every subgroup of a finite group given by its multiplication table."""
    identity = int(np.flatnonzero([np.array_equal(row, np.arange(len(table))) for row in table])[0])

    def closure(elements: frozenset[int]) -> frozenset[int]:
        group = set(elements) | {identity}
        while True:
            grown = {int(x) for x in table[np.ix_(sorted(group), sorted(group))].ravel()}
            if grown == group:
                return frozenset(group)
            group = grown

    cyclic = {closure(frozenset([e])) for e in range(len(table))}
    found = set(cyclic)
    frontier = set(cyclic)
    while frontier:
        frontier = {closure(a | b) for a in frontier for b in cyclic} - found
        found |= frontier
    return found


def _hermite(rows: Matrix) -> Matrix:
    """Basis (rows) of the lattice that whole vectors span, by integer elimination."""
    work = [list(map(int, r)) for r in rows]
    basis = []
    for column in range(3):
        while True:
            live = sorted((r for r in work if r[column]), key=lambda r: abs(r[column]))
            if len(live) <= 1:
                break
            pivot = live[0]
            for r in live[1:]:
                q = r[column] // pivot[column]
                r[:] = [x - q * y for x, y in zip(r, pivot, strict=True)]
        pivot = live[0]
        work = [r for r in work if r is not pivot and any(r)]
        basis.append(pivot)
    found = np.array(basis, dtype=np.int64)
    found[0] *= round(np.sign(np.linalg.det(found)))  # right-handed: a mirrored basis would exchange enantiomorphs
    return found


def _sublattice(vectors: Matrix, p: int) -> Matrix:
    return _hermite(np.vstack([vectors, p * np.eye(3, dtype=np.int64)])).T


def _reduce(matrix: Matrix, p: int) -> tuple[Matrix, list[int]]:
    """Reduced row echelon form over F_p, and its pivot columns."""
    work = matrix.copy() % p
    pivots: list[int] = []
    row = 0
    for column in range(work.shape[1]):
        below = np.flatnonzero(work[row:, column])
        if len(below) == 0:
            continue
        work[[row, row + below[0]]] = work[[row + below[0], row]]
        work[row] = work[row] * pow(int(work[row, column]), -1, p) % p
        others = np.flatnonzero(work[:, column])
        others = others[others != row]
        work[others] = (work[others] - work[others, column, None] * work[row]) % p
        pivots.append(column)
        row += 1
        if row == len(work):
            break
    return work[: len(pivots)], pivots


def _rank(matrix: Matrix, p: int) -> int:
    return len(_reduce(matrix, p)[1])


def _quotient_map(adjugate: Matrix, p: int) -> Matrix:
    """T -> T/T' as a matrix over F_p: x is in T' = B Z^3 exactly if p B^-1 x vanishes modulo p."""
    return _reduce(adjugate, p)[0]


def _lifts(quotient: Matrix, p: int) -> Matrix:
    """Columns: one vector of T for each basis vector of T/T' (unit vectors at the pivots)."""
    pivots = _reduce(quotient, p)[1]
    lifts = np.zeros((3, len(pivots)), dtype=np.int64)
    for i, column in enumerate(pivots):
        lifts[column, i] = 1
    return lifts


def _solutions_modulo_conjugation(
    equations: Matrix, right: Matrix, action: list[Matrix], p: int
) -> list[NDArray[np.int64]]:
    """One solution tau from each class of conjugate ones."""
    unknowns = equations.shape[1]
    reduced, pivots = _reduce(np.hstack([equations, right[:, None]]), p)
    if unknowns in pivots:
        return []
    particular = np.zeros(unknowns, dtype=np.int64)
    particular[pivots] = reduced[:, unknowns]
    free = [c for c in range(unknowns) if c not in pivots]
    kernel = np.zeros((len(free), unknowns), dtype=np.int64)
    for i, column in enumerate(free):
        kernel[i, column] = 1
        kernel[i, pivots] = -reduced[:, column] % p
    d = len(action[0])
    coboundaries = np.vstack([np.concatenate([(a @ e - e) % p for a in action]) for e in np.eye(d, dtype=np.int64)])
    span, rank = coboundaries, _rank(coboundaries, p)
    classes = []
    for vector in kernel:
        grown = np.vstack([span, vector])
        if _rank(grown, p) > rank:
            classes.append(vector)
            span, rank = grown, rank + 1
    combinations = np.array(classes, dtype=np.int64).reshape(len(classes), unknowns)
    weights = itertools.product(range(p), repeat=len(classes))
    return [(particular + np.array(w, dtype=np.int64) @ combinations) % p for w in weights]


if __name__ == "__main__":
    main()
