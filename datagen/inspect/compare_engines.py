"""Difference between the native engine and GSAS-II on the same structures, in figures and as a table."""

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
from datagen.inspect.engine_limits import Limits, compared_points
from datagen.inspect.subject import Subject, subjects
from datagen.simulate import native
from datagen.simulate.augmentation import AugmentationSettings, draw
from datagen.simulate.gsas2 import engine as gsas2
from datagen.simulate.instrument import Instrument
from datagen.simulate.refusal import Unsimulable


@dataclass(frozen=True)
class Comparison:
    """One structure by both engines; `reason` is given if it could not be compared."""

    name: str
    formula: str
    space_group: int | None
    reason: str = ""
    failed: bool = False
    """Whether the reason is a failure of an engine rather than a property of the structure."""
    errors: tuple[float, ...] = ()
    """max |native - GSAS-II| / max(GSAS-II) of each pattern."""
    worst_at_deg: float = math.nan
    """2theta of the largest of these differences."""
    n_reflections: int = 0
    native_seconds: float = math.nan
    gsas2_seconds: float = math.nan

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, without those that are not known."""
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
    limits: Limits

    @property
    def agree(self) -> bool:
        """Return whether something was compared, nothing failed, and the errors are within the limits."""
        return (
            self.patterns > 0
            and self.failed == 0
            and self.error_median <= self.limits.median
            and self.error_p95 <= self.limits.p95
            and self.error_max <= self.limits.max
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "agree": self.agree}

    def sentence(self) -> str:
        """Return the result in one line."""
        if self.patterns == 0:
            return f"[red]Nothing was compared:[/] none of {self.not_compared} structures could be."
        verdict = "[green]The engines agree[/]" if self.agree else "[red]The engines differ[/]"
        intended = ""
        if self.limits.intended:
            intended = f" The limits include intended differences: {'; '.join(self.limits.intended)} (docs/engine.md)."
        return (
            f"{verdict}: error median {self.error_median:.1e}, p95 {self.error_p95:.1e}, max {self.error_max:.1e} "
            f"(limits {self.limits.median:.1e}, {self.limits.p95:.1e}, {self.limits.max:.1e}) "
            f"over {self.patterns} patterns of {self.structures} structures; "
            f"{self.not_compared} not compared, {self.failed} of them failed; "
            f"native {self.ratio_median:.0f} times faster than GSAS-II {self.gsas2_version}.{intended}"
        )


def errors_of(ours: NDArray[Any], theirs: NDArray[Any], n_points: int | None = None) -> NDArray[np.float64]:
    """Return max |ours - theirs|, over the first `n_points`, / max(theirs) of each pattern; rows are patterns."""
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    difference = np.abs(ours - theirs)[:, :n_points].max(axis=1)
    return np.asarray(difference / theirs.max(axis=1), dtype=np.float64)


def compare(
    path: Path, instrument: Instrument, settings: AugmentationSettings, seed: int, limit: int
) -> Iterator[Comparison]:
    """Compare each structure of a folder, archive or table; raise before the first if GSAS-II cannot be started."""
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
    n_points = compared_points(instrument)
    errors = errors_of(ours.intensity, theirs.intensity, n_points)
    worst = int(errors.argmax())
    apart = np.abs(ours.intensity[worst, :n_points] - theirs.intensity[worst, :n_points])
    return replace(
        about,
        errors=tuple(errors.tolist()),
        worst_at_deg=float(instrument.two_theta_deg[apart.argmax()]),
        n_reflections=len(ours.sticks),
        native_seconds=between - began,
        gsas2_seconds=ended - between,
    )


def summarise(comparisons: list[Comparison], limits: Limits) -> Summary:
    """Return percentiles over all patterns."""
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
        limits=limits,
    )


def agreement_table(comparisons: list[Comparison], limits: Limits) -> Table:
    """Return a table with one row per structure that was compared, the worst first."""
    table = Table(title="native against GSAS-II: max |difference| / max of a pattern", title_justify="left", box=None)
    table.add_column("structure", overflow="ellipsis", no_wrap=True, max_width=36)
    table.add_column("formula", overflow="ellipsis", no_wrap=True, max_width=18)
    for heading in ("group", "sticks", "median", "max", "at 2θ", "native", "GSAS-II", "faster"):
        table.add_column(heading, justify="right", no_wrap=True)
    for c in sorted((c for c in comparisons if c.errors), key=lambda c: -max(c.errors)):
        worst = max(c.errors)
        colour = "green" if worst <= limits.p95 else "yellow" if worst <= limits.max else "red"
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
    """Return one line for each structure that was not compared, failures first."""
    missing = sorted((c for c in comparisons if not c.errors), key=lambda c: not c.failed)
    return [f"[{'red' if c.failed else 'yellow'}]{escape(c.name)}:[/] {escape(c.reason)}" for c in missing]
