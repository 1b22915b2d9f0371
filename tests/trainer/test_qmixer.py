"""QMixer: laboratory patterns from reflections, the network, and training that follows a budget and resumes."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from datagen.config.config import parse_config
from tests.datagen.small_runs import make
from trainer.commands.app import app
from trainer.data.read_flat_sticks import lorentz_polarisation, read_flat_sticks
from trainer.data.store import open_dataset
from trainer.errors import TrainerError
from trainer.models.qmixer import QMixer, QMixerConfig, QMixerOutput
from trainer.prediction.qmixer import load_weights
from trainer.simulate.artefacts import Artefacts, Simulator, at_steps, draw_peaks
from trainer.simulate.axis import FEWEST_BINS, LN_Q_STEP, N_BINS, Q_MIN
from trainer.simulate.free_strain import cell_change, draw_metrics, stretch
from trainer.simulate.log_q import N_ANGLES, STEP_DEG, angles_deg
from trainer.training import precision
from trainer.training.bravais import BRAVAIS, bravais_of_groups, from_numbers, to_numbers
from trainer.training.config import with_settings
from trainer.training.fit_qmixer import QMixerTraining, batches, begin, draw, fit_qmixer, read_structures, train_step
from trainer.training.packed import pack
from trainer.training.structures import read_split

INSTRUMENT = {
    "lines": [{"wavelength_A": 0.619921}],
    "polarisation": 0.99,
    "two_theta_min_deg": 2.0,
    "two_theta_max_deg": 36.5,
    "n_points": 64,
}
SMALL = QMixerConfig(stem_channels=8, channels=16, blocks=1, mixing=32, token_features=4, hidden=64, features=48)
TRAINING = QMixerTraining(patterns=96, batch=16, model=SMALL, warm_up_steps=1, validation_structures=8)
CLEAN = Artefacts(
    strain=0.0,
    strain_anisotropic=0.0,
    texture_share=0.0,
    jitter_share=0.0,
    kalpha2_share=0.0,
    asymmetry_share=0.0,
    second_phase_share=0.0,
    lines_share=0.0,
    background=(1e-6, 1e-6),
    counts=(1e7, 1e7),
    displacement_A2=(0.0, 0.0),
    cut_share=0.0,
)


@pytest.fixture(scope="module")
def minerals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled crystals with the reflections of a wide range and their members."""
    content = {
        "catalog": [{"kind": "examples"}],
        "simulation": {"instrument": INSTRUMENT, "augmentation": {"preset": "realistic", "count": 1}},
        "store": {"xrd_peaks": "none"},
        "density": {"method": "none"},
    }
    path = tmp_path_factory.mktemp("qmixer") / "minerals.zarr"
    del content["density"]
    make(parse_config(content, where="test", base=path.parent), path)
    return path


def test_reflections_that_end_early_are_refused(minerals: Path, tmp_path: Path) -> None:
    dataset = open_dataset(minerals)
    assert dataset.d_min_A == pytest.approx(0.619921 / 2 / np.sin(np.radians(18.25)), rel=0.02)
    narrow = tmp_path / "narrow.zarr"
    content = {"catalog": [{"kind": "examples"}], "store": {"patterns": "none", "xrd_peaks": "none"}}
    content["catalog"][0]["limit"] = 20
    make(parse_config(content, where="test", base=tmp_path), narrow)
    message = r"narrow.zarr: its reflections end at d = 1.785 A and patterns would be drawn to 1.004 A; .*d_min_A = 1.0"
    with pytest.raises(TrainerError, match=message):
        read_structures([minerals, narrow], [], 8)
    packing = CliRunner().invoke(app, ["pack", str(narrow), "--out", str(tmp_path / "s.npz")])
    assert packing.exit_code == 2
    # Where patterns end before the reflections do, nothing is missing.
    ends = [
        "artefacts.strain=0.0",
        "artefacts.strain_anisotropic=0.0",
        "artefacts.second_phase_share=0.0",
        "artefacts.stop_deg=[40,51]",
    ]
    config = with_settings(QMixerTraining(patterns=1), ends)
    train, validation = read_structures([narrow], [], 8, config.artefacts)
    pack(tmp_path / "s.npz", train, validation)
    assert len(read_structures([tmp_path / "s.npz"], [], 8, config.artefacts)[0]) == len(train)
    with pytest.raises(TrainerError, match=r"s.npz: its reflections end at d = 1.785 A"):
        read_structures([tmp_path / "s.npz"], [], 8)


