"""Overlap of one dataset's training split with another's test split: equal, nearly equal, same group."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from curation.crystal import Crystal
from datagen.errors import ConfigError, StoreError
from datagen.progress import Display, Silence, one_line
from datagen.share.curation_table import batches
from datagen.share.fingerprint import SUFFIX, Fingerprint, fingerprint_of, read_fingerprint, read_salt
from datagen.share.finished import FinishedDataset, open_finished
from datagen.store.bounded_table import CURATION_TABLE
from datagen.store.location import Where
from datagen.store.schema import SPLITS

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

NO_SALT = b"compared within one process"
BY_CRYSTALS = "pymatgen's StructureMatcher within the group"
BY_VOLUME = "same group and volume per atom, to within 2 to 4 %"


@dataclass(frozen=True)
class Overlap:
    """Structures in the test split of one dataset and in the training split of another, counted cumulatively."""

    trained: str
    tested: str
    n_train: int
    n_test: int
    exact: int
    """With the same structure hash."""
    near: int
    """Equal or nearly equal, as `how_near` defines it."""
    group: int
    """With a structure of the same formula and space group in the training split."""
    how_near: str


def audit(
    a: Where,
    b: Where,
    *,
    salt_file: Path | None = None,
    train: str = "train",
    test: str = "test",
    display: Display | None = None,
) -> tuple[Overlap, Overlap]:
    """Return the overlap of A's training split with B's test split, and vice versa; either may be a fingerprint."""
    for split in (train, test):
        if split not in SPLITS:
            raise ConfigError(f"{split}: expected a split, one of {', '.join(SPLITS)}")
    salt = read_salt(salt_file) if salt_file else None
    if salt is None and (_is_fingerprint(a) or _is_fingerprint(b)):
        raise ConfigError("expected the salt that the fingerprint was made with; name its file with --salt-file")
    fingerprints = [_fingerprint(path, salt or NO_SALT) for path in (a, b)]
    if fingerprints[0][0].salt_check != fingerprints[1][0].salt_check:
        raise StoreError(
            f"{a} and {b} were made with different salts; use the same salt for both and write the fingerprints again"
        )
    display = display or Silence()
    return (
        _overlap(*fingerprints[0], *fingerprints[1], train, test, display),
        _overlap(*fingerprints[1], *fingerprints[0], train, test, display),
    )


def _fingerprint(where: Where, salt: bytes) -> tuple[Fingerprint, FinishedDataset | None]:
    if _is_fingerprint(where):
        return read_fingerprint(where), None
    source = open_finished(where)
    return fingerprint_of(source, salt), source


def _is_fingerprint(where: Where) -> TypeGuard[Path]:
    return isinstance(where, Path) and where.suffix == SUFFIX


def _overlap(
    trained: Fingerprint,
    trained_source: FinishedDataset | None,
    tested: Fingerprint,
    tested_source: FinishedDataset | None,
    train: str,
    test: str,
    display: Display,
) -> Overlap:
    train_rows, test_rows = np.flatnonzero(trained.split == train), np.flatnonzero(tested.split == test)
    exact = _is_in(tested.structure[test_rows], trained.structure[train_rows])
    group = _is_in(tested.group[test_rows], trained.group[train_rows])
    near = exact.copy()
    crystals = _crystals_by_row(trained_source), _crystals_by_row(tested_source)
    if crystals[0] is not None and crystals[1] is not None:
        how = BY_CRYSTALS
        by_group: dict[str, list[int]] = {}
        for row in train_rows.tolist():
            by_group.setdefault(trained.group[row], []).append(row)
        undecided = np.flatnonzero(group & ~exact)
        with display.phase("match", len(undecided), "structures"):
            for done, i in enumerate(undecided.tolist(), start=1):
                row = int(test_rows[i])
                near[i] = _matches(crystals[1][row], [crystals[0][other] for other in by_group[tested.group[row]]])
                display.advance(done)
    else:
        how = BY_VOLUME
        for grid in (0, 1):
            near |= _is_in(tested.near[grid][test_rows], trained.near[grid][train_rows])
    return Overlap(
        trained.name,
        tested.name,
        len(train_rows),
        len(test_rows),
        int(exact.sum()),
        int(near.sum()),
        int(group.sum()),
        how,
    )


def _is_in(values: Any, pool: Any) -> Any:
    known = set(pool.tolist())
    return np.array([value in known for value in values.tolist()], dtype=np.bool_)


def _matches(text: str, others: list[str]) -> bool:
    from pymatgen.analysis.structure_matcher import StructureMatcher

    matcher = StructureMatcher()
    structure = _structure(text)
    return any(matcher.fit(structure, _structure(other)) for other in others)


def _structure(text: str) -> Structure:
    try:
        return Crystal.from_json(text).to_pymatgen()
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError) as error:
        raise StoreError(
            f"{CURATION_TABLE}: a structure is malformed, found {one_line(text, 80)}; fetch the dataset again"
        ) from error


def _crystals_by_row(source: FinishedDataset | None) -> dict[int, str] | None:
    """Return the structure of every row; None if one is withheld."""
    if source is None:
        return None
    found: dict[int, str] = {}
    for batch in batches(source, ["row", "structure"]):
        found |= {line["row"]: line["structure"] for line in batch.to_pylist() if line["row"] is not None}
    if set(found) != set(range(source.layout.n_structures)):
        raise StoreError(
            f"{source.path}/{CURATION_TABLE}: expected a line for each of {source.layout.n_structures} rows; fetch the "
            "dataset again"
        )
    return found if all(found.values()) else None
