"""Codes of refusals of measured scans, with their meaning and what a person can do."""

from __future__ import annotations

REASONS = {
    "unreadable": "The file is not a readable scan.",
    "wavelength_unknown": "Neither the file nor its truth states a wavelength; give it with --wavelength.",
    "calculated": "The profile has no noise: it is calculated, or smoothed until nothing of the noise is left.",
    "range_incomplete": "The scan lacks a part of the range of the instrument asked for.",
    "no_truth": "No structure, cell or space group belongs to the scan.",
    "truth_refused": "Curation refuses the structure that belongs to the scan.",
    "cell_breaks_symmetry": "The stated cell does not have the lattice of the stated space group.",
    "labels_disagree": "Two sources state different space groups or cells for the scan.",
    "pattern_disagrees": "The structure does not explain the pattern: another substance, another cell, or another "
    "wavelength than stated.",
    "duplicate": "The intensities are those of an earlier scan.",
}
WARNINGS = {
    "second_phase_suspected": "The structure explains the pattern, but leaves peaks of some weight without a line.",
    "not_compared": "No structure to compare with: the labels rest on what is stated.",
    "no_space_group": "The truth states no space group.",
    "calculated": "No noise (protocol alphadiffract).",
    "duplicate": "The intensities of an earlier scan (protocol alphadiffract).",
    "truth_refused": "Curation refuses the structure (protocol alphadiffract).",
    "labels_disagree": "Two sources state different labels (protocol alphadiffract).",
    "pattern_disagrees": "The structure does not explain the pattern (protocol alphadiffract).",
}