@pytest.mark.parametrize(
    ("changes", "d_A"),
    [
        ({}, 2 * np.pi / (4 * np.pi * np.sin(np.pi / 4) / 1.5405929 * 1.085)),
        ({"strain": 0.0, "strain_anisotropic": 0.0, "second_phase_share": 0.0}, 1.5405929 / 2 / np.sin(np.pi / 4)),
        ({"strain": 0.0, "strain_anisotropic": 0.01}, 1.5405929 / 2 / np.sin(np.pi / 4) / 1.03),
        ({"strain": 0.0, "strain_anisotropic": 0.0, "second_phase_share": 0.0, "stop_deg": (40.0, 60.0)}, 1.5405929),
        (
            {"strain": 0.06, "strain_anisotropic": 0.02, "wavelengths_A": (0.4, 2.3), "stop_deg": (35.0, 120.0)},
            1.5405929 / 2**0.5 / 1.08,
        ),
    ],
)
def test_the_smallest_d_is_that_of_the_last_angle_at_the_shortest_wavelength(
    changes: dict[str, object], d_A: float
) -> None:
    assert replace(Artefacts(), **changes).smallest_d_A == pytest.approx(d_A, rel=1e-6)


def test_reflections_are_those_of_the_crystal(minerals: Path) -> None:
    """Silicon: q of 111, 220, 311 and the ratio of |F|^2 of lines with the same structure factor type."""
    dataset = open_dataset(minerals)
    row = next(i for i, name in enumerate(dataset.text("source_id")) if name.startswith("silicon."))
    sticks = read_flat_sticks(dataset, np.array([row]))
    a = 5.4309
    expected = 2 * np.pi * np.sqrt(np.array([3, 8, 11])) / a
    np.testing.assert_allclose(sticks.q[:3].numpy(), expected, rtol=1e-3)
    on_cu = sticks.f_squared.double().numpy() * lorentz_polarisation(sticks.q.double().numpy())
    assert on_cu.max() == pytest.approx(1.0, abs=1e-6)
    # Powder diffraction file, Cu K-alpha: 100, 55, 30.
    np.testing.assert_allclose(on_cu[:3], [1.0, 0.6, 0.33], atol=0.08)
    assert sticks.member_first[1] - sticks.member_first[0] == 4
    shares = sticks.member_share[: int(sticks.member_first[1])]
    assert float(shares.sum()) == pytest.approx(1.0, abs=1e-5)


def test_rows_keep_their_order(minerals: Path) -> None:
    dataset = open_dataset(minerals)
    rows = np.array([7, 3, 50])
    together = read_flat_sticks(dataset, rows)
    for number, row in enumerate(rows):
        alone = read_flat_sticks(dataset, np.array([row]))
        first, last = together.first[number], together.first[number + 1]
        assert torch.equal(together.q[first:last], alone.q)
        assert torch.equal(together.reciprocal_metric[number], alone.reciprocal_metric[0])


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_a_peak_has_its_area_and_width(eta: float) -> None:
    peaks = torch.tensor([[0.0], [40.01], [3.0], [0.2], [eta], [0.0]])
    pattern = draw_peaks(peaks, 1)[0]
    area = float(pattern.sum()) * STEP_DEG
    assert area == pytest.approx(3.0, rel=0.01 if eta == 0 else 0.12)
    above = angles_deg()[pattern.numpy() >= float(pattern.max()) / 2]
    assert above[-1] - above[0] == pytest.approx(0.2, abs=2 * STEP_DEG)
    assert abs(angles_deg()[int(pattern.argmax())] - 40.01) <= STEP_DEG


def test_peaks_anywhere_stay_in_their_pattern() -> None:
    angle = torch.tensor([4.1, 5.0, 47.0, 90.0, 90.9])
    for width in (0.02, 0.3, 5.0):
        row = torch.full_like(angle, 1.0)
        peaks = torch.stack([row, angle, row, row * width, row * 0.9, row])
        patterns = draw_peaks(peaks, 3)
        assert patterns.shape == (3, N_ANGLES)
        assert float(patterns[0].abs().max()) == float(patterns[2].abs().max()) == 0.0
        assert torch.isfinite(patterns).all()


