"""The ranges of a file joined into one scan, and the checks that every scan passes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from trainer.scans.scan import MOST_POINTS, Array, Radiation, Scan, ScanError, ScanRange, Unit
from trainer.scans.uncertainty import counting

FEWEST_POINTS = 50
LOWEST_DEG, HIGHEST_DEG = -30.0, 180.0
SAME_ANGLE_DEG = 1e-5
MOST_JUMPS = 100
SHORTEST_RANGE = 10
"""Points of a range in a list of angles that start again; shorter ones are mistakes."""
SIMILAR_STEPS, LEAST_SIMILAR = 2.5, 0.7
"""Neighbouring steps within this factor, and the least share of them in a scan; a list of peaks has 0.43."""
LEAST_AGREEMENT = 0.9
"""Correlation of smoothed scans over one range below which they are taken for a series of different states."""


def join(
    kind: str,
    ranges: Sequence[ScanRange],
    unit: Unit,
    radiation: Radiation | None = None,
    sample: str | None = None,
    remarks: Iterable[str] = (),
) -> Scan:
    """Join the ranges of a file into one scan; refuse what is not a scan over 2theta.

    Ranges over the same angles are added if they agree. Others are put in order; where their counting times differ,
    counts become counts per second.
    """
    said = list(remarks)
    parts = [rising for part in ranges for rising in _rising(_finite(part, said), said)]
    if not parts or sum(len(part.intensity) for part in parts) < FEWEST_POINTS:
        found = sum(len(part.intensity) for part in parts)
        raise ScanError(f"expected a scan of at least {FEWEST_POINTS} points, found {found}")
    if sum(len(part.intensity) for part in parts) > MOST_POINTS:
        raise ScanError(f"expected at most {MOST_POINTS:,} points")
    for part in parts:
        _refuse_peaks(part)
    unit = _checked_unit(parts, unit, said)
    if len(parts) > 1 and _same_angles(parts):
        whole = _added(parts, unit, said)
    else:
        whole, unit = _in_order(parts, unit, said)
    x, y = whole.two_theta_deg, whole.intensity
    if x[0] < LOWEST_DEG or x[-1] > HIGHEST_DEG:
        raise ScanError(f"expected 2theta in degrees, found {x[0]:g} to {x[-1]:g}")
    if np.ptp(y) == 0:
        raise ScanError(f"every intensity is {y[0]:g}; there is no pattern in it")
    seconds = None if whole.seconds is None else np.broadcast_to(np.asarray(whole.seconds, dtype=float), x.shape)
    if seconds is not None and not (np.isfinite(seconds) & (seconds > 0)).all():
        seconds = None
    name = (sample or "").strip() or None
    return Scan(x, y, unit, whole.sigma, seconds, radiation or Radiation(), name, kind, len(parts), tuple(said))


def _finite(part: ScanRange, said: list[str]) -> ScanRange:
    """Leave out points that are not numbers."""
    kept = np.isfinite(part.two_theta_deg) & np.isfinite(part.intensity)
    missing = int(np.count_nonzero(~kept))
    sigma = part.sigma
    if sigma is not None:
        sigma = np.where(np.isfinite(sigma) & (sigma > 0), sigma, 0.0)
        sigma = None if not sigma.any() else sigma
    if 2 * missing > len(kept):
        raise ScanError(f"{missing} of {len(kept)} points are not finite numbers")
    if missing:
        said.append(f"{missing} points that are not finite numbers were left out")
    return _chosen(replace(part, sigma=sigma), kept) if missing else replace(part, sigma=sigma)


def _chosen(part: ScanRange, which: NDArray[np.bool_] | NDArray[np.int64]) -> ScanRange:
    seconds = part.seconds[which] if isinstance(part.seconds, np.ndarray) else part.seconds
    sigma = None if part.sigma is None else part.sigma[which]
    return ScanRange(part.two_theta_deg[which], part.intensity[which], sigma, seconds)


def _rising(part: ScanRange, said: list[str]) -> list[ScanRange]:
    """Return the range as ranges of rising angles: reversed if it falls, divided where it starts again."""
    steps = np.diff(part.two_theta_deg)
    if len(steps) and (steps <= 0).all() and (steps < 0).any():
        said.append("the angles fall; their order was reversed")
        return [_chosen(part, np.arange(len(part.intensity))[::-1])]
    jumps = np.flatnonzero(steps < 0) + 1
    if len(jumps) == 0:
        return [part]
    shortest = int(np.diff([0, *jumps, len(part.intensity)]).min())
    if len(jumps) > MOST_JUMPS or shortest < SHORTEST_RANGE:
        at = int(jumps[0])
        x = part.two_theta_deg
        raise ScanError(
            f"expected angles that rise, found {x[at - 1]:g} followed by {x[at]:g} and {len(jumps)} such steps in all"
        )
    said.append(f"the angles start again {len(jumps)} times; read as ranges of their own")
    return [_chosen(part, index) for index in np.split(np.arange(len(part.intensity)), jumps)]


def _refuse_peaks(part: ScanRange) -> None:
    """Refuse a list of peaks: its steps are uneven, those of a scan change little from one to the next."""
    steps = np.diff(part.two_theta_deg)
    steps = steps[steps > SAME_ANGLE_DEG]
    if len(steps) < FEWEST_POINTS // 2:
        return
    ratio = np.abs(np.log(steps[1:] / steps[:-1]))
    if np.mean(ratio < np.log(SIMILAR_STEPS)) < LEAST_SIMILAR:
        raise ScanError(f"expected a scan with even steps, found {len(part.intensity)} uneven ones: a list of peaks")


def _checked_unit(parts: list[ScanRange], unit: Unit, said: list[str]) -> Unit:
    """Take the file's word for counts only if the numbers agree."""
    if unit != "counts":
        return unit
    every = np.concatenate([part.intensity for part in parts])
    if np.any(every != np.round(every)) or np.any(every < 0):
        said.append("intensities called counts are not whole numbers; uncertainties are estimated from their scatter")
        return "arbitrary"
    return unit


