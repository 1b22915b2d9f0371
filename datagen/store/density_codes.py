"""Reasons for which densities are refused: code, meaning and remedy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DensityReason:
    """A reason: code, meaning and remedy."""

    code: str
    meaning: str
    remedy: str


DENSITY_REASONS: tuple[DensityReason, ...] = (
    DensityReason("none_given", "The source names no density for the structure.", "Nothing is wrong."),
    DensityReason("unreadable", "The file could not be read or unpacked.", "Copy or download it again."),
    DensityReason("truncated", "The file ends before its content does.", "Copy or download it again."),
    DensityReason("bad_format", "The file does not follow its format.", "Check that the right file was given."),
    DensityReason("too_large", "The file is larger than allowed when unpacked.", "Raise density.max_megabytes."),
    DensityReason("not_finite", "The density holds NaN or infinite values.", "Repeat the calculation."),
    DensityReason("bad_cell", "The density's cell is not a cell.", "Correct the file's lattice."),
    DensityReason("grid_mismatch", "The blocks of the file have different grids.", "Copy or download it again."),
    DensityReason(
        "wrong_composition", "The density belongs to other atoms than the structure.", "Give the right file."
    ),
    DensityReason("wrong_volume", "The density's volume per atom is not the structure's.", "Give the right file."),
    DensityReason(
        "impossible_electrons",
        "There are no electrons, or more than the atoms have.",
        "Check units and normalisation of the file.",
    ),
    DensityReason("negative", "Too much of the density is negative.", "Raise density.max_negative if it is meant."),
    DensityReason(
        "electrons_changed",
        "Resampling changed the electron count by more than the tolerance.",
        'Use density.method = "fourier", which is exact, or raise density.electron_tolerance.',
    ),
    DensityReason("no_form_factor", "An element has no tabulated form factor.", "Leave it without a density."),
)
"""In the order of their numbers in the store: the first has 1, 0 says that there is a density. Only append."""

CODES: dict[str, int] = {"accepted": 0} | {r.code: i for i, r in enumerate(DENSITY_REASONS, start=1)}
"""Number of each code in the store's variable density_reason."""


class DensityRefused(Exception):  # noqa: N818 - a verdict, not a failure: the structure is kept without its density
    """The density is not usable; the structure is."""

    def __init__(self, code: str, detail: str) -> None:
        assert code in CODES, code
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
