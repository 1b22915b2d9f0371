"""What stops a catalog as a whole: it is not there, or not what the configuration says it is."""

from __future__ import annotations


class CatalogError(Exception):
    """One sentence for a person: what, where, expected, found, what to do. Poor files are defects instead."""

    def __init__(self, what: str, *, where: str, expected: str = "", found: str = "", do: str = "") -> None:
        self.what = what
        self.where = where
        self.expected = expected
        self.found = found = " ".join(found.split())
        self.do = do
        facts = [f"expected {expected}" if expected else "", f"found {found}" if found else ""]
        middle = ", ".join(fact for fact in facts if fact)
        super().__init__(f"{where}: {what}" + (f": {middle}" if middle else "") + (f"; {do}" if do else ""))
