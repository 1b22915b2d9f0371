"""Walltimes of queueing systems, and the lifetime of workers within them."""

from __future__ import annotations

from cluster.errors import ClusterError


def walltime_seconds(text: str, kind: str) -> int:
    """Return the seconds of a walltime as the queueing system `kind` reads it.

    A lone number is minutes to SLURM and LSF, seconds to PBS and SGE; two numbers are minutes:seconds to SLURM and PBS,
    hours:minutes to LSF (sbatch(1), qsub(1), bsub(1)).
    """
    try:
        days_text, dash, rest = text.rpartition("-")
        days = int(days_text) if dash else 0
        parts = [int(part) for part in rest.split(":")]
    except ValueError:
        parts, days, dash = [], 0, ""
    if not 1 <= len(parts) <= 3 or min(parts) < 0:
        raise ClusterError(f"walltime {text!r} of cluster {kind!r}: expected a form such as '04:00:00'")
    units: tuple[int, ...]
    if dash or len(parts) == 3:
        units = (3600, 60, 1)
    elif len(parts) == 2:
        units = (3600, 60) if kind == "lsf" else (60, 1)
    else:
        units = (60,) if kind in ("slurm", "lsf") else (1,)
    return 86400 * days + sum(unit * part for unit, part in zip(units, parts, strict=False))


def lifetime(walltime_s: float, margin_s: float) -> tuple[int, int]:
    """Return lifetime and stagger in seconds, such that the last worker leaves `margin_s` before the walltime.

    Dask draws each lifetime uniformly from lifetime ± stagger, so that not all workers leave at once. The margin is at
    most a quarter of the walltime.
    """
    last = walltime_s - min(margin_s, walltime_s / 4)
    stagger = min(0.05 * last, 300)
    return int(last - stagger), int(stagger)
