"""The finished dataset of tests/datagen, for campaigns."""

from tests.datagen.conftest import copied, made

__all__ = ["copied", "made"]
