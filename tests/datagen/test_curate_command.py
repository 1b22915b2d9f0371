"""`datagen curate`, `explain` and `reasons`: a verdict on every input, the same however often it was interrupted."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from catalogs.record import Record
from catalogs.selection import Excluded
from curation import batch
from curation.reasons import REASONS
from curation.table import VERDICT_SCHEMA, iterate_rows
from datagen.commands.app import app
from datagen.config.config import config_for_path
from datagen.config.fingerprint import CurateJob
from datagen.errors import DatagenError, PlanError
from datagen.steps.curate import METADATA_KEY, TABLE, UNFINISHED, curate
from datagen.steps.curate_locally import CurationWork, Progress, curate_locally
from datagen.steps.staging import MANIFEST
from datagen.store.lock import locked
from tests.curation.cifs import rock_salt

ROOT = Path(__file__).resolve().parents[2]
HALIDES = [
        (4.03, "Li", "F"), (5.13, "Li", "Cl"), (5.50, "Li", "Br"), (4.62, "Na", "F"), (5.64, "Na", "Cl"),
        (5.97, "Na", "Br"), (6.47, "Na", "I"), (5.35, "K", "F"), (6.29, "K", "Cl"), (6.60, "K", "Br"),
        (4.21, "Mg", "O"), (4.81, "Ca", "O"), (5.16, "Sr", "O"), (5.54, "Ba", "O"), (4.18, "Ni", "O"),
]  # fmt: skip

MMCIF = """data_1ABC
_entry.id 1ABC
_cell.length_a 50
_cell.length_b 50
_cell.length_c 50
_cell.angle_alpha 90
_cell.angle_beta 90
_cell.angle_gamma 90
loop_
_atom_site.id
_atom_site.type_symbol
_atom_site.Cartn_x
_atom_site.Cartn_y
_atom_site.Cartn_z
1 C 1.0 2.0 3.0
"""


def rows_of(out: Path) -> list[dict[str, Any]]:
    table = out if out.is_file() else out / TABLE
    return [{k: v for k, v in row.items() if k != "seconds"} for row in iterate_rows(table)]


def files_in(folder: Path) -> list[Path]:
    return sorted(p.relative_to(folder) for p in folder.rglob("*") if p.name != ".lock")


def job(path: Path, *overrides: str) -> CurateJob:
    return CurateJob.of(config_for_path(path, overrides))


def run(*words: str | Path) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200"})


@pytest.fixture(scope="module")
def pile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 110 records: good ones, repeated ones, blocks in one file, files that are none."""
    folder = tmp_path_factory.mktemp("in") / "a pile of CIFs é"
    folder.mkdir()
    for i in range(70):
        a, cation, anion = HALIDES[i % len(HALIDES)]
        (folder / f"halide {i}.cif").write_text(rock_salt(a, cation, anion))
    blocks = "\n".join(rock_salt(5 + i / 20, name=f"block{i}") for i in range(20))
    (folder / "many blocks.cif").write_text(blocks)
    for i in range(20):
        (folder / f"bad {i}.cif").write_text(f"data_{i}\n_cell_length_a 5\n")
    return folder


