"""Files of real instruments; they are not part of the repository, and the tests skip where they are absent."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from trainer.scans.read import read_bytes, read_scan
from trainer.scans.scan import Scan, ScanError

LABORATORY = {
    # name: format, points, first and last angle, first counts, maximum, K-alpha1, seconds
    "CORKLZ20.RAW": ("Bruker raw 2", 2501, 10.0, 60.0, (10, 17, 12), 2716, 1.54056, 1.0),
    "CoO-ZnO.xrdml": ("xrdml", 8301, 9.90343322, 100.09488522, (4121, 4110, 4078), 8875, 1.540598, 13.77),
    "Cr-Ni.ras": ("ras", 3001, 10.0, 70.0, (26, 15, 22), 1438, 1.540593, 0.6),
    "HoB2.ras": ("ras", 3001, 10.0, 70.0, (17, 17, 18), 1860, 1.540593, 0.4),
    "QTZQUIN.RAW": ("Bruker raw 2", 301, 67.0, 70.0, (7, 15, 17), 545, 1.54056, 1.0),
    "Si_SRM640d.brml": ("brml", 9227, 10.0, 97.0130181297, (17141, 17284, 17366), 177925, 1.5406, 1344.0),
    "bruker_v4.raw": ("Bruker raw 4", 4059, 37.0001, 120.0046435, (7264, 7202, 7335), 94855, 1.5406, 288.0),
    "clinker_NIST.xrdml": ("xrdml", 3950, 4.00835563, 70.00115683, (2865, 2982, 2914), 15940, 1.540598, 280.035),
    "corundum_SRM1976b.brml": ("brml", 16509, 20.0, 154.9965277386, (2647, 2672, 2773), 507147, 1.5406, 768.0),
    "empyrean.xrdml": ("xrdml", 196, 30.05, 41.75, (8, 11, 6), 22, 1.540598, 0.44),
    "nist1976.uxd": ("uxd", 13001, 20.0, 150.0, (65, 66, 57), 19034, 1.54056, 20.0),
    "powder.rasx": (
        "rasx",
        2726,
        10.0,
        119.0,
        (170.55354309, 170.541732788, 150.785751343),
        1698.508545,
        1.540593,
        2.4,
    ),
    "sample1.udf": ("Philips udf", 4649, 10.0, 102.96, (1048, 1162, 1108), 15559, 1.5406, 5.0),
    "sample5.raw": ("Bruker raw 1", 5751, 4.99, 119.99, (6234, 6185, 5969), 99204, 1.5406, 39.0),
    "scan918.xrdml": ("xrdml", 5027, 4.00656514, 69.99936587, (1305, 1310, 1345), 100168, 1.540598, 39.27),
    "stoe.raw": ("Stoe raw", 5404, 10.0, 91.045, (4213, 4179, 4109), 5824, 1.20793, 352.0),
}
"""Angles, counts and maxima of the eight xrdml, v4, uxd and rasx files agree with geddes 1.0.1."""


def scans(shared_data: Path, archive: str) -> dict[str, bytes]:
    with zipfile.ZipFile(shared_data / "measured" / archive) as opened:
        return {name: opened.read(name) for name in opened.namelist() if not name.endswith("/")}


def tops(scan: Scan, spacings_A: list[float], wavelength_A: float, half_width_deg: float = 0.025) -> np.ndarray:
    """Return the distances of the tops of lines from where Bragg's law puts them."""
    found = []
    for d in spacings_A:
        wanted = 2 * np.degrees(np.arcsin(wavelength_A / 2 / d))
        near = np.abs(scan.two_theta_deg - wanted) < 0.25
        x, y = scan.two_theta_deg[near], scan.intensity[near]
        top = np.abs(x - x[y.argmax()]) < half_width_deg
        a, b, _ = np.polyfit(x[top] - wanted, np.log((y[top] - np.percentile(y, 10)).clip(1)), 2)
        found.append(-b / (2 * a))
    return np.array(found)


@pytest.mark.parametrize("name", LABORATORY)
def test_files_of_laboratories_are_read_right(shared_data: Path, name: str) -> None:
    kind, points, first, last, counts, maximum, alpha1, seconds = LABORATORY[name]
    scan = read_bytes(name, scans(shared_data, "lab_formats.zip")[name])
    assert (scan.format, len(scan.intensity), scan.ranges) == (kind, points, 1)
    assert scan.two_theta_deg[[0, -1]].tolist() == pytest.approx([first, last], abs=1e-7)
    assert scan.intensity[:3].tolist() == pytest.approx(list(counts))
    assert scan.intensity.max() == pytest.approx(maximum)
    assert scan.wavelength_A == pytest.approx(alpha1, abs=1e-9)
    assert scan.seconds is not None
    assert scan.seconds[0] == pytest.approx(seconds)
    assert scan.unit == ("arbitrary" if name == "powder.rasx" else "counts")


