"""Addresses of datasets on the Hugging Face Hub: `hf://ORG/NAME`, with `@REVISION` for a tag, branch or commit."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from datagen.errors import ConfigError
from datagen.progress import one_line

SCHEME = "hf://"
_FORM = re.compile(r"hf://(?:datasets/)?([A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+)(?:@([A-Za-z0-9_.+/-]+))?/?")
_HUB = "https://huggingface.co"


@dataclass(frozen=True)
class HubAddress:
    """A repository of the type dataset, at one revision."""

    repository: str
    revision: str = "main"

    @property
    def files_url(self) -> str:
        """Return the URL below which the Hub serves the files."""
        return f"{page_url(self.repository)}/resolve/{quote(self.revision, safe='')}"


def is_hub(url: str) -> bool:
    """Return whether a URL is an address on the Hub."""
    return url.startswith(SCHEME)


def parse(url: str) -> HubAddress:
    """Return the repository and revision of an address."""
    found = _FORM.fullmatch(url)
    if found is None:
        raise ConfigError(f"{one_line(url, 200)}: expected hf://ORG/NAME or hf://ORG/NAME@REVISION")
    return HubAddress(found[1], found[2] or "main")


def endpoint() -> str:
    """Return the URL of the Hub: HF_ENDPOINT, as in huggingface_hub."""
    return os.environ.get("HF_ENDPOINT", _HUB).rstrip("/")


def page_url(repository: str) -> str:
    """Return the URL of a dataset's page."""
    return f"{endpoint()}/datasets/{repository}"


def token() -> str | None:
    """Return the user's token from HF_TOKEN or from the file that `hf auth login` writes; None without one."""
    if stated := os.environ.get("HF_TOKEN", "").strip():
        return stated
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface"
    try:
        return Path(os.environ.get("HF_TOKEN_PATH") or Path(home) / "token").read_text().strip() or None
    except (OSError, ValueError):
        return None
