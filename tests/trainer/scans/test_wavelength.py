"""Wavelengths with units, as energies and as anodes."""

from __future__ import annotations

import pytest

from trainer.errors import TrainerError
from trainer.scans.wavelength import is_of_a_tube, parse_wavelength


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.5406", 1.5406),
        ("1,5406", 1.5406),
        ("1.5406 A", 1.5406),
        ("1.5406Å", 1.5406),
        ("1.5406 \u212b", 1.5406),  # the Angstrom sign proper
        ("1.5406 angstrom", 1.5406),
        ("0.15406 nm", 1.5406),
        ("154.06 pm", 1.5406),
        ("6.199e-11 m", 0.6199),
        ("6.199E-11m", 0.6199),
        ("20keV", 0.619921),
        ("20 keV", 0.619921),
        ("20000 eV", 0.619921),
        ("CuKa1", 1.5405929),
        ("cu k-alpha1", 1.5405929),
        ("Cu Kα1", 1.5405929),
        ("CuKa", 1.5418),
        ("Cu", 1.5405929),
        ("Mo", 0.70931715),
        ("ag_ka", 0.5594218),
    ],
)
def test_wavelengths_are_lengths_energies_or_anodes(text: str, value: float) -> None:
    assert parse_wavelength(text) == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize(
    "text",
    ["", "copper", "-1", "0keV", "-20 keV", "1000", "nan", "inf", "1.5406 m", "1e-999 nm", "1.5 miles", "1 2"],
)
def test_other_wavelengths_are_refused(text: str) -> None:
    with pytest.raises(TrainerError, match="--wavelength"):
        parse_wavelength(text)


def test_lines_of_tubes_are_told_from_other_wavelengths() -> None:
    assert all(is_of_a_tube(w) for w in (1.5406, 1.5418, 1.5444, 0.7107, 1.78897, 0.5594))
    assert not any(is_of_a_tube(w) for w in (0.413529, 0.619921, 1.0, 1.2982, 0.8))