def test_clean_patterns_show_the_lines_of_the_crystal(minerals: Path) -> None:
    dataset = open_dataset(minerals)
    row = next(i for i, name in enumerate(dataset.text("source_id")) if name.startswith("silicon."))
    simulator = Simulator(read_flat_sticks(dataset, np.array([row])), CLEAN)
    inputs, change = simulator(torch.zeros(2, dtype=torch.long), torch.Generator().manual_seed(0))
    assert inputs.shape == (2, 2, N_BINS)
    assert torch.equal(change, torch.zeros(2, 6))
    assert float(inputs[:, 1].mean()) > 0.9
    assert (inputs[:, 0] > 0.3).float().mean() < 0.1


def test_every_artefact_changes_the_pattern_and_none_breaks_it(minerals: Path) -> None:
    dataset = open_dataset(minerals)
    sticks = read_flat_sticks(dataset, dataset.rows())
    plain = Simulator(sticks, CLEAN)(torch.arange(40), torch.Generator().manual_seed(3))[0]
    full = Artefacts()
    for name in vars(CLEAN):
        changed = replace(CLEAN, **{name: getattr(full, name) if not name.endswith("share") else 1.0})
        if name == "strain":
            changed = replace(CLEAN, strain=0.06)
        inputs, _ = Simulator(sticks, changed)(torch.arange(40), torch.Generator().manual_seed(3))
        assert torch.isfinite(inputs).all(), name
        assert 0.0 <= float(inputs.min()) <= float(inputs.max()) <= 1.0, name
        if name in ("wavelengths_A", "steps_deg"):
            continue  # off in both
        # Without their share these do nothing.
        if name not in ("march_r", "jitter", "second_phase", "start_deg", "stop_deg"):
            assert not torch.equal(inputs, plain), name


def test_patterns_of_any_wavelength_range_and_step_lie_on_the_same_axis(minerals: Path) -> None:
    """Peaks of silicon stay at their q; the mask is what each pattern covers; a coarse scan is lines between points."""
    dataset = open_dataset(minerals)
    row = next(i for i, name in enumerate(dataset.text("source_id")) if name.startswith("silicon."))
    sticks = read_flat_sticks(dataset, np.array([row]))
    cut = {"cut_share": 1.0, "start_deg": (10.0, 10.0), "stop_deg": (40.0, 40.0)}
    numbers = torch.zeros(1, dtype=torch.long)
    for wavelength in (0.4, 0.7093, 1.5405929, 2.2897):
        of = replace(CLEAN, wavelengths_A=(wavelength, wavelength), **cut)
        inputs, _ = Simulator(sticks, of)(numbers, torch.Generator().manual_seed(0))
        q = np.exp(np.log(Q_MIN) + (np.arange(N_BINS) + 0.5) * LN_Q_STEP)
        low, high = (4 * np.pi * np.sin(np.radians(end / 2)) / wavelength for end in (10.0, 40.0))
        seen = q[inputs[0, 1].numpy() > 0]
        assert seen[0] == pytest.approx(max(low, Q_MIN), rel=5e-3)
        assert seen[-1] == pytest.approx(min(high, 4 * np.pi * np.sin(np.radians(45.0)) / 1.5405929), rel=5e-3)
        for sum_of_squares in (3, 8, 11):
            expected = 2 * np.pi * np.sqrt(sum_of_squares) / 5.4309
            if low * 1.02 < expected < min(high, seen[-1]) / 1.02:
                near = np.abs(np.log(q / expected)) < 0.01
                found = q[near][inputs[0, 0].numpy()[near].argmax()]
                assert found == pytest.approx(expected, rel=5e-3)
    ramp = torch.arange(N_ANGLES).float().square()[None]
    measured = (torch.arange(N_ANGLES)[None] >= 100) & (torch.arange(N_ANGLES)[None] < 3000)
    found = at_steps(ramp, measured, torch.tensor([8]))[0]
    assert torch.equal(found[100:2999:8], ramp[0, 100:2999:8])
    assert float(found[104]) == float(ramp[0, 100] + ramp[0, 108]) / 2
    assert float(found[:100].abs().max()) == float(found[3000:].abs().max()) == 0.0


