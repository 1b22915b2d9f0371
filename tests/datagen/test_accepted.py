from __future__ import annotations

from pathlib import Path

import numpy as np

from datagen.config.job import WORK
from datagen.steps.accepted import MOST_REFLECTIONS, TABLE_ROW, Accepted, write_accepted
from datagen.steps.curate import TABLE
from datagen.steps.shard_task import ACCEPTED
from tests.datagen.small_runs import EVIL, Made, config_of, make, write_accepted_again, write_cifs


def test_rows_come_in_the_order_asked_for(made: Made, tmp_path: Path) -> None:
    accepted = Accepted(write_accepted_again(made.dataset, tmp_path))
    names = accepted.column("source_id")
    assert [row["source_id"] for row in accepted.rows([2, 0])] == [names[2], names[0]]
    assert len(accepted) == 5
    assert min(accepted.column(MOST_REFLECTIONS)) > 10


def test_every_structure_knows_its_line_of_the_table(made: Made, tmp_path: Path) -> None:
    accepted = Accepted(write_accepted_again(made.dataset, tmp_path))
    lines = list(made.lines().values())
    for name, line in zip(accepted.column("source_id"), accepted.column(TABLE_ROW), strict=True):
        assert lines[line]["source_id"] == name


def test_a_finished_run_leaves_no_file_of_them(tmp_path: Path) -> None:
    make(config_of(write_cifs(tmp_path / "cifs", ["halite"])), tmp_path / "d.zarr")
    assert (tmp_path / "d.zarr" / WORK / TABLE).exists()
    assert not (tmp_path / "d.zarr" / WORK / ACCEPTED).exists()


def test_repetitions_are_kept_when_asked(made: Made) -> None:
    out = made.dataset.parent / "kept.arrow"
    duplicates = write_accepted(made.dataset / WORK / "curation.parquet", out, 1.0, drop_duplicates=False)
    assert len(duplicates) == 1
    kept = Accepted(out).column("source_id")
    assert len(kept) == 6
    assert {"aragonite.cif", EVIL} <= set(kept)


def test_labels_follow_the_order_of_rows(made: Made, tmp_path: Path) -> None:
    accepted = Accepted(write_accepted_again(made.dataset, tmp_path))
    labels, back = accepted.labels([0, 1, 2, 3, 4]), accepted.labels([4, 3, 2, 1, 0])
    assert list(labels["source_id"]) == list(back["source_id"])[::-1]
    assert np.array_equal(np.asarray(labels["niggli"]), np.asarray(back["niggli"])[::-1])
    assert np.allclose(np.asarray(labels["composition"]).sum(axis=1), 1)


def test_charges_do_not_split_an_element_s_share(made: Made, tmp_path: Path) -> None:
    accepted = Accepted(write_accepted_again(made.dataset, tmp_path))
    position = accepted.column("source_id").index("mixed.cif")
    composition = np.asarray(accepted.labels([position])["composition"])[0]
    assert {z + 1: round(float(composition[z]), 6) for z in np.flatnonzero(composition)} == {8: 0.5, 12: 0.1, 26: 0.4}
