"""Subset a dataset: by labels, by split, as a random sample, with fewer patterns."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
from numpy.typing import NDArray

from curation.labels import CRYSTAL_SYSTEMS, N_ELEMENTS
from datagen.errors import ConfigError, StoreError
from datagen.progress import Display
from datagen.share.compose import Recipe, compose, layout_of_rows, refuse_taken
from datagen.share.curation_table import write_lines
from datagen.share.finished import FinishedDataset, open_finished
from datagen.share.origins import derived_attributes
from datagen.share.where import Columns, rows_where
from datagen.store import schema
from datagen.store.density_codes import CODES as DENSITY_CODES
from datagen.store.location import Where
from datagen.store.schema import SPLITS


@dataclass(frozen=True)
class Selection:
    """Criteria of a subset; all must hold."""

    where: str | None = None
    splits: tuple[str, ...] = ()
    sample: int | None = None
    """Number of structures to sample at random from those that meet the other criteria."""
    seed: int = 0
    patterns: int | None = None
    """Number of patterns per structure, from the first."""


def subset(dataset: Where, out: Path, selection: Selection, display: Display | None = None) -> int:
    """Make a dataset of the selected rows, in their order; return the number of structures.

    Patterns, labels and splits are bit for bit those of the dataset.
    """
    refuse_taken(out)
    source = open_finished(dataset)
    n_augmentations = _patterns(source, selection)
    rows = [(0, int(row)) for row in selected_rows(source, selection)]
    if not rows:
        raise StoreError(f"{dataset}: no structure meets {_words(selection)}; nothing was written")
    given = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(selection).items()}
    attributes = derived_attributes("subset", [source], [len(rows)], given)
    if n_augmentations:
        attributes["configuration"]["simulation"]["augmentation"]["count"] = n_augmentations
    numbers = {row: new for new, row in enumerate(rows)}
    recipe = Recipe(
        [source],
        rows,
        layout_of_rows([source], rows, n_augmentations),
        attributes,
        lambda path: write_lines(path, [source], numbers, {}, only_rows=True),
    )
    compose(out, recipe, display)
    return len(rows)


def selected_rows(source: FinishedDataset, selection: Selection) -> NDArray[np.int64]:
    """Return the selected rows, in order."""
    chosen = np.ones(source.layout.n_structures, dtype=np.bool_)
    if selection.where is not None:
        chosen &= rows_where(selection.where, _columns(source))
    if selection.splits:
        if unknown := sorted(set(selection.splits) - set(SPLITS)):
            raise ConfigError(f"--split {unknown[0]}: expected one of {', '.join(SPLITS)}")
        chosen &= np.isin(source.column("split"), [SPLITS.index(name) for name in selection.splits])
    rows = np.flatnonzero(chosen).astype(np.int64)
    if selection.sample is None:
        return rows
    if selection.sample > len(rows):
        raise ConfigError(
            f"--sample {selection.sample}: only {len(rows)} structures of {source.path} meet the other "
            "criteria; sample fewer"
        )
    return _sample(rows, source.column("structure_hash")[rows].tolist(), selection.sample, selection.seed)


def _sample(rows: NDArray[np.int64], hashes: Sequence[str], count: int, seed: int) -> NDArray[np.int64]:
    """Sample by a hash of the seed and the structure's hash, which does not depend on order or on other structures."""
    keys = [hashlib.sha256(f"{seed} {structure}".encode()).digest() for structure in hashes]
    order = sorted(range(len(rows)), key=lambda i: (keys[i], i))
    return np.sort(rows[order[:count]])


def _patterns(source: FinishedDataset, selection: Selection) -> int:
    stored = source.layout.n_augmentations
    if selection.patterns is None:
        return stored
    if not stored:
        raise ConfigError(f"--patterns {selection.patterns}: {source.path} has reflections only; leave it out")
    if not 1 <= selection.patterns <= stored:
        raise ConfigError(f"--patterns {selection.patterns}: expected 1 to {stored}, as many as {source.path} has")
    return selection.patterns


def _columns(source: FinishedDataset) -> Columns:
    found: dict[str, Callable[[], NDArray[Any]]] = {}
    for variable in schema.LABELS:
        if variable.dims == ("structure",) or schema.is_text(variable):
            found[variable.name] = partial(source.column, variable.name)
    for position, name in enumerate(schema.NIGGLI):
        found[f"niggli_{name}"] = partial(_niggli, source, position)
    for variable in schema.variables(source.layout):
        if variable.home == "shard" and variable.dims == ("structure",):
            found[variable.name] = partial(source.column, variable.name)
    meanings = {
        "split": {name: value for value, name in enumerate(SPLITS)},
        "crystal_system": {name: value for value, name in enumerate(CRYSTAL_SYSTEMS, start=1)},
        "density_reason": DENSITY_CODES,
    }
    return Columns(found, meanings, partial(_has_element, source))


def _niggli(source: FinishedDataset, position: int) -> NDArray[Any]:
    return np.asarray(source.column("niggli")[:, position])


def _has_element(source: FinishedDataset, symbol: str) -> NDArray[np.bool_]:
    number = gemmi.Element(symbol).atomic_number
    if not 1 <= number <= N_ELEMENTS or gemmi.Element(symbol).name != symbol:
        raise ConfigError(f"--where: expected the symbol of an element, such as Fe, found {symbol!r}")
    return np.asarray(source.column("composition")[:, number - 1] > 0)


def _words(selection: Selection) -> str:
    given = [f"--where {selection.where!r}"] if selection.where else []
    given += [f"--split {name}" for name in selection.splits]
    return " and ".join(given) or "the selection"
