"""Answers of `identify` as text: ranked structures, phases of a mixture, and what follows from all of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from datagen.progress import printable

if TYPE_CHECKING:
    from datagen.identification.answer import Identified, Match, Mixed

WIDTH_OF_FILES = 132
"""Columns of a table that goes to no terminal."""
_RIGHT = ("probability", "cosine", "lines", "weight", "added")


def show(console: Console, answer: Identified, top: int) -> None:
    """Print an answer."""
    from curation.labels import CRYSTAL_SYSTEMS
    from datagen.identification.extinction import members

    if not console.is_terminal:
        console.width = WIDTH_OF_FILES
    table = _table(answer.name, "formula", "group", "probability", "cosine", "lines", "conventional cell", "source")
    for c in answer.candidates[:top]:
        shares = (f"{c.probability:.1%}", f"{c.cosine:.3f}", _share(c.explained_lines))
        table.add_row(_plain(c.formula), str(c.space_group), *shares, _conventional(c), _source(c))
    console.print(table)
    if not answer.is_explained:
        console.print("[yellow]Nothing in the library explains this scan[/]; these are the nearest structures.")
    if answer.candidates:
        console.print(f"cell of the first: {_cells(answer.candidates[0])}", soft_wrap=True)
    if answer.network is not None and answer.network.niggli is not None:
        console.print(
            f"cell by the network and the lines: Niggli {' '.join(f'{v:.5g}' for v in answer.network.niggli)} "
            f"(line odds {answer.network.line_odds:.0f})",
            soft_wrap=True,
        )
    if answer.mixture is not None:
        _show_mixture(console, answer.mixture)
    systems, groups = answer.crystal_system, answer.space_group
    said = ", ".join(f"{CRYSTAL_SYSTEMS[i]} {systems[i]:.0%}" for i in (-systems).argsort()[:3].tolist())
    numbers = ", ".join(f"{i + 1} {groups[i]:.0%}" for i in (-groups).argsort()[:3].tolist())
    classes = ", ".join(
        f"{'/'.join(str(g) for g in members(first))} {p:.0%}" for first, p in list(answer.extinction.items())[:2]
    )
    by = (
        ""
        if answer.network is None
        else f" (ranked first by {answer.decided_by.replace('both', 'library and network')})"
    )
    console.print(f"{said}; space group {numbers}{by}\nextinctions of {classes}\n", soft_wrap=True)


def _show_mixture(console: Console, mixture: Mixed) -> None:
    from datagen.identification.mixture import SUPPORT

    n = len(mixture.phases)
    table = _table(
        f"{n} {'phase' if n == 1 else 'phases'}, {_share(mixture.explained_lines)} of the peaks explained, cosine "
        f"{mixture.cosine:.3f}",
        *("formula", "group", "weight", "added", "lines", "conventional cell", "source"),
    )
    for phase in mixture.phases:
        added = "" if phase.added_log_odds is None else f"{phase.added_log_odds:+.1f}"
        shares = (f"{phase.weight_fraction:.1%}", added, _share(phase.explained_lines))
        table.add_row(_plain(phase.formula), str(phase.space_group), *shares, _conventional(phase), _source(phase))
    console.print(table)
    if mixture.next_log_odds is not None:
        console.print(
            f"A further phase is not supported: the best would add {mixture.next_log_odds:.1f} to the log odds, "
            f"{SUPPORT:g} are needed.",
            soft_wrap=True,
        )
    elif mixture.is_complete:
        console.print("A further phase is not supported: no other structure has lines in what is left.")
    else:
        console.print(f"Further phases were not searched (--phases {mixture.most}).")


def _share(of_peaks: float | None) -> str:
    """Return the share of peaks on lines, which cells with too many lines do not have."""
    return "unknown" if of_peaks is None else f"{of_peaks:.0%}"


def _table(title: str, *headings: str) -> Table:
    table = Table(title=_plain(title), title_justify="left", box=None, header_style="dim")
    for heading in headings:
        table.add_column(heading, justify="right" if heading in _RIGHT else "left")
    return table


def _plain(text: str) -> str:
    return escape(printable(text))


def _source(match: Match) -> str:
    return _plain(f"{match.source} {match.source_id}")


def _conventional(match: Match) -> str:
    if match.conventional is None:
        return "not known"
    lengths, angles = match.conventional[:3], match.conventional[3:]
    return " ".join([*(f"{v:.4f}" for v in lengths), *(f"{v:.2f}".removesuffix(".00") for v in angles)])


def _cells(match: Match) -> str:
    """Return both cells with their uncertainties."""
    parts = []
    for name, values, errors in (
        ("conventional", match.conventional, match.conventional_uncertainty),
        ("Niggli", match.niggli, match.niggli_uncertainty),
    ):
        if values is not None:
            cell = [with_uncertainty(v, e) for v, e in zip(values, errors or (0.0,) * 6, strict=True)]
            parts.append(f"{name} {' '.join(cell)}")
    return "; ".join(parts)


def with_uncertainty(value: float, error: float) -> str:
    """Return a value with its uncertainty in units of the last digit: 4.9134(5); without one 4 digits, or none."""
    if error <= 0:
        return f"{value:.4f}".rstrip("0").rstrip(".")
    digits = max(0, 1 - math.floor(math.log10(error)))
    while round(error * 10**digits) > 19 and digits > 0:
        digits -= 1
    return f"{value:.{digits}f}({max(1, round(error * 10**digits))})"
