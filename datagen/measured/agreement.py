"""How well a structure explains a scan, its cell free to change a little."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from datagen.identification import lines
from datagen.identification.axis import Observed
from datagen.identification.coarse import Coarse
from datagen.identification.index import Index, Names, rough_of
from datagen.identification.index_entry import entry
from datagen.identification.refine import refine

if TYPE_CHECKING:
    from curation.verdict import Verdict

COPIED = (
    "space_group",
    "formula",
    "source",
    "source_id",
    "group",
    "symprec_A",
    "angle_tolerance_deg",
    "space_group_at",
)
LEAST_SCORE = 0.29
"""Cosine less ten times the change of the cell. Of 113 RRUFF scans with literature cells the right structure has at
least 0.31; of 336 structures of other scans 2 pass all limits."""
CHANGE_COSTS = 10.0
LEAST_EXPLAINED = 0.65
"""Share of the peaks, by weight, on lines of the cell; the right structures have at least 0.70."""
MOST_CHANGE = 0.02
DOUBTFUL_CHANGE, DOUBTFUL_EXPLAINED = 0.01, 0.8
"""A cell that has to change by more, and still leaves that much unexplained, is that of another wavelength."""
SECOND_PHASE = 0.85
"""Share of explained peaks below which a second phase is suspected."""


@dataclass(frozen=True)
class Agreement:
    """Result of fitting a structure's cell to a scan."""

    cosine: float
    """Of both patterns on the axis ln q, to the power 3/8."""
    explained: float | None
    """Share of the scan's peaks, by weight, that lie on lines of the cell; None for a cell with too many lines."""
    cell_change: float
    """Largest relative change of a length of the cell."""
    zero_shift_deg: float

    @property
    def score(self) -> float:
        """Cosine less what the change of the cell costs."""
        return self.cosine - CHANGE_COSTS * self.cell_change

    @property
    def agrees(self) -> bool:
        """Whether the structure can be that of the scan."""
        doubtful = self.cell_change > DOUBTFUL_CHANGE and (self.explained or 0.0) < DOUBTFUL_EXPLAINED
        # With too many lines to tell, the share says nothing for or against the structure.
        explained = self.explained is None or self.explained >= LEAST_EXPLAINED
        close = explained and self.cell_change <= MOST_CHANGE
        return self.score >= LEAST_SCORE and close and not doubtful


def agreement(verdict: Verdict, scan: Observed) -> Agreement | None:
    """Fit the cell of an accepted structure to a scan; None where it has no reflection in range."""
    index = index_of(verdict)
    if index is None:
        return None
    start = Coarse(np.array([0]), np.array([0.0]), np.array([0.0]))
    fitted = refine(index, scan, start)
    cell = fitted.reciprocal(index, 0)
    ln_q, weight = lines.peaks(scan)
    zero = float(fitted.zero_rad[0])
    strain = float(np.abs(fitted.strain[0]).max(initial=0.0))
    return Agreement(
        cosine=float(fitted.cosine[0]),
        explained=lines.explained(scan, ln_q, weight, cell, zero),
        cell_change=abs(float(fitted.shift[0])) + strain,
        zero_shift_deg=float(np.degrees(zero)),
    )


def index_of(verdict: Verdict) -> Index | None:
    """Return the index of one structure; None where it has no reflection on the axis."""
    found = entry(
        {
            "structure": verdict.structure,
            "row": 0,
            **{name: getattr(verdict, name) for name in COPIED},
        }
    )
    if not found:
        return None
    return Index(
        library="truth",
        rough=rough_of(found["pattern"][None]),
        pattern=found["pattern"][None],
        first=np.array([0, len(found["hkl"])]),
        hkl=found["hkl"].astype(np.int16),
        intensity=found["intensity"].astype(np.float32),
        reciprocal=found["reciprocal"][None],
        strains=found["strains"][None].astype(np.float32),
        n_strains=np.array([found["n_strains"]], dtype=np.uint8),
        conventional=found["conventional"][None].astype(np.int8),
        mass=np.array([found["mass"]]),
        space_group=np.array([found["space_group"]], dtype=np.uint8),
        row=np.array([0]),
        elements=found["elements"][None],
        names=Names(pa.Table.from_pylist([found["name"]])),
    )
