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
BY_CASUALTY = {
    "timeout": "simulation_timeout",
    "crashed": "simulation_crashed",
    "out_of_memory": "simulation_out_of_memory",
    "raised": FAILED,
}
"""What became of a structure in a process of its own -> code."""

SIMULATION_REASONS: dict[str, SimulationReason] = {
    r.code: r
    for r in (
        SimulationReason(
            FAILED,
            "The simulation raised an error on this structure; the detail holds it.",
            "Report it with the CIF; once it is fixed, datagen retry --reason simulation_failed.",
        ),
        SimulationReason(
            "simulation_crashed",
            "The process died while it simulated this structure, and again when it did nothing else.",
            "Report it with the CIF: a library should not do that.",
        ),
        SimulationReason(
            "simulation_timeout",
            "The simulation took longer than run.structure_time_limit_s.",
            "Raise the limit, then datagen retry --reason simulation_timeout.",
        ),
        SimulationReason(
            "simulation_out_of_memory",
            "The simulation needed more memory than one structure may have.",
            "Leave it out, or try again on a larger machine with datagen retry --reason simulation_out_of_memory.",
        ),
        SimulationReason(
            "no_reflections",
            "No reflection lies within the instrument's range of 2theta: there would be no pattern.",
            "Widen the range of 2theta, or take a shorter wavelength.",
        ),
        SimulationReason(
            "no_form_factor",
            "A species has no tabulated X-ray form factor.",
            "Leave it out.",
        ),
        SimulationReason(
            "unsupported_by_gsas2",
            "GSAS-II cannot compute this structure; the detail says why.",
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
            "The cell is too large for CrystalNet's stick vector; pattern and density are there.",
            "Nothing is wrong.",
        ),
        SimulationReason(
            "xrd_peaks_no_symmetry",
            "No conventional cell is found for CrystalNet's stick vector; pattern and density are there.",
            "Nothing is wrong.",
        ),
    )
}
"""Why a row has no `xrd_peaks` although they were asked for."""

REFUSALS: dict[str, Reason | SimulationReason] = {**SIMULATION_REASONS, **REASONS}
"""Every reason that the table of verdicts can hold; a code that curation has too means the same there."""
