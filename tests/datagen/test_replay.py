from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from datagen.config.job import WORK
from datagen.errors import StoreError
from datagen.inspect.replay import find_line, replay
from datagen.steps.quarantine import Quarantine
from tests.datagen.small_runs import EVIL, Made, make


def test_a_pattern_comes_out_again_by_any_of_its_names(made: Made) -> None:
    line = made.lines()["quartz.cif"]
    for name in ("quartz.cif", line["structure_hash"], str(line["row"])):
        again = replay(made.dataset, name, 2)
        assert again.difference_steps == 0
        assert again.facts["source id"] == "quartz.cif"
        assert again.facts["index"] == "2"


def test_a_repetition_stands_for_its_first(made: Made) -> None:
    assert find_line(made.dataset, "aragonite.cif")["row"] == find_line(made.dataset, EVIL)["row"]


@pytest.mark.parametrize("ending", [".npz", ".csv", ".png"])
def test_both_patterns_are_written(made: Made, tmp_path: Path, ending: str) -> None:
    out = tmp_path / "new folder" / f"both{ending}"
    replay(made.dataset, EVIL, 0, out)  # its name means something to TeX
    assert out.stat().st_size > 1000
    if ending == ".npz":
        with np.load(out) as both:
            assert np.array_equal(both["stored"], both["made_again"])
            assert len(both["two_theta_deg"]) == 512


@pytest.mark.parametrize("augmentation", [-1, 3])
def test_an_augmentation_that_is_not_there_is_a_sentence(made: Made, augmentation: int) -> None:
    with pytest.raises(StoreError, match="expected an augmentation from 0 to 2"):
        replay(made.dataset, "quartz.cif", augmentation)


def test_a_name_that_is_not_there_is_a_sentence(made: Made) -> None:
    with pytest.raises(StoreError, match=r"no structure is called quarz\.cif; did you mean quartz\.cif"):
        replay(made.dataset, "quarz.cif", 0)


def test_a_refused_one_says_why(made: Made) -> None:
    with pytest.raises(StoreError, match=r"broken\.cif was refused \(no_cell: "):
        replay(made.dataset, "broken.cif", 0)


def test_another_ending_is_refused_before_any_work(made: Made) -> None:
    with pytest.raises(StoreError, match=r"expected a name ending in \.png"):
        replay(made.dataset, "quartz.cif", 0, Path("both.txt"))


def test_a_repetition_of_what_was_set_aside_says_why(copied: Made) -> None:
    line = copied.lines()["aragonite.cif"]
    Quarantine(copied.dataset / WORK).add(line["structure_hash"], "aragonite.cif", "simulation_crashed", "abort")
    make(copied.config, copied.dataset)
    for name in ("aragonite.cif", EVIL):
        with pytest.raises(StoreError, match="was refused \\(simulation_crashed: abort"):
            replay(copied.dataset, name, 0)
