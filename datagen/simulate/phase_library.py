"""Libraries of second phases: the bundled crystals as curation accepted them, and others by the hash of their content.

The bundled crystals are kept in `second_phases.jsonl`, so that patterns do not depend on the version of a symmetry
finder. `python -m datagen.simulate.phase_library` prints that file; its content never changes under the name of a
library. Another library is a file of the same form, whose name is its SHA-256; it is loaded before it is used.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import gemmi

from curation.composition import element_of
from curation.crystal import Crystal
from datagen.errors import StoreError

BUNDLED = "bundled-1"
NAMES = rf"^({BUNDLED}|[0-9a-f]{{64}})$"
"""Names of libraries, as a regular expression."""
LIBRARY_FILE = "second_phases.jsonl"
"""Name of the file of a library in a dataset."""
FILE = Path(__file__).with_name("second_phases.jsonl")
N_PHASES = 95
MOST_PHASES = 2000
"""Of a library: each process keeps the reflections of all that it used."""
LARGEST_LIBRARY_BYTES = 200_000_000
PHASE_NAME = re.compile(r"[\w.()+*'-]{1,80}")
"""A word, since a dataset lists names with blanks between them."""
DALTON_G_CM3 = 1.66053906660
"""1 dalton per A^3 in g/cm^3."""


@dataclass(frozen=True, eq=False)
class Phase:
    """A crystal of the library."""

    name: str
    crystal: Crystal
    density_g_cm3: float
    licence: str = ""


_LOADED: dict[str, tuple[bytes, tuple[Phase, ...]]] = {}


def library(name: str = BUNDLED) -> tuple[Phase, ...]:
    """Return the phases of a library, in the order of their stored numbers; raise if it was not loaded."""
    if name == BUNDLED:
        return _bundled()
    return _loaded(name)[1]


def library_bytes(name: str) -> bytes:
    """Return the file of a library that was loaded."""
    return _loaded(name)[0]


def load_library(data: bytes, expected: str | None = None) -> str:
    """Make a library available to this process and return its name, which is the SHA-256 of its file."""
    name = hashlib.sha256(data).hexdigest()
    if expected is not None and name != expected:
        raise StoreError(
            f"{LIBRARY_FILE}: expected the library {expected[:12]} of second phases, found {name[:12]}; fetch the "
            "dataset again"
        )
    if name not in _LOADED:
        _LOADED[name] = data, _parsed(data)
    return name


def is_loaded(name: str) -> bool:
    """Return whether a library can be used."""
    return name == BUNDLED or name in _LOADED


def library_line(name: str, licence: str, structure: str) -> str:
    """Return the line of a phase in the file of a library."""
    line = {"name": name, "licence": licence, "structure": json.loads(structure)}
    return json.dumps(line, separators=(",", ":")) + "\n"


def phase_names(name: str = BUNDLED) -> tuple[str, ...]:
    """Return the names of the phases, in the order of their stored numbers."""
    return tuple(phase.name for phase in library(name))


def density_g_cm3(crystal: Crystal) -> float:
    """Return the mass density of a crystal."""
    masses = (gemmi.Element(element_of(species)).weight for species in crystal.species)
    mass: float = sum(amount * weight for amount, weight in zip(crystal.occupancy.tolist(), masses, strict=True))
    return DALTON_G_CM3 * mass / crystal.volume_A3


@cache
def _bundled() -> tuple[Phase, ...]:
    phases = _parsed(FILE.read_bytes())
    if len(phases) != N_PHASES:
        raise ValueError(f"{FILE}: expected {N_PHASES} phases, found {len(phases)}")
    return phases


def _loaded(name: str) -> tuple[bytes, tuple[Phase, ...]]:
    if name not in _LOADED:
        raise StoreError(
            f"phase_library: the library {name[:12]} of second phases is not at hand; name the dataset that it was "
            "made of in a configuration of datagen run"
        )
    return _LOADED[name]


def _parsed(data: bytes) -> tuple[Phase, ...]:
    try:
        found = []
        for text in data.decode().splitlines():
            line = json.loads(text)
            crystal = Crystal.from_json(json.dumps(line["structure"]))
            found.append(Phase(line["name"], crystal, density_g_cm3(crystal), str(line.get("licence", ""))))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StoreError(f"{LIBRARY_FILE}: a line is malformed ({error!r:.200}); fetch the dataset again") from error
    if wrong := [phase.name for phase in found if not PHASE_NAME.fullmatch(phase.name)]:
        raise StoreError(f"{LIBRARY_FILE}: a name is malformed ({wrong[0]!r:.80}); fetch the dataset again")
    if not 1 <= len(found) <= MOST_PHASES:
        raise StoreError(f"{LIBRARY_FILE}: expected 1 to {MOST_PHASES:,} phases, found {len(found):,}")
    return tuple(found)


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
