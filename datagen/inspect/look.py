"""Patterns of one structure by either engine, written as arrays, table or picture."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gemmi
import numpy as np

from datagen.errors import ConfigError, EngineError
from datagen.inspect.subject import Subject, subjects
from datagen.simulate import engine
from datagen.simulate.augmentation import Augmentations, AugmentationSettings, draw
from datagen.simulate.instrument import Instrument
from datagen.simulate.patterns import Patterns
from datagen.simulate.refusal import Unsimulable


@dataclass(frozen=True, eq=False)
class Look:
    """One structure's patterns, with the settings that they were simulated with."""

    subject: Subject
    engine: str
    instrument: Instrument
    augmentations: Augmentations
    patterns: Patterns
    seconds: float

    @property
    def title(self) -> str:
        """Return formula and space group, as far as they are known."""
        number = self.subject.space_group
        group = f", {gemmi.SpaceGroup(number).short_name()} ({number})" if number else ""
        return f"{self.subject.formula or self.subject.name}{group}"


def look_at(path: Path, engine_name: str, instrument: Instrument, settings: AugmentationSettings, seed: int) -> Look:
    """Simulate the first structure of a file that can be read."""
    if not path.exists():
        raise ConfigError(f"{path}: file not found")
    found = list(subjects(path))
    subject = next((s for s in found if s.crystal is not None), None)
    if subject is None or subject.crystal is None:
        reason = found[0].remark if found else "the file contains none"
        raise ConfigError(f"{path}: no crystal structure could be read: {reason}")
    simulate = engine(engine_name)
    augmentations = draw(settings, seed, subject.crystal.structure_hash(), range(settings.count))
    try:
        simulate(subject.crystal, instrument, augmentations[:1])  # compile, or start GSAS-II, before the clock runs
        began = time.perf_counter()
        patterns = simulate(subject.crystal, instrument, augmentations)
    except Unsimulable as error:
        raise EngineError(f"{path}: {error}") from error
    return Look(subject, engine_name, instrument, augmentations, patterns, time.perf_counter() - began)


def writer_for(out: Path) -> Callable[[Look, Path], None]:
    """Return the writer for a file of this name; call it before simulating, to fail early."""
    from datagen.inspect.look_figure import write_figure

    writers: dict[str, Callable[[Look, Path], None]] = {
        ".npz": write_arrays,
        ".csv": write_table,
        ".png": write_figure,
        ".pdf": write_figure,
        ".svg": write_figure,
    }
    if out.suffix.lower() not in writers:
        raise ConfigError(f"--out {out}: expected a name ending in {', '.join(writers)}, found {out.suffix!r}")
    if not out.parent.is_dir():
        raise ConfigError(f"--out {out}: folder {out.parent} not found")
    return writers[out.suffix.lower()]


def write_arrays(look: Look, out: Path) -> None:
    """Write a NumPy archive: patterns, grid, sticks, every drawn value, diagnostics of widths."""
    sticks, diagnostics = look.patterns.sticks, look.patterns.diagnostics
    arrays: dict[str, Any] = dict(  # noqa: C408
        intensity=look.patterns.intensity,
        two_theta_deg=look.instrument.two_theta_deg,
        stick_two_theta_deg=sticks.two_theta_deg,
        stick_intensity=sticks.intensity,
        stick_line=sticks.line,
        fwhm_deg=diagnostics.fwhm_deg,
        fwhm_at_deg=diagnostics.width_angle_deg,
        name=look.subject.name,
        structure=look.subject.crystal.to_json() if look.subject.crystal else "",
        engine=look.engine,
        instrument=look.instrument.model_dump_json(),
    )
    arrays |= {f"augmentation_{name}": values for name, values in look.augmentations.columns().items()}
    np.savez_compressed(out, **arrays)


def write_table(look: Look, out: Path) -> None:
    """Write a CSV table: 2theta in degrees, then one column for each augmentation."""
    with out.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["two_theta_deg", *(f"intensity_{i}" for i in look.augmentations.index)])
        for angle, values in zip(look.instrument.two_theta_deg, look.patterns.intensity.T, strict=True):
            rows.writerow([f"{angle:.7g}", *(f"{v:.7g}" for v in values)])
