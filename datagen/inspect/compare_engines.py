"""How closely our engine follows GSAS-II: both on the same structures, the difference in figures and as a table."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.markup import escape
from rich.table import Table

from datagen.errors import EngineError
from datagen.inspect.subject import Subject, subjects
from datagen.simulate import native
from datagen.simulate.augmentation import AugmentationSettings, draw
from datagen.simulate.gsas2 import engine as gsas2
from datagen.simulate.instrument import Instrument
from datagen.simulate.refusal import Unsimulable

MEDIAN_LIMIT, P95_LIMIT, MAX_LIMIT = 3e-4, 1.5e-3, 1e-2
"""Of the highest point of a pattern: what the engines' tables of dispersion and GSAS-II's single precision allow."""


@dataclass(frozen=True)
class Comparison:
    """One structure by both engines; `reason` says why there is nothing to compare."""

    name: str
    formula: str
    space_group: int | None
    reason: str = ""
    failed: bool = False
    """Whether the reason is a failure of an engine rather than a property of the structure."""
    errors: tuple[float, ...] = ()
    """max |native - GSAS-II| / max(GSAS-II) of each pattern."""
    worst_at_deg: float = math.nan
    """Where the largest of these differences is, 2theta."""
    n_reflections: int = 0
    native_seconds: float = math.nan
    gsas2_seconds: float = math.nan

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON: what is not known is left out."""
        return {k: v for k, v in asdict(self).items() if not (isinstance(v, float) and math.isnan(v))}


@dataclass(frozen=True)
class Summary:
    """The agreement over all patterns of all structures."""

    structures: int
    patterns: int
    not_compared: int
    failed: int
    error_median: float
    error_p95: float
    error_max: float
    ratio_median: float
    """How many times faster the native engine is."""
    gsas2_version: str

    @property
    def agree(self) -> bool:
        """Whether something was compared, nothing failed, and the errors are within the limits."""
        return (
            self.patterns > 0
            and self.failed == 0
            and self.error_median <= MEDIAN_LIMIT
            and self.error_p95 <= P95_LIMIT
            and self.error_max <= MAX_LIMIT
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**asdict(self), "agree": self.agree}

    def sentence(self) -> str:
        """One line."""
        if self.patterns == 0:
            return f"[red]Nothing was compared:[/] {self.not_compared} structures could not be."
        verdict = "[green]The engines agree[/]" if self.agree else "[red]The engines differ[/]"
        return (
            f"{verdict}: error median {self.error_median:.1e}, p95 {self.error_p95:.1e}, max {self.error_max:.1e} "
            f"(limits {MEDIAN_LIMIT:.0e}, {P95_LIMIT:.1e}, {MAX_LIMIT:.0e}) over {self.patterns} patterns of "
            f"{self.structures} structures; {self.not_compared} not compared, {self.failed} of them failed; "
            f"native {self.ratio_median:.0f} times faster than GSAS-II {self.gsas2_version}."
        )


def errors_of(ours: NDArray[Any], theirs: NDArray[Any]) -> NDArray[np.float64]:
    """max |ours - theirs| / max(theirs) of each pattern; rows are patterns."""
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    return np.asarray(np.abs(ours - theirs).max(axis=1) / theirs.max(axis=1), dtype=np.float64)


def compare(
    path: Path, instrument: Instrument, settings: AugmentationSettings, seed: int, limit: int
) -> Iterator[Comparison]:
    """Each structure of a folder, archive or table; a missing GSAS-II is an error before the first."""
    gsas2.version()
    for subject, _ in zip(subjects(path), range(limit), strict=False):
        yield _compare_one(subject, instrument, settings, seed)


def _compare_one(subject: Subject, instrument: Instrument, settings: AugmentationSettings, seed: int) -> Comparison:
    about = Comparison(subject.name, subject.formula, subject.space_group)
    crystal = subject.crystal
    if crystal is None or subject.remark:
        return replace(about, reason=subject.remark)
    augmentations = draw(settings, seed, crystal.structure_hash(), range(settings.count))
    try:
        native.simulate(crystal, instrument, augmentations[:1])
        began = time.perf_counter()
        ours = native.simulate(crystal, instrument, augmentations)
        between = time.perf_counter()
        theirs = gsas2.simulate(crystal, instrument, augmentations)
        ended = time.perf_counter()
    except Unsimulable as refused:
        return replace(about, reason=str(refused))
    except EngineError as failure:
        return replace(about, reason=str(failure).splitlines()[0], failed=True)
    errors = errors_of(ours.intensity, theirs.intensity)
    worst = int(errors.argmax())
    apart = np.abs(ours.intensity[worst] - theirs.intensity[worst])
    return replace(
        about,
        errors=tuple(errors.tolist()),
        worst_at_deg=float(instrument.two_theta_deg[apart.argmax()]),
        n_reflections=len(ours.sticks),
        native_seconds=between - began,
        gsas2_seconds=ended - between,
    )


def summarise(comparisons: list[Comparison]) -> Summary:
    """Percentiles over all patterns."""
    errors = np.array([e for c in comparisons for e in c.errors])
    compared = [c for c in comparisons if c.errors]
    median, p95, largest = np.percentile(errors, [50, 95, 100]) if errors.size else (math.nan,) * 3
    ratio = float(np.median([c.gsas2_seconds / c.native_seconds for c in compared])) if compared else math.nan
    return Summary(
        structures=len(compared),
        patterns=errors.size,
        not_compared=len(comparisons) - len(compared),
        failed=sum(c.failed for c in comparisons),
        error_median=float(median),
        error_p95=float(p95),
        error_max=float(largest),
        ratio_median=ratio,
        gsas2_version=gsas2.version(),
    )


def agreement_table(comparisons: list[Comparison]) -> Table:
    """One row per structure that was compared, the worst first."""
    table = Table(title="native against GSAS-II: max |difference| / max of a pattern", title_justify="left", box=None)
    table.add_column("structure", overflow="ellipsis", no_wrap=True, max_width=36)
    table.add_column("formula", overflow="ellipsis", no_wrap=True, max_width=18)
    for heading in ("group", "sticks", "median", "max", "at 2θ", "native", "GSAS-II", "faster"):
        table.add_column(heading, justify="right", no_wrap=True)
    for c in sorted((c for c in comparisons if c.errors), key=lambda c: -max(c.errors)):
        worst = max(c.errors)
        colour = "green" if worst <= P95_LIMIT else "yellow" if worst <= MAX_LIMIT else "red"
        table.add_row(
            escape(c.name),
            escape(c.formula),
            str(c.space_group or ""),
            str(c.n_reflections),
            f"{np.median(c.errors):.1e}",
            f"[{colour}]{worst:.1e}[/]",
            f"{c.worst_at_deg:.3f}°",
            f"{1000 * c.native_seconds:.2f} ms",
            f"{c.gsas2_seconds:.2f} s",
            f"{c.gsas2_seconds / c.native_seconds:.0f}×",
        )
    return table


def not_compared(comparisons: list[Comparison]) -> list[str]:
    """One line for each structure without figures: failures first."""
    missing = sorted((c for c in comparisons if not c.errors), key=lambda c: not c.failed)
    return [f"[{'red' if c.failed else 'yellow'}]{escape(c.name)}:[/] {escape(c.reason)}" for c in missing]
