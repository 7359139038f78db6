"""`Conv1DTranspose`, `Conv2DTranspose`, `Conv3DTranspose`."""

from __future__ import annotations

from typing import Any

from kbackend.layers.convolutional.base_conv import FilteringConv
from kbackend.ops.nn.arguments import per_dimension
from kbackend.ops.nn.convolution import conv_transpose


class _ConvTranspose(FilteringConv):
    def __init__(self, *, output_padding: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.output_padding: tuple[int, ...] | None = None
        if output_padding is None:
            return
        own = type(self).__name__
        more = per_dimension(output_padding, self.rank, "output_padding", own, least=0)
        if any(m >= stride for m, stride in zip(more, self.strides, strict=True)):
            raise ValueError(
                f"[{own}] 'output_padding' must be less than 'strides' in every dimension. "
                f"Received: output_padding={more}, strides={self.strides}."
            )
        self.output_padding = more

    def build(self, input_shape: Any) -> None:
        """Makes the kernel, and the bias."""
        channels = self._input_channels(input_shape)
        self._add_kernel((*self.kernel_size, self.filters, channels))
        self._add_bias(self.filters)

    def call(self, inputs: Any) -> Any:
        """The output, with `filters` channels."""
        x = conv_transpose(
            inputs,
            self.kernel.read(),
            self.strides,
            self.padding,
            self.output_padding,
            self.data_format,
            self.dilation_rate,
        )
        return self._finish(x)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "output_padding": self.output_padding}


class Conv1DTranspose(_ConvTranspose):
    """Transposed convolution over time: upsamples, as the gradient of `Conv1D` does.

    Args:
        filters: number of output channels.
        kernel_size: int: length of the kernel.
        strides: int.
        padding: `"valid"` or `"same"`.
        output_padding: `None`, or int or one per spatial dimension, below the stride: how much the
            output is longer than it need be.
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.
        dilation_rate: int.
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
        ValueError: an argument is out of range.

    Example:
        >>> import numpy as np
        >>> Conv1DTranspose(4, 2, strides=2)(np.ones((2, 8, 3))).shape
        (2, 16, 4)

    Reference:
        M. D. Zeiler et al., "Deconvolutional networks", 2010.
    """

    rank = 1

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        output_padding: Any = None,
        data_format: str | None = None,
        dilation_rate: Any = 1,
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
            output_padding=output_padding, data_format=data_format, dilation_rate=dilation_rate,
            activation=activation, use_bias=use_bias, kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer, kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer, activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint, bias_constraint=bias_constraint, **kwargs,
        )  # fmt: skip


class Conv2DTranspose(_ConvTranspose):
    """Transposed convolution over images: upsamples, as the gradient of `Conv2D` does.

    Args:
        filters: number of output channels.
        kernel_size: int or two of them: height and width of the kernel.
        strides: int or two of them.
        padding: `"valid"` or `"same"`.
        output_padding: `None`, or int or one per spatial dimension, below the stride: how much the
            output is longer than it need be.
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.
        dilation_rate: int or two of them.
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
        ValueError: an argument is out of range.

    Example:
        >>> import numpy as np
        >>> Conv2DTranspose(4, 2, strides=2)(np.ones((2, 8, 8, 3))).shape
        (2, 16, 16, 4)

    Reference:
        M. D. Zeiler et al., "Deconvolutional networks", 2010.
    """

    rank = 2

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = (1, 1),
        padding: str = "valid",
        output_padding: Any = None,
        data_format: str | None = None,
        dilation_rate: Any = (1, 1),
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
            output_padding=output_padding, data_format=data_format, dilation_rate=dilation_rate,
            activation=activation, use_bias=use_bias, kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer, kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer, activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint, bias_constraint=bias_constraint, **kwargs,
        )  # fmt: skip


class Conv3DTranspose(_ConvTranspose):
    """Transposed convolution over volumes: upsamples, as the gradient of `Conv3D` does.

    Args:
        filters: number of output channels.
        kernel_size: int or three of them: size of the kernel.
        strides: int or three of them.
        padding: `"valid"` or `"same"`.
        output_padding: `None`, or int or one per spatial dimension, below the stride: how much the
            output is longer than it need be.
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.
        dilation_rate: int or three of them.
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
        ValueError: an argument is out of range.

    Example:
        >>> import numpy as np
        >>> Conv3DTranspose(4, 2, strides=2)(np.ones((2, 8, 8, 8, 3))).shape
        (2, 16, 16, 16, 4)

    Reference:
        M. D. Zeiler et al., "Deconvolutional networks", 2010.
    """

    rank = 3

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = (1, 1, 1),
        padding: str = "valid",
        output_padding: Any = None,
        data_format: str | None = None,
        dilation_rate: Any = (1, 1, 1),
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
            output_padding=output_padding, data_format=data_format, dilation_rate=dilation_rate,
            activation=activation, use_bias=use_bias, kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer, kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer, activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint, bias_constraint=bias_constraint, **kwargs,
        )  # fmt: skip
