"""Configuration of training runs, stored in checkpoints and changed by the command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_type_hints

from trainer.errors import TrainerError
from trainer.models.alphadiffract import AlphaDiffractConfig
from trainer.models.crystalnet import CrystalNetConfig
from trainer.training.precision import PRECISIONS
from trainer.training.schedules import Constant, Cosine, Cyclic, Schedule, WarmRestarts

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

INPUTS = ("patterns", "sticks")
BALANCES = ("none", "crystal-system", "space-group")
LATTICE_LOSSES = ("mse", "standardised-mae")
SCORES = ("accuracies", "all")


_AT_LEAST_1 = (
    "epochs",
    "batch_size",
    "accumulate",
    "pool_structures",
    "workers",
    "validate_every_epochs",
    "save_every_steps",
    "log_every_steps",
)


@dataclass(frozen=True)
class TrainConfig:
    """Settings common to all networks."""

    epochs: int
    """Length of the run, and of the schedule where minutes or patterns end the run."""
    batch_size: int
    learning_rate: float
    weight_decay: float
    minutes: float | None = None
    """Budget of training time over all resumed runs, instead of epochs."""
    patterns: int | None = None
    """Budget of patterns (or crystals) of all processes, instead of epochs."""
    ema: float = 0.0
    """Decay of an exponential average of the weights; 0 for none."""
    gradient_norm: float = 0.0
    """Largest norm of the gradient; 0 for no limit."""
    save_minutes: float | None = None
    """Minutes between checkpoints, instead of steps and epochs."""
    accumulate: int = 1
    pool_structures: int = 256
    workers: int = 4
    seed: int = 0
    precision: str = "auto"
    compile: bool = False
    deterministic: bool = False
    follow: bool = False
    validate_every_epochs: int = 1
    save_every_steps: int = 1000
    log_every_steps: int = 50

    def __post_init__(self) -> None:
        for name in _AT_LEAST_1:
            if getattr(self, name) < 1:
                raise TrainerError(f"{name}: expected at least 1, found {getattr(self, name)}")
        if self.seed < 0:
            raise TrainerError(f"seed: expected 0 or more, found {self.seed}")
        for name in ("learning_rate", "minutes", "patterns"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise TrainerError(f"{name}: expected more than 0, found {value}")
        for name in ("gradient_norm", "save_minutes"):
            if (getattr(self, name) or 0.0) < 0:
                raise TrainerError(f"{name}: expected 0 or more, found {getattr(self, name)}")
        if not 0 <= self.ema < 1:
            raise TrainerError(f"ema: expected 0 to less than 1, found {self.ema}")
        _one_of("precision", self.precision, PRECISIONS)


@dataclass(frozen=True)
class AlphaDiffractTraining(TrainConfig):
    """Settings of AlphaDiffract; defaults of the paper (Sec. 5.5)."""

    epochs: int = 60
    batch_size: int = 64
    learning_rate: float = 2e-4
    weight_decay: float = 0.01
    model: AlphaDiffractConfig = field(default_factory=AlphaDiffractConfig)
    schedule: Schedule = field(default_factory=Cyclic)
    input: str = "patterns"
    samples_per_structure: int | None = None
    """Patterns per structure and epoch; None for all that are stored."""
    balance: str = "none"
    """Classes by which structures are drawn."""
    balance_power: float = 0.0
    """Classes are drawn with their frequency to this power: 0 equally often, 1 as they occur."""
    adjust_logits: bool = False
    """Add the logarithm of drawn over natural frequency to the logits in training, so that predictions need no
    correction (Menon et al., ICLR 2021)."""
    label_smoothing: float = 0.0
    gemd_weight: float = 1.0
    length_weight: float = 1.0
    angle_weight: float = 1.0
    lattice_loss: str = "mse"
    """Mean squared error as in the paper, or mean absolute error in standard deviations of the training split."""
    cell_strain: float = 0.0
    """Crystals are scaled in training by 1 / (1 + cell_strain) to 1 + cell_strain."""
    best_by: str = "accuracies"
    """Score of `best.pt`: the sum of both accuracies, or that minus the standardised lattice error."""
    noise: bool = True
    validation_samples: int = 1
    """Patterns per validation structure."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _one_of("input", self.input, INPUTS)
        _one_of("balance", self.balance, BALANCES)
        _one_of("lattice_loss", self.lattice_loss, LATTICE_LOSSES)
        _one_of("best_by", self.best_by, SCORES)
        if self.samples_per_structure is not None and self.samples_per_structure < 1:
            raise TrainerError(f"samples_per_structure: expected at least 1, found {self.samples_per_structure}")
        if self.validation_samples < 1:
            raise TrainerError(f"validation_samples: expected at least 1, found {self.validation_samples}")
        for name in ("balance_power", "label_smoothing"):
            if not 0 <= getattr(self, name) <= 1:
                raise TrainerError(f"{name}: expected 0 to 1, found {getattr(self, name)}")
        if self.adjust_logits and self.balance == "none":
            raise TrainerError("adjust_logits: expected a balance other than none, by which classes are drawn")
        if not 0 <= self.cell_strain <= 0.5:
            raise TrainerError(f"cell_strain: expected 0 to 0.5, found {self.cell_strain}")

    @property
    def needs_lattice_statistics(self) -> bool:
        """Whether training needs mean and deviation of the lattices of the training split."""
        return self.model.lattice_start == "training" or self.lattice_loss != "mse" or self.best_by == "all"


