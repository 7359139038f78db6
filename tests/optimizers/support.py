"""The same optimizer in kbackend and in Keras, on equal variables and gradients."""

from typing import Any

import numpy as np

from kbackend import optimizers
from kbackend.core.bind import Symbolic, bind
from kbackend.core.operators import EQUALITY, OPERATORS, REFLECTED, attach
from kbackend.state.scopes import name_scope
from kbackend.state.variable import Variable

SHAPES = {"kernel": (4, 3), "bias": (3,), "gate": (2, 3, 4), "gain": ()}

# Every optimizer with every option that has code of its own.
CASES: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.8}),
    ("RMSprop", {"centered": True}),
    ("RMSprop", {"momentum": 0.8, "centered": True, "rho": 0.7, "epsilon": 1e-3}),
    ("Adagrad", {}),
    ("Adagrad", {"initial_accumulator_value": 0.0, "epsilon": 1e-3}),
    ("Adadelta", {}),
    ("Adadelta", {"rho": 0.5, "epsilon": 1e-3}),
    ("Adam", {}),
    ("Adam", {"amsgrad": True}),
    ("Adam", {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3}),
    ("AdamW", {}),
    ("AdamW", {"weight_decay": 0.2, "amsgrad": True}),
    ("Adamax", {}),
    ("Nadam", {}),
    ("Nadam", {"beta_1": 0.8, "epsilon": 1e-3}),
    ("Ftrl", {}),
    (
        "Ftrl",
        {
            "l1_regularization_strength": 0.1,
            "l2_regularization_strength": 0.2,
            "l2_shrinkage_regularization_strength": 0.3,
            "beta": 0.4,
        },
    ),
    ("Ftrl", {"learning_rate_power": -0.3}),
    ("Ftrl", {"learning_rate_power": 0.0, "beta": 0.3}),
    ("Lion", {}),
    ("Lion", {"beta_1": 0.6, "beta_2": 0.8}),
    ("Lamb", {}),
    ("Adafactor", {}),
    ("Adafactor", {"relative_step": False, "clip_threshold": 0.5}),
    ("ScheduleFreeAdamW", {}),
    ("ScheduleFreeAdamW", {"warmup_steps": 3, "weight_decay": 0.1, "beta_1": 0.6}),
    ("Muon", {}),
    ("Muon", {"nesterov": False, "rms_rate": None, "weight_decay": None, "ns_steps": 3}),
    ("Muon", {"exclude_layers": ["kern"], "adam_lr_ratio": 0.5, "adam_weight_decay": 0.3}),
]
OPTIONS: list[dict[str, Any]] = [
    {"clipnorm": 0.5},
    {"global_clipnorm": 0.7},
    {"clipvalue": 0.2},
    {"weight_decay": 0.1},
    {"use_ema": True, "ema_momentum": 0.7},
    {"use_ema": True, "ema_overwrite_frequency": 3},
    {"gradient_accumulation_steps": 3},
    {"gradient_accumulation_steps": 2, "clipnorm": 0.5, "weight_decay": 0.1},
    {"use_ema": True, "ema_overwrite_frequency": 3, "gradient_accumulation_steps": 2},
    {"loss_scale_factor": 8.0},
    {"loss_scale_factor": 8.0, "global_clipnorm": 0.1},
]


def case_id(value: Any) -> str:
    """A case's name in the list of tests."""
    if isinstance(value, dict):
        return "-".join(f"{key}={item}" for key, item in value.items()) or "plain"
    return str(value)


def arrays(rng: np.random.Generator) -> list[np.ndarray]:
    """Values or gradients of all variables."""
    return [np.asarray(rng.normal(size=shape), np.float32) for shape in SHAPES.values()]


def variables(values: list[np.ndarray], module: Any = None) -> list[Any]:
    """Variables in a scope, of kbackend or of the module given."""
    scope, cls = (module.name_scope, module.Variable) if module else (name_scope, Variable)
    with scope("dense"):
        return [cls(value, name=name) for name, value in zip(SHAPES, values, strict=True)]


def make(name: str, options: dict[str, Any], module: Any = None) -> Any:
    """The optimizer with a learning rate that makes rules differ."""
    return getattr(module.optimizers if module else optimizers, name)(
        **{"learning_rate": 0.1, "name": "opt", **options}
    )


class Traced(Symbolic):
    """A tensor whose value no Python code may look at, as while a step is compiled."""

    __slots__ = ("aval", "tensor")

    def __init__(self, tensor: Any) -> None:
        self.tensor, self.aval = tensor, tensor.aval

    shape = property(lambda self: self.aval.shape)
    dtype = property(lambda self: self.aval.dtype)

    def process(self, primitive: Any, args: Any, params: Any) -> Any:
        out = bind(primitive, *[a.tensor if isinstance(a, Traced) else a for a in args], **params)
        return tuple(map(Traced, out)) if isinstance(out, tuple) else Traced(out)

    def __bool__(self) -> bool:
        raise TypeError("The value of a traced tensor is not known.")

    __float__ = __int__ = __index__ = __bool__  # type: ignore[assignment]


attach(Traced, OPERATORS | REFLECTED | EQUALITY)
