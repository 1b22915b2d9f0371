"""What every check of a verdict found, for printing in a terminal or a notebook."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path

from curation.settings import CurationSettings
from curation.verdict import Verdict
from datagen.errors import DatagenError
from datagen.inspect.explain import Found, Seen, checks_of, find, headline, near_misses

COLOURS = {"passed": "#1a7f37", "failed": "#cf222e", "remark": "#9a6700", "not reached": "#6e7781", "seen": "inherit"}


@dataclass(frozen=True, repr=False)
class Explanation:
    """A verdict with all of its checks; prints as a table."""

    verdict: Verdict
    checks: tuple[Seen, ...]

    @classmethod
    def of(cls, verdict: Verdict, settings: CurationSettings) -> Explanation:
        """Return the explanation of a verdict that was reached under these settings."""
        return cls(verdict, tuple(checks_of(verdict, settings)))

    def __repr__(self) -> str:
        rows = [(check.check, check.value, check.limit, _outcome(check)) for check in self.checks]
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        lines = ["  ".join(text.ljust(width) for text, width in zip(row, [*widths, 0], strict=True)) for row in rows]
        return "\n".join([self._title(), *(f"  {line.rstrip()}" for line in lines)])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(c.check)}</td><td>{escape(c.value)}</td><td>{escape(c.limit)}</td>"
            f'<td style="color: {COLOURS[c.outcome]}">{_outcome(c)}</td></tr>'
            for c in self.checks
        )
        head = "<tr><th>check</th><th>found</th><th>expected</th><th></th></tr>"
        return f'<p>{escape(self._title())}</p><table style="text-align: left">{head}{rows}</table>'

    def _title(self) -> str:
        return f"{self.verdict.source_id}: {headline(self.verdict)}"


def look_up(record: str, dataset: Path) -> Found:
    """Return the one verdict of a dataset or curation table that `record` names, with its settings."""
    matches = find(dataset, record)
    if len(matches) == 1:
        return matches[0]
    names = [found.verdict.source_id for found in matches[:5]] or near_misses(dataset, record)
    found = f"found {len(matches):,}" if matches else "found none"
    hint = f": {', '.join(names)}" if matches else f"; did you mean {', '.join(names)}?" if names else ""
    raise DatagenError(f"{dataset}: expected one record {record!r}, {found}{hint}")


def _outcome(check: Seen) -> str:
    return "" if check.outcome == "seen" else check.outcome