@dataclass(frozen=True)
class CrystalNetTraining(TrainConfig):
    """Settings of CrystalNet; defaults of the paper."""

    epochs: int = 1500
    batch_size: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    model: CrystalNetConfig = field(default_factory=CrystalNetConfig)
    schedule: Schedule = field(default_factory=WarmRestarts)
    divisions: int = 10
    """Points along each axis of a density in training."""
    kl_weight: float = 0.05
    noise: bool = True
    validation_guesses: int = 2
    validation_points: int = 25
    """Grid points along each axis in validation; a divisor of the stored 50."""
    validation_structures: int = 250
    test_guesses: int = 5
    """Samples of which an evaluation takes the best."""
    crystal_systems: tuple[int, ...] = (7,)
    """Crystal systems to train on; the two models of the paper are for 7 (cubic) and 5 (trigonal)."""
    resident_gigabytes: float = 10.0
    """Densities of a split are kept in memory up to this size; larger splits are read in every epoch."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch_size < 2:
            raise TrainerError("batch_size: expected at least 2, which batch normalisation needs, found 1")
        for name in ("divisions", "validation_guesses", "validation_points", "validation_structures", "test_guesses"):
            if getattr(self, name) < 1:
                raise TrainerError(f"{name}: expected at least 1, found {getattr(self, name)}")
        if not self.resident_gigabytes >= 0:
            raise TrainerError(f"resident_gigabytes: expected 0 or more, found {self.resident_gigabytes}")
        if 50 % self.validation_points:
            raise TrainerError(f"validation_points: expected a divisor of 50, found {self.validation_points}")
        if not set(self.crystal_systems) <= set(range(1, 8)) or not self.crystal_systems:
            raise TrainerError(f"crystal_systems: expected numbers 1 to 7, found {self.crystal_systems}")


Config = AlphaDiffractTraining | CrystalNetTraining
KINDS: dict[str, type[AlphaDiffractTraining | CrystalNetTraining]] = {
    "alphadiffract": AlphaDiffractTraining,
    "crystalnet": CrystalNetTraining,
}
_SCHEDULES: dict[str, type[Schedule]] = {c.__name__: c for c in (Cyclic, WarmRestarts, Constant, Cosine)}
_NESTED: dict[str, type[Any]] = {c.__name__: c for c in (AlphaDiffractConfig, CrystalNetConfig)} | _SCHEDULES


def kind_of(config: Config) -> str:
    """Return the name of the network."""
    return "alphadiffract" if isinstance(config, AlphaDiffractTraining) else "crystalnet"


def to_plain(config: Config) -> dict[str, Any]:
    """Convert to plain values, with the names of the nested classes."""
    plain = asdict(config)
    for name in ("model", "schedule"):
        plain[name] = {"class": type(getattr(config, name)).__name__, **plain[name]}
    return {"kind": kind_of(config), **plain}


def from_plain(plain: Mapping[str, Any]) -> Config:
    """Build a configuration from the values of `to_plain`; refuse unknown keys."""
    values = dict(plain)
    kind = values.pop("kind", None)
    if kind not in KINDS:
        raise TrainerError(f"configuration: kind: expected one of {', '.join(KINDS)}, found {kind!r}")
    for name in ("model", "schedule"):
        if name in values:
            inner = dict(values[name])
            cls = _NESTED.get(inner.pop("class", ""))
            if cls is None:
                raise TrainerError(f"configuration: {name}: expected one of {', '.join(_NESTED)} as its class")
            values[name] = _build(cls, inner, f"configuration.{name}")
    built: Config = _build(KINDS[kind], values, "configuration")
    return built


Settings = TypeVar("Settings", bound="DataclassInstance")


def change(config: Settings, path: str, text: str) -> Settings:
    """Replace one value, such as `gemd_weight` or `model.drop_path`, given as text."""
    import json

    try:
        value = json.loads(text)
    except ValueError:
        value = text
    first, _, rest = path.partition(".")
    known = {f.name for f in fields(config)}
    if first not in known:
        raise TrainerError(f"--set {path}: unknown; expected one of {', '.join(sorted(known))}")
    if first == "schedule" and not rest and value in _SCHEDULES:
        return replace(config, schedule=_SCHEDULES[value]())
    if not rest:
        built: Settings = _build(type(config), {**_shallow(config), first: value}, "--set")
        return built
    inner = getattr(config, first)
    names = {f.name for f in fields(inner)} if hasattr(inner, "__dataclass_fields__") else set()
    if rest not in names:
        raise TrainerError(
            f"--set {path}: unknown; expected {first}. and one of {', '.join(sorted(names)) or 'nothing'}"
        )
    return replace(config, **{first: _build(type(inner), {**_shallow(inner), rest: value}, f"--set {first}")})


def with_settings(config: Settings, settings: Iterable[str]) -> Settings:
    """Replace values given as NAME=VALUE."""
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise TrainerError(f"--set {setting}: expected NAME=VALUE")
        config = change(config, name, value)
    return config


def _shallow(config: Any) -> dict[str, Any]:
    return {f.name: getattr(config, f.name) for f in fields(config)}


def _build(cls: type[Any], values: Mapping[str, Any], where: str) -> Any:
    """Build an instance from plain values; lists become tuples and types are checked."""
    known = {f.name for f in fields(cls)}
    if unknown := sorted(set(values) - known):
        raise TrainerError(f"{where}: unknown {', '.join(unknown)}; expected {', '.join(sorted(known))}")
    hints = get_type_hints(cls)
    checked = {name: _fit(value, hints[name], f"{where}: {name}") for name, value in values.items()}
    try:
        return cls(**checked)
    except (TypeError, ValueError) as error:
        raise TrainerError(f"{where}: {error}") from error


def _fit(value: Any, hint: Any, where: str) -> Any:
    if isinstance(value, list):
        value = tuple(tuple(v) if isinstance(v, list) else v for v in value)
    options = get_args(hint) if not isinstance(hint, type) and get_args(hint) else (hint,)
    origin = getattr(hint, "__origin__", None)
    if origin is tuple:
        options = (tuple,)
    for option in options:
        plain = getattr(option, "__origin__", option)
        if plain is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if isinstance(plain, type) and isinstance(value, plain) and (plain is bool or not isinstance(value, bool)):
            return value
    raise TrainerError(f"{where}: expected {hint}, found {value!r}")


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise TrainerError(f"{name}: expected one of {', '.join(allowed)}, found {value!r}")
