"""Terms of a publication: open and restricted licences, and what each profile withholds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

Profile = Literal["full", "patterns", "labels"]
Restricted = Literal["redact", "leave-out"]
PROFILES: tuple[Profile, ...] = ("full", "patterns", "labels")
RESTRICTED: tuple[Restricted, ...] = ("redact", "leave-out")

OPEN_PREFIXES = ("CC0", "CC-BY", "CC BY", "PDDL", "ODC-BY", "ODBL", "PUBLIC DOMAIN")
"""Beginnings of licences that allow redistribution of changed structures; No-Derivatives variants do not."""

WITHHELD = ("coordinates", "sticks", "densities", "source text")
"""Parts of a restricted structure that are never published."""


@dataclass(frozen=True)
class Terms:
    """Terms that the publisher asks for."""

    profile: Profile = "full"
    restricted: Restricted = "redact"
    """Treatment of rows whose licence is not known to be open."""
    declared_open: tuple[str, ...] = ()
    """Licences that the publisher states to be open."""
    source_metadata: tuple[str, ...] = ()
    """Source metadata to publish of open rows beside what is published unasked."""

    def is_open(self, licence: str) -> bool:
        """Return whether structures under this licence may be redistributed; unknown licences are not open."""
        if licence in self.declared_open:
            return True
        name = licence.strip().upper()
        return name.startswith(OPEN_PREFIXES) and "-ND" not in name and " ND" not in name

    def withholds(self, licence: str) -> bool:
        """Return whether coordinates, sticks, densities and source text of such a row are withheld."""
        return self.profile != "full" or not self.is_open(licence)

    def publishes(self, licence: str) -> bool:
        """Return whether such a row is published at all."""
        return self.restricted == "redact" or self.is_open(licence)


@dataclass(frozen=True)
class LicenceSummary:
    """What is published and withheld of the rows under one licence."""

    licence: str
    n_structures: int
    is_open: bool
    published: tuple[str, ...]
    withheld: tuple[str, ...]


def summary(licences: Iterable[str], terms: Terms) -> list[LicenceSummary]:
    """Return what is published and withheld by licence, most rows first."""
    found = []
    for licence, count in sorted(Counter(licences).items(), key=lambda item: (-item[1], item[0])):
        published, withheld = _parts(terms, licence)
        found.append(LicenceSummary(licence, count, terms.is_open(licence), published, withheld))
    return found


def _parts(terms: Terms, licence: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    everything = ("labels", "patterns", *WITHHELD)
    if not terms.publishes(licence):
        return (), everything
    withheld: Collection[str] = ()
    if terms.profile == "labels":
        withheld = everything[1:]
    elif terms.withholds(licence):
        withheld = WITHHELD
    return tuple(part for part in everything if part not in withheld), tuple(
        part for part in everything if part in withheld
    )
