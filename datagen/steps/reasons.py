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
            "The simulation raised an error on this structure; the detail holds it.",
            "Report it with the CIF; once it is fixed, datagen retry --reason simulation_failed.",
        ),
        Reason(
            "simulation_crashed",
            "The process died while it simulated this structure, and again when it did nothing else.",
            "Report it with the CIF: a library should not do that.",
        ),
        Reason(
            "simulation_timeout",
            "The simulation took longer than run.structure_time_limit_s.",
            "Raise the limit, then datagen retry --reason simulation_timeout.",
        ),
        Reason(
            "simulation_out_of_memory",
            "The simulation needed more memory than one structure may have.",
            "Leave it out, or try again on a larger machine with datagen retry --reason simulation_out_of_memory.",
        ),
        Reason(
            "no_reflections",
            "No reflection lies within the instrument's range of 2theta: there would be no pattern.",
            "Widen the range of 2theta, or take a shorter wavelength.",
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
            "The cell is too large for CrystalNet's stick vector; pattern and density are there.",
            "Nothing is wrong.",
        ),
        Reason(
            "xrd_peaks_no_symmetry",
            "No conventional cell is found for CrystalNet's stick vector; pattern and density are there.",
            "Nothing is wrong.",
        ),
    )
}
"""Reasons for which a row has no `xrd_peaks` although the configuration requests them."""

REFUSALS: dict[str, Reason] = {**SIMULATION_REASONS, **REASONS}
"""Every reason in the table of verdicts; curation's meaning is used for codes that both have."""
