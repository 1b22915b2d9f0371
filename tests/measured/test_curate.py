"""Verdicts on measured scans: the right ones pass, every wrong one has its reason."""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from catalogs.record import Record
from curation.curate import curate_record
from curation.settings import CurationSettings
from datagen.commands.app import app
from datagen.errors import DatagenError
from datagen.measured.agreement import Agreement
from datagen.measured.curate import ScanVerdict, curate_scans
from datagen.measured.noise import is_calculated, sign_changes
from datagen.simulate.instrument import Instrument
from datagen.simulate.sticks import compute_sticks

EXAMPLES = Path(__file__).resolve().parents[2] / "catalogs" / "examples"
X = np.arange(10, 90, 0.02)
WIDE = Instrument.preset("cu_kalpha1").model_copy(update={"two_theta_min_deg": 5.0, "two_theta_max_deg": 95.0})


def profile(name: str, scale: float = 1.0) -> np.ndarray:
    """The expected counts of an example, its cell scaled."""
    verdict = curate_record(
        Record("test", name, (EXAMPLES / f"{name}.cif").read_text(), name, "CC0"), CurationSettings.model_validate({})
    )
    sticks = compute_sticks(verdict.crystal, WIDE)
    angle = 2 * np.degrees(np.arcsin((np.sin(np.radians(sticks.two_theta_deg / 2)) / scale).clip(max=1)))
    y = np.zeros_like(X)
    for at, area in zip(angle, sticks.intensity / sticks.intensity.max(), strict=True):
        y += 4000 * area * np.exp(-0.5 * ((X - at) / 0.05) ** 2)
    return y + 60


def scan(name: str, scale: float = 1.0, other: str | None = None, seed: int = 0) -> str:
    expected = profile(name, scale) + (0 if other is None else 0.4 * profile(other))
    counts = np.random.default_rng(seed).poisson(expected)
    return "# wavelength 1.5405929\n" + "\n".join(f"{x:.2f} {c}" for x, c in zip(X, counts, strict=True))


def smooth(name: str) -> str:
    return "# wavelength 1.54\n" + "\n".join(f"{x} {y:.4f}" for x, y in zip(X, profile(name), strict=True))


def cif(name: str) -> str:
    return (EXAMPLES / f"{name}.cif").read_text()


def verdicts(folder: Path, **files: str) -> dict[str, ScanVerdict]:
    for name, text in files.items():
        path = folder / name.replace("_", ".", 1)
        path.write_text(text)
    return {verdict.pattern: verdict for verdict in curate_scans(folder)}


def test_a_scan_of_its_structure_is_accepted_with_its_labels(tmp_path: Path) -> None:
    found = verdicts(tmp_path, a_xy=scan("quartz"), a_cif=cif("quartz"))["a.xy"]
    assert (found.status, found.reason, found.warnings) == ("accepted", "", ())
    assert (found.space_group, found.formula) in ((152, "SiO2"), (154, "SiO2"))
    assert found.niggli is not None
    assert found.niggli[0] == pytest.approx(4.91, abs=0.02)
    assert (found.wavelength_A, found.unit, found.points) == (1.5405929, "counts", len(X))
    assert found.cosine is not None
    assert found.cosine > 0.7
    assert found.explained == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(
    ("make", "reason", "detail"),
    [
        (lambda: {"a_xy": "1 2\n", "a_cif": cif("halite")}, "unreadable", "at least 50 points"),
        (lambda: {"a_xy": scan("halite").split("\n", 1)[1], "a_cif": cif("halite")}, "wavelength_unknown", "stated by"),
        (lambda: {"a_xy": scan("halite")}, "no_truth", "no CIF"),
        (lambda: {"a_xy": scan("halite"), "a_cif": cif("quartz")}, "pattern_disagrees", "cosine"),
        (lambda: {"a_xy": scan("halite", 1.06), "a_cif": cif("halite")}, "pattern_disagrees", "cell changed"),
        (
            lambda: {"a_xy": scan("halite").replace("1.5405929", "0.70932"), "a_cif": cif("halite")},
            "pattern_disagrees",
            "peaks on its lines",
        ),
        (lambda: {"a_xy": scan("halite"), "a_cif": "data_a\n_atom_site_label x\n"}, "truth_refused", ":"),
        (
            lambda: {"a_xy": smooth("halite"), "a_cif": cif("halite")},
            "calculated",
            "noise does in 73 %",
        ),
    ],
)  # fmt: skip
def test_every_wrong_scan_has_its_reason(
    tmp_path: Path, make: Callable[[], dict[str, str]], reason: str, detail: str
) -> None:
    found = verdicts(tmp_path, **make())["a.xy"]
    assert (found.status, found.reason) == ("refused", reason)
    assert detail in found.detail


