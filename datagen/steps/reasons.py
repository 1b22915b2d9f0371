"""Reasons for which an accepted structure is quarantined, with meaning and remedy."""

from __future__ import annotations

from dataclasses import dataclass

from curation.reasons import REASONS, Reason


@dataclass(frozen=True, slots=True)
class SimulationReason:
    """Meaning of a reason code, and a remedy."""

    code: str
    meaning: str
    remedy: str


FAILED = "simulation_failed"
BY_FAILURE = {
    "timeout": "simulation_timeout",
    "crashed": "simulation_crashed",
    "out_of_memory": "simulation_out_of_memory",
    "raised": FAILED,
}
"""Reason codes by the failure of the sandbox that simulated a structure."""

SIMULATION_REASONS: dict[str, SimulationReason] = {
    r.code: r
    for r in (
        SimulationReason(
            FAILED,
            "The simulation raised the error given as detail.",
            "Report it with the CIF; after the fix run `datagen retry --reason simulation_failed`.",
        ),
        SimulationReason(
            "simulation_crashed",
            "The process crashed while it simulated this structure, also when it simulated nothing else.",
            "Report it with the CIF.",
        ),
        SimulationReason(
            "simulation_timeout",
            "The simulation took longer than run.structure_time_limit_s.",
            "Raise the limit, then run `datagen retry --reason simulation_timeout`.",
        ),
        SimulationReason(
            "simulation_out_of_memory",
            "The simulation needed more memory than one structure may have.",
            "Leave it out, or run `datagen retry --reason simulation_out_of_memory` on a machine with more memory.",
        ),
        SimulationReason(
            "no_reflections",
            "No reflection is within the instrument's range of 2theta.",
            "Widen the range of 2theta, or use a shorter wavelength.",
        ),
        SimulationReason(
            "no_form_factor",
            "A species has no tabulated X-ray form factor.",
            "Leave it out.",
        ),
        SimulationReason(
            "unsupported_by_gsas2",
            "GSAS-II cannot compute this structure; the detail gives the reason.",
            'Leave it out, or use simulation.engine = "native".',
        ),
    )
}
"""Every reason by its code."""

XRD_PEAKS_REASONS: dict[str, SimulationReason] = {
    r.code: r
    for r in (
        SimulationReason(
            "xrd_peaks_too_large",
            "The cell is too large for CrystalNet's stick vector; pattern and density are stored.",
            "No action is needed.",
        ),
        SimulationReason(
            "xrd_peaks_no_symmetry",
            "No conventional cell is found for CrystalNet's stick vector; pattern and density are stored.",
            "No action is needed.",
        ),
    )
}
"""Reasons for rows without `xrd_peaks` in datasets that have them."""

REFUSALS: dict[str, Reason | SimulationReason] = {**SIMULATION_REASONS, **REASONS}
"""All reasons of the table of verdicts; codes shared with curation have one meaning."""
