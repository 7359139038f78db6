"""What the cells have in common: weights, initial states, dropout."""

from __future__ import annotations

from typing import Any, ClassVar

from kbackend import activations, constraints, initializers, random, regularizers
from kbackend.core import lang
from kbackend.ir.bodies import before_loop
from kbackend.layers.arguments import known_dim, positive_int, probability
from kbackend.layers.layer import Layer
from kbackend.state.seed import SeedGenerator


class DropoutCell(Layer):
    """Base of cells that drop inputs and states: one mask for all steps of a sequence.

    A cell keeps its masks until they are reset; `RNN` does so around every call.
    """

    dropout: float
    recurrent_dropout: float
    seed: Any
    dropout_mask_count = 1

    def _set_dropout(self, dropout: Any, recurrent_dropout: Any, seed: Any) -> None:
        name = type(self).__name__
        self.dropout = probability(name, "dropout", dropout)
        self.recurrent_dropout = probability(name, "recurrent_dropout", recurrent_dropout)
        self.seed = seed
        self.seed_generator = SeedGenerator(seed)
        self._forget_masks()

    def _forget_masks(self) -> None:
        self.reset_dropout_mask()
        self.reset_recurrent_dropout_mask()

    def get_dropout_mask(self, step_input: Any) -> Any:
        """What the inputs of a step are multiplied by: zeros, and the others' scale."""
        if self._input_mask is None:
            with before_loop():
                self._keep("_input_mask", self._draw(step_input, self.dropout))
        return self._input_mask

    def get_recurrent_dropout_mask(self, step_input: Any) -> Any:
        """What the state is multiplied by."""
        if self._state_mask is None:
            with before_loop():
                self._keep("_state_mask", self._draw(step_input, self.recurrent_dropout))
        return self._state_mask

    def reset_dropout_mask(self) -> None:
        """Forgets the inputs' mask."""
        self._keep("_input_mask", None)

    def reset_recurrent_dropout_mask(self) -> None:
        """Forgets the state's mask."""
        self._keep("_state_mask", None)

    def _keep(self, name: str, mask: Any) -> None:
        # Not state of the layer, so nothing for its tracker.
        object.__setattr__(self, name, mask)

    def _draw(self, like: Any, rate: float) -> Any:
        ones = lang.full(like.shape, 1, like.dtype)
        return random.dropout(ones, rate, seed=self.seed_generator)


class WeightedCell(DropoutCell):
    """Base of `SimpleRNNCell`, `LSTMCell` and `GRUCell`: a kernel, a recurrent kernel, a bias.

    Args:
        units: size of the state.
        options: the constructor's arguments by name.
        **kwargs: of `Layer`.
    """

    # Number of blocks of `units` columns in the weights.
    blocks: ClassVar[int] = 1
    kernel: Any
    recurrent_kernel: Any

    def __init__(self, units: int, options: dict[str, Any], **kwargs: Any) -> None:
        kwargs.pop("implementation", None)  # of earlier versions; makes no difference
        super().__init__(**kwargs)
        self.units = positive_int(type(self).__name__, "units", units)
        self.activation = activations.get(options["activation"])
        if "recurrent_activation" in options:
            self.recurrent_activation = activations.get(options["recurrent_activation"])
        self.use_bias = options["use_bias"]
        for part in ("kernel", "recurrent", "bias"):
            setattr(self, f"{part}_initializer", initializers.get(options[f"{part}_initializer"]))
            setattr(self, f"{part}_regularizer", regularizers.get(options[f"{part}_regularizer"]))
            setattr(self, f"{part}_constraint", constraints.get(options[f"{part}_constraint"]))
        self._set_dropout(options["dropout"], options["recurrent_dropout"], options["seed"])
        self.state_size: Any = self.units
        self.output_size = self.units
        self.bias: Any = None

    def build(self, input_shape: Any) -> None:
        """Makes the weights."""
        features = known_dim(type(self).__name__, input_shape, -1)
        width = self.blocks * self.units
        self.kernel = self.add_weight(
            name="kernel", shape=(features, width), initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer, constraint=self.kernel_constraint,
        )  # fmt: skip
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel", shape=(self.units, width),
            initializer=self.recurrent_initializer, regularizer=self.recurrent_regularizer,
            constraint=self.recurrent_constraint,
        )  # fmt: skip
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=self._bias_shape(), initializer=self._initial_bias(),
                regularizer=self.bias_regularizer, constraint=self.bias_constraint,
            )  # fmt: skip

    def _bias_shape(self) -> tuple[int, ...]:
        return (self.blocks * self.units,)

    def _initial_bias(self) -> Any:
        return self.bias_initializer

    def get_initial_state(self, batch_size: Any = None) -> list[Any]:
        """Zeros, `(batch_size, units)` each."""
        sizes = self.state_size if isinstance(self.state_size, list) else [self.state_size]
        return [lang.zeros((batch_size, size), self.compute_dtype) for size in sizes]

    def _dropped(self, x: Any, h: Any, training: Any) -> tuple[Any, Any]:
        """The inputs and the state, with noise while training."""
        if training and 0.0 < self.dropout < 1.0:
            x = lang.mul(x, self.get_dropout_mask(x))
        if training and 0.0 < self.recurrent_dropout < 1.0:
            h = lang.mul(h, self.get_recurrent_dropout_mask(h))
        return x, h

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), **weight_config(self), "seed": self.seed}


def weight_config(cell: Any) -> dict[str, Any]:
    """The arguments that a cell shares with the layer made of it."""
    config: dict[str, Any] = {
        "units": cell.units,
        "activation": activations.serialize(cell.activation),
        "use_bias": cell.use_bias,
        "dropout": cell.dropout,
        "recurrent_dropout": cell.recurrent_dropout,
    }
    if hasattr(cell, "recurrent_activation"):
        config["recurrent_activation"] = activations.serialize(cell.recurrent_activation)
    for part in ("kernel", "recurrent", "bias"):
        for kind, module in (
            ("initializer", initializers),
            ("regularizer", regularizers),
            ("constraint", constraints),
        ):
            config[f"{part}_{kind}"] = module.serialize(getattr(cell, f"{part}_{kind}"))
    return config


def columns(x: Any, units: int, first: int, count: int = 1) -> Any:
    """Blocks of `units` along the last axis, from block `first` on."""
    starts = (*(0,) * (len(x.shape) - 1), first * units)
    return lang.slice_(x, starts, (*x.shape[:-1], (first + count) * units))
