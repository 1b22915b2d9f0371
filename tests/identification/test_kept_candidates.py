"""Candidates that a benchmark keeps give the answers of a search."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from benchmarks import _candidates
from benchmarks._candidates import candidates_of
from curation.crystal import Crystal
from datagen.identification.axis import Observed
from datagen.identification.identify import ballot, identify
from datagen.identification.index import Index
from tests.identification.scans import observed


@pytest.fixture(scope="module")
def scans(library: Path) -> list[Observed]:
    table = pq.read_table(library / "curation.parquet").to_pylist()
    wanted = ("halite.cif", "rutile.cif", "calcite.cif")
    return [observed(Crystal.from_json(x["structure"])) for x in table if x["source_id"] in wanted]


def test_votes_of_kept_candidates_are_those_of_a_search(index: Index, scans: list[Observed], tmp_path: Path) -> None:
    kept = tmp_path / "sub" / "scans.npz"
    candidates_of(index, scans[:1], kept)
    candidates_of(index, scans, kept)
    found = candidates_of(index, scans, kept)
    answers = identify([index], [(str(k), scan) for k, scan in enumerate(scans)])
    for one, answer in zip(found, answers, strict=True):
        np.testing.assert_allclose(ballot([one.voting()])[1], answer.library, rtol=1e-12)
        # Without its best structure.
        allowed = np.arange(len(index)) != one.fit.fitted.structure[0]
        (other,) = identify([index], [("x", scans[found.index(one)])], allowed=[allowed])
        np.testing.assert_allclose(ballot([one.voting(allowed)])[1], other.library, rtol=1e-12)


def test_kept_scans_are_not_searched_again(
    index: Index, scans: list[Observed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "scans.npz"
    first = candidates_of(index, scans, kept)
    monkeypatch.setattr(_candidates, "search", None)
    again = candidates_of(index, scans[:2], kept)
    assert [one.seconds for one in again] == [one.seconds for one in first[:2]]
    turned = replace(index, reciprocal=index.reciprocal[::-1])
    with pytest.raises(SystemExit, match="expected candidates of this library"):
        candidates_of(turned, scans, kept)
