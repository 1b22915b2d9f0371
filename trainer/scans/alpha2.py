"""K-alpha2 removed from scans of a tube (Rachinger, J. Sci. Instrum. 25 (1948) 254)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from trainer.scans.scan import Radiation, Scan
from trainer.simulate.resample import bragg

TERMS = 24
"""Of a series that falls as the ratio of the lines: 0.5^24 is 6e-8."""


def without_alpha2(scan: Scan) -> Scan:
    """Return a scan without its K-alpha2 lines, on the scale of K-alpha1 alone; others as they are.

    I(x) = I1(x) + r I1(x'), where K-alpha1 at x' has the spacing of K-alpha2 at x. So I1 is the alternating series of
    I at x, x', x'', ..., with the powers of r; below the first angle the intensity there continues.
    """
    ratio = scan.radiation.alpha2_ratio
    if len(scan.radiation.wavelengths_A) < 2 or ratio is None:
        return scan
    alpha1, alpha2 = scan.radiation.wavelengths_A[:2]
    if not 0 < ratio < 1 or alpha2 <= alpha1:
        return scan
    x, variance = scan.two_theta_deg, scan.uncertainty**2
    intensity, spread = np.zeros_like(x), np.zeros_like(x)
    at = x
    for power in range(TERMS):
        factor = (-ratio) ** power
        intensity += factor * np.interp(at, x, scan.intensity)
        spread += factor**2 * np.interp(at, x, variance)
        at = bragg(at, alpha2, alpha1)
    radiation = Radiation((alpha1,), None, scan.radiation.anode, scan.radiation.monochromator)
    remarks = (*scan.remarks, "K-alpha2 was removed")
    return replace(
        scan, intensity=intensity, sigma=np.sqrt(spread), unit="arbitrary", radiation=radiation, remarks=remarks
    )
