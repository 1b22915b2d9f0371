"""The answer for one scan: ranked structures, phases of a mixture, probabilities of space group and crystal system."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.atoms import cell_matrix
from curation.labels import CRYSTAL_SYSTEMS, crystal_system_of
from datagen.identification.extinction import members, of_space_groups

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Vote:
    """What a candidate's share grows with, by e for each unit."""

    score: float
    lines: float
    """Weight of the log odds of its lines."""
    likeness: float


ALONE = Vote(score=20.0, lines=0.17, likeness=0.0)
WITH_NETWORK = Vote(score=14.0, lines=0.18, likeness=6.0)
FLOOR = 1e-4
"""Probability, before normalisation, of a space group without candidates."""
EVEN_COSINE, COSINE_STEP = 0.33, 0.22
"""Cosine of the best structure at which the network counts as much as the library, and by how much more its odds fall
by e: the chance that the library lacks the structure."""
EXPLAINED = 0.65
"""Cosine below which no structure of the library explains a scan: 1 % of right answers are below it (120 simulated
scans, each with and without its own structure; none of 57 RRUFF scans), and 31 % of wrong ones (RRUFF: 72 %)."""


@dataclass(frozen=True)
class Match:
    """A structure of a library with its cell fitted to a scan."""

    formula: str
    space_group: int
    source: str
    source_id: str
    row: int
    library: str
    group: str
    explained_lines: float | None
    """Share of the scan's peaks, by weight, that lie on lines of this cell; None for cells with too many lines."""
    niggli: tuple[float, ...]
    """a, b, c in A, alpha, beta, gamma in degrees."""
    niggli_uncertainty: tuple[float, ...] | None
    """Standard uncertainties; 0 where symmetry fixes a parameter, None where the cell is not at its minimum."""
    conventional: tuple[float, ...] | None
    """The conventional cell, standard setting; None where the library's structure does not give it."""
    conventional_uncertainty: tuple[float, ...] | None
    scale: float
    """Size of the fitted crystal relative to the library's."""
    zero_shift_deg: float

    @property
    def reciprocal(self) -> Array:
        """Rows a*, b*, c* of the fitted Niggli cell, 1/A."""
        return np.asarray(np.linalg.inv(cell_matrix(*self.niggli)).T, dtype=np.float64)


@dataclass(frozen=True)
class Candidate(Match):
    """A structure that may be that of a scan."""

    score: float
    cosine: float
    line_odds: float
    """Log odds that the scan's peaks are lines of this cell."""
    probability: float
    likeness: float | None = None
    """How alike a network sees its pattern and the scan; None where it was not asked."""


@dataclass(frozen=True)
class MixedPhase(Match):
    """A phase of a mixture."""

    weight_fraction: float
    added_log_odds: float | None
    """What the phase added to the log odds of the phases found before it; None for the first."""


@dataclass(frozen=True)
class Mixed:
    """The phases of a scan."""

    phases: list[MixedPhase]
    cosine: float
    """Of the scan and the pattern of all phases."""
    explained_lines: float | None
    """Share of the scan's peaks, by weight, that lie on lines of any phase; None where one has too many lines."""
    next_log_odds: float | None
    """What the best further phase would add, which is less than is needed; None where none was searched or found."""
    most: int
    """Largest number of phases that was allowed."""

    @property
    def is_complete(self) -> bool:
        """Whether a further phase was searched and is not supported."""
        return len(self.phases) < self.most


@dataclass(frozen=True, eq=False)
class NetworkAnswer:
    """What a network says about a scan, weighed by the scan's lines."""

    space_group: Array
    """Probability of groups 1 to 230 (at 0 to 229)."""
    niggli: tuple[float, ...] | None
    """The cell on whose lines the scan's peaks lie, A and degrees; None where none was found."""
    line_odds: float | None
    """Log odds that the peaks are lines of that cell, of which the lucky ones of wrong cells reach some 20."""


