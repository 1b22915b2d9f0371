"""GSAS-II as its own documentation uses it, one project per pattern: `python published_route.py request.json out.npy`.

Shares nothing with the engine: a CIF is read by GSAS-II's reader, the project refined with zero cycles, the calculated
pattern taken, its background subtracted.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np


def pattern(cif, instprm, angles, augmentation):
    from GSASII import GSASIIscriptable as G2sc

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "crystal.cif").write_text(cif)
        (folder / "i.instprm").write_text(instprm)
        project = G2sc.G2Project(newgpx=str(folder / "p.gpx"))
        histogram = project.add_simulated_powder_histogram(
            "h", str(folder / "i.instprm"), *angles[:2], Npoints=angles[2]
        )
        phase = project.add_phase(str(folder / "crystal.cif"), "x", [histogram], fmthint="CIF")
        for name in "UVW":
            histogram["Instrument Parameters"][0][name][1] = augmentation[name]
        link = phase.data["Histograms"][histogram.name]
        link["Size"][1][0] = augmentation["size"]
        link["Mustrain"][1][0] = augmentation["microstrain"]
        project.refine()
        histogram = project.histogram(0)
        return np.ma.getdata(histogram.getdata("ycalc")) - np.ma.getdata(histogram.getdata("background"))


def main():
    request = json.loads(Path(sys.argv[1]).read_text())
    out = [pattern(cif, request["instprm"], request["angles"], request["augmentation"]) for cif in request["cifs"]]
    np.save(sys.argv[2], np.array(out))


main()
