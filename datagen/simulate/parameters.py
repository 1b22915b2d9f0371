"""The table of augmentation parameters: everything that varies between the patterns of a structure.

Settings, draws, stored variables, report and reference follow from `PARAMETERS`. A new parameter is one entry here,
and its effect in the engines.
"""

from __future__ import annotations

from collections.abc import Iterable

from datagen.simulate.parameter import (
    MAX_IMPURITY_PEAKS,
    MAX_SECOND_PHASES,
    Parameter,
    Range,
    log_uniform,
    low_index_plane,
    phase_number,
    whole_number,
)
from datagen.simulate.phase_library import phase_names

PARAMETERS: tuple[Parameter, ...] = (
    Parameter(
        name="microstrain",
        units="1e-6",
        description="Isotropic Lorentzian microstrain, in GSAS-II's units",
        slot=0,
        default=(500.0, 10_000.0),
        domain="non-negative",
    ),
    Parameter(
        name="crystallite_size_um",
        units="micrometer",
        description="Isotropic Lorentzian crystallite size",
        slot=1,
        default=(0.1, 1.0),
        domain="positive",
    ),
    Parameter(
        name="U_cdeg2",
        units="0.0001 degree2",
        description="Gaussian instrument term U of Caglioti's formula",
        slot=2,
        default=(0.0, 3.0),
    ),
    Parameter(
        name="V_cdeg2",
        units="0.0001 degree2",
        description="Gaussian instrument term V of Caglioti's formula",
        slot=3,
        default=(-1.0, 0.0),
    ),
    Parameter(
        name="W_cdeg2",
        units="0.0001 degree2",
        description="Gaussian instrument term W of Caglioti's formula",
        slot=4,
        default=(0.0, 4.0),
    ),
    Parameter(
        name="X_cdeg",
        units="0.01 degree",
        description="Lorentzian instrument width X / cos(theta)",
        slot=5,
        probability_slot=32,
        effect="an instrument width X",
        default=(0.0, 0.0),
        realistic=(0.0, 2.0),
        domain="non-negative",
        neutral=0.0,
    ),
    Parameter(
        name="Y_cdeg",
        units="0.01 degree",
        description="Lorentzian instrument width Y tan(theta)",
        slot=6,
        probability_slot=33,
        effect="an instrument width Y",
        default=(0.0, 0.0),
        realistic=(0.0, 5.0),
        domain="non-negative",
        neutral=0.0,
    ),
    Parameter(
        name="zero_shift_deg",
        units="degree",
        description="Shift of all peaks",
        slot=7,
        probability_slot=34,
        effect="a zero shift",
        default=(0.0, 0.0),
        realistic=(-0.02, 0.02),
        neutral=0.0,
        note="The diffractometer's zero.",
    ),
    Parameter(
        name="displacement_um",
        units="micrometer",
        description="Displacement of the sample",
        slot=8,
        probability_slot=35,
        effect="a displaced sample",
        default=(0.0, 0.0),
        realistic=(-100.0, 100.0),
        neutral=0.0,
        note="Moves peaks by the instrument's geometry and radius.",
    ),
    Parameter(
        name="march_r",
        units="1",
        description="March-Dollase coefficient of preferred orientation, 1 for none",
        slot=9,
        probability_slot=36,
        effect="preferred orientation",
        default=(1.0, 1.0),
        realistic=(0.4, 2.5),
        domain="positive",
        neutral=1.0,
        draw=log_uniform,
        note="Below 1: platelets lying flat.",
    ),
    Parameter(
        name="march_hkl",
        units="1",
        description="Preferred plane, indices of the crystal's own cell",
        slot=10,
        neutral=(0, 0, 1),
        draw=low_index_plane,
        part_of="march_r",
        axis=("hkl", 3),
    ),
    Parameter(
        name="impurity_peaks",
        units="1",
        description="Number of foreign peaks, both ends included, at uniform positions",
        slot=11,
        probability_slot=37,
        effect="foreign peaks, their number then as drawn",
        default=(0, 0),
        realistic=(0, 4),
        domain="count",
        largest=MAX_IMPURITY_PEAKS,
        neutral=0.0,
        draw=whole_number,
        stored=False,
    ),
    Parameter(
        name="impurity_height",
        units="1",
        description="Foreign peaks, of the highest point without them; 0 for none",
        slot=24,
        default=(0.01, 0.01),
        realistic=(0.002, 0.05),
        domain="positive",
        neutral=0.0,
        draw=log_uniform,
        part_of="impurity_peaks",
        axis=("impurity", MAX_IMPURITY_PEAKS),
    ),
    Parameter(
        name="impurity_position",
        units="1",
        description="Where foreign peaks lie, 0 to 1 over the range of 2theta",
        slot=16,
        neutral=0.0,
        part_of="impurity_peaks",
        axis=("impurity", MAX_IMPURITY_PEAKS),
    ),
    Parameter(
        name="hump_height",
        units="1",
        description="Amorphous hump, of the highest point without it",
        slot=12,
        probability_slot=38,
        effect="an amorphous hump",
        default=(0.0, 0.0),
        realistic=(0.0, 0.1),
        domain="non-negative",
        neutral=0.0,
        note="A Gaussian.",
    ),
    Parameter(
        name="hump_d_A",
        units="angstrom",
        description="Centre of the hump as a d spacing",
        slot=13,
        default=(3.0, 5.0),
        domain="positive",
        neutral=4.0,
        part_of="hump_height",
        note="By default nearest-neighbour distances of glasses.",
    ),
    Parameter(
        name="hump_fwhm_deg",
        units="degree",
        description="Full width of the hump at half its maximum",
        slot=14,
        default=(3.0, 8.0),
        domain="positive",
        neutral=5.0,
        part_of="hump_height",
    ),
    Parameter(
        name="second_phases",
        units="1",
        description="Number of second phases, both ends included",
        slot=39,
        probability_slot=40,
        effect="second phases, their number then as drawn",
        default=(0, 0),
        domain="count",
        largest=MAX_SECOND_PHASES,
        neutral=0.0,
        draw=whole_number,
        stored=False,
    ),
    Parameter(
        name="phase_fraction",
        units="1",
        description="Weight fraction of each second phase; 0 for none",
        slot=41,
        default=(0.005, 0.2),
        domain="fraction",
        neutral=0.0,
        draw=log_uniform,
        part_of="second_phases",
        axis=("phase", MAX_SECOND_PHASES),
    ),
    Parameter(
        name="phase_number",
        units="1",
        description="Second phase as its number in the library; -1 for none",
        slot=44,
        neutral=-1,
        draw=phase_number,
        part_of="second_phases",
        axis=("phase", MAX_SECOND_PHASES),
        names=phase_names,
    ),
    Parameter(
        name="phase_microstrain",
        units="1e-6",
        description="Microstrain of each second phase; 0 for none",
        slot=47,
        default=(500.0, 10_000.0),
        domain="non-negative",
        neutral=0.0,
        part_of="second_phases",
        axis=("phase", MAX_SECOND_PHASES),
    ),
    Parameter(
        name="phase_size_um",
        units="micrometer",
        description="Crystallite size of each second phase; 0 for none",
        slot=50,
        default=(0.1, 1.0),
        domain="positive",
        neutral=0.0,
        part_of="second_phases",
        axis=("phase", MAX_SECOND_PHASES),
    ),
)
"""Every parameter, in the order of settings and stored variables."""


def always_stored() -> tuple[Parameter, ...]:
    """Return the parameters that every dataset stores: those that always have an effect."""
    return tuple(p for p in PARAMETERS if p.neutral is None)


def optionally_stored() -> tuple[Parameter, ...]:
    """Return the parameters that a dataset stores if they can have an effect."""
    return tuple(p for p in PARAMETERS if p.neutral is not None and p.stored)


def realistic_ranges() -> dict[str, Range]:
    """Return what the preset `realistic` changes."""
    return {p.name: p.realistic for p in PARAMETERS if p.realistic is not None}


def stream_length(parameters: Iterable[Parameter]) -> int:
    """Return the number of slots of an augmentation's random stream."""
    return max(slot for p in parameters for slot in p.slots) + 1
