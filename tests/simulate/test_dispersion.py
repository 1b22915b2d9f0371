"""f' and f'' are those that GSAS-II uses, from light to heavy elements and at other wavelengths."""

from __future__ import annotations

import pytest

from datagen.simulate.scattering import GSAS2_HC_EV_A, dispersion

AT_20_KEV = {
    "Si": (14, 0.064, 0.053),
    "Fe": (26, 0.317, 0.659),
    "Sr": (38, -0.471, 2.613),
    "Sn": (50, -0.913, 1.118),
    "Ba": (56, -0.532, 1.799),
    "Gd": (64, -0.271, 3.096),
    "W": (74, -0.515, 5.504),
    "Pb": (82, -1.759, 8.166),
    "Th": (90, -7.373, 9.976),
}
AT_COPPER = {"Fe": (26, -1.134, 3.197), "Sn": (50, 0.023, 5.458), "Pb": (82, -4.078, 8.501), "Th": (90, -4.155, 12.323)}
"""What GSAS-II 5838 computes for these elements: atomic number, f', f''."""
TOLERANCE = 0.012
"""A tenth of the difference to gemmi's own values for lead."""


@pytest.mark.parametrize("name", AT_20_KEV)
def test_at_20_kev(name: str) -> None:
    z, f1, f2 = AT_20_KEV[name]
    assert dispersion(z, GSAS2_HC_EV_A / 20_000) == pytest.approx((f1, f2), abs=TOLERANCE)


@pytest.mark.parametrize("name", AT_COPPER)
def test_at_copper_k_alpha(name: str) -> None:
    z, f1, f2 = AT_COPPER[name]
    assert dispersion(z, GSAS2_HC_EV_A / 8_047.8) == pytest.approx((f1, f2), abs=TOLERANCE)


def test_hydrogen_helium_and_what_lies_beyond_uranium_have_none() -> None:
    for z in (1, 2, 93, 98):
        assert dispersion(z, 0.62) == (0.0, 0.0)
