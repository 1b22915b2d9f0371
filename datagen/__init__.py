"""Training data for powder diffraction, from Python.

    datagen.simulate(structure)           patterns of one structure, as an xarray.Dataset
    datagen.curate(structure)             its verdict: accepted with labels, or refused with a reason
    datagen.explain(verdict)              what every check found
    datagen.run("config.toml", out)       a whole dataset, as the command line makes it
    datagen.render("my.zarr", out)        patterns of a dataset's structures, for any instrument
    datagen.load_config("config.toml")    a configuration, validated
    datagen.open_dataset("my.zarr")       a dataset, as an xarray.Dataset
    datagen.identify("a.xy", "my.zarr")   structures of a dataset that explain a measured scan
    datagen.refine("a.xy", "a.cif")       cell and profile of a structure, by least squares against a scan

Importing the package loads none of its dependencies; each function does when it is first used.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["curate", "explain", "identify", "load_config", "open_dataset", "refine", "render", "run", "simulate"]

if TYPE_CHECKING:
    import inspect

    from datagen import errors as errors
    from datagen import progress as progress
    from datagen.api import curate, explain, identify, load_config, open_dataset, refine, render, run, simulate

_ALSO_MODULES = ("run", "simulate")
_MODULES = (*_ALSO_MODULES, "errors", "progress")


def __getattr__(name: str) -> Any:
    if name in _ALSO_MODULES or name in __all__:
        import_module(f"{__name__}.commands.siblings").check()
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name in __all__:
        return getattr(import_module(f"{__name__}.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _CallableModule(ModuleType):
    """A module that is called like the public function of its name, `datagen.run(...)`."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Call the function of `datagen.api`."""
        return self.__wrapped__(*arguments, **options)

    @property
    def __wrapped__(self) -> Any:
        return getattr(import_module("datagen.api"), self.__name__.rpartition(".")[2])

    @property
    def __signature__(self) -> inspect.Signature:
        import inspect

        return inspect.signature(self.__wrapped__)


class _Package(ModuleType):
    """This package: importing `datagen.run` or `datagen.simulate.native` must not hide the functions of those names.

    Python binds every imported submodule in its package; there the two become callable.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _ALSO_MODULES and type(value) is ModuleType:
            value.__class__ = _CallableModule
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
