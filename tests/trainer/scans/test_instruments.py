"""Files of instruments and collections: every number and fact that they state, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.trainer.scans import files
from trainer.scans.read import read_bytes, read_scan
from trainer.scans.scan import Scan, ScanError

WITHOUT_WAVELENGTH = ("rruff.txt", "a.xy")
WITHOUT_TIME = ("a.rd", "rruff.txt", "a.json", "a.xy")


@pytest.mark.parametrize("name", files.EVERY_FORMAT)
def test_every_format_is_read_with_what_it_states(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(files.EVERY_FORMAT[name]())
    scan = read_scan(tmp_path / name)
    np.testing.assert_allclose(scan.two_theta_deg, files.X, atol=1e-9)
    if name == "a.rd":  # stores square roots in steps of 0.1
        assert (np.abs(scan.intensity - files.COUNTS) <= 0.2 * np.sqrt(files.COUNTS) + 1).all()
    else:
        np.testing.assert_array_equal(scan.intensity, files.COUNTS)
        np.testing.assert_allclose(scan.uncertainty, np.sqrt(files.COUNTS))
    assert scan.unit == "counts"
    assert scan.step_deg == pytest.approx(files.STEP)
    if name in WITHOUT_WAVELENGTH:
        assert scan.wavelength_A is None
    else:
        assert scan.wavelength_A == pytest.approx(files.ALPHA1, rel=1e-7)
    if name not in WITHOUT_TIME:
        assert scan.seconds is not None
        np.testing.assert_allclose(scan.seconds, files.SECONDS)
    assert name == "a.xy" or (scan.sample or "").startswith("halite")


@pytest.mark.parametrize("name", [n for n in files.EVERY_FORMAT if n not in ("a.xrdml", "a.xy", "a.cif")])
def test_the_content_decides_whatever_the_name(name: str) -> None:
    assert len(read_bytes("pattern.dat", files.EVERY_FORMAT[name]()).intensity) == files.N


@pytest.mark.parametrize(
    "data", [files.bruker_1(3), files.bruker_2(3), files.bruker_3(3), files.bruker_4(3), files.uxd(ranges=3)]
)
def test_ranges_are_joined(data: bytes) -> None:
    scan = read_bytes("a", data)
    assert scan.ranges == 3
    np.testing.assert_allclose(scan.two_theta_deg, files.START + files.STEP * np.arange(3 * files.N), atol=1e-5)
    np.testing.assert_array_equal(scan.intensity, np.tile(files.COUNTS, 3))
    assert scan.unit == "counts"


def test_ranges_of_different_counting_times_become_rates() -> None:
    scan = read_bytes("a.raw", files.bruker_3(2, (2.0, 8.0)))
    assert scan.is_rate
    np.testing.assert_allclose(scan.intensity, np.concatenate([files.COUNTS / 2, files.COUNTS / 8]))
    np.testing.assert_allclose(scan.uncertainty, np.sqrt(np.tile(files.COUNTS, 2)) / np.repeat([2, 8], files.N))
    assert any("counts per second" in remark for remark in scan.remarks)


def test_bruker_3_may_list_the_angles_as_measured() -> None:
    scan = read_bytes("a.raw", files.bruker_3(varying=True))
    np.testing.assert_allclose(scan.two_theta_deg, files.X + 0.001)
    np.testing.assert_array_equal(scan.intensity, files.COUNTS)


def test_stoe_counts_may_be_short_and_alpha2_removed() -> None:
    np.testing.assert_array_equal(read_bytes("a.raw", files.stoe(short=True)).intensity, files.COUNTS)
    stripped = read_bytes("a.raw", files.stoe(history=1 << 7))
    assert stripped.remarks == ("K-alpha2 was removed",)
    assert stripped.radiation.wavelengths_A == (files.ALPHA1,)
    germanium = read_bytes("a.raw", files.stoe(monochromator=102))
    assert germanium.radiation.monochromator == "curved Ge(111)"
    assert germanium.radiation.wavelengths_A == (files.ALPHA1,)


def test_xrdml_lists_and_attenuators() -> None:
    listed = f"<listPositions>{' '.join(f'{x + 0.003:.4f}' for x in files.X)}</listPositions>"
    np.testing.assert_allclose(read_bytes("a", files.xrdml(points=listed)).two_theta_deg, files.X + 0.003, atol=1e-9)
    factor = "<beamAttenuationFactors>" + " ".join(["10"] * 100 + ["1"] * 300) + "</beamAttenuationFactors>"
    factors = np.repeat([10, 1], [100, 300])
    newer = read_bytes("a", files.xrdml("2.1", attenuation=factor))  # counts as the detector saw them
    np.testing.assert_allclose(newer.intensity, files.COUNTS * factors)
    np.testing.assert_allclose(newer.uncertainty, np.sqrt(files.COUNTS) * factors)
    older = read_bytes("a", files.xrdml("1.5", attenuation=factor))  # intensities that are already corrected
    np.testing.assert_allclose(older.intensity, files.COUNTS)
    np.testing.assert_allclose(older.uncertainty, np.sqrt(files.COUNTS / factors) * factors)


def test_monochromators_that_remove_alpha2_are_known() -> None:
    crystal = '<monochromator name="Inc. Beam 1xGe111 (Johansson)"/>'
    assert read_bytes("a", files.xrdml(monochromator=crystal)).radiation.wavelengths_A == (files.ALPHA1,)
    assert read_bytes("a", files.brml(crystal="Johansson")).radiation.wavelengths_A == (files.ALPHA1,)
    assert read_bytes("a", files.ras(wave="Ka1")).radiation.wavelengths_A == (files.ALPHA1,)
    assert read_bytes("a", files.rasx("Ka1")).radiation.wavelengths_A == (files.ALPHA1,)
    assert len(read_bytes("a", files.rasx()).radiation.wavelengths_A) == 2


def test_brml_may_lie_below_a_folder_and_keeps_exact_angles() -> None:
    scan = read_bytes("a.brml", files.brml(folder="sample 1/"))
    assert scan.step_deg == pytest.approx(files.STEP, abs=1e-12)


def test_ras_rates_and_attenuators() -> None:
    rate = read_bytes("a.ras", files.ras(unit="cps"))
    assert rate.is_rate
    np.testing.assert_allclose(rate.uncertainty, np.sqrt(files.COUNTS / files.SECONDS))
    weakened = read_bytes("a.ras", files.ras(attenuation=20.0))
    np.testing.assert_allclose(weakened.intensity, 20 * files.COUNTS)
    np.testing.assert_allclose(weakened.uncertainty, 20 * np.sqrt(files.COUNTS))


def test_uxd_blocks_of_pairs_and_rates() -> None:
    pairs = read_bytes("a.uxd", files.uxd("_2THETACOUNTS"))
    np.testing.assert_allclose(pairs.two_theta_deg, files.X)
    assert read_bytes("a.uxd", files.uxd("_CPS")).is_rate


def test_pdcif_ranges_uncertainties_and_doublets() -> None:
    stepped = read_bytes("a.cif", files.pdcif("_pd_meas_counts_total"))
    np.testing.assert_allclose(stepped.two_theta_deg, files.X)
    assert stepped.radiation.alpha2_ratio == pytest.approx(files.RATIO)
    head, loop, body = files.pdcif("_pd_proc_2theta_corrected _pd_proc_intensity_total").partition(b"_total\n")
    rows = [line.split() for line in body.split(b"\n") if line]
    text = head + loop + b"\n".join(x + b" " + y + b".5(12)" for x, y in rows)
    stated = read_bytes("a.cif", text)
    np.testing.assert_allclose(stated.intensity, files.COUNTS + 0.5)
    np.testing.assert_allclose(stated.uncertainty, 1.2)


def test_rruff_wavelength_and_kind() -> None:
    scan = read_bytes("a.txt", files.rruff("Processed Powder Diffraction Profile", "1.541838"))
    assert scan.wavelength_A == 1.541838
    assert scan.remarks == ("background was removed",)


def repeated(second: np.ndarray) -> bytes:
    data = files.xrdml()
    scan = data[data.index(b"<scan ") : data.index(b"</scan>") + len(b"</scan>")]
    again = scan.replace(" ".join(map(str, files.COUNTS)).encode(), " ".join(map(str, second)).encode())
    return data.replace(scan, scan + again)


def test_repeated_scans_are_added_and_series_refused() -> None:
    again = np.random.default_rng(1).poisson(files.COUNTS)
    scan = read_bytes("a.xrdml", repeated(again))
    np.testing.assert_array_equal(scan.intensity, files.COUNTS + again)
    assert scan.seconds is not None
    assert scan.seconds[0] == 2 * files.SECONDS
    with pytest.raises(ScanError, match="2 scans over the same angles that differ"):
        read_bytes("a.xrdml", repeated(files.COUNTS[::-1]))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (files.bruker_3(kind=3), "found one of kind rocking curve"),
        (files.bruker_4(scan="Rocking Curve"), "expected a scan over 2theta"),
        (files.bruker_4(axis=44.0), "expected a scan over 2theta"),
        (files.stoe(scan=2), "over omega"),
        (files.xrdml(points="<commonPosition>30</commonPosition>"), "expected a scan over 2theta, found Gonio"),
        (files.xrdml(points="<startPosition>1</startPosition>"), "endPosition"),
        (files.xrdml(points="<listPositions>1 2 3</listPositions>"), "lists 3 angles for 400"),
        (files.xrdml()[:-40], "not complete XML"),
        (files.xrdml().replace(b"?>\n", b'?><!DOCTYPE a [<!ENTITY b "c">]>', 1), "defines a document type"),
        (files.brml(axis="Phi"), "expected a scan over 2theta"),
        (files.brml(absorbers=("1", "10")), "absorber changed during the scan"),
        (files.ras(axis="Omega"), "one over Omega"),
        (files.ras()[:-60], "cut short"),
        (files.zipped({"a.txt": b"1 2"}), "neither .brml nor .rasx"),
        (files.rasx()[:-200], "not a complete zip"),
        (files.uxd("_D-I"), "expected a block of counts"),
        (files.philips_udf(files.COUNTS[:-20]), "cut short: expected 400 counts"),
        (files.philips_rd()[:-20], "cut short"),
        (files.pdcif(probe="neutron"), "neutron"),
        (files.pdcif("_pd_meas_time_of_flight _pd_meas_counts_total"), "time-of-flight"),
        (files.opxrd(simulated=True), "simulated pattern"),
        (b'{"two_theta_values": [1, 2], "intensities": [1]}', "as many intensities as angles"),
        (b'{"two_theta_values": ["a"], "intensities": [1]}', "lists of numbers"),
        (b"FI\0\0" + bytes(500), "Rigaku binary"),
        (b"RAW1.01" + bytes(2000), "impossible range header"),
    ],
)
def test_what_is_no_scan_over_2theta_is_refused_with_a_reason(data: bytes, message: str) -> None:
    with pytest.raises(ScanError, match=message):
        read_bytes("a.cif" if data.startswith(b"# a comment") else "a", data)


def test_a_scan_says_what_it_is() -> None:
    scan = read_bytes("a.raw", files.bruker_2())
    assert repr(scan) == "Scan(Bruker raw 2, 400 points from 10 to 17.98 degrees, counts, 1.54059 A)"
    assert "wavelength not stated" in repr(Scan.from_arrays(files.X, files.COUNTS))


def test_reading_a_scan_needs_neither_torch_nor_other_packages_of_the_project() -> None:
    code = (
        "import sys, trainer.scans.read, trainer.scans.bring, trainer.scans.collect\n"
        "print([m for m in ('torch', 'zarr', 'gemmi', 'datagen', 'curation', 'scipy') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
