"""Addresses of datasets on the Hugging Face Hub: `hf://ORG/NAME`, with `@REVISION` for a tag, branch or commit."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import quote

from trainer.errors import TrainerError

SCHEME = "hf://"
_FORM = re.compile(r"hf://(?:datasets/)?([A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+)(?:@([A-Za-z0-9_.+/-]+))?/?")


def files_url(url: str) -> str:
    """Return the URL below which the Hub serves the files of a dataset."""
    found = _FORM.fullmatch(url)
    if found is None:
        raise TrainerError(f"{url}: expected hf://ORG/NAME or hf://ORG/NAME@REVISION")
    hub = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    return f"{hub}/datasets/{found[1]}/resolve/{quote(found[2] or 'main', safe='')}"


def token() -> str | None:
    """Return the user's token from HF_TOKEN or from the file that `hf auth login` writes; None without one."""
    if stated := os.environ.get("HF_TOKEN", "").strip():
        return stated
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface"
    try:
        return Path(os.environ.get("HF_TOKEN_PATH") or Path(home) / "token").read_text().strip() or None
    except (OSError, ValueError):
        return None