def test_lines_of_silicon_srm_640d_are_where_the_certificate_has_them(shared_data: Path) -> None:
    """Tops are drawn to low angles by axial divergence, as cot(2theta); an instrument's zero is what a fit removes."""
    scan = read_bytes("a.brml", scans(shared_data, "lab_formats.zip")["Si_SRM640d.brml"])
    assert scan.radiation.wavelengths_A == (1.5406,), "a Johansson crystal removes K-alpha2"
    lines = [(1, 1, 1), (2, 2, 0), (3, 1, 1), (4, 0, 0), (3, 3, 1), (4, 2, 2), (5, 1, 1)]
    spacings = [5.43123 / np.sqrt(h * h + k * k + m * m) for h, k, m in lines]
    shifts = tops(scan, spacings, 1.5405929)
    assert np.abs(shifts).max() < 0.031
    assert np.abs(shifts - shifts.mean()).max() < 0.02


def test_lines_of_corundum_srm_1976b_are_where_the_certificate_has_them(shared_data: Path) -> None:
    scan = read_bytes("a.brml", scans(shared_data, "lab_formats.zip")["corundum_SRM1976b.brml"])
    lines = [(0, 1, 2), (1, 0, 4), (1, 1, 3), (0, 2, 4), (1, 1, 6), (3, 0, 0), (1, 0, 10), (0, 2, 10), (1, 4, 6)]
    spacings = [1 / np.sqrt(4 / 3 * (h * h + h * k + k * k) / 4.759091**2 + m * m / 12.991779**2) for h, k, m in lines]
    assert np.abs(tops(scan, spacings, 1.5406)).max() < 0.01


def test_scans_of_gsas_are_read(shared_data: Path) -> None:
    folder = shared_data / "measured"
    jadarite = read_scan(folder / "jadarite" / "11bmb_6231.fxye.gz")
    assert (len(jadarite.intensity), jadarite.wavelength_A) == (49497, 0.413529)
    assert jadarite.two_theta_deg[[0, -1]].tolist() == pytest.approx([0.5, 49.996])
    assert jadarite.uncertainty[0] == pytest.approx(28.806587)
    lead = read_scan(folder / "pbso4" / "PBSO4.XRA")
    assert (len(lead.intensity), lead.intensity[0], lead.intensity[9]) == (6001, 179, 146)
    assert lead.two_theta_deg[[0, -1]].tolist() == pytest.approx([10.0, 160.0])
    apatite = read_scan(folder / "fluorapatite" / "FAP.XRA")
    assert (len(apatite.intensity), apatite.intensity[1]) == (5753, 612)
    assert apatite.two_theta_deg[[0, 1]].tolist() == pytest.approx([15.0, 15.02])


def test_rruff_and_opxrd_are_read(shared_data: Path) -> None:
    found = {name: read_bytes(name, data) for name, data in scans(shared_data, "rruff_files.zip").items()}
    assert {len(scan.intensity) for scan in found.values()} == {8500, 8501}
    assert sorted(scan.unit for scan in found.values()) == ["arbitrary"] * 4 + ["counts"] * 2
    raw = [read_bytes(n, d) for n, d in scans(shared_data, "rruff_raw.zip").items() if n.endswith(".xy")]
    assert len(raw) == 114
    entries = {n: d for n, d in scans(shared_data, "opxrd_sample.zip").items() if n.endswith(".json")}
    wavelengths = sorted(read_bytes(name, data).wavelength_A or 0 for name, data in entries.items())
    assert wavelengths == pytest.approx([1.2982, 1.54059])


def test_files_without_a_scan_are_refused(shared_data: Path) -> None:
    texts = {n: d for n, d in scans(shared_data, "rruff_dif_calculated.zip").items() if n.endswith("DIF.txt")}
    structures = {n: d for n, d in scans(shared_data, "rruff_raw.zip").items() if n.endswith(".cif")}
    for name, data in (texts | structures).items():
        with pytest.raises(ScanError):
            read_bytes(name, data)
