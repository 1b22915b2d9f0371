"""Location and format of a structure's density."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath

from catalogs.names import stem
from catalogs.record import DensityRef

_COMPRESSION = (".gz", ".bz2", ".xz")


def density_format(name: str) -> str:
    """Return `cube` or `mp_json` by the suffix; `chgcar` otherwise, since VASP's files have no suffix of their own."""
    lower = name.lower()
    for suffix in _COMPRESSION:
        lower = lower.removesuffix(suffix)
    if lower.endswith((".cube", ".cub")):
        return "cube"
    return "mp_json" if lower.endswith(".json") else "chgcar"


def density_path(pattern: str, file_id: str, block: str) -> PurePosixPath | None:
    """Return the pattern filled in for a data block, relative to the catalog's folder.

    Return None if the block's name, which is untrusted, would leave the folder of the pattern.
    """
    if "/" in block or "\\" in block or block == "..":
        return None
    folder = PurePosixPath(file_id).parent
    return PurePosixPath(pattern.format(stem=stem(file_id), folder=folder, block=block))


def by_block(pattern: str | None) -> bool:
    """Return whether the pattern distinguishes the blocks of a file."""
    return pattern is not None and "{block}" in pattern


def beside(folder: Path, pattern: str | None, file_id: str) -> Callable[[str], DensityRef | None] | None:
    """Return a function from block name to density file under `folder`; None without a pattern."""
    if pattern is None:
        return None

    def find(block: str) -> DensityRef | None:
        filled = density_path(pattern, file_id, block)
        if filled is None:
            return None
        path = folder / filled
        try:
            return DensityRef(path, density_format(path.name)) if path.is_file() else None
        except (OSError, ValueError):  # a block's name may be too long, or no file name at all
            return None

    return find
