"""Columns of text and GSAS data: the right numbers from what people export, a sentence for everything else."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from trainer.scans.read import read_bytes, read_scan
from trainer.scans.scan import Scan, ScanError

X = np.linspace(5, 60, 200)
Y = np.round(1000 + 500 * np.sin(X), 3)


PEAKS = "\n".join(
    f"{x:.2f} 1{i % 7}.5" for i, x in enumerate(np.cumsum(np.random.default_rng(0).exponential(0.5, 150)))
)


def rows(separator: str = " ", sigma: bool = False) -> str:
    third = [f"{separator}{s:.6f}" if sigma else "" for s in np.sqrt(Y)]
    return "\n".join(f"{x:.6f}{separator}{y:.6f}{s}" for x, y, s in zip(X, Y, third, strict=True)) + "\n"


def read(name: str, text: str, encoding: str = "utf-8") -> Scan:
    return read_bytes(name, text.encode(encoding))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.xy", rows()),
        ("a.xy", "# Wavelength: 1.5406\n" + rows("\t")),
        ("a.xy", rows() + "# the end\n"),
        ("a.xy", rows() + "END\n"),
        ("a.csv", "two theta,counts\n" + rows(",")),
        ("a.csv", "Angle;Intensity\n" + rows(";").replace(".", ",").replace("\n", "\r\n")),
        ("a.txt", rows("\t").replace(".", ",")),
        ("a.txt", rows(" ").replace(".", ",")),
        ("a.csv", '"2Theta"\t"I"\r\n' + rows("\t").replace("\n", "\r\n")),
        ("a.csv", rows(", ")),
        ("a.csv", "[Measurement conditions]\nSample,x\n[Scan points]\nAngle,Intensity\n" + rows(",")),
        ("a.chi", "title\n2-Theta Angle (Degrees)\nIntensity\n 200\n" + rows()),
        ("a.xy", "200\n" + rows()),
        ("no suffix", rows()),
    ],
)
def test_columns_of_text_are_read(name: str, text: str) -> None:
    found = read(name, text)
    np.testing.assert_allclose(found.two_theta_deg, X, atol=1e-6)
    np.testing.assert_allclose(found.intensity, Y, atol=1e-6)
    assert found.sigma is None
    assert found.unit == "arbitrary"
    assert found.wavelength_A == (1.5406 if "Wavelength" in text else None)


def test_a_third_column_is_the_uncertainty(tmp_path: Path) -> None:
    for text in (rows(sigma=True), "2theta,intensity,esd\n" + rows(",", sigma=True)):
        np.testing.assert_allclose(read("a.xye", text).uncertainty, np.sqrt(Y), atol=1e-6)


def test_a_third_column_that_is_no_uncertainty_is_left_out_with_a_remark() -> None:
    constant = "\n".join(f"{x} {y} 1.0" for x, y in zip(X, Y, strict=True))
    found = read("a.xy", constant)
    assert found.sigma is None
    assert "third column is 1 throughout" in found.remarks[0]
    negative = "\n".join(f"{x} {y} {-1 if i % 2 else 1}" for i, (x, y) in enumerate(zip(X, Y, strict=True)))
    assert "negative in places" in read("a.xy", negative).remarks[0]


def test_named_columns_are_found_among_many() -> None:
    text = "point,Angle (2Theta),Time,Counts,Background\n" + "\n".join(
        f"{i},{x},0.5,{y},7" for i, (x, y) in enumerate(zip(X, Y, strict=True))
    )
    found = read("a.csv", text)
    np.testing.assert_allclose(found.two_theta_deg, X)
    np.testing.assert_allclose(found.intensity, Y)
    assert "of 5 were read" in found.remarks[0]


def test_rates_are_told_from_counts() -> None:
    assert read("a.csv", "angle,cps\n" + rows(",")).is_rate
    rng = np.random.default_rng(0)
    counts = rng.poisson(200 + 150 * np.sin(X))
    assert read("a.xy", "\n".join(f"{x} {c}" for x, c in zip(X, counts, strict=True))).unit == "counts"
    scaled = "\n".join(f"{x} {50 * c}" for x, c in zip(X, counts, strict=True))
    assert read("a.xy", scaled).unit == "arbitrary", "whole numbers that scatter too much are no counts"


def test_start_step_and_stop_may_come_before_intensities_alone() -> None:
    counts = " ".join(f"{y:.3f}" + ("\n" if i % 8 == 7 else "") for i, y in enumerate(Y))
    found = read("a.dat", f"Quartz, lambda = 1.5406\n  5.000  0.250 54.750 comment\n{counts}\n")
    np.testing.assert_allclose(found.two_theta_deg, 5 + 0.25 * np.arange(200))
    np.testing.assert_allclose(found.intensity, Y)
    assert (found.wavelength_A, found.format) == (1.5406, "start-step-stop")


def test_points_that_are_not_numbers_are_left_out_with_a_remark() -> None:
    found = read("a.xy", rows().replace(f"{Y[3]:.6f}", "nan").replace(f"{Y[7]:.6f}", "-inf"))
    assert len(found.intensity) == 198
    assert found.remarks == ("2 points that are not finite numbers were left out",)
    assert np.isfinite(found.intensity).all()


def test_falling_and_repeated_angles_are_put_in_order_with_a_remark() -> None:
    falling = "\n".join(reversed(rows().strip().split("\n")))
    found = read("a.xy", falling)
    np.testing.assert_allclose(found.two_theta_deg, X, atol=1e-6)
    assert "order was reversed" in found.remarks[0]
    lines = rows().strip().split("\n")
    lines.insert(50, f"{X[50]:.6f} {Y[50] + 10:.6f}")
    found = read("a.xy", "\n".join(lines))
    assert len(found.intensity) == 200
    assert found.intensity[50] == pytest.approx(Y[50] + 5)
    assert "averaged" in found.remarks[0]


def test_text_in_other_encodings_is_read() -> None:
    assert len(read("a.xy", "# 2θ, Zählrate\n" + rows(), "utf-16").intensity) == 200
    assert len(read("a.xy", "# 2\xb0, Z\xe4hlrate\n" + rows(), "latin-1").intensity) == 200


def bank(kind: str, start: float = 500.0, step: float = 25.0, n: int = 200) -> str:
    return f"title{'':70}\nBANK 1 {n} {n // 10} CONST {start} {step} 0 0 {kind}\n"


def test_gsas_std_counts_and_detectors() -> None:
    counts = np.arange(100, 300)
    lines = [
        "".join(f" {2 if i % 2 else 1}{c:6d}" for i, c in enumerate(counts[k : k + 10])) for k in range(0, 200, 10)
    ]
    found = read("a.gsa", bank("STD") + "\n".join(lines) + "\n")
    np.testing.assert_allclose(found.two_theta_deg, 5 + 0.25 * np.arange(200))
    np.testing.assert_array_equal(found.intensity, counts)
    np.testing.assert_allclose(found.uncertainty, np.sqrt(counts / np.tile([1, 2], 100)))
    alone = ["".join(f"  {c:6d}" for c in counts[k : k + 10]) for k in range(0, 200, 10)]
    assert read("a.gsa", bank("STD") + "\n".join(alone) + "\n").unit == "counts"


def test_gsas_esd_pairs() -> None:
    pairs = [f"{y:8.1f}{s:8.2f}" for y, s in zip(Y, np.sqrt(Y), strict=True)]
    found = read("a.raw", bank("ESD") + "\n".join("".join(pairs[k : k + 5]) for k in range(0, 200, 5)) + "\n")
    np.testing.assert_allclose(found.intensity, Y, atol=0.06)
    np.testing.assert_allclose(found.uncertainty, np.sqrt(Y), atol=0.006)


def test_gsas_fxye_lists_its_angles_in_centidegrees() -> None:
    body = "\n".join(f"{100 * x:.5f} {y:.5f} {s:.5f}" for x, y, s in zip(X, Y, np.sqrt(Y), strict=True))
    found = read("a.xye", bank("FXYE") + body + "\n")
    np.testing.assert_allclose(found.two_theta_deg, X, atol=1e-6)
    np.testing.assert_allclose(found.uncertainty, np.sqrt(Y), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.xy", "hello\nworld\n", "expected two or three columns"),
        ("a.xy", "", "is empty"),
        ("a.xy", "1 2\n3 4\n", "at least 50 points, found 2"),
        ("a.xy", rows() + "end of file 5\n", "line 201: expected numbers"),
        ("a.xy", rows().replace("5.276382", "five", 1), "line 2: expected numbers, found 'five"),
        ("a.xy", rows() + "1 2 3\n", "found 2 and 3"),
        ("a.csv", "\n".join(f"{x},{y},1,2,3" for x, y in zip(X, Y, strict=True)), "found 5 columns"),
        ("a.xy", rows().replace("5.000000", "50.000000", 1), "angles that rise"),
        ("a.xy", rows().replace(".", ".nan "), "found 4 columns|expected two or three|line"),
        ("a.xy", "\n".join(f"{x} nan" for x in X), "200 of 200 points are not finite"),
        ("a.xy", "\n".join(f"{x} 5" for x in X), "there is no pattern in it"),
        ("a.xy", "\n".join(f"{10 * x} {x}" for x in X), "2theta in degrees"),
        ("a.txt", "2-THETA INTENSITY\n" + PEAKS, "a list of peaks"),
        ("a.xy", "Q (1/A), intensity\n" + rows(","), "over 2theta, found the axis"),
        ("a.chi", "title\nQ (A^-1)\nIntensity\n 200\n" + rows(), "over 2theta"),
        ("a.raw", "RAW1.01 something\n", "cut short"),
        ("a.gsa", rows(), "BANK line"),
        ("a.gsa", bank("ALT") + rows(), "expected records of STD"),
        ("a.gsa", bank("STD").replace("CONST", "SLOG") + rows(), "time-of-flight"),
        ("a.gsa", bank("STD") + "     100     200\n" * 20, "promises 200 points, found 40"),
        ("a.gsa", bank("STD", n=10**8) + rows(), "promises 100000000 points"),
        ("a.gsa", bank("STD") + "     abc     200\n" * 20, "fields of 8 characters"),
        ("a.cif", rows(), "expected a measured pattern"),
        ("a.json", "{}", "expected two_theta_values"),
        ("a.txt", "<html></html>", "HTML"),
    ],
)
def test_what_is_not_a_pattern_is_refused_with_a_sentence(name: str, text: str, message: str) -> None:
    with pytest.raises(ScanError, match=message) as refused:
        read(name, text)
    assert str(refused.value).startswith(f"{name}: ")


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ScanError, match="no such file"):
        read_scan(tmp_path / "none.xy")
    with pytest.raises(ScanError, match="cannot be read"):
        read_scan(tmp_path)
    (tmp_path / "a.xy").write_bytes(b"\0\1\2" * 100)
    with pytest.raises(ScanError, match="binary data"):
        read_scan(tmp_path / "a.xy")
    (tmp_path / "a.xy.gz").write_bytes(b"not gzip")
    with pytest.raises(ScanError, match="cannot be unpacked"):
        read_scan(tmp_path / "a.xy.gz")
    (tmp_path / "b.xy.gz").write_bytes(gzip.compress(rows().encode()))
    assert len(read_scan(tmp_path / "b.xy.gz").intensity) == 200
