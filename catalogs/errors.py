"""Errors of whole catalogs: missing, or not of the configured kind."""

from __future__ import annotations


class CatalogError(Exception):
    """A catalog cannot be used; the message says what, where, expected, found, and what to do.

    A single unusable file is a `Defect` instead.
    """

    def __init__(self, what: str, *, where: str, expected: str = "", found: str = "", do: str = "") -> None:
        self.what = what
        self.where = where
        self.expected = expected
        self.found = found = " ".join(found.split())
        self.do = do
        facts = [f"expected {expected}" if expected else "", f"found {found}" if found else ""]
        middle = ", ".join(fact for fact in facts if fact)
        super().__init__(f"{where}: {what}" + (f": {middle}" if middle else "") + (f"; {do}" if do else ""))


class UnsafeFileError(CatalogError):
    """A file can only be read by running code that it holds; among other files it is a row with a reason."""


class NoStructuresError(CatalogError):
    """A table or database is intact, but no structures are in it; among other files it is skipped."""
