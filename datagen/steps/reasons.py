"""Reasons for which an accepted structure is quarantined, with meaning and remedy."""

from __future__ import annotations

from catalogs.reason import Reason
from curation.reasons import REASONS

FAILED = "simulation_failed"
BY_FAILURE = {
    "timeout": "simulation_timeout",
    "crashed": "simulation_crashed",
    "out_of_memory": "simulation_out_of_memory",
    "raised": FAILED,
}
"""Reason code of each kind of sandbox failure."""

SIMULATION_REASONS: dict[str, Reason] = {
    r.code: r
    for r in (
        Reason(
            FAILED,
            "The simulation raised the error given as detail.",
            "Report it with the CIF; after the fix run `datagen retry --reason simulation_failed`.",
        ),
        Reason(
            "simulation_crashed",
            "The process crashed while it simulated this structure, also when it simulated nothing else.",
            "Report it with the CIF.",
        ),
        Reason(
            "simulation_timeout",
            "The simulation took longer than run.structure_time_limit_s.",
            "Raise the limit, then run `datagen retry --reason simulation_timeout`.",
        ),
        Reason(
            "simulation_out_of_memory",
            "The simulation needed more memory than one structure may have.",
            "Leave it out, or run `datagen retry --reason simulation_out_of_memory` on a machine with more memory.",
        ),
        Reason(
            "no_reflections",
            "No reflection is within the instrument's range of 2theta.",
            "Widen the range of 2theta, or use a shorter wavelength.",
        ),
        Reason(
            "no_form_factor",
            "A species has no tabulated X-ray form factor.",
            "Leave it out.",
        ),
        Reason(
            "unsupported_by_gsas2",
            "GSAS-II cannot compute this structure; see the detail.",
            'Leave it out, or use simulation.engine = "native".',
        ),
    )
}
"""Every reason by its code."""

XRD_PEAKS_REASONS: dict[str, Reason] = {
    r.code: r
    for r in (
        Reason(
            "xrd_peaks_too_large",
            "The cell is too large for CrystalNet's stick vector; pattern and density are stored.",
            "No action is needed.",
        ),
        Reason(
            "xrd_peaks_no_symmetry",
            "No conventional cell is found for CrystalNet's stick vector; pattern and density are stored.",
            "No action is needed.",
        ),
    )
}
"""Reasons for which a row has no `xrd_peaks` although the configuration requests them."""

REFUSALS: dict[str, Reason] = {**SIMULATION_REASONS, **REASONS}
"""Every reason in the table of verdicts; curation's meaning is used for codes that both have."""
