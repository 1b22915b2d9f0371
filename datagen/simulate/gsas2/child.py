"""The script that runs in the Python that has GSAS-II: one project per request, evaluated once per augmentation.

Started by `process.py`, possibly with another Python than the one of pxrd-datagen: it imports only the standard
library, numpy and GSAS-II. Requests are JSON lines on standard input, answers JSON lines on what was standard output
at the start; arrays are exchanged as .npy files. Both output descriptors are then redirected to a file, which catches
what C and Fortran print as well as what Python prints.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

NETWORK_EVENTS = tuple(
    f"socket.{call}"
    for call in ("connect", "bind", "sendto", "sendmsg", "getaddrinfo", "gethostbyname", "gethostbyaddr", "getnameinfo")
)
COMPLAINTS = ("ouch #", "not found, using", "bad profile", "error", "ill-conditioned")
"""What GSAS-II prints, in lower case, when it continues with something other than what was requested."""


class UnsupportedError(ValueError):
    """This structure cannot be computed; the message gives the reason."""


class CompiledPartError(RuntimeError):
    """A compiled part of GSAS-II is missing or does not work."""


def main() -> None:
    """Answer requests until standard input closes, then leave no scratch behind."""
    try:
        serve()
    finally:
        shutil.rmtree(Path(sys.argv[1]).parent, ignore_errors=True)


def serve() -> None:
    """Answer one request after another."""
    chatter = Path(sys.argv[1])
    answers = _take_over_output(chatter)
    sys.addaudithook(_refuse_network)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the parent
    threading.Thread(target=_die_with_parent, args=(os.getppid(),), daemon=True).start()

    def answer(content: dict[str, Any]) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    try:
        answer(_about())
    except ModuleNotFoundError as error:
        kind = "missing" if error.name == "GSASII" else "broken"
        answer({kind: f"{type(error).__name__}: {error}", "chatter": _tail(chatter)})
        return
    except CompiledPartError as error:
        answer({"broken": str(error), "chatter": _tail(chatter)})
        return
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever an import of GSAS-II raises is reported
        answer({"broken": f"importing it raised {type(error).__name__}: {error}", "chatter": _tail(chatter)})
        return
    for line in sys.stdin:
        os.ftruncate(1, 0)
        try:
            answer(compute(json.loads(line), chatter))
        except UnsupportedError as reason:
            answer({"refused": str(reason), "chatter": _tail(chatter)})
        except Exception as error:  # noqa: BLE001 - whatever GSAS-II raises is reported with what it printed
            if "no reflections in data range" in str(error):
                answer({"no_reflections": "GSAS-II finds no reflection inside the 2theta range"})
            else:
                traceback.print_exc()
                answer({"failed": f"{type(error).__name__}: {error}", "chatter": _tail(chatter)})


def compute(request: dict[str, Any], chatter: Path) -> dict[str, Any]:
    """Patterns of one structure: files `pattern.npy`, `reflections.npy` in the folder that the request names."""
    import numpy as np
    from GSASII import GSASIIstrMath as G2math

    folder = Path(request["folder"])
    began = time.perf_counter()
    project, histogram, phase = _build(request, folder)
    settings = request["augmentations"]
    _set_widths_in_project(histogram, phase, settings[0])

    # The refinement of zero cycles is GSAS-II's own way to a pattern. What it evaluates is kept, and evaluated again
    # with other widths: building, reading and writing the project happens once.
    evaluate = G2math.errRefine
    evaluated: list[tuple[Any, ...]] = []

    def remember(values: Any, *arguments: Any) -> Any:
        evaluated.append(arguments)
        return evaluate(values, *arguments)

    G2math.errRefine = remember
    try:
        project.refine()
    finally:
        G2math.errRefine = evaluate
    refined = np.ma.getdata(project.histogram(0).getdata("ycalc")).copy()
    arguments = evaluated[-1]
    (histograms, phases), parameters = arguments[0][:2], arguments[1]
    controls = next(a for a in arguments if isinstance(a, dict) and "atomIndx" in a)
    (hist,) = (h for name, h in histograms.items() if name.startswith("PWDR"))
    (reflections,) = hist["Reflection Lists"].values()
    rows = reflections["RefList"]

    def pattern(setting: dict[str, Any]) -> Any:
        _set_parameters(parameters, controls, setting)
        evaluate([], *arguments)
        calculated = np.ma.getdata(hist["Data"][3]) - np.ma.getdata(hist["Data"][4])
        return np.array(calculated, dtype=np.float64)

    first = {**settings[0], "zero_shift_deg": 0.0, "displacement_um": 0.0, "march_r": 1.0}
    again = pattern(first)
    if not np.allclose(again, refined, rtol=1e-9, atol=1e-9 * refined.max()):
        raise RuntimeError("re-evaluating GSAS-II's refinement gave another pattern than the refinement itself")

    # A powder shows the mean of both Friedel mates; GSAS-II computes the one it lists. Structure factors are frozen
    # by its own switch for intensities that are not to be recomputed.
    if request["average_friedel"]:
        one = rows[:, 9].copy()
        rows[:, :3] *= -1
        _structure_factors(reflections, phases, parameters, controls)
        rows[:, :3] *= -1
        other = rows[:, 9].copy()
        rows[:, 9] = 0.5 * (one + other)
    parameters["0:0:LeBail"] = True
    built = time.perf_counter()
    patterns = np.array([pattern(setting) for setting in settings])
    if not np.isfinite(patterns).all():
        raise RuntimeError("GSAS-II returned values that are not finite")

    printed = _tail(chatter, 1_000_000).lower()
    found = [c for c in COMPLAINTS if c in printed]
    if found:
        raise RuntimeError(f"GSAS-II complained ({', '.join(found)})")
    np.save(folder / "pattern.npy", patterns)
    np.save(folder / "two_theta.npy", np.ma.getdata(hist["Data"][0]))
    np.save(folder / "reflections.npy", rows[:, [0, 1, 2, 3, 4, 9]])  # h k l multiplicity d |F|^2
    return {
        "n_reflections": len(rows),
        "atoms_per_cell": _atoms_per_cell(phase),
        "build_seconds": built - began,
        "profile_seconds": time.perf_counter() - built,
    }


def _build(request: dict[str, Any], folder: Path) -> tuple[Any, Any, Any]:
    """Return a project with one phase and one simulated histogram, background zero."""
    from GSASII import GSASIIscriptable as G2sc
    from GSASII import GSASIIspc as G2spc

    number = request["space_group"]
    symbol = "P 1" if number == 1 else G2spc.spgbyNum[number]
    project = G2sc.G2Project(newgpx=str(folder / "project.gpx"))
    parameters = folder / "instrument.instprm"
    parameters.write_text("#GSAS-II instrument parameter file\n" + "".join(f"{k}:{v}\n" for k, v in request["instprm"]))
    low, high = request["range_deg"]
    histogram = project.add_simulated_powder_histogram(
        "simulation", str(parameters), low, high, Npoints=request["n_points"]
    )
    sample = histogram.SampleParameters
    sample["Type"] = request["sample_type"]
    for name in ("DisplaceX", "DisplaceY", "Shift", "Transparency", "SurfRoughA", "SurfRoughB"):
        sample[name] = [0.0, False]
    sample["Gonio. radius"] = request["goniometer_radius_mm"]
    background = histogram.data["Background"][0]
    background[1], background[3:] = False, [0.0] * len(background[3:])

    phase = project.add_phase(phasename="crystal", spacegroup=symbol, cell=request["cell"], histograms=[histogram])
    group = phase.data["General"]["SGData"]
    for i, (kind, xyz, occupancy, u_iso) in enumerate(request["atoms"]):
        site, multiplicity = G2spc.SytSym(xyz, group)[:2]
        # label, type, refined, x, y, z, occupancy, site symmetry, multiplicity, I, Uiso, U11..U23, id
        phase.data["Atoms"].append(
            [f"A{i}", kind, "", *xyz, occupancy, site, multiplicity, "I", u_iso, 0, 0, 0, 0, 0, 0, i + 1]
        )
    G2sc.SetupGeneral(phase.data, str(folder))
    for (kind, *_), atom in zip(request["atoms"], phase.data["Atoms"], strict=True):
        if atom[1] != kind:
            raise UnsupportedError(f"GSAS-II has no form factor for {kind} and would take {atom[1]}")
    return project, histogram, phase


def _set_widths_in_project(histogram: Any, phase: Any, setting: dict[str, Any]) -> None:
    """Let the refinement itself run with the first augmentation's widths."""
    instrument = histogram.InstrumentParameters
    for name in ("U", "V", "W", "X", "Y"):
        instrument[name][0] = instrument[name][1] = setting[name]
    (link,) = phase.data["Histograms"].values()
    link["Size"][0], link["Size"][1][0] = "isotropic", setting["crystallite_size_um"]
    link["Mustrain"][0], link["Mustrain"][1][0] = "isotropic", setting["microstrain"]


