"""`Conv1D`, `Conv2D`, `Conv3D`."""

from __future__ import annotations

from typing import Any

from kbackend.layers.arguments import positive_int
from kbackend.layers.convolutional.base_conv import FilteringConv
from kbackend.ops.nn.convolution import conv


class _Conv(FilteringConv):
    def __init__(self, *, groups: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.groups = positive_int(type(self).__name__, "groups", groups)
        if self.filters % self.groups:
            raise ValueError(
                f"[{type(self).__name__}] 'filters' must be a multiple of 'groups'. "
                f"Received: filters={self.filters}, groups={self.groups}."
            )

    def build(self, input_shape: Any) -> None:
        """Makes the kernel, and the bias."""
        channels = self._input_channels(input_shape)
        if channels % self.groups:
            raise ValueError(
                f"[{type(self).__name__}] the number of input channels must be a multiple of "
                f"'groups'. Received: groups={self.groups}, input_shape={tuple(input_shape)}."
            )
        self._add_kernel((*self.kernel_size, channels // self.groups, self.filters))
        self._add_bias(self.filters)

    def call(self, inputs: Any) -> Any:
        """The output, with `filters` channels."""
        x = conv(
            inputs,
            self.kernel.read(),
            self.strides,
            self.padding,
            self.data_format,
            self.dilation_rate,
        )
        return self._finish(x)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "groups": self.groups}


class Conv1D(_Conv):
    """Convolution over time.

    Args:
        filters: number of output channels.
        kernel_size: int: length of the kernel.
        strides: int.
        padding: `"valid"`, `"same"`, or `"causal"` (nothing of the future is seen).
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.
        dilation_rate: int.
        groups: number of groups into which the channels fall; each has filters of its own.
        activation: activation, or its name; none by default.
        use_bias: whether there is a bias.
        kernel_initializer: initializer of the kernel.
        bias_initializer: initializer of the bias.
        kernel_regularizer: regularizer of the kernel.
        bias_regularizer: regularizer of the bias.
        activity_regularizer: regularizer of the output.
        kernel_constraint: constraint of the kernel.
        bias_constraint: constraint of the bias.

    Inputs are `(batch, time, channels)`, or `(batch, channels, time)`.

    Raises:
        ValueError: an argument is out of range, or groups don't divide the channels.

    Example:
        >>> import numpy as np
        >>> Conv1D(4, 3, strides=2)(np.ones((2, 8, 3))).shape
        (2, 3, 4)
    """

    rank = 1
    paddings = ("valid", "same", "causal")

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            filters=filters, kernel_size=kernel_size, strides=strides, padding=padding,
            data_format=data_format, dilation_rate=dilation_rate, groups=groups,
            activation=activation, use_bias=use_bias, kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer, kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer, activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint, bias_constraint=bias_constraint, **kwargs,
        )  # fmt: skip


class Conv2D(_Conv):
    """Convolution over images.

    Args:
        filters: number of output channels.
        kernel_size: int or two of them: height and width of the kernel.
        strides: int or two of them.
        padding: `"valid"` or `"same"`.
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.
        dilation_rate: int or two of them.
        groups: number of groups into which the channels fall; each has filters of its own.
        activation: activation, or its name; none by default.
        use_bias: whether there is a bias.
        kernel_initializer: initializer of the kernel.
        bias_initializer: initializer of the bias.
        kernel_regularizer: regularizer of the kernel.
        bias_regularizer: regularizer of the bias.
        activity_regularizer: regularizer of the output.
        kernel_constraint: constraint of the kernel.
        bias_constraint: constraint of the bias.

    Inputs are `(batch, rows, columns, channels)`, or `(batch, channels, rows, columns)`.

    Raises:
        ValueError: an argument is out of range, or groups don't divide the channels.

    Example:
        >>> import numpy as np
        >>> Conv2D(4, 3, strides=2)(np.ones((2, 8, 8, 3))).shape
        (2, 3, 3, 4)
    """

    rank = 2

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = (1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = (1, 1),
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            filters=filters, kernel_size=kernel_size, strides=strides, padding=padding,
            data_format=data_format, dilation_rate=dilation_rate, groups=groups,
            activation=activation, use_bias=use_bias, kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer, kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer, activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint, bias_constraint=bias_constraint, **kwargs,
        )  # fmt: skip


class Conv3D(_Conv):
    """Convolution over volumes.

    Args:
        filters: number of output channels.
        kernel_size: int or three of them: size of the kernel.
        strides: int or three of them.
        padding: `"valid"` or `"same"`.
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.
        dilation_rate: int or three of them.
        groups: number of groups into which the channels fall; each has filters of its own.
        activation: activation, or its name; none by default.
        use_bias: whether there is a bias.
        kernel_initializer: initializer of the kernel.
        bias_initializer: initializer of the bias.
        kernel_regularizer: regularizer of the kernel.
        bias_regularizer: regularizer of the bias.
        activity_regularizer: regularizer of the output.
        kernel_constraint: constraint of the kernel.
        bias_constraint: constraint of the bias.

    Inputs are `(batch, depth, rows, columns, channels)`, or have the channels second.

    Raises:
        ValueError: an argument is out of range, or groups don't divide the channels.

    Example:
        >>> import numpy as np
        >>> Conv3D(4, 3, strides=2)(np.ones((2, 8, 8, 8, 3))).shape
        (2, 3, 3, 3, 4)
    """

    rank = 3

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = (1, 1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = (1, 1, 1),
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            filters=filters, kernel_size=kernel_size, strides=strides, padding=padding,
            data_format=data_format, dilation_rate=dilation_rate, groups=groups,
            activation=activation, use_bias=use_bias, kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer, kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer, activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint, bias_constraint=bias_constraint, **kwargs,
        )  # fmt: skip
