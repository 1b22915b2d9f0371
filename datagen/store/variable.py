"""One array of a dataset: its meaning, type, units and chunks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

Home = Literal["label", "shard", "coordinate"]


@dataclass(frozen=True, slots=True)
class Variable:
    """One array: its meaning, and when it is written.

    `label` variables are known for all structures before simulation and written at creation; `shard` variables are
    written shard by shard, every file by the one task that owns the shard; `coordinate` variables name an axis.
    """

    name: str
    dims: tuple[str, ...]
    dtype: str
    long_name: str
    home: Home
    units: str | None = None
    fill: float | int | bool = 0
    chunk: tuple[int, ...] | None = None
    """Shape of the inner chunks of a sharded array; None: one chunk per file."""
    optional: bool = False
    """A structure may lack it and then takes no space; a flag variable says which have it."""
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def fill_value(self) -> Any:
        """Fill value in the type of the array."""
        return np.dtype(self.dtype).type(self.fill)

    def cf_attributes(self) -> dict[str, Any]:
        """Return the attributes of the CF conventions."""
        found: dict[str, Any] = {"long_name": self.long_name}
        if self.units is not None:
            found["units"] = self.units
        return found | self.attributes


@dataclass(frozen=True, slots=True)
class Draw:
    """A parameter drawn for every pattern: how the dataset stores it."""

    name: str
    units: str
    long_name: str
    axis: tuple[str, int] | None = None
    """Further axis of each value, name and length."""
    dtype: str = "float64"
    names: tuple[str, ...] = ()
    """Meanings of the values 0, 1, ..., if they are numbers of a list."""

    def variable(self) -> Variable:
        """Return its variable."""
        dims = ("structure", "augmentation", *((self.axis[0],) if self.axis else ()))
        fill = float("nan") if np.dtype(self.dtype).kind == "f" else 0
        names = flags([*range(len(self.names))], self.names) if self.names else {}
        return Variable(self.name, dims, self.dtype, self.long_name, "shard", self.units, fill, attributes=names)


def flags(values: list[int], meanings: tuple[str, ...]) -> dict[str, Any]:
    """Return the attributes that name the values of a variable of codes."""
    return {"flag_values": values, "flag_meanings": " ".join(meanings)}