def _same_angles(parts: list[ScanRange]) -> bool:
    first = parts[0].two_theta_deg
    tolerance = 0.05 * float(np.median(np.diff(first))) if len(first) > 1 else 0.0
    return all(
        len(part.two_theta_deg) == len(first) and np.abs(part.two_theta_deg - first).max() <= tolerance
        for part in parts[1:]
    )


def _added(parts: list[ScanRange], unit: Unit, said: list[str]) -> ScanRange:
    """Add scans over the same angles; refuse those that differ, a series over time or temperature."""
    smooth = [np.convolve(part.intensity, np.ones(11), mode="same") for part in parts]
    total = np.sum(smooth, axis=0)
    agreement = min(_correlation(one, total) for one in smooth)
    if agreement < LEAST_AGREEMENT:
        raise ScanError(
            f"holds {len(parts)} scans over the same angles that differ (correlation {agreement:.2f}): a series over "
            "time or temperature; export one scan to a file"
        )
    said.append(f"{len(parts)} scans over the same angles were {'added' if unit == 'counts' else 'averaged'}")
    share = 1.0 if unit == "counts" else 1.0 / len(parts)
    sigma = None
    if all(part.sigma is not None for part in parts):
        sigma = share * np.sqrt(np.sum([np.square(part.sigma) for part in parts if part.sigma is not None], axis=0))
    seconds = None
    if all(part.seconds is not None for part in parts):
        seconds = np.sum([part.seconds * np.ones(1) for part in parts if part.seconds is not None], axis=0)
    intensity = share * np.sum([part.intensity for part in parts], axis=0)
    return ScanRange(parts[0].two_theta_deg, intensity, sigma, seconds)


def _correlation(a: Array, b: Array) -> float:
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 1.0 if np.ptp(a) == np.ptp(b) else 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _in_order(parts: list[ScanRange], unit: Unit, said: list[str]) -> tuple[ScanRange, Unit]:
    """Return ranges as one, in the order of their angles, with points at the same angle averaged."""
    if len(parts) > 1 and unit == "counts":
        times = [np.asarray(part.seconds, dtype=float) for part in parts if part.seconds is not None]
        timed = len(times) == len(parts) and all((t > 0).all() for t in times)
        if timed and len({float(t.flat[0]) for t in times} | {float(t.flat[-1]) for t in times}) > 1:
            said.append("ranges with different counting times were brought to counts per second")
            parts = [_as_rate(part, t) for part, t in zip(parts, times, strict=True)]
            unit = "counts/s"
    if len(parts) > 1:
        said.append(f"{len(parts)} ranges were joined")
    x = np.concatenate([part.two_theta_deg for part in parts])
    y = np.concatenate([part.intensity for part in parts])
    sigma = seconds = None
    if all(part.sigma is not None for part in parts):
        sigma = np.concatenate([part.sigma for part in parts if part.sigma is not None])
    if all(part.seconds is not None for part in parts):
        seconds = np.concatenate(
            [np.broadcast_to(np.asarray(part.seconds, dtype=float), part.intensity.shape) for part in parts]
        )
    whole = _chosen(ScanRange(x, y, sigma, seconds), np.argsort(x, kind="stable"))
    repeated = np.diff(whole.two_theta_deg) < SAME_ANGLE_DEG
    if not repeated.any():
        return whole, unit
    said.append(f"{np.count_nonzero(repeated)} points at an angle measured before were averaged with it")
    return _averaged(whole, repeated, unit), unit


def _as_rate(part: ScanRange, seconds: Array) -> ScanRange:
    sigma = counting(part.intensity) if part.sigma is None else part.sigma
    return replace(part, intensity=part.intensity / seconds, sigma=sigma / seconds)


def _averaged(whole: ScanRange, repeated: NDArray[np.bool_], unit: Unit) -> ScanRange:
    """Average the points that share an angle."""
    group = np.concatenate([[0], np.cumsum(~repeated)])
    size = np.bincount(group)
    sigma = counting(whole.intensity) if whole.sigma is None and unit == "counts" else whole.sigma
    if sigma is not None:
        sigma = np.sqrt(np.bincount(group, sigma**2)) / size
    seconds = whole.seconds
    if isinstance(seconds, np.ndarray):
        seconds = np.bincount(group, seconds) / size
    x = np.bincount(group, whole.two_theta_deg) / size
    return ScanRange(x, np.bincount(group, whole.intensity) / size, sigma, seconds)