def _set_parameters(parameters: dict[str, Any], controls: dict[str, Any], setting: dict[str, Any]) -> None:
    for name in ("U", "V", "W", "X", "Y"):
        parameters[f":0:{name}"] = setting[name]
    parameters["0:0:Size;i"] = setting["crystallite_size_um"]
    parameters["0:0:Mustrain;i"] = setting["microstrain"]
    parameters[":0:Zero"] = setting["zero_shift_deg"]
    # Bragg-Brentano: off the focusing circle; Debye-Scherrer: along the beam.
    parameters[":0:Shift" if ":0:Shift" in parameters else ":0:DisplaceY"] = setting["displacement_um"]
    parameters["0:0:MD"] = setting["march_r"]
    controls["0:0:MDAxis"] = setting["march_hkl"]


def _structure_factors(
    reflections: dict[str, Any], phases: dict[str, Any], parameters: dict[str, Any], controls: dict[str, Any]
) -> None:
    from GSASII import GSASIIlattice as G2lat
    from GSASII import GSASIIstrMath as G2math

    (phase,) = phases.values()
    reciprocal_metric = G2lat.A2Gmat([parameters[f"0::A{i}"] for i in range(6)])[0]
    G2math.StructureFactor2(
        reflections, reciprocal_metric, ":0:", "0::", phase["General"]["SGData"], controls, parameters
    )


