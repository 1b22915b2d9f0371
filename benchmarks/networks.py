"""AlphaDiffract and QMixer, trained for the same time on the same structures, and how both do on measured scans.

    datagen run open_structures.parquet --out open.zarr --where "licence != 'unknown'" \
        --set simulation.augmentation.preset=measured --set simulation.augmentation.count=1 --set store.d_min_A=1.0
    python -m benchmarks.networks open.zarr --minutes 60 --work FOLDER

AlphaDiffract is the reduced network of `benchmarks.learning`, since the whole one sees a few thousand patterns in an
hour of a core; its patterns are simulated from the reflections with the augmentations of the dataset. QMixer is that of
`trainer fit qmixer --size small`, with its own artefacts. Both are trained at once, each on one core, and so under the
same conditions; validation counts as training time. An interrupted command is resumed by the same command.

`datagen measured` then brings both sets of RRUFF to the instrument of the dataset, and both networks are scored, as by
`trainer evaluate`, on the scans that it accepts: QMixer without the lines of the scans, and with them. Copies of the
checkpoints, ten over the run, are scored too, without lines: the learning curves, drawn beside `--out`. Both sets of
scans were used for choosing artefacts. The last line is one JSON object of fractions.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from benchmarks._data import shared_data
from benchmarks.learning import DEVIATIONS, MODEL
from trainer.data.store import Dataset, open_dataset
from trainer.evaluation.plots import figure
from trainer.prediction.qmixer import export_weights, load_weights
from trainer.prediction.scoring.evaluate import evaluate_scans
from trainer.training.checkpoint import load
from trainer.training.config import AlphaDiffractTraining
from trainer.training.fit import fit
from trainer.training.fit_qmixer import QMixerTraining, fit_qmixer
from trainer.training.schedules import Cyclic
from trainer.training.state import BEST, LAST

SETS = {"rruff_raw": "rruff_raw.zip", "rruff_processed": "rruff_processed.npz"}
NAMES = {"alphadiffract": "AlphaDiffract", "qmixer": "QMixer"}
TITLES = {"rruff_raw": "RRUFF, raw scans", "rruff_processed": "RRUFF, processed"}
WEIGHTS = "qmixer.safetensors"
COPIES = 10
"""Checkpoints kept over a run."""


def main() -> None:
    """Train both, evaluate, print."""
    options = argparse.ArgumentParser(description="Which network learns more in the same time?")
    options.add_argument("dataset", type=Path, nargs="?", help="simulated dataset with reflections to 1 A")
    options.add_argument("--minutes", type=float, default=60.0, help="training time of each network")
    options.add_argument("--work", type=Path, default=Path("runs/networks"), help="folder of checkpoints and scores")
    options.add_argument("--out", type=Path, help="also write the JSON here, and the curves beside it as PNG")
    given = options.parse_args()
    if given.dataset is None:
        print("skipped: name a dataset, as the docstring says", file=sys.stderr)
        return
    folder, work, dataset = shared_data() / "measured", given.work.resolve(), given.dataset.resolve()
    work.mkdir(parents=True, exist_ok=True)
    train_at_once(dataset, work, given.minutes)
    torch.set_num_threads(1)
    scans = {name: measured(folder / source, work / f"{name}.zarr", dataset) for name, source in SETS.items()}
    result: dict[str, Any] = {"minutes": given.minutes}
    best, weights = work / "alphadiffract" / BEST, work / "qmixer" / WEIGHTS
    for name, model, lines in (
        ("alphadiffract", best, None),
        ("qmixer", weights, True),
        ("qmixer_network", weights, False),
    ):
        result[f"{name}_patterns"] = patterns_and_minutes(model)[0]
        result |= scored(name, model, scans, work, dataset, lines)
    result["curves"] = {name: learning_curve(name, work / name, scans) for name in NAMES}
    text = json.dumps(result)
    print(text)
    if given.out:
        given.out.write_text(json.dumps(result, indent=1) + "\n")
        plot_curves(result["curves"], given.out.with_suffix(".png"))


def train_at_once(dataset: Path, work: Path, minutes: float) -> None:
    """Train both networks in processes of their own, each on one core."""
    context = multiprocessing.get_context("spawn")
    running = [
        context.Process(target=train, args=(dataset, work / name, minutes, core))
        for core, (name, train) in enumerate(zip(NAMES, (train_alphadiffract, train_qmixer), strict=True))
    ]
    for process in running:
        process.start()
    wait_and_copy(running, [work / name for name in NAMES], 60 * minutes / COPIES)
    if failed := [name for name, process in zip(NAMES, running, strict=True) if process.exitcode]:
        sys.exit(f"training of {' and '.join(failed)} ended with an error: no figures")


def wait_and_copy(running: Sequence[BaseProcess], folders: Sequence[Path], every_s: float) -> None:
    """Wait for the processes to end, and copy their checkpoints from time to time."""
    due = time.monotonic() + every_s
    while any(process.is_alive() for process in running):
        time.sleep(1.0)
        if time.monotonic() < due:
            continue
        due += every_s
        for folder in folders:
            last, copies = folder / LAST, folder / "curve"
            copies.mkdir(parents=True, exist_ok=True)
            before = sorted(copies.glob("*.pt"))
            if last.exists() and not (before and before[-1].stat().st_mtime == last.stat().st_mtime):
                shutil.copy2(last, copies / f"{len(before):02d}.pt")
    for process in running:
        process.join()


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
    fit_qmixer(QMixerTraining(minutes=minutes), [dataset], out, resume=(out / LAST).exists())
    export_weights(out / LAST, out / WEIGHTS, {"datasets": [dataset.name]})


def measured(source: Path, out: Path, dataset: Path) -> Dataset:
    """Return the scans of a collection at the instrument of the dataset."""
    if not out.exists():
        command = [sys.executable, "-m", "datagen", "measured", str(source), "--out", str(out)]
        subprocess.run([*command, "--instrument", str(dataset)], check=True, stdout=sys.stderr)
    return open_dataset(out)


def patterns_and_minutes(model: Path) -> tuple[int, float]:
    """Return the patterns that a model saw, and the minutes of its training."""
    if model.suffix == ".safetensors":
        facts = load_weights(model).facts
        return facts["patterns"], facts["minutes"]
    # `best.pt` can be older than the end of the run, whose patterns are those of the last checkpoint.
    progress = load(model.with_name(LAST) if model.name == BEST else model).progress
    return progress.patterns, round(progress.seconds / 60, 1)


def scored(
    name: str, model: Path, scans: dict[str, Dataset], work: Path, dataset: Path, lines: bool | None
) -> dict[str, float]:
    """Return the figures of a model on each set of scans; they are kept in a file, by the patterns that it saw."""
    result: dict[str, float] = {}
    for place, those in scans.items():
        kept = work / f"{name}-{patterns_and_minutes(model)[0]}-{place}.json"
        if not kept.exists():
            trained_on = open_dataset(dataset) if model.suffix == ".safetensors" else None
            report = evaluate_scans([model], those, trained_on=trained_on, lines=lines, device="cpu").report
            kept.write_text(json.dumps(report["measured"]))
        found = json.loads(kept.read_text())
        for part, figures in {"all": found["all"], **found["parts"]}.items():
            if part in ("all", "seen", "unseen"):
                print(f"{TITLES[place]}, {part}, {name}: {figures_of(figures)}", flush=True)
                result |= {f"{place}_{part}_{name}_{key}": value for key, value in figures_of(figures).items()}
    return result


def figures_of(figures: dict[str, Any]) -> dict[str, float]:
    """Return the figures that are compared of a set of scans."""
    found = {
        "scans": figures["scans"],
        "crystal_system": round(figures["crystal_system"]["accuracy"], 4),
        "space_group": round(figures["space_group"]["accuracy"], 4),
        "space_group_top5": round(figures["space_group"]["top5"], 4),
    }
    if figures["cell"] is not None:
        found |= {f"cells_{limits}": round(share, 4) for limits, share in figures["cell"]["usable"].items()}
    return found


def learning_curve(name: str, folder: Path, scans: dict[str, Dataset]) -> list[dict[str, float]]:
    """Return the figures of the copies of checkpoints, and of the end of the run, in the order of their patterns."""
    points: list[dict[str, float]] = []
    for checkpoint in [*sorted((folder / "curve").glob("*.pt")), folder / LAST]:
        model = checkpoint
        if name == "qmixer":
            model = checkpoint.with_suffix(".safetensors")
            export_weights(checkpoint, model, {})
        patterns, minutes = patterns_and_minutes(model)
        if points and points[-1]["patterns"] == patterns:
            continue  # the last copy was made after the end
        point: dict[str, float] = {"patterns": patterns, "minutes": minutes}
        for place, those in scans.items():
            lines = False if name == "qmixer" else None
            report = evaluate_scans([model], those, lines=lines, device="cpu").report
            found = figures_of(report["measured"]["all"])
            point |= {f"{place}_{key}": found[key] for key in ("crystal_system", "space_group")}
        print(f"{name}: {point}", flush=True)
        points.append(point)
    return points


def plot_curves(curves: dict[str, list[dict[str, float]]], path: Path) -> None:
    """Plot accuracies on both sets over minutes."""
    made, axes = figure(9, 3.6, 1, len(TITLES))
    colours = {"alphadiffract": "tab:orange", "qmixer": "tab:blue"}
    for axis, (place, title) in zip(axes.flat, TITLES.items(), strict=True):
        for name, points in curves.items():
            for target, style in (("crystal_system", "--"), ("space_group", "-")):
                minutes = [point["minutes"] for point in points]
                values = [100 * point[f"{place}_{target}"] for point in points]
                label = f"{NAMES[name]}, {target.replace('_', ' ')}"
                axis.plot(minutes, values, style, color=colours[name], marker=".", label=label)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("minutes of training, one core each")
        axis.set_ylabel("right, %")
        axis.set_ylim(bottom=0)
    made.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)
    made.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