@pytest.fixture(scope="module")
def undisturbed(pile: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "undisturbed run"
    curate(job(pile), out)
    return out


def test_there_is_one_row_for_every_input_in_its_order(pile: Path, undisturbed: Path) -> None:
    rows = rows_of(undisturbed)
    assert len(rows) == 110
    assert len({row["source_id"] for row in rows}) == 110
    assert {row["status"] for row in rows} == {"accepted", "refused"}
    assert all((row["status"] == "accepted") == (row["reason"] == "") for row in rows)
    assert [row["source_id"] for row in rows if "halide" in row["source_id"]] == [f"halide {i}.cif" for i in range(70)]
    assert [p.name for p in undisturbed.iterdir() if not p.name.startswith(".")] == [TABLE]


def test_the_table_describes_itself(undisturbed: Path) -> None:
    schema = pq.read_schema(undisturbed / TABLE)
    about = json.loads(schema.metadata[METADATA_KEY.encode()])
    assert about["n_records"] == sum(about["counts"].values()) == 110
    assert about["fingerprint"]["curation"]["symprec_A"] == [0.01, 0.1]
    assert about["crystal_systems"]["7"] == "cubic"
    assert schema.field("niggli_a").metadata[b"units"] == b"angstrom"
    assert schema.names == VERDICT_SCHEMA.names


@pytest.mark.parametrize("processes", [2, 4])
def test_the_number_of_processes_changes_no_value(
    pile: Path, undisturbed: Path, processes: int, tmp_path: Path
) -> None:
    curate(job(pile), tmp_path, processes=processes)
    assert rows_of(tmp_path) == rows_of(undisturbed)


def start(pile: Path, out: Path, processes: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "datagen", "curate", pile, "--out", out, "--processes", str(processes)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def children_of(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[1] == str(pid) and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def kill_and_resume(pile: Path, out: Path, chance: random.Random, kills: int) -> int:
    """Kill the run, its sandboxes or both at random instants, then let it finish; how many kills hit it alive."""
    hits = 0
    for _ in range(kills):
        driver = start(pile, out, chance.choice([1, 2, 3]))
        time.sleep(chance.uniform(0.3, 3.0))
        victims = children_of(driver.pid)
        if victims and chance.random() < 0.3:  # a sandbox alone: the run itself goes on
            with contextlib.suppress(ProcessLookupError):
                os.kill(chance.choice(victims), signal.SIGKILL)
            time.sleep(chance.uniform(0, 0.5))
        hits += driver.poll() is None
        driver.send_signal(chance.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGKILL]))
        driver.wait(30)
    curate(job(pile), out, processes=2)
    return hits


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_random_instants_and_run_again_it_ends_with_the_same_table(
    pile: Path, undisturbed: Path, seed: int, tmp_path: Path
) -> None:
    assert kill_and_resume(pile, tmp_path, random.Random(seed), kills=3) >= 1
    assert rows_of(tmp_path) == rows_of(undisturbed)
    assert not (tmp_path / UNFINISHED).exists()


@pytest.mark.stress
@pytest.mark.parametrize("seed", range(100, 110))
def test_killed_many_times_it_ends_with_the_same_table(
    pile: Path, undisturbed: Path, seed: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if "stress" not in request.config.getoption("-m"):
        pytest.skip("a long campaign; run it with make stress")
    kill_and_resume(pile, tmp_path, random.Random(seed), kills=10)
    assert rows_of(tmp_path) == rows_of(undisturbed)


class StopAfter(Progress):
    """Interrupts as Ctrl-C does, after so many verdicts."""

    def __init__(self, verdicts: int) -> None:
        self.left = verdicts
        self.finished_before = 0
        self.curated_now = 0

    def curating(self, total: int, finished: Any) -> None:
        self.finished_before = sum(finished.values())

    def curated(self, row: dict[str, Any]) -> None:
        self.curated_now += 1
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


class StopAfterReading(StopAfter):
    """Stop when that many are curated and all are read."""

    def __init__(self, left: int, manifest: Path) -> None:
        super().__init__(left)
        self.manifest = manifest

    def curated(self, row: dict[str, Any]) -> None:
        while self.left == 1 and not self.manifest.exists():
            time.sleep(0.01)
        super().curated(row)


class BreakReadingOff(StopAfter):
    """Break the reading off at record 100, once three batches are curated."""

    n_read = 0

    def read(self, record: Record) -> None:
        self.n_read += 1
        while self.n_read == 100 and self.curated_now < 96:
            time.sleep(0.01)
        if self.n_read == 100:
            raise OSError(5, "Input/output error", record.source_id)


def test_ctrl_c_ends_a_run_that_waits_for_its_catalogs(pile: Path, tmp_path: Path) -> None:
    def nothing_yet() -> Iterator[None]:
        for number in count():
            time.sleep(0.01)
            if number == 5:
                os.kill(os.getpid(), signal.SIGINT)
            yield None

    settings = job(pile)
    with locked(tmp_path) as lock:
        work = CurationWork(settings.settings, settings.limits, tmp_path, "key", Progress(), lock)
        with pytest.raises(KeyboardInterrupt):
            curate_locally(work, nothing_yet(), processes=2)


def test_verdicts_of_a_reading_that_broke_off_count_where_the_next_one_finds_the_same(
    pile: Path, undisturbed: Path, tmp_path: Path
) -> None:
    with pytest.raises(DatagenError, match="Input/output error"):
        curate(job(pile), tmp_path, progress=BreakReadingOff(-1))
    assert not (tmp_path / UNFINISHED / MANIFEST).exists()
    result = run("explain", "halide 4.cif", "--dataset", tmp_path)
    assert "catalogs are still being read" in " ".join(str(result.exception or result.output).split())
    resumed = StopAfter(-1)
    assert curate(job(pile), tmp_path, progress=resumed).n_resumed == 96
    assert resumed.curated_now == 110 - 96
    assert rows_of(tmp_path) == rows_of(undisturbed)


def test_finished_batches_are_not_done_twice_and_the_source_is_not_read_again(
    pile: Path, undisturbed: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy" / pile.name
    copy.mkdir(parents=True)
    for file in pile.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    with pytest.raises(KeyboardInterrupt):
        curate(job(copy), tmp_path / "out", progress=StopAfterReading(70, tmp_path / "out" / UNFINISHED / MANIFEST))
    for file in copy.iterdir():
        file.unlink()
    resumed = StopAfter(-1)
    summary = curate(job(copy), tmp_path / "out", progress=resumed)
    assert resumed.finished_before == summary.n_resumed == 64
    assert resumed.curated_now == 110 - 64
    verdicts = [{k: v for k, v in row.items() if k != "origin"} for row in rows_of(tmp_path / "out")]
    assert verdicts == [{k: v for k, v in row.items() if k != "origin"} for row in rows_of(undisturbed)]


def test_a_finished_run_given_again_does_nothing(pile: Path, undisturbed: Path) -> None:
    before = (undisturbed / TABLE).read_bytes()
    watcher = StopAfter(1)
    summary = curate(job(pile), undisturbed, progress=watcher)
    assert summary.n_resumed == summary.n_records == 110
    assert watcher.curated_now == 0
    assert (undisturbed / TABLE).read_bytes() == before


def test_a_damaged_batch_of_verdicts_is_judged_again(pile: Path, undisturbed: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        curate(job(pile), tmp_path, progress=StopAfter(70))
    first, second = sorted((tmp_path / UNFINISHED).glob("verdicts-*.parquet"))
    first.write_bytes(first.read_bytes()[:-100])
    second.write_bytes(b"")
    summary = curate(job(pile), tmp_path)
    assert summary.n_resumed == 0
    assert rows_of(tmp_path) == rows_of(undisturbed)


@pytest.mark.parametrize("finished", [True, False])
def test_changed_settings_are_refused_saying_what_changed_and_what_to_do(
    pile: Path, undisturbed: Path, tmp_path: Path, finished: bool
) -> None:
    if finished:
        shutil.copy(undisturbed / TABLE, tmp_path)
    else:
        with pytest.raises(KeyboardInterrupt):
            curate(job(pile), tmp_path, progress=StopAfter(40))
    left = files_in(tmp_path)
    with pytest.raises(PlanError) as caught:
        curate(job(pile, "curation.max_atoms=7", "limits.seconds=3"), tmp_path)
    message = str(caught.value)
    assert "curation.max_atoms: was 500, now 7" in message
    assert "limits.seconds: was 60.0, now 3.0" in message
    assert "--out" in message
    assert "--restart" in message
    assert files_in(tmp_path) == left


def test_restart_throws_away_what_was_there(pile: Path, undisturbed: Path, tmp_path: Path) -> None:
    shutil.copy(undisturbed / TABLE, tmp_path)
    summary = curate(job(pile, "curation.max_atoms=7"), tmp_path, restart=True, processes=2)
    assert (summary.n_resumed, summary.n_records) == (0, 110)
    assert summary.counts["too_many_atoms"] > 0


def test_two_runs_in_one_folder_are_one_too_many(pile: Path, tmp_path: Path) -> None:
    class Second(Progress):
        refused = ""

        def curating(self, total: int, finished: Any) -> None:
            result = run("curate", pile, "--out", tmp_path)
            Second.refused = str(result.exception)

    curate(job(pile), tmp_path, progress=Second())
    assert f"process {os.getpid()} on " in Second.refused


def test_a_foreign_file_of_that_name_is_left_alone(pile: Path, tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1]}), tmp_path / TABLE)
    with pytest.raises(PlanError, match="not a table that"):
        curate(job(pile), tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_said_in_a_sentence(pile: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(DatagenError, match="re-run the same command"):
        curate(job(pile), tmp_path / "out")


def test_a_full_disk_is_said_in_a_sentence_and_what_was_done_stays(
    pile: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = batch.write_verdicts

    def full(rows: Any, path: Path, metadata: Any) -> None:
        if path.name == "verdicts-000002.parquet":
            raise OSError(28, "No space left on device", str(path))
        real(rows, path, metadata)

    monkeypatch.setattr(batch, "write_verdicts", full)
    with pytest.raises(DatagenError, match=r"verdicts-000002.*No space left on device.*re-run the same command"):
        curate(job(pile), tmp_path)
    monkeypatch.undo()
    assert curate(job(pile), tmp_path).n_resumed == 64
    assert rows_of(tmp_path) == rows_of(undisturbed)


# --- inputs of every kind ---------------------------------------------------------------------------------------


def reasons_by_id(out: Path) -> dict[str, str]:
    return {row["source_id"]: row["reason"] for row in rows_of(out)}


def test_files_that_are_no_structure_get_their_reasons(tmp_path: Path) -> None:
    folder = tmp_path / "odd things"
    (folder / "sub folder ü").mkdir(parents=True)
    good = rock_salt()
    contents: dict[str, bytes] = {
        "good.cif": good.encode(),
        "sub folder ü/good too.cif": good.encode(),
        "empty.cif": b"",
        "truncated in text.cif": good.encode() + b"_note\n;\nand then the disk was full",
        "truncated in loop.cif": good.encode()[: good.index("0.5 0.5 0.5") + 4],
        "binary.cif": bytes(range(256)) * 40,
        "latin1.cif": good.encode() + "_publ_author_name 'J. Müller'\n".encode("latin-1"),
        "no block.cif": b"<html><body>404</body></html>",
        "empty block.cif": b"data_nothing\n",
        "mmcif.cif": MMCIF.encode(),
        "packed.cif.gz": gzip.compress(good.encode()),
        "packed badly.cif.gz": gzip.compress(good.encode())[:-10],
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    os.truncate(folder / "empty.cif", 0)
    with (folder / "100 MB.cif").open("wb") as big:
        big.write(good.encode())
        big.truncate(100_000_000)
    curate(job(folder), tmp_path / "out", processes=2)
    found = reasons_by_id(tmp_path / "out")
    assert len(found) == len(contents) + 1
    assert {name: reason for name, reason in found.items() if reason == ""}.keys() == {
        "good.cif",
        "sub folder ü/good too.cif",
        "latin1.cif",
        "packed.cif.gz",
    }
    assert found["empty.cif"] == "empty_file"
    assert found["binary.cif"] == "binary_file"
    assert found["100 MB.cif"] == "too_large"
    assert found["no block.cif"] == "no_data_block"
    assert found["mmcif.cif"] == "no_symmetry"
    assert found["empty block.cif"] == "no_cell"
    assert found["packed badly.cif.gz"] == "damaged_entry"
    assert all(reason in REASONS for reason in found.values() if reason)


def test_a_hundred_megabytes_of_cif_pass_when_the_limit_allows(tmp_path: Path) -> None:
    path = tmp_path / "huge.cif"
    with path.open("w") as file:
        file.write(rock_salt())
        file.write("_long_text\n;\n")
        line = "x" * 79 + "\n"
        for _ in range(1250):
            file.write(line * 1000)
        file.write(";\n")
    config = tmp_path / "run.toml"
    config.write_text('[[catalog]]\nkind = "folder"\npath = "huge.cif"\nmax_file_MB = 200\n')
    curate(job(config), tmp_path / "out")
    assert reasons_by_id(tmp_path / "out") == {"huge.cif": ""}


def test_a_wicked_zip_harms_nobody(tmp_path: Path) -> None:
    archive = tmp_path / "in" / "wicked.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("good.cif", rock_salt())
        packed.writestr("../escaped.cif", rock_salt())
        packed.writestr("/tmp/absolute.cif", rock_salt())
        with packed.open("bomb.cif", "w") as bomb:
            zeros = b" " * 10_000_000
            for _ in range(60):
                bomb.write(zeros)
        with pytest.warns(UserWarning, match="Duplicate name"):
            packed.writestr("good.cif", rock_salt(4.21, "Mg", "O"))
    before = set(tmp_path.rglob("*"))
    curate(job(archive), tmp_path / "out")
    new = {p.relative_to(tmp_path).parts[0] for p in set(tmp_path.rglob("*")) - before}
    assert new == {"out"}
    rows = rows_of(tmp_path / "out")
    by_reason = sorted(row["reason"] for row in rows)
    assert by_reason == ["", "", "escaping_entry", "escaping_entry", "too_large"]
    assert len({row["source_id"] for row in rows}) == 5


def test_a_tar_and_a_table_go_through_as_well(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "some.tar.gz", "w:gz") as packed:
        for name in ("a.cif", "b c.cif"):
            info = tarfile.TarInfo(name)
            info.size = len(rock_salt().encode())
            packed.addfile(info, io.BytesIO(rock_salt().encode()))
    (tmp_path / "some.csv").write_text(
        'material_id,cif,band_gap\nmp-1,"' + rock_salt() + '",1.5\nmp-1,"' + rock_salt(5.0) + '",2\nmp-2,,3\n'
    )
    config = tmp_path / "run.toml"
    tar, table = 'kind = "tar"\npath = "some.tar.gz"', 'kind = "table"\npath = "some.csv"\nname = "csv"'
    config.write_text(f"[[catalog]]\n{tar}\n[[catalog]]\n{table}\n")
    curate(job(config), tmp_path / "out")
    rows = rows_of(tmp_path / "out")
    assert [(row["source"], row["status"]) for row in rows] == [
        ("some", "accepted"),
        ("some", "accepted"),
        ("csv", "accepted"),
        ("csv", "accepted"),
        ("csv", "refused"),
    ]
    assert len({(row["source"], row["source_id"]) for row in rows}) == 5
    assert json.loads(rows[2]["source_metadata"])["band_gap"] == "1.5"


def test_records_that_a_condition_leaves_out_are_counted(tmp_path: Path) -> None:
    rows = [f'mp-{i},"{rock_salt(5.0 + i / 10)}",{gap}' for i, gap in enumerate(("1.5", "2", ""))]
    (tmp_path / "some.csv").write_text("\n".join(["material_id,cif,band_gap", *rows]) + "\n")
    config = tmp_path / "run.toml"
    config.write_text('[[catalog]]\nkind = "table"\npath = "some.csv"\nwhere = "band_gap > 1.6"\n')
    for _ in range(2):  # the second call reads the finished table
        summary = curate(job(config), tmp_path / "out")
        assert [row["source_id"] for row in rows_of(tmp_path / "out")] == ["mp-1"]
        assert (summary.n_records, summary.excluded) == (1, Excluded(records=2, without_field=1))


def test_nothing_at_all_is_a_table_without_rows(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    assert curate(job(tmp_path / "in"), tmp_path / "out").n_records == 0
    assert rows_of(tmp_path / "out") == []


# --- what a person reads ----------------------------------------------------------------------------------------


def test_the_command_ends_with_reasons_and_what_to_type_next(pile: Path, tmp_path: Path) -> None:
    out = tmp_path / "with space"
    result = run("curate", pile, "--out", out, "--processes", "2")
    assert result.exit_code == 0, result.output
    words = " ".join(result.output.split())
    assert "accepted" in words
    assert "no_cell" in words
    assert "110 records" in words
    assert f"datagen explain ID --dataset '{out}'" in words


def test_a_mistake_is_one_sentence_with_exit_code_2_and_no_traceback(tmp_path: Path) -> None:
    config = tmp_path / "[odd] name.toml"
    config.write_text("[curation]\nsymprec = 1\n")
    done = subprocess.run(
        [sys.executable, "-m", "datagen", "curate", config], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"datagen: {config}: 2 mistakes\n")
    assert "one [[catalog]] section per source" in done.stderr
    assert "did you mean symprec_A?" in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_says_that_the_same_command_goes_on(pile: Path, tmp_path: Path) -> None:
    driver = subprocess.Popen(
        [sys.executable, "-m", "datagen", "curate", pile, "--out", tmp_path / "out"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (tmp_path / "out" / UNFINISHED).exists():
        time.sleep(0.02)
    driver.send_signal(signal.SIGINT)
    _, said = driver.communicate(timeout=60)
    assert driver.returncode == 130
    assert "re-run the same command to resume" in said
    assert "Traceback" not in said


def test_explain_says_what_every_check_saw(undisturbed: Path) -> None:
    result = run("explain", "halide 4.cif", "--dataset", undisturbed)
    assert result.exit_code == 0
    words = " ".join(result.output.split())
    assert "accepted: NaCl, space group 225 (cubic)" in words
    for check in ("space group at 0.01 A, 0.1 deg", "Niggli cell", "closest atoms", "reflections", "volume"):
        assert check in words
    assert "failed" not in words


def test_explain_names_the_check_that_failed_and_what_can_be_done(undisturbed: Path) -> None:
    words = " ".join(run("explain", "bad 3.cif", "-d", undisturbed).output.split())
    assert "refused: no_cell" in words
    assert "failed" in words
    assert "not reached" in words
    assert REASONS["no_cell"].remedy in words


def test_explain_finds_by_source_by_stem_by_block_and_by_hash(undisturbed: Path) -> None:
    row = next(row for row in rows_of(undisturbed) if row["source_id"] == "halide 4.cif")
    for name in (f"{row['source']}/halide 4.cif", "halide 4", row["structure_hash"], "HALIDE 4.CIF"):
        assert "halide 4.cif" in run("explain", name, "-d", undisturbed).output, name
    many = run("explain", "many blocks", "-d", undisturbed).output
    assert "20 records match" in many


def test_explain_suggests_what_was_meant(undisturbed: Path) -> None:
    result = run("explain", "halid 44.cif", "-d", undisturbed)
    assert result.exit_code == 1
    assert "halide 44.cif" in result.output


def test_explain_answers_about_an_unfinished_run_too(pile: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        curate(job(pile), tmp_path, progress=StopAfter(70))
    assert "bad 3.cif" in run("explain", "bad 3.cif", "-d", tmp_path).output
    with pytest.raises(PlanError, match="--dataset"):
        raise run("explain", "x", "-d", pile).exception


def test_every_reason_is_listed_with_a_remedy() -> None:
    output = " ".join(run("reasons").output.split())
    for code, reason in REASONS.items():
        assert code in output
        assert reason.meaning
        assert reason.remedy
