"""Commands that derive and compare datasets."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from datagen.commands.app import app


def said(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200"})
    assert result.exit_code == code, result.output
    return result.output


def test_commands_print_their_results(ours: Path, theirs: Path, tmp_path: Path) -> None:
    both, part, salt = tmp_path / "both.zarr", tmp_path / "part.zarr", tmp_path / "salt"
    assert "9 structures, 2 duplicates left out" in said("merge", ours, theirs, "--out", both)
    assert "structures, complete and verified" in said("subset", both, "--out", part, "--where", "n_atoms <= 12")
    assert "only in A: " in said("diff", both, part, code=1)
    assert "equal in every byte" in said("diff", both, both)
    assert "StructureMatcher" in said("audit", ours, theirs)
    salt.write_text("0123456789abcdef")
    out = tmp_path / "both.parquet"
    assert "9 structures" in said("fingerprint", both, "--salt-file", salt, "--out", out)
    assert "volume per atom" in said("audit", ours, out, "--salt-file", salt)
