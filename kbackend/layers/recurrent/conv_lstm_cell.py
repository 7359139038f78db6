"""`ConvLSTMCell`: one step of a convolutional LSTM."""

from __future__ import annotations

from typing import Any

from kbackend import activations, constraints, initializers, ops, regularizers
from kbackend.base import config, shapes
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.layers.arguments import known_dim, positive_int
from kbackend.layers.recurrent.cell import DropoutCell

_PARTS = ("kernel", "recurrent", "bias")


class ConvLSTMCell(DropoutCell):
    """One step of `ConvLSTM1D`-`3D`: an LSTM whose products are convolutions.

    Args:
        rank: number of spatial dimensions.
        options: the other arguments of the layers' constructors, by name.
        **kwargs: of `Layer`.

    Raises:
        ValueError: an argument has a wrong value.
    """

    def __init__(self, rank: int, options: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        name = f"ConvLSTM{rank}D"
        self.rank = rank
        self.filters = positive_int(name, "filters", options["filters"])
        self.kernel_size, self.strides, self.dilation_rate = (
            _tuple(name, key, options[key], rank)
            for key in ("kernel_size", "strides", "dilation_rate")
        )
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                f"[{name}] 'strides' and 'dilation_rate' can't both be above 1. Received: "
                f"strides={self.strides}, dilation_rate={self.dilation_rate}."
            )
        self.padding = str(options["padding"]).lower()
        if self.padding not in ("valid", "same"):
            raise ValueError(
                f"[{name}] 'padding' must be 'valid' or 'same'. Received: "
                f"padding={options['padding']!r}."
            )
        self.data_format = config.standardize_data_format(options["data_format"])
        self.activation = activations.get(options["activation"])
        self.recurrent_activation = activations.get(options["recurrent_activation"])
        self.use_bias = options["use_bias"]
        self.unit_forget_bias = options["unit_forget_bias"]
        for part in _PARTS:
            setattr(self, f"{part}_initializer", initializers.get(options[f"{part}_initializer"]))
            setattr(self, f"{part}_regularizer", regularizers.get(options[f"{part}_regularizer"]))
            setattr(self, f"{part}_constraint", constraints.get(options[f"{part}_constraint"]))
        self._set_dropout(options["dropout"], options["recurrent_dropout"], options["seed"])
        self.state_size = [self.filters, self.filters]
        self.bias: Any = None

    @property
    def _channel_axis(self) -> int:
        return 1 if self.data_format == "channels_first" else -1

    def build(self, inputs_shape: Any, states_shape: Any = None) -> None:
        """Makes the weights."""
        channels = known_dim(f"ConvLSTM{self.rank}D", inputs_shape, self._channel_axis)
        width = 4 * self.filters
        self.kernel = self.add_weight(
            name="kernel", shape=(*self.kernel_size, channels, width),
            initializer=self.kernel_initializer, regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )  # fmt: skip
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel", shape=(*self.kernel_size, self.filters, width),
            initializer=self.recurrent_initializer, regularizer=self.recurrent_regularizer,
            constraint=self.recurrent_constraint,
        )  # fmt: skip
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=(width,), initializer=self._initial_bias(),
                regularizer=self.bias_regularizer, constraint=self.bias_constraint,
            )  # fmt: skip

    def _initial_bias(self) -> Any:
        if not self.unit_forget_bias:
            return self.bias_initializer
        filters, given = self.filters, self.bias_initializer

        def initialize(shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
            first = to_tensor(given((filters,), dtype=dtype, **kwargs))
            rest = to_tensor(given((2 * filters,), dtype=dtype, **kwargs))
            return lang.concatenate([first, lang.full((filters,), 1, first.dtype), rest], 0)

        return initialize

    def initial_states(self, inputs_shape: Any) -> list[Any]:
        """Zeros in the shape of the output for inputs `(batch, *space, channels)`."""
        first = self.data_format == "channels_first"
        space = inputs_shape[2:] if first else inputs_shape[1:-1]
        made: list[Any] = []
        for size, k, s, d in zip(
            space, self.kernel_size, self.strides, self.dilation_rate, strict=True
        ):
            if size is None:
                made.append(None)
            elif self.padding == "same":
                made.append(-(-size // s))
            else:
                made.append((size - d * (k - 1) - 1) // s + 1)
        shape: shapes.Shape = (
            (inputs_shape[0], self.filters, *made)
            if first
            else (inputs_shape[0], *made, self.filters)
        )
        return [lang.zeros(shape, self.compute_dtype) for _ in range(2)]

    def call(self, inputs: Any, states: Any, training: bool = False) -> Any:
        """The output, and the state `[output, cell]`."""
        h, c = states
        if training and 0.0 < self.dropout < 1.0:
            inputs = lang.mul(inputs, self.get_dropout_mask(inputs))
        if training and 0.0 < self.recurrent_dropout < 1.0:
            h = lang.mul(h, self.get_recurrent_dropout_mask(h))
        z = ops.conv(
            inputs, self.kernel.read(), self.strides, self.padding, self.data_format,
            self.dilation_rate,
        )  # fmt: skip
        axis = self._channel_axis
        if self.bias is not None:
            bias = self.bias.read()
            if axis == 1:
                bias = lang.reshape(bias, (-1, *(1,) * self.rank))
            z = lang.add(z, bias)
        z = lang.add(z, ops.conv(h, self.recurrent_kernel.read(), 1, "same", self.data_format))
        # One block of channels for the input, the forget gate, the candidate and the output gate.
        i, f, candidate, o = ops.split(z, 4, axis=axis)
        gate = self.recurrent_activation
        c = lang.add(lang.mul(gate(f), c), lang.mul(gate(i), self.activation(candidate)))
        h = lang.mul(gate(o), self.activation(c))
        return h, [h, c]

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments as they are in a config."""
        found: dict[str, Any] = {
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
            "dilation_rate": self.dilation_rate,
            "activation": activations.serialize(self.activation),
            "recurrent_activation": activations.serialize(self.recurrent_activation),
            "use_bias": self.use_bias,
            "unit_forget_bias": self.unit_forget_bias,
            "dropout": self.dropout,
            "recurrent_dropout": self.recurrent_dropout,
            "seed": self.seed,
        }
        for part in _PARTS:
            for kind, module in (
                ("initializer", initializers),
                ("regularizer", regularizers),
                ("constraint", constraints),
            ):
                found[f"{part}_{kind}"] = module.serialize(getattr(self, f"{part}_{kind}"))
        return found


def _tuple(layer: str, name: str, value: Any, rank: int) -> tuple[int, ...]:
    values = tuple(value) if isinstance(value, (list, tuple)) else (value,) * rank
    if len(values) != rank:
        raise ValueError(
            f"[{layer}] '{name}' must be an integer or a tuple of {rank}. "
            f"Received: {name}={value!r}."
        )
    return tuple(positive_int(layer, name, v) for v in values)
