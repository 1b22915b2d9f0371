"""Training from options: settings, then one model or an ensemble."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from trainer.commands.terminal import TerminalReporter, errors_as_sentences
from trainer.errors import TrainerError

if TYPE_CHECKING:
    from trainer.training.config import Config

SCHEDULES = {"cyclic": "Cyclic", "cosine": "Cosine", "restarts": "WarmRestarts", "constant": "Constant"}


@dataclass(frozen=True)
class Beginning:
    """The settings that options ask for."""

    kind: str
    preset: str | None
    schedule: str | None
    given: dict[str, Any]
    settings: Sequence[str]
    """NAME=VALUE of --set."""

    def config(self, resumed: Config | None) -> Config:
        """Return the settings of the options, on top of those of the checkpoint that is resumed."""
        from trainer.training.config import change, with_settings
        from trainer.training.presets import PAPER, preset

        if resumed is not None and self.preset is not None:
            raise TrainerError("--preset: a resumed run keeps its settings; leave --preset out")
        config = resumed or preset(self.kind, self.preset or PAPER)
        config = replace(config, **self.given)
        if self.schedule is not None:
            if self.schedule not in SCHEDULES:
                raise TrainerError(f"--schedule {self.schedule}: expected one of {', '.join(SCHEDULES)}")
            config = change(config, "schedule", SCHEDULES[self.schedule])
        return with_settings(config, self.settings)


def run_training(
    beginning: Beginning,
    dataset: str,
    out: Path,
    *,
    resume: bool,
    device: str,
    ensemble: int | None,
    seeds: str | None,
) -> None:
    """Train one model, or an ensemble; exit code 130 if a signal stopped it."""
    from trainer.training import checkpoint
    from trainer.training.ensemble import fit_ensemble
    from trainer.training.fit import fit
    from trainer.training.state import LAST

    with errors_as_sentences(), TerminalReporter() as reporter:
        chosen = _seeds(beginning, ensemble, seeds)
        if chosen is not None:
            members = replace(beginning, given={k: v for k, v in beginning.given.items() if k != "seed"})
            outcome = fit_ensemble(
                members.config, chosen, dataset, out, resume=resume, device=device, reporter=reporter
            )
        else:
            config = beginning.config(checkpoint.load(out / LAST, beginning.kind).config if resume else None)
            outcome = fit(config, dataset, out, resume=resume, device=device, reporter=reporter)
    if int(os.environ.get("RANK", "0")) == 0:
        console = Console()
        what = f"{outcome.progress.epoch} epochs" if chosen is None else f"{len(chosen)} models"
        if outcome.finished:
            console.print(f"Trained {what}; weights in {out}", soft_wrap=True)
        else:
            console.print(f"Stopped in epoch {outcome.progress.epoch + 1}; resume with --resume", soft_wrap=True)
    if not outcome.finished:
        raise typer.Exit(code=130)


def given_values(**values: Any) -> dict[str, Any]:
    """Return the values of the options that were given."""
    return {name: value for name, value in values.items() if value is not None}


def numbers(option: str, text: str) -> tuple[int, ...]:
    """Return integers separated by commas."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"expected integers separated by commas, found {text!r}", param_hint=option) from None


def _seeds(beginning: Beginning, ensemble: int | None, seeds: str | None) -> tuple[int, ...] | None:
    """Return the seeds of an ensemble; None for a single model."""
    if ensemble is not None and seeds is not None:
        raise TrainerError("expected either --ensemble or --seeds, found both")
    if seeds is not None:
        return numbers("--seeds", seeds)
    first = beginning.given.get("seed", 0)
    return None if ensemble is None else tuple(range(first, first + ensemble))
