"""Leaks between one dataset's training side and another's test side, with structures and with hashes alone."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curation.crystal import Crystal
from datagen.errors import ConfigError, DatagenError, StoreError
from datagen.share.audit import BY_CRYSTALS, BY_VOLUME, _matches, audit
from datagen.share.fingerprint import fingerprint_of, write_fingerprint
from datagen.share.finished import open_finished
from datagen.share.subset import Selection, subset
from trainer.data.store import open_dataset


@pytest.fixture
def salt(tmp_path: Path) -> Path:
    path = tmp_path / "salt"
    path.write_text("0123456789abcdef0123456789abcdef\n")
    return path


def side_counts(path: Path) -> dict[str, int]:
    dataset = open_dataset(path)
    return {name: len(dataset.rows(name)) for name in ("train", "validation", "test")}


def test_what_both_have_on_one_side_is_counted_exactly(ours: Path, theirs: Path) -> None:
    shared = set(open_dataset(ours).text("structure_hash")) & set(open_dataset(theirs).text("structure_hash"))
    train = {open_dataset(ours).text("structure_hash")[row] for row in open_dataset(ours).rows("train")}
    assert shared & train, "the example has to have something to find"
    there, back = audit(ours, theirs, train="train", test="train")
    assert (there.exact, back.exact) == (len(shared & train), len(shared & train))
    assert there.n_train == side_counts(ours)["train"]
    assert there.n_test == side_counts(theirs)["train"]
    assert there.exact <= there.near <= there.group
    assert there.how_near == BY_CRYSTALS


def test_sides_follow_from_the_group_so_nothing_leaks_between_datasets_of_one_rule(ours: Path, theirs: Path) -> None:
    for overlap in audit(ours, theirs):
        assert (overlap.exact, overlap.near, overlap.group) == (0, 0, 0)


def test_hashes_alone_find_the_same_overlap(ours: Path, theirs: Path, salt: Path, tmp_path: Path) -> None:
    assert write_fingerprint(theirs, salt, tmp_path / "theirs.parquet") == 5
    for other in (ours, tmp_path / "ours.parquet"):
        if other.suffix == ".parquet":
            write_fingerprint(ours, salt, other)
        hashed = audit(other, tmp_path / "theirs.parquet", salt_file=salt, train="train", test="train")
        plain = audit(ours, theirs, train="train", test="train")
        for with_hashes, with_structures in zip(hashed, plain, strict=True):
            assert with_hashes.exact == with_structures.exact > 0
            assert with_hashes.group == with_structures.group
            assert with_hashes.how_near == BY_VOLUME


def test_a_fingerprint_holds_nothing_but_hashes_and_sides(theirs: Path, salt: Path, tmp_path: Path) -> None:
    write_fingerprint(theirs, salt, tmp_path / "a.parquet")
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.schema.names == ["structure", "group", "near_0", "near_1", "split"]
    for name in table.schema.names[:-1]:
        assert all(len(text) == 64 and int(text, 16) >= 0 for text in table[name].to_pylist())
    dataset = open_dataset(theirs)
    raw = (tmp_path / "a.parquet").read_bytes()
    for label in ("structure_hash", "formula", "source_id", "group"):
        assert not any(len(text) > 3 and text.encode() in raw for text in dataset.text(label))
    write_fingerprint(theirs, salt, tmp_path / "b.parquet")
    assert raw == (tmp_path / "b.parquet").read_bytes()


def test_another_salt_gives_other_hashes_and_is_told(ours: Path, theirs: Path, salt: Path, tmp_path: Path) -> None:
    write_fingerprint(theirs, salt, tmp_path / "theirs.parquet")
    other = tmp_path / "other"
    other.write_text("another secret of some length")
    with pytest.raises(StoreError, match="different salts"):
        audit(ours, tmp_path / "theirs.parquet", salt_file=other)
    source = open_finished(theirs)
    a, b = fingerprint_of(source, b"a" * 16), fingerprint_of(source, b"b" * 16)
    assert not set(a.structure) & set(b.structure)


def test_slips_are_refused_in_words(ours: Path, theirs: Path, salt: Path, tmp_path: Path) -> None:
    write_fingerprint(theirs, salt, tmp_path / "theirs.parquet")
    short = tmp_path / "short"
    short.write_text("secret")
    (tmp_path / "no.parquet").write_bytes(b"PAR1")
    for call, words in (
        (lambda: audit(ours, tmp_path / "theirs.parquet"), "--salt-file"),
        (lambda: audit(ours, theirs, salt_file=short), "16 bytes or more"),
        (lambda: audit(ours, theirs, salt_file=tmp_path / "none"), "cannot be read"),
        (lambda: audit(ours, theirs, test="tset"), "one of train, validation, test"),
        (lambda: audit(ours, tmp_path / "no.parquet", salt_file=salt), "what datagen fingerprint writes"),
        (lambda: write_fingerprint(ours, salt, tmp_path / "theirs.parquet"), "exists already"),
        (lambda: write_fingerprint(ours, salt, tmp_path / "a.json"), "ending in .parquet"),
    ):
        with pytest.raises(DatagenError, match=words) as refusal:
            call()
        assert isinstance(refusal.value, ConfigError | StoreError)


def test_structures_that_differ_a_little_match_and_others_do_not(ours: Path) -> None:
    lines = pq.read_table(ours / "curation.parquet", columns=["source_id", "structure"]).to_pylist()
    text = {line["source_id"]: line["structure"] for line in lines}
    quartz = Crystal.from_json(text["quartz.cif"])
    stretched = Crystal.canonical(
        quartz.lattice_A * 1.01, quartz.species, quartz.occupancy, quartz.fractional + 0.001, quartz.u_iso_A2
    ).to_json()
    assert stretched != text["quartz.cif"]
    assert _matches(stretched, [text["rutile.cif"], text["quartz.cif"]])
    assert not _matches(text["rutile.cif"], [text["quartz.cif"]])
    assert not _matches(text["rutile.cif"], [])


def test_a_subset_of_one_side_audits_as_such(ours: Path, tmp_path: Path) -> None:
    subset(ours, tmp_path / "train.zarr", Selection(splits=("train",)))
    there, back = audit(ours, tmp_path / "train.zarr", train="train", test="train")
    assert there.exact == there.n_train == there.n_test == back.exact
