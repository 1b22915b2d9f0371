"""The library of second phases: the bundled crystals as curation accepted them.

The crystals are kept in `second_phases.jsonl`, so that patterns do not depend on the version of a symmetry finder.
`python -m datagen.simulate.phase_library` prints that file; its content never changes under the name of a library.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import gemmi

from curation.composition import element_of
from curation.crystal import Crystal

LibraryName = Literal["bundled-1"]
FILE = Path(__file__).with_name("second_phases.jsonl")
N_PHASES = 95
DALTON_G_CM3 = 1.66053906660
"""1 dalton per A^3 in g/cm^3."""


@dataclass(frozen=True, eq=False)
class Phase:
    """A crystal of the library."""

    name: str
    crystal: Crystal
    density_g_cm3: float


@cache
def library() -> tuple[Phase, ...]:
    """Return the phases, in the order of their stored numbers."""
    lines = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
    crystals = [(line["name"], Crystal.from_json(json.dumps(line["structure"]))) for line in lines]
    if len(crystals) != N_PHASES:
        raise ValueError(f"{FILE}: expected {N_PHASES} phases, found {len(crystals)}")
    return tuple(Phase(name, crystal, density_g_cm3(crystal)) for name, crystal in crystals)


def phase_names() -> tuple[str, ...]:
    """Return the names of the phases, in the order of their stored numbers."""
    return tuple(phase.name for phase in library())


def density_g_cm3(crystal: Crystal) -> float:
    """Return the mass density of a crystal."""
    masses = (gemmi.Element(element_of(species)).weight for species in crystal.species)
    mass: float = sum(amount * weight for amount, weight in zip(crystal.occupancy.tolist(), masses, strict=True))
    return DALTON_G_CM3 * mass / crystal.volume_A3


def main() -> None:
    """Print the library as curation makes it now."""
    from catalogs.config import ExamplesCatalog
    from catalogs.example_set import records
    from curation.curate import curate_record
    from curation.settings import CurationSettings

    settings = CurationSettings.model_validate({})
    for record in records(ExamplesCatalog.model_validate({})):
        crystal = curate_record(record, settings).crystal
        if crystal is not None:
            line = {"name": record.source_id.removesuffix(".cif"), "structure": json.loads(crystal.to_json())}
            print(json.dumps(line, separators=(",", ":")))


if __name__ == "__main__":
    main()
