"""Reading measured patterns: the right numbers from every format, a sentence for everything else."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from trainer.errors import TrainerError
from trainer.scans.read import read_pattern

X = np.linspace(5, 60, 200)
Y = 1000 + 500 * np.sin(X)


def written(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def rows(separator: str = " ", sigma: bool = False) -> str:
    third = [f"{separator}{s:.6f}" if sigma else "" for s in np.sqrt(Y)]
    return "\n".join(f"{x:.6f}{separator}{y:.6f}{s}" for x, y, s in zip(X, Y, third, strict=True)) + "\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.xy", rows()),
        ("a.xy", "# Wavelength: 1.5406\n" + rows("\t")),
        ("a.xye", rows(sigma=True)),
        ("a.csv", "two theta,counts\n" + rows(",")),
        ("a.csv", rows(";").replace("\n", "\r\n")),
        ("a.dat.gz", rows()),
        ("a.chi", "title\n2-Theta Angle (Degrees)\nIntensity\n 200\n" + rows()),
    ],
)
def test_columns_of_text_are_read(tmp_path: Path, name: str, text: str) -> None:
    found = read_pattern(written(tmp_path, name, text))
    np.testing.assert_allclose(found.two_theta_deg, X, atol=1e-6)
    np.testing.assert_allclose(found.intensity, Y, atol=1e-6)
    np.testing.assert_allclose(found.sigma, np.sqrt(Y), atol=1e-5)
    assert found.wavelength_A == (1.5406 if "Wavelength" in text else None)


def bank(kind: str, start: float = 500.0, step: float = 25.0, n: int = 200) -> str:
    return f"title{'':70}\nBANK 1 {n} {n // 10} CONST {start} {step} 0 0 {kind}\n"


def test_gsas_std_counts_and_detectors(tmp_path: Path) -> None:
    counts = np.arange(100, 300)
    lines = [
        "".join(f" {2 if i % 2 else 1}{c:6d}" for i, c in enumerate(counts[k : k + 10])) for k in range(0, 200, 10)
    ]
    found = read_pattern(written(tmp_path, "a.gsa", bank("STD") + "\n".join(lines) + "\n"))
    np.testing.assert_allclose(found.two_theta_deg, 5 + 0.25 * np.arange(200))
    np.testing.assert_array_equal(found.intensity, counts)
    np.testing.assert_allclose(found.sigma, np.sqrt(counts / np.tile([1, 2], 100)))


def test_gsas_esd_pairs(tmp_path: Path) -> None:
    pairs = [f"{y:8.1f}{s:8.2f}" for y, s in zip(Y, np.sqrt(Y), strict=True)]
    text = bank("ESD") + "\n".join("".join(pairs[k : k + 5]) for k in range(0, 200, 5)) + "\n"
    found = read_pattern(written(tmp_path, "a.raw", text))
    np.testing.assert_allclose(found.intensity, Y, atol=0.06)
    np.testing.assert_allclose(found.sigma, np.sqrt(Y), atol=0.006)


def test_gsas_fxye_lists_its_angles_in_centidegrees(tmp_path: Path) -> None:
    body = "\n".join(f"{100 * x:.5f} {y:.5f} {s:.5f}" for x, y, s in zip(X, Y, np.sqrt(Y), strict=True))
    found = read_pattern(written(tmp_path, "a.fxye", bank("FXYE") + body + "\n"))
    np.testing.assert_allclose(found.two_theta_deg, X, atol=1e-6)
    np.testing.assert_allclose(found.sigma, np.sqrt(Y), atol=1e-5)


def test_the_scans_of_real_diffractometers_are_read(shared_data: Path) -> None:
    folder = shared_data / "measured"
    jadarite = read_pattern(folder / "jadarite" / "11bmb_6231.fxye.gz")
    assert (len(jadarite.intensity), jadarite.wavelength_A) == (49497, 0.413529)
    assert jadarite.two_theta_deg[[0, -1]].tolist() == pytest.approx([0.5, 49.996])
    assert jadarite.sigma[0] == pytest.approx(28.806587)
    lead = read_pattern(folder / "pbso4" / "PBSO4.XRA")
    assert (len(lead.intensity), lead.intensity[0], lead.intensity[9]) == (6001, 179, 146)
    assert lead.two_theta_deg[[0, -1]].tolist() == pytest.approx([10.0, 160.0])
    apatite = read_pattern(folder / "fluorapatite" / "FAP.XRA")
    assert (len(apatite.intensity), apatite.intensity[1]) == (5753, 612)
    assert apatite.two_theta_deg[[0, 1]].tolist() == pytest.approx([15.0, 15.02])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.xy", "hello\nworld\n", "expected two or three columns"),
        ("a.xy", "1 2\n3 4\n", "at least 50 points, found 2"),
        ("a.xy", rows() + "end of file\n", "line 201: expected numbers"),
        ("a.xy", rows() + "1 2 3\n", "found 2 and 3"),
        ("a.xy", rows().replace("5.000000", "50.000000", 1), "angles that rise"),
        ("a.xy", rows().replace(f"{Y[3]:.6f}", "nan"), "1 of its points are not finite"),
        ("a.xy", "\n".join(f"{x} 5" for x in X), "there is no pattern in it"),
        ("a.xy", "\n".join(f"{10 * x} {x}" for x in X), "2theta in degrees"),
        ("a.chi", "title\nQ (A^-1)\nIntensity\n 200\n" + rows(), "over 2theta"),
        ("a.raw", "RAW1.01 something\n", "BANK line"),
        ("a.gsa", bank("ALT") + rows(), "expected records of STD"),
        ("a.gsa", bank("STD").replace("CONST", "SLOG"), "time-of-flight"),
        ("a.gsa", bank("STD") + "     100     200\n", "promises 200 points, found 2"),
        ("a.gsa", bank("STD") + "     abc     200\n", "fields of 8 characters"),
        ("a.cif", rows(), "expected one of .xy"),
        ("a", rows(), "no suffix"),
    ],
)
def test_what_is_not_a_pattern_is_refused_with_a_sentence(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(TrainerError, match=message):
        read_pattern(written(tmp_path, name, text))


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="no such file"):
        read_pattern(tmp_path / "none.xy")
    (tmp_path / "a.xy").write_bytes(b"\0\1\2" * 100)
    with pytest.raises(TrainerError, match="binary data"):
        read_pattern(tmp_path / "a.xy")
    (tmp_path / "a.xy.gz").write_bytes(b"not gzip")
    with pytest.raises(TrainerError, match="cannot be read"):
        read_pattern(tmp_path / "a.xy.gz")