def metric_tensor(cell: np.ndarray) -> np.ndarray:
    """Return the metric tensor of a, b, c and angles in degrees."""
    cosine = np.cos(np.radians(cell[3:]))
    shape = np.array([[1, cosine[2], cosine[1]], [cosine[2], 1, cosine[0]], [cosine[1], cosine[0], 1]])
    return shape * np.outer(cell[:3], cell[:3])


def test_strain_keeps_the_symmetry_and_moves_lines_and_labels_together(minerals: Path) -> None:
    """Lines follow from the strained cell by Bragg's law; cubic cells keep their shape, volumes are kept."""
    dataset = open_dataset(minerals)
    sticks = read_flat_sticks(dataset, dataset.rows())
    numbers = torch.arange(len(sticks))
    cells = torch.from_numpy(dataset.column("niggli")[dataset.rows()].astype(np.float64))
    group = dataset.column("space_group")[dataset.rows()]
    metric = draw_metrics(sticks, numbers, 0.025, torch.Generator().manual_seed(1))
    change = cell_change(sticks, numbers, torch.ones(len(numbers)), metric)
    strained = torch.cat([cells[:, :3] * change[:, :3].exp(), cells[:, 3:] + change[:, 3:]], dim=1)
    assert torch.linalg.det(metric) == pytest.approx(torch.linalg.det(sticks.reciprocal_metric.double()), rel=2e-3)
    cubic = torch.from_numpy(group >= 195)
    assert float(change[cubic].abs().max()) < 1e-5
    assert float(change[~cubic].abs().max(dim=1).values.min()) > 0
    counts = sticks.first.diff()
    owner = torch.repeat_interleave(numbers, counts)
    ratio = stretch(sticks, numbers, owner, torch.arange(len(sticks.q)), metric).double()
    assert float((ratio - 1).abs().max()) < 0.026
    for row in numbers.tolist():
        metric_A2 = metric_tensor(strained[row].numpy())
        here = slice(int(sticks.first[row]), int(sticks.first[row + 1]))
        # Every member of a family lies at the same place: the strain keeps the symmetry.
        members = slice(int(sticks.member_first[here.start]), int(sticks.member_first[here.stop]))
        hkl = sticks.member_hkl[members].double().numpy()
        q = 2 * np.pi * np.sqrt(np.einsum("mi,ij,mj->m", hkl, np.linalg.inv(metric_A2), hkl))
        of = np.repeat(np.arange(here.start, here.stop), sticks.member_first.diff()[here].numpy())
        apart = np.abs(q / (sticks.q * ratio).numpy()[of] - 1)
        first = (sticks.member_first[here] - members.start).numpy()
        assert apart[first].max() < 2e-5, (row, group[row])
        # Lines of different families with one spacing would separate.
        assert np.quantile(apart, 0.9) < 2e-5, (row, group[row])


def test_a_hexagonal_cell_changes_its_axes_and_keeps_its_angles(minerals: Path) -> None:
    dataset = open_dataset(minerals)
    row = next(i for i, name in enumerate(dataset.text("source_id")) if name.startswith("quartz."))
    sticks = read_flat_sticks(dataset, np.array([row]))
    numbers = torch.zeros(50, dtype=torch.long)
    metric = draw_metrics(sticks, numbers, 0.025, torch.Generator().manual_seed(1))
    change = cell_change(sticks, numbers, torch.ones(50), metric)
    assert torch.allclose(change[:, 0], change[:, 1], atol=1e-6)
    assert torch.allclose(change[:, 2], -2 * change[:, 0], atol=1e-3)
    assert float(change[:, 3:].abs().max()) < 1e-4
    assert float(change[:, 2].max()) > 0.005
    assert float(change[:, 2].min()) < -0.005


def test_texture_leaves_a_powder_of_a_random_orientation_alone(minerals: Path) -> None:
    """March's r of 1 is no texture, whatever its share."""
    dataset = open_dataset(minerals)
    sticks = read_flat_sticks(dataset, dataset.rows()[:20])
    textured = replace(CLEAN, texture_share=1.0, march_r=(1.0, 1.0))
    a = Simulator(sticks, CLEAN)(torch.arange(20), torch.Generator().manual_seed(1))[0]
    b = Simulator(sticks, textured)(torch.arange(20), torch.Generator().manual_seed(1))[0]
    assert float((a - b).abs().mean()) < 2e-3


