"""The axis ln q as numbers, without torch: `trainer.simulate.log_q` brings patterns to it."""

from __future__ import annotations

import math

CU_KALPHA1_A = 1.5405929
"""Hoelzer et al., Phys. Rev. A 56 (1997) 4554."""
Q_MIN, Q_MAX, N_BINS = 0.36, 5.8, 2048
"""The bins of ln q, 1/A: d from 17 to 1.08 A."""
LN_Q_MIN = math.log(Q_MIN)
LN_Q_STEP = math.log(Q_MAX / Q_MIN) / N_BINS
FEWEST_BINS = 200
"""Bins of ln q that a scan must cover, a tenth of the axis."""
