"""What may leave the house on which terms: licences in two classes, and what each profile keeps back of either."""

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
"""Licences that let structures be passed on, in changed form too; No-Derivatives variants do not."""

WITHHELD = ("coordinates", "sticks", "densities", "source text")
"""What of a restricted structure never leaves."""


@dataclass(frozen=True)
class Terms:
    """What leaves, as asked for."""

    profile: Profile = "full"
    restricted: Restricted = "redact"
    """What becomes of rows whose licence is not known to be open."""
    declared_open: tuple[str, ...] = ()
    """Licences that the publisher states to be open."""
    source_metadata: tuple[str, ...] = ()
    """Source metadata to publish of open rows beside what is published unasked."""

    def is_open(self, licence: str) -> bool:
        """Whether structures under this licence may be passed on; what is not known to be open is not."""
        if licence in self.declared_open:
            return True
        name = licence.strip().upper()
        return name.startswith(OPEN_PREFIXES) and "-ND" not in name and " ND" not in name

    def withholds(self, licence: str) -> bool:
        """Whether coordinates, sticks, densities and source text of such a row stay."""
        return self.profile != "full" or not self.is_open(licence)

    def publishes(self, licence: str) -> bool:
        """Whether such a row leaves at all."""
        return self.restricted == "redact" or self.is_open(licence)


@dataclass(frozen=True)
class LicenceSummary:
    """What leaves of the rows under one licence."""

    licence: str
    n_structures: int
    is_open: bool
    published: tuple[str, ...]
    withheld: tuple[str, ...]


def summary(licences: Iterable[str], terms: Terms) -> list[LicenceSummary]:
    """What leaves and what stays by licence, most rows first."""
    found = []
    for licence, count in sorted(Counter(licences).items(), key=lambda item: (-item[1], item[0])):
        leaves, stays = _parts(terms, licence)
        found.append(LicenceSummary(licence, count, terms.is_open(licence), leaves, stays))
    return found


def _parts(terms: Terms, licence: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    everything = ("labels", "patterns", *WITHHELD)
    if not terms.publishes(licence):
        return (), everything
    stays: Collection[str] = ()
    if terms.profile == "labels":
        stays = everything[1:]
    elif terms.withholds(licence):
        stays = WITHHELD
    return tuple(part for part in everything if part not in stays), tuple(part for part in everything if part in stays)
