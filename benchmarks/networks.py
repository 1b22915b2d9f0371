"""AlphaDiffract and QMixer, trained for the same time on the same structures, and how both do on measured scans.

    datagen run open_structures.parquet --out open.zarr --where "licence != 'unknown'" \
        --set simulation.augmentation.preset=measured --set simulation.augmentation.count=1 --set store.d_min_A=1.0
    python -m benchmarks.networks open.zarr --minutes 60 --work FOLDER

AlphaDiffract is the reduced network of `benchmarks.learning`, since the whole one sees a few thousand patterns in an
hour of a core; its patterns are simulated from the reflections with the augmentations of the dataset. QMixer is that of
`trainer fit qmixer --size small`, with its own artefacts. Both are trained at once, each on one core, and so under the
same conditions; validation counts as training time. An interrupted command is resumed by the same command.

Then `datagen measured` brings both sets of RRUFF to the instrument of the dataset, and `trainer evaluate` scores both
networks on the scans that it accepts: QMixer alone, without the lines of the scans, and with them. With `--weights`
further weights of QMixer (`package` for those that come with it) are scored on the same scans. Both sets were used for
choosing artefacts. Prints tables and, last, one JSON object of fractions.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks._data import shared_data
from benchmarks.learning import DEVIATIONS, MODEL
from trainer.prediction.qmixer import export_weights, load_weights
from trainer.training.checkpoint import load
from trainer.training.config import AlphaDiffractTraining
from trainer.training.fit import fit
from trainer.training.fit_qmixer import QMixerTraining, fit_qmixer
from trainer.training.schedules import Cyclic
from trainer.training.state import BEST, LAST

SETS = {"rruff_raw": "rruff_raw.zip", "rruff_processed": "rruff_processed.npz"}
WEIGHTS = "qmixer.safetensors"
PACKAGE = Path(__file__).parents[1] / "trainer" / "models" / WEIGHTS


def main() -> None:
    """Train both, evaluate, print."""
    options = argparse.ArgumentParser(description="Which network learns more in the same time?")
    options.add_argument("dataset", type=Path, nargs="?", help="simulated dataset with reflections to 1 A")
    options.add_argument("--minutes", type=float, default=60.0, help="training time of each network")
    options.add_argument("--work", type=Path, default=Path("runs/networks"), help="folder of checkpoints and scores")
    options.add_argument("--networks", default="alphadiffract,qmixer", help="which of them to train and score")
    options.add_argument("--weights", default="", help="further weights of QMixer to score: files, or `package`")
    options.add_argument("--out", type=Path, help="also write the JSON here")
    given = options.parse_args()
    if given.dataset is None:
        print("skipped: name a dataset, as the docstring says", file=sys.stderr)
        return
    folder, work, dataset = shared_data() / "measured", given.work.resolve(), given.dataset.resolve()
    work.mkdir(parents=True, exist_ok=True)
    names = given.networks.split(",")
    train_at_once(names, dataset, work, given.minutes)
    result: dict[str, Any] = {"minutes": given.minutes}
    models: dict[str, list[str]] = {}
    if "alphadiffract" in names:
        best = work / "alphadiffract" / BEST
        result["alphadiffract_patterns"] = load(work / "alphadiffract" / LAST).progress.patterns
        models["alphadiffract"] = [str(best)]
    if "qmixer" in names:
        weights = work / "qmixer" / WEIGHTS
        result["qmixer_patterns"] = load_weights(weights).facts["patterns"]
        models |= both_ways("qmixer", weights, dataset)
    for file in filter(None, given.weights.split(",")):
        models |= both_ways(Path(file).stem, PACKAGE if file == "package" else Path(file).resolve(), dataset)
    for scans, source in SETS.items():
        measured = work / f"{scans}.zarr"
        if not measured.exists():
            command = [sys.executable, "-m", "datagen", "measured", str(folder / source), "--out", str(measured)]
            subprocess.run([*command, "--instrument", str(dataset)], check=True, stdout=sys.stderr)
        for name, arguments in models.items():
            report = evaluated([*arguments, str(measured)], work / "scores" / f"{name}-{scans}")
            for part, figures in figures_of(report).items():
                print(f"{scans}, {part}, {name}: {figures}", flush=True)
                result |= {f"{scans}_{part}_{name}_{figure}": value for figure, value in figures.items()}
    text = json.dumps(result)
    print(text)
    if given.out:
        given.out.write_text(json.dumps(result, indent=1) + "\n")


def both_ways(name: str, weights: Path, dataset: Path) -> dict[str, list[str]]:
    """Return arguments of `trainer evaluate` for weights of QMixer, without and with the lines of the scans."""
    trained_on = ["--trained-on", str(dataset)]
    return {f"{name}_network": [*trained_on, "--no-lines", str(weights)], name: [*trained_on, str(weights)]}


def train_at_once(names: list[str], dataset: Path, work: Path, minutes: float) -> None:
    """Train networks in processes of their own, each on one core."""
    tasks = {"alphadiffract": train_alphadiffract, "qmixer": train_qmixer}
    context = multiprocessing.get_context("spawn")
    running = [
        context.Process(target=tasks[name], args=(dataset, work / name, minutes, core))
        for core, name in enumerate(names)
    ]
    for process in running:
        process.start()
    for process in running:
        process.join()
    if failed := [name for name, process in zip(names, running, strict=True) if process.exitcode]:
        sys.exit(f"training of {' and '.join(failed)} ended with an error: no figures")


def on_one_core(number: int) -> None:
    """Keep this process and its threads on one core, where the system has a call for it."""
    torch.set_num_threads(1)
    if sys.platform == "linux":
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[number % len(cores)]})


def train_alphadiffract(dataset: Path, out: Path, minutes: float, core: int) -> None:
    """Train the reduced AlphaDiffract from reflections, one pattern of each structure in an epoch."""
    on_one_core(core)
    config = AlphaDiffractTraining(
        **DEVIATIONS,
        minutes=minutes,
        save_minutes=3.0,
        input="sticks",
        samples_per_structure=1,
        model=MODEL,
        workers=1,
    )
    # One cycle over the whole run.
    config = replace(config, schedule=Cyclic(half_cycle_epochs=config.epochs / 2))
    if not fit(config, dataset, out, resume=(out / LAST).exists(), device="cpu").finished:
        sys.exit(130)


def train_qmixer(dataset: Path, out: Path, minutes: float, core: int) -> None:
    """Train the small QMixer and export its weights."""
    on_one_core(core)
    config = QMixerTraining(minutes=minutes)
    fit_qmixer(config, [dataset], out, resume=(out / LAST).exists())
    export_weights(out / LAST, out / WEIGHTS, {"datasets": [dataset.name]})


def evaluated(arguments: list[str], out: Path) -> dict[str, Any]:
    """Return the report of `trainer evaluate`; one that was made is kept."""
    if not (out / "report.json").exists():
        command = [sys.executable, "-m", "trainer", "evaluate", *arguments, "--out", str(out)]
        subprocess.run(command, check=True, stdout=sys.stderr)
    found: dict[str, Any] = json.loads((out / "report.json").read_text())
    return found


def figures_of(report: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return the figures that are compared, of all scans and of those of seen and unseen structures."""
    measured = report["measured"]
    found = {}
    for part, figures in {"all": measured["all"], **measured["parts"]}.items():
        if part not in ("all", "seen", "unseen"):
            continue
        found[part] = {
            "scans": figures["scans"],
            "crystal_system": round(figures["crystal_system"]["accuracy"], 4),
            "space_group": round(figures["space_group"]["accuracy"], 4),
            "space_group_top5": round(figures["space_group"]["top5"], 4),
        }
        if figures["cell"] is not None:
            usable = figures["cell"]["usable"]
            found[part] |= {f"cells_{limits}": round(share, 4) for limits, share in usable.items()}
    return found


if __name__ == "__main__":
    main()