@dataclass(frozen=True)
class Identified:
    """What a library says about one scan."""

    name: str
    candidates: list[Candidate]
    library: Array
    """Probability of groups 1 to 230 (at 0 to 229) by the library's structures."""
    covered: float
    """Share of d = 17 to 1.08 A that was measured."""
    space_group: Array
    """Probability of groups 1 to 230: those of the library, combined with the network's if it was used."""
    network: NetworkAnswer | None = None
    """What a network says, if it was used."""
    mixture: Mixed | None = None
    """The phases, where several were allowed."""

    @property
    def is_explained(self) -> bool:
        """Whether a structure of the library explains the scan."""
        return bool(self.candidates) and self.candidates[0].cosine >= EXPLAINED

    @property
    def combination(self) -> Combination:
        """Return how a network's answer is to be combined with the library's."""
        return combination(self.candidates[0].cosine if self.candidates else 0.0)

    @property
    def decided_by(self) -> str:
        """Return what ranks the most probable space group first: "library", "network", "both" or "neither"."""
        if self.network is None:
            return "library"
        best = int(self.space_group.argmax())
        agree = (int(self.library.argmax()) == best, int(self.network.space_group.argmax()) == best)
        return {(True, True): "both", (True, False): "library", (False, True): "network"}.get(agree, "neither")

    @property
    def crystal_system(self) -> Array:
        """Probability of the seven crystal systems, triclinic to cubic."""
        found = np.zeros(7)
        for number, p in enumerate(self.space_group.tolist(), start=1):
            found[crystal_system_of(number) - 1] += p
        return found

    @property
    def extinction(self) -> dict[int, float]:
        """Probability of the extinction classes, by the first space group of each, most probable first."""
        return of_space_groups(self.space_group)

    def __repr__(self) -> str:
        if not self.candidates:
            return f"<Identified {self.name}: no candidate>"
        best = self.candidates[0]
        system = int(self.crystal_system.argmax())
        verdict = "" if self.is_explained else "nothing in the library explains this scan; nearest "
        return (
            f"<Identified {self.name}: {verdict}{best.formula}, space group {best.space_group}, cosine "
            f"{best.cosine:.2f}; {CRYSTAL_SYSTEMS[system]} {self.crystal_system[system]:.0%}>"
        )

    def to_dict(self, most: int = 10) -> dict[str, Any]:
        """Return plain values for JSON."""
        groups = np.argsort(-self.space_group, kind="stable")[:most]
        return {
            "scan": self.name,
            "is_explained": self.is_explained,
            "covered": round(self.covered, 3),
            "decided_by": self.decided_by,
            "crystal_system": {
                name: round(float(p), 4) for name, p in zip(CRYSTAL_SYSTEMS, self.crystal_system, strict=True)
            },
            "space_group": [
                {"number": int(g) + 1, "probability": round(float(self.space_group[g]), 4)} for g in groups
            ],
            "extinction": [
                {"space_groups": list(members(number)), "probability": round(p, 4)}
                for number, p in list(self.extinction.items())[:most]
            ],
            "network_cell": None
            if self.network is None or self.network.niggli is None
            else {"niggli": list(self.network.niggli), "line_odds": self.network.line_odds},
            "candidates": [asdict(candidate) for candidate in self.candidates[:most]],
            "mixture": None if self.mixture is None else asdict(self.mixture),
        }


def shares(score: Array, odds: Array, likeness: Array | None = None) -> Array:
    """Return the share of each candidate in the vote; with `likeness` where a network has compared them."""
    by = ALONE if likeness is None else WITH_NETWORK
    value = by.score * score + by.lines * np.maximum(odds, odds.max() - 60.0)
    if likeness is not None:
        value = value + by.likeness * likeness
    share = np.exp(value - value.max())
    return np.asarray(share / share.sum(), dtype=np.float64)


def vote(share: Array, space_group: NDArray[np.int64]) -> Array:
    """Return probabilities of the space groups by the candidates' shares."""
    found = np.bincount(space_group - 1, share, minlength=230) + FLOOR
    return np.asarray(found / found.sum(), dtype=np.float64)


@dataclass(frozen=True)
class Combination:
    """How the probabilities of a network and of a library become one: a mean with this weight of the network."""

    network_share: float

    def of(self, library: Array, network: Array) -> Array:
        """Return the probabilities of the space groups by both."""
        return np.asarray((1.0 - self.network_share) * library + self.network_share * network, dtype=np.float64)


def combination(best_cosine: float) -> Combination:
    """Return how to combine where the best structure of the library has this cosine."""
    return Combination(1.0 / (1.0 + math.exp((best_cosine - EVEN_COSINE) / COSINE_STEP)))
