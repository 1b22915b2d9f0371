"""Results of predictions: ranked crystal systems and space groups, and a Niggli cell, of one scan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class RankedSystem:
    """A crystal system with its probability."""

    name: str
    probability: float
    spread: float | None
    """Standard deviation over models and redrawn patterns; None where there is one of each."""


@dataclass(frozen=True)
class RankedGroup:
    """A space group with its probability."""

    number: int
    symbol: str
    probability: float
    spread: float | None


@dataclass(frozen=True)
class CellValue:
    """A parameter of the Niggli cell, A or degrees."""

    value: float
    spread: float | None


@dataclass(frozen=True, repr=False)
class ScanPrediction:
    """Prediction for one scan, most probable first."""

    file: str
    wavelength_A: float
    crystal_system: tuple[RankedSystem, ...]
    space_group: tuple[RankedGroup, ...]
    niggli_lattice: Mapping[str, CellValue]
    """a, b, c, alpha, beta, gamma."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Anything else the network reports, such as the number of models or ranked Bravais lattices."""

    @classmethod
    def of_answer(cls, file: str, wavelength_A: float, answer: Mapping[str, Any]) -> ScanPrediction:
        """Build from the plain values of `predict` or `ranked`."""
        rest = dict(answer)
        return cls(
            file,
            wavelength_A,
            tuple(RankedSystem(**entry) for entry in rest.pop("crystal_system")),
            tuple(RankedGroup(**entry) for entry in rest.pop("space_group")),
            {name: CellValue(**entry) for name, entry in rest.pop("niggli_lattice").items()},
            rest,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "file": self.file,
            "wavelength_A": self.wavelength_A,
            "crystal_system": [vars(entry).copy() for entry in self.crystal_system],
            "space_group": [vars(entry).copy() for entry in self.space_group],
            "niggli_lattice": {name: vars(value).copy() for name, value in self.niggli_lattice.items()},
            **self.details,
        }

    def __repr__(self) -> str:
        system, group = self.crystal_system[0], self.space_group[0]
        cell = ", ".join(f"{name} {entry.value:.4g}" for name, entry in self.niggli_lattice.items())
        return (
            f"ScanPrediction({self.file}: {system.name} {system.probability:.0%}, "
            f"{group.symbol} ({group.number}) {group.probability:.0%}; {cell})"
        )
