"""How the golden patterns are kept: one row per pattern, intensities in 16 bits of the maximum."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curation.crystal import Crystal
from datagen.simulate.augmentation import Augmentations
from datagen.simulate.instrument import Instrument

FILE = Path(__file__).with_name("gsas2.npz")
STEPS = 65535


@dataclass(frozen=True, eq=False)
class Golden:
    """One pattern of one crystal."""

    name: str
    """The bundled example's file."""
    kind: str
    """`plain`: preset alphadiffract; `sharp`: the narrowest peaks it allows; `realistic`: texture and shifts too;
    otherwise the instrument's preset."""
    crystal: Crystal
    instrument: Instrument
    augmentation: Augmentations
    """Of length one."""
    pattern: NDArray[np.float64]
    """Relative to its maximum, to 1/65535."""
    maximum: float


def write(goldens: Sequence[Golden], version: str) -> None:
    """All of them to `FILE`."""
    quantised = np.array([np.rint(g.pattern * STEPS) for g in goldens]).astype(np.uint16)
    names = list(goldens[0].augmentation.columns())
    np.savez_compressed(
        FILE,
        gsas2_version=version,
        name=np.array([g.name for g in goldens]),
        kind=np.array([g.kind for g in goldens]),
        structure=np.array([g.crystal.to_json() for g in goldens]),
        instrument=np.array([g.instrument.model_dump_json() for g in goldens]),
        # Differences of neighbours are small numbers, and pack to half the size.
        pattern=np.diff(quantised, axis=1, prepend=np.uint16(0)),
        maximum=np.array([g.maximum for g in goldens]),
        **{f"augmentation_{n}": np.concatenate([getattr(g.augmentation, n) for g in goldens]) for n in names},
    )


def read() -> Iterator[Golden]:
    """All of them from `FILE`."""
    with np.load(FILE, allow_pickle=False) as stored:
        data = {name: stored[name] for name in stored.files}
    prefix = "augmentation_"
    drawn = Augmentations.of(**{n.removeprefix(prefix): v for n, v in data.items() if n.startswith(prefix)})
    patterns = np.cumsum(data["pattern"], axis=1, dtype=np.uint16) / STEPS
    crystals = {text: Crystal.from_json(text) for text in set(data["structure"].tolist())}
    for i, name in enumerate(data["name"].tolist()):
        yield Golden(
            name,
            str(data["kind"][i]),
            crystals[str(data["structure"][i])],
            Instrument.model_validate_json(str(data["instrument"][i])),
            drawn[i : i + 1],
            patterns[i],
            float(data["maximum"][i]),
        )


def without_foreign_matter(augmentations: Augmentations) -> Augmentations:
    """The same without what is added to a pattern after GSAS-II: foreign peaks and hump."""
    return augmentations.changed(
        impurity_height=np.zeros_like(augmentations.impurity_height),
        hump_height=np.zeros_like(augmentations.hump_height),
    )
