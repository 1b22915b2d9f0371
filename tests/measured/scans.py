"""Scans of bundled structures, written to folders."""

from __future__ import annotations

from pathlib import Path

from tests.measured.test_curate import cif, scan

HEAD = """##NAMES=Quartz
##RRUFFID=R0
##CELL PARAMETERS=a: 4.914 b: 4.914 c: 5.405 alpha: 90 beta: 90 gamma: 120 volume: 113.0 crystal system: trigonal
##FILETYPE=Processed Powder Diffraction Profile

"""


def collection(folder: Path) -> Path:
    """Two scans with structures, one with a stated cell, one with a wrong structure, one that is no scan."""
    folder.mkdir()
    (folder / "salt.xy").write_text(scan("halite"))
    (folder / "salt.cif").write_text(cif("halite"))
    (folder / "quartz.xy").write_text(scan("quartz", seed=1))
    (folder / "quartz.cif").write_text(cif("quartz"))
    points = scan("quartz", seed=2).split("\n", 1)[1]
    (folder / "Quartz__R0-1__Powder__Xray_Data_XY_Processed__1.txt").write_text(HEAD + points.replace(" ", ", "))
    (folder / "wrong.xy").write_text(scan("halite", seed=3))
    (folder / "wrong.cif").write_text(cif("quartz"))
    (folder / "broken.xy").write_text("1 2\n")
    (folder / "broken.cif").write_text(cif("quartz"))
    return folder