def test_a_second_phase_is_suspected_and_a_copy_refused(tmp_path: Path) -> None:
    mixed = scan("quartz", other="corundum" if (EXAMPLES / "corundum.cif").exists() else "halite")
    found = verdicts(tmp_path, a_xy=mixed, a_cif=cif("quartz"), b_xy=mixed, b_cif=cif("quartz"))
    assert found["a.xy"].status == "accepted"
    assert found["a.xy"].warnings == ("second_phase_suspected",)
    assert (found["b.xy"].reason, found["b.xy"].detail) == ("duplicate", "of a.xy")


def test_a_range_is_asked_of_the_scan(tmp_path: Path) -> None:
    verdicts(tmp_path, a_xy=scan("halite"), a_cif=cif("halite"))
    (found,) = curate_scans(tmp_path, instrument=Instrument.preset("alphadiffract"))
    assert found.status == "accepted"
    (found,) = curate_scans(tmp_path, instrument=WIDE)
    assert (found.reason, found.detail[:38]) == ("range_incomplete", "no data between 5.00 and 10.00 degrees")


def test_a_table_names_patterns_structures_and_labels(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "one.xy").write_text(scan("halite"))
    (tmp_path / "scans" / "two.xy").write_text(scan("quartz", seed=1))
    (tmp_path / "scans" / "halite.cif").write_text(cif("halite"))
    (tmp_path / "index.csv").write_text(
        "pattern,space_group,a,b,c,alpha,beta,gamma,cif\n"
        "scans/one.xy,225,5.64,5.64,5.64,90,90,90,scans/halite.cif\n"
        "scans/two.xy,154,,,,,,,\n"
        "scans/three.xy,1,,,,,,,\n"
    )
    found = list(curate_scans(tmp_path))
    assert [(v.pattern, v.status, v.reason) for v in found] == [
        ("scans/one.xy", "accepted", ""),
        ("scans/two.xy", "accepted", ""),
        ("scans/three.xy", "refused", "unreadable"),
    ]
    assert found[1].warnings == ("not_compared",)
    index = (tmp_path / "index.csv").read_text()
    (tmp_path / "index.csv").write_text(index.replace("xy,225", "xy,221"))
    assert next(iter(curate_scans(tmp_path))).reason == "labels_disagree"
    (tmp_path / "index.csv").write_text(index.replace("5.64", "5.70"))
    assert "cell of 185" in next(iter(curate_scans(tmp_path))).detail
    (tmp_path / "index.csv").write_text("file,cell\n1,2\n")
    with pytest.raises(DatagenError, match="expected a column 'pattern'"):
        list(curate_scans(tmp_path))


