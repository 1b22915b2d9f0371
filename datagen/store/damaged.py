"""Errors of reading malformed datasets, as one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from datagen.errors import DatagenError, StoreError
from datagen.progress import one_line
from datagen.store.location import Where

MALFORMED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SystemError,
    TypeError,
    ValueError,
)
"""What zarr, numcodecs, pyarrow, pydantic and json raise on content that no version of this program writes."""
_LONGEST = 200


@contextmanager
def damage_explained(dataset: Where | str, what: str) -> Iterator[None]:
    """Turn errors of reading content from elsewhere into a StoreError; the original is its cause (`--verbose`)."""
    try:
        yield
    except DatagenError:
        raise
    except MALFORMED as error:
        detail = one_line(f"{type(error).__name__}: {error}", _LONGEST)
        raise StoreError(
            f"{dataset}: {what} cannot be read, the dataset is damaged ({detail}); `datagen verify` lists damaged "
            "files: re-run the command of its run to repair it, or fetch it again"
        ) from error