def _atoms_per_cell(phase: Any) -> dict[str, float]:
    found: dict[str, float] = {}
    for atom in phase.data["Atoms"]:
        found[atom[1]] = found.get(atom[1], 0.0) + atom[6] * atom[8]
    return found


def _about() -> dict[str, Any]:
    """Load GSAS-II, use its compiled parts once, and return its version and the names of its form factors."""
    from GSASII import GSASIIpath, atmdata
    from GSASII import GSASIIscriptable as G2sc

    G2sc.LoadG2fil()
    _use_compiled_parts()
    tag = GSASIIpath.GetVersionTag() if hasattr(GSASIIpath, "GetVersionTag") else ""
    version = " ".join(str(part) for part in (GSASIIpath.GetVersionNumber(), tag) if part)
    return {"version": version, "form_factors": sorted(atmdata.XrayFF)}


def _use_compiled_parts() -> None:
    """GSAS-II imports without its compiled parts, prints that they are missing, and fails at the first structure."""
    import numpy as np
    from GSASII import GSASIIpwd, GSASIIspc

    uses: dict[str, Callable[[], Any]] = {
        "pyspg": lambda: GSASIIspc.SpcGroup("P -1"),
        "pypowder": lambda: GSASIIpwd.getFCJVoigt3(20.0, 1.0, 1.0, 0.002, np.linspace(19.9, 20.1, 21)),
    }
    for part, use in uses.items():
        try:
            use()
        except Exception as error:
            found = f"{type(error).__name__}: {error}"
            raise CompiledPartError(f"its compiled part {part} is missing or does not work ({found})") from error


def _take_over_output(chatter: Path) -> Any:
    """Redirect both output descriptors to the file; return the former standard output, which carries the answers."""
    answers = os.fdopen(os.dup(1), "w")
    caught = os.open(chatter, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(caught, 1)
    os.dup2(caught, 2)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    return answers


def _tail(chatter: Path, characters: int = 2000) -> str:
    sys.stdout.flush()
    sys.stderr.flush()
    return chatter.read_text(errors="replace")[-characters:]


def _refuse_network(event: str, _: Any) -> None:
    if event in NETWORK_EVENTS:
        raise PermissionError("GSAS-II asked for the network, which is refused here")


def _die_with_parent(parent: int) -> None:
    """Exit when the parent is gone: a long computation would not notice that its input was closed."""
    while os.getppid() == parent:
        time.sleep(1.0)
    shutil.rmtree(Path(sys.argv[1]).parent, ignore_errors=True)
    os._exit(1)


if __name__ == "__main__":
    main()