def test_a_batch_is_a_function_of_seed_and_number(minerals: Path) -> None:
    train = read_split(open_dataset(minerals), "train")
    first = [next(batches(TRAINING, train, number, 1)) for number in (0, 1, 2)]
    stream = batches(TRAINING, train, 0, 2)
    again = [next(stream) for _ in range(3)]
    stream.close()
    for (a, la), (b, lb) in zip(first, again, strict=True):
        assert torch.equal(a, b)
        assert all(torch.equal(la[name], lb[name]) for name in la)
    assert not torch.equal(first[0][0], first[1][0])


def test_training_resumes_to_the_same_weights(minerals: Path, tmp_path: Path) -> None:
    straight = fit_qmixer(TRAINING, [minerals], tmp_path / "straight")

    def stop_after_three(config: QMixerTraining, *rest: object) -> object:
        for number, batch in enumerate(batches(config, *rest)):  # type: ignore[arg-type]
            if number == 3:
                return
            yield batch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trainer.training.fit_qmixer.batches", stop_after_three)
        assert fit_qmixer(TRAINING, [minerals], tmp_path / "stopped").step == 3
    resumed = fit_qmixer(TRAINING, [minerals], tmp_path / "stopped", resume=True)
    assert resumed.step == straight.step == 6
    for name, value in straight.average.state_dict().items():
        assert torch.equal(value, resumed.average.state_dict()[name]), name
    with pytest.raises(TrainerError, match="begun with another batch"):
        fit_qmixer(replace(TRAINING, batch=8), [minerals], tmp_path / "stopped", resume=True)
    with pytest.raises(TrainerError, match="resume it with --resume"):
        fit_qmixer(TRAINING, [minerals], tmp_path / "stopped")
    with pytest.raises(TrainerError, match=r"none/last.pt: no checkpoint here to resume"):
        fit_qmixer(TRAINING, [minerals], tmp_path / "none", resume=True)
    assert not (tmp_path / "none").exists()


def test_it_learns_a_few_crystals(minerals: Path, tmp_path: Path) -> None:
    config = replace(TRAINING, patterns=16 * 60, learning_rate=3e-3)
    values: list[dict[str, float]] = []
    state = fit_qmixer(config, [minerals], tmp_path / "run", report=values.append)
    assert state.patterns == 960
    assert values[-1]["space_group_loss"] < 5.0  # the logarithm of 230 is 5.44


@pytest.mark.parametrize("has", [True, False])
def test_qmixer_trains_in_what_the_processor_has(minerals: Path, has: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: has)
    train = read_split(open_dataset(minerals), "train")
    config = QMixerTraining(patterns=8, batch=8, model=SMALL)
    state = begin(config, train)
    seen = []

    def network(inputs: torch.Tensor) -> QMixerOutput:
        seen.append(torch.is_autocast_enabled("cpu"))
        return state.model(inputs)

    state.network = network
    train_step(state, *draw(train, torch.arange(8) % len(train), torch.Generator().manual_seed(1)))
    assert seen == [has]


def test_a_budget_is_needed() -> None:
    with pytest.raises(TrainerError, match="either minutes or patterns"):
        QMixerTraining()


def test_crystal_system_and_space_group_cannot_contradict_each_other() -> None:
    output = QMixerOutput(torch.randn(5, 230), torch.zeros(5, 14, 6))
    assert torch.allclose(output.log_crystal_system.exp().sum(dim=1), torch.ones(5))
    cubic = torch.full((1, 230), -50.0)
    cubic[0, 224] = 0.0
    assert int(QMixerOutput(cubic, torch.zeros(1, 14, 6)).log_crystal_system.argmax()) == 6


def test_lattices_are_not_quantised_under_autocast() -> None:
    model = QMixer(SMALL).eval()
    inputs = torch.rand(64, 2, N_BINS)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        output = model(inputs)
    assert output.lattice.dtype == output.space_group.dtype == torch.float32
    assert len(output.lattice[:, 11, 0].unique()) > 60