def test_rruff_dif_and_opxrd_state_their_own(tmp_path: Path) -> None:
    cell = "a: 5.6401(2) b: 5.6401(2) c: 5.6401(2) alpha: 90. beta: 90. gamma: 90. volume: 179.4"
    head = f"##NAMES=Halite\n##RRUFFID=R1\n##CELL PARAMETERS={cell}\n"
    (tmp_path / "r.txt").write_text(head + scan("halite").split("\n", 1)[1].replace(" ", ", "))
    (tmp_path / "d.xy").write_text(scan("halite", seed=1))
    (tmp_path / "d__DIF.txt").write_text(
        "      Halite\n      CELL PARAMETERS:   5.6400  5.6400  5.6400   90.000   90.000   90.000\n"
        "      SPACE GROUP: Fm3m\n      X-RAY WAVELENGTHS:   1.540562  1.544390\n"
    )
    phase = json.dumps({"lattice": "(5.64, 5.64, 5.64, 90.0, 90.0, 90.0)"})
    label = json.dumps({"phases": [phase], "xray_info": json.dumps({"primary_wavelength": "1.54"})})
    y = np.random.default_rng(5).poisson(profile("halite")).tolist()
    (tmp_path / "o.json").write_text(json.dumps({"two_theta_values": X.tolist(), "intensities": y, "label": label}))
    found = {v.pattern: v for v in curate_scans(tmp_path)}
    assert {name: v.truth for name, v in found.items()} == {"d.xy": "DIF", "o.json": "opXRD", "r.txt": "RRUFF"}
    assert {v.status for v in found.values()} == {"accepted"}
    assert found["d.xy"].space_group == 225
    assert found["r.txt"].wavelength_A == 1.5405929
    assert "no_space_group" in found["r.txt"].warnings


def test_noise_tells_measured_from_calculated() -> None:
    expected = profile("quartz")
    assert sign_changes(np.random.default_rng(0).normal(size=20000)) == pytest.approx(0.732, abs=0.01)
    assert is_calculated(expected)
    assert is_calculated(np.where(expected > 61, np.round(expected, 1), 0.0))
    for scale in (0.05, 1.0, 300.0):
        assert not is_calculated(np.random.default_rng(1).poisson(scale * expected).astype(float))


def test_the_command_counts_and_writes_a_table(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        archive.writestr("a.xy", scan("halite"))
        archive.writestr("a.cif", cif("halite"))
        archive.writestr("b.xy", scan("quartz"))
    table = tmp_path / "verdicts.csv"
    result = CliRunner().invoke(app, ["measured", str(tmp_path / "s.zip"), "--verdicts", str(table)])
    assert result.exit_code == 0, result.output
    assert "accepted" in result.output
    assert "no_truth" in result.output
    with table.open() as opened:
        rows = list(csv.DictReader(opened))
    assert [(row["pattern"], row["reason"]) for row in rows] == [("a.xy", ""), ("b.xy", "no_truth")]
    assert float(rows[0]["niggli_a"]) == pytest.approx(3.99, abs=0.02)
    as_json = CliRunner().invoke(app, ["measured", str(tmp_path / "s.zip"), "--json"])
    assert [row["pattern"] for row in json.loads(as_json.stdout)] == ["a.xy", "b.xy"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{none}"], "expected a folder or an archive"),
        (["{empty}"], "found none in 0 files"),
        (["{empty}", "--wavelength", "copper"], "expected a length"),
        (["{empty}", "--instrument", "neutrons"], "expected one of alphadiffract"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "empty").mkdir()
    given = [a.format(none=tmp_path / "none", empty=tmp_path / "empty") for a in arguments]
    result = CliRunner().invoke(app, ["measured", *given])
    assert result.exit_code != 0
    assert message in str(result.exception) + result.output


def test_public_collections_have_the_expected_verdicts(shared_data: Path) -> None:
    folder = shared_data / "measured"
    calculated = list(curate_scans(folder / "rruff_dif_calculated.zip"))
    assert [v.reason for v in calculated] == ["calculated"] * 92
    raw = list(curate_scans(folder / "rruff_raw.zip"))
    assert len(raw) == 114
    refused = [v for v in raw if v.status == "refused"]
    assert len(refused) <= 3, [(v.pattern, v.reason) for v in refused]
    assert all(v.status == "refused" for v in curate_scans(folder / "opxrd_sample.zip"))


def test_an_unknown_share_of_peaks_leaves_the_decision_to_cosine_and_cell() -> None:
    """Cells with more lines than can be told apart: the share says nothing, so the cell may change by less."""

    def agrees(explained: float | None, cell_change: float) -> bool:
        return Agreement(0.9, explained, cell_change, 0.0).agrees

    assert agrees(0.9, 0.015)
    assert agrees(None, 0.005)
    assert not agrees(None, 0.015)
    assert not agrees(0.5, 0.005)
