"""`BaseConv`: what all convolution layers share."""

from __future__ import annotations

from typing import Any

from kbackend import activations, constraints, initializers, regularizers
from kbackend.core import lang, operators
from kbackend.layers.arguments import known_dim, positive_int
from kbackend.layers.input_spec import InputSpec
from kbackend.layers.layer import Layer
from kbackend.ops.nn.arguments import channels_first, padding_name, per_dimension


class BaseConv(Layer):
    """A kernel that slides over `rank` dimensions, then a bias and an activation.

    A subclass sets `rank`, makes its kernels in `build` and applies them in `call`.

    Args:
        kernel_size: int or one per spatial dimension.
        strides: int or one per spatial dimension.
        padding: `"valid"`, `"same"`, or what else `paddings` names.
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.
        dilation_rate: int or one per spatial dimension.
        activation: activation, or its name; none by default.
        use_bias: whether there is a bias.
        bias_initializer: initializer of the bias.
        bias_regularizer: regularizer of the bias.
        bias_constraint: constraint of the bias.
    """

    rank: int
    paddings: tuple[str, ...] = ("valid", "same")

    def __init__(
        self,
        *,
        kernel_size: Any,
        strides: Any,
        padding: str,
        data_format: str | None,
        dilation_rate: Any,
        activation: Any,
        use_bias: bool,
        bias_initializer: Any,
        bias_regularizer: Any,
        activity_regularizer: Any,
        bias_constraint: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        own, rank = type(self).__name__, self.rank
        self.kernel_size = per_dimension(kernel_size, rank, "kernel_size", own)
        self.strides = per_dimension(strides, rank, "strides", own)
        self.dilation_rate = per_dimension(dilation_rate, rank, "dilation_rate", own)
        self.padding = padding_name(padding, own, self.paddings)
        first = channels_first(data_format, own)
        self.data_format = "channels_first" if first else "channels_last"
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.bias_initializer = initializers.get(bias_initializer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.bias_constraint = constraints.get(bias_constraint)
        self.bias: Any = None
        self.input_spec = InputSpec(min_ndim=rank + 2)
        self._channel_axis = 1 if first else -1
        # What the bias must look like to be added along the channels; None: as it is.
        self._bias_shape = (-1, *(1,) * rank) if first else None

    def _forbid_strides_with_dilation(self) -> None:
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                f"[{type(self).__name__}] strides above 1 can't be combined with a dilation rate "
                f"above 1. Received: strides={self.strides}, dilation_rate={self.dilation_rate}."
            )

    def _input_channels(self, input_shape: Any) -> int:
        """Number of input channels, which the layer demands from now on."""
        channels = known_dim(type(self).__name__, input_shape, self._channel_axis)
        self.input_spec = InputSpec(min_ndim=self.rank + 2, axes={self._channel_axis: channels})
        return channels

    def _add_bias(self, size: int) -> None:
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=(size,), initializer=self.bias_initializer,
                regularizer=self.bias_regularizer, constraint=self.bias_constraint,
            )  # fmt: skip

    def _finish(self, x: Any) -> Any:
        """Adds the bias and applies the activation."""
        if self.bias is not None:
            bias = self.bias.read()
            if self._bias_shape is not None:
                bias = lang.reshape(bias, self._bias_shape)
            x = operators.add(x, bias)
        activation = self.activation
        return x if activation is activations.linear else activation(x)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
            "dilation_rate": self.dilation_rate,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            "bias_constraint": constraints.serialize(self.bias_constraint),
        }


class FilteringConv(BaseConv):
    """A convolution with one kernel, `kernel`, that makes `filters` channels."""

    def __init__(
        self,
        filters: int,
        *,
        kernel_initializer: Any,
        kernel_regularizer: Any,
        kernel_constraint: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = positive_int(type(self).__name__, "filters", filters)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self._forbid_strides_with_dilation()

    def _add_kernel(self, shape: tuple[int, ...]) -> None:
        self.kernel = self.add_weight(
            name="kernel", shape=shape, initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer, constraint=self.kernel_constraint,
        )  # fmt: skip

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "kernel_constraint": constraints.serialize(self.kernel_constraint),
        }