def test_every_space_group_has_its_bravais_lattice() -> None:
    found = bravais_of_groups()
    assert len(found) == 230
    for number, lattice in (
        (1, "aP"),
        (5, "mS"),
        (14, "mP"),
        (63, "oS"),
        (70, "oF"),
        (139, "tI"),
        (166, "hR"),
        (194, "hP"),
        (225, "cF"),
        (229, "cI"),
        (221, "cP"),
        (38, "oS"),
        (72, "oI"),
    ):
        assert BRAVAIS[found[number - 1]] == lattice


def test_cells_survive_the_way_to_numbers_and_back() -> None:
    cells = np.array([[3.0, 4.0, 5.0, 80.0, 95.0, 120.0], [50.0, 60.0, 70.0, 60.0, 60.0, 60.0]])
    np.testing.assert_allclose(from_numbers(to_numbers(cells)), cells, rtol=1e-5)


def test_the_command_trains_resumes_and_leaves_weights(minerals: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    command = ["fit", "qmixer", str(minerals), "--out", str(tmp_path), "--batch-size", "8"]
    refused = runner.invoke(app, command)
    assert refused.exit_code == 2
    assert "either --minutes or --patterns" in refused.output
    first = runner.invoke(app, [*command, "--patterns", "16"])
    assert first.exit_code == 0, first.output
    assert json.loads(first.stdout.splitlines()[-1])["patterns"] == 16
    again = runner.invoke(app, [*command, "--patterns", "24"])
    assert again.exit_code == 2
    assert "resume it with --resume" in again.output
    resumed = runner.invoke(app, [*command, "--patterns", "24", "--resume"])
    assert json.loads(resumed.stdout.splitlines()[-1])["patterns"] == 24
    assert load_weights(tmp_path / "qmixer.safetensors").facts["patterns"] == 24


def test_training_begins_with_the_weights_of_a_file(minerals: Path, tmp_path: Path) -> None:
    """A step of no length leaves the weights; they keep their own units of lattices, and the facts name them."""
    runner = CliRunner()
    command = ["fit", "qmixer", str(minerals), "--batch-size", "8"]
    first = runner.invoke(app, [*command, "--patterns", "16", "--out", str(tmp_path / "first")])
    assert first.exit_code == 0, first.output
    path = tmp_path / "first" / "qmixer.safetensors"
    start = ["--start", str(path), "--out", str(tmp_path / "second")]
    rate = ["--learning-rate", "1e-12", "--set", "weight_decay=0"]
    second = runner.invoke(app, [*command, "--patterns", "8", *start, *rate])
    assert second.exit_code == 0, second.output
    before, after = load_weights(path), load_weights(tmp_path / "second" / "qmixer.safetensors")
    for name, value in before.model.state_dict().items():
        assert torch.equal(value, after.model.state_dict()[name]), name
    assert torch.equal(before.lattice_deviation, after.lattice_deviation)
    assert after.facts["patterns"] == 8
    assert after.facts["began_with"]["patterns"] == 16
    resumed = runner.invoke(app, [*command, "--patterns", "16", *start, *rate, "--resume"])
    assert resumed.exit_code == 0, resumed.output
    other = runner.invoke(app, [*command, "--patterns", "8", "--size", "large", *start])
    assert other.exit_code == 2
    assert "are of another size; leave out --size" in other.output
    missing = runner.invoke(app, [*command, "--patterns", "8", "--start", str(tmp_path / "none.safetensors")])
    assert missing.exit_code == 2
    assert "no weights here" in missing.output


def test_a_run_begun_before_strain_of_directions_resumes_without_it(minerals: Path, tmp_path: Path) -> None:
    isotropic = replace(TRAINING, artefacts=replace(TRAINING.artefacts, strain_anisotropic=0.0))
    fit_qmixer(replace(isotropic, patterns=16), [minerals], tmp_path)
    content = torch.load(tmp_path / "last.pt", weights_only=True)
    del content["config"]["artefacts"]["strain_anisotropic"]
    torch.save(content, tmp_path / "last.pt")
    with pytest.raises(TrainerError, match="begun with another artefacts"):
        fit_qmixer(TRAINING, [minerals], tmp_path, resume=True)
    assert fit_qmixer(isotropic, [minerals], tmp_path, resume=True).step == 6


ANY = ["wavelengths_A=[0.4,2.3]", "start_deg=[2,12]", "stop_deg=[35,120]", "steps_deg=[0.005,0.1]"]


def test_training_at_any_wavelength_range_and_step(minerals: Path, tmp_path: Path) -> None:
    """The setting reaches the patterns, the weights say it, and a run is not resumed with another."""
    settings = [argument for setting in ANY for argument in ("--set", f"artefacts.{setting}")]
    command = ["fit", "qmixer", str(minerals), "--out", str(tmp_path), "--batch-size", "8", "--resume"]
    runner = CliRunner()
    first = runner.invoke(app, [*command[:-1], "--patterns", "16", *settings])
    assert first.exit_code == 0, first.output
    facts = load_weights(tmp_path / "qmixer.safetensors").facts["training"]["artefacts"]
    assert facts["wavelengths_A"] == [0.4, 2.3]
    assert facts["steps_deg"] == [0.005, 0.1]
    other = runner.invoke(app, [*command, "--patterns", "24"])
    assert other.exit_code == 2
    assert "begun with another artefacts" in other.output
    assert runner.invoke(app, [*command, "--patterns", "24", *settings]).exit_code == 0

    config = with_settings(TRAINING, [f"artefacts.{setting}" for setting in ANY])
    inputs, _ = next(batches(config, read_split(open_dataset(minerals), "train"), 0, 1))
    covered = inputs[:, 1].sum(dim=1)
    assert torch.isfinite(inputs).all()
    assert len(covered.unique()) > 10
    assert float(covered.min()) >= FEWEST_BINS


def test_checkpoints_before_the_setting_are_resumed(minerals: Path, tmp_path: Path) -> None:
    fit_qmixer(replace(TRAINING, patterns=16), [minerals], tmp_path)
    content = torch.load(tmp_path / "last.pt", weights_only=True)
    del content["config"]["artefacts"]
    torch.save(content, tmp_path / "last.pt")
    assert fit_qmixer(replace(TRAINING, patterns=32), [minerals], tmp_path, resume=True).step == 2


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("wavelengths_A=[2.3,0.4]", "artefacts.wavelengths_A: expected [minimum, maximum], found [2.3, 0.4]"),
        ("wavelengths_A=[0,1]", "artefacts.wavelengths_A: expected more than 0, found [0, 1]"),
        ("wavelengths_A=1.54", "expected tuple[float, float], found 1.54"),
        ('steps_deg=[0.1,"a"]', "artefacts.steps_deg: expected [minimum, maximum]"),
        ("stop_deg=[55,180]", "artefacts.stop_deg: expected less than 180, found 180"),
        ("cut_share=1.5", "artefacts.cut_share: expected 0 to 1, found 1.5"),
        ("strain=0.5", "artefacts.strain: expected 0 to 0.09, found 0.5"),
        ("strain=0.08", "expected strain and strain_anisotropic to sum to at most 0.09, found 0.08 + 0.025"),
        ("wavelength=1.54", "--set artefacts.wavelength: unknown; expected artefacts. and one of"),
    ],
)
def test_settings_that_cannot_be(setting: str, message: str) -> None:
    with pytest.raises(TrainerError, match=re.escape(message)):
        with_settings(TRAINING, [f"artefacts.{setting}"])


def test_ranges_that_leave_nothing_are_refused(minerals: Path, tmp_path: Path) -> None:
    config = with_settings(TRAINING, ["artefacts.wavelengths_A=[0.1,1.54]"])
    with pytest.raises(
        TrainerError, match=r"at 0\.1 A a pattern from start_deg 20 to stop_deg 55 covers 0 bins of ln q"
    ):
        fit_qmixer(config, [minerals], tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("batch=1", "batch: expected at least 2, found 1"),
        ("ema=2", "ema: expected 0 to 1, found 2.0"),
        ("learning_rate=0", "learning_rate: expected more than 0, found 0"),
        ("precision=fp16", "precision: expected one of auto, fp32, bf16, found fp16"),
        ("model.bins=1024", "model.bins: expected 2048, found 1024"),
    ],
)
def test_other_settings_that_cannot_be(setting: str, message: str) -> None:
    with pytest.raises(TrainerError, match=re.escape(message)):
        with_settings(TRAINING, [setting])
