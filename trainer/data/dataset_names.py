"""Registered names of datasets, which `datagen datasets` keeps in a TOML file."""

from __future__ import annotations

import difflib
import os
import tomllib
from pathlib import Path
from urllib.request import urlopen

from trainer.errors import TrainerError

LIST = "datasets.toml"
ENVIRONMENT = "PXRD_DATASETS"
"""Environment variable with the path or http(s) URL of that file; by default `LIST` in the current folder."""
_TIMEOUT_s = 30.0


def location_of_name(text: str) -> str:
    """Resolve a registered name to its location; return other text unchanged."""
    where = os.environ.get(ENVIRONMENT) or LIST
    if "/" in text or text.endswith(".zip") or ("://" not in where and not Path(where).exists()):
        return text
    try:
        if where.startswith(("http://", "https://")):
            with urlopen(where, timeout=_TIMEOUT_s) as answer:  # noqa: S310 (the scheme was just looked at)
                listed = answer.read().decode()
        else:
            listed = Path(where).read_text(encoding="utf-8")
        known = {name: entry["location"] for name, entry in tomllib.loads(listed).get("dataset", {}).items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainerError(f"{where}: the registry of datasets cannot be read ({error})") from error
    if text not in known:
        near = difflib.get_close_matches(text, known, n=3, cutoff=0.5)
        meant = f"; did you mean {', '.join(near)}?" if near else ""
        raise TrainerError(f"{text}: no such folder, and no dataset of this name is registered in {where}{meant}")
    return str(known[text])
