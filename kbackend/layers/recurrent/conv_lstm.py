"""`ConvLSTM1D`, `ConvLSTM2D` and `ConvLSTM3D`: LSTMs whose products are convolutions."""

from __future__ import annotations

from typing import Any

from kbackend import regularizers
from kbackend.layers.input_spec import InputSpec
from kbackend.layers.recurrent.conv_lstm_cell import ConvLSTMCell
from kbackend.layers.recurrent.rnn import RNN
from kbackend.state.variable import Variable

_OF_THE_LAYER = ("return_sequences", "return_state", "go_backwards", "stateful")


class ConvLSTM(RNN):
    """Base of `ConvLSTM1D`-`3D`.

    Args:
        rank: number of spatial dimensions.
        options: the arguments of the constructor by name.
        **kwargs: of `Layer`.
    """

    def __init__(self, rank: int, options: dict[str, Any], **kwargs: Any) -> None:
        cell = ConvLSTMCell(
            rank, options, dtype=kwargs.get("dtype"), trainable=kwargs.get("trainable", True),
            name="conv_lstm_cell",
        )  # fmt: skip
        super().__init__(
            cell, activity_regularizer=options["activity_regularizer"],
            **{name: options[name] for name in _OF_THE_LAYER}, **kwargs,
        )  # fmt: skip
        self.input_spec = InputSpec(ndim=rank + 3)

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        """Builds the cell, and makes the states of a stateful layer."""
        step = (sequences_shape[0], *sequences_shape[2:])
        if not self.cell.built:
            self.cell.build(step)
        if not self.stateful:
            return
        if None in sequences_shape:
            raise ValueError(
                f"[{type(self).__name__}] a stateful layer needs to know all sizes. Received: "
                f"sequences_shape={tuple(sequences_shape)}."
            )
        initial = self.cell.initial_states(step)
        self._hold([Variable(x, trainable=False, name="rnn_state") for x in initial])

    def _begin(self, sequences: Any, initial_state: Any) -> Any:
        if initial_state is None and not self.stateful:
            shape = tuple(sequences.shape)
            return self.cell.initial_states((shape[0], *shape[2:]))
        return super()._begin(sequences, initial_state)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **self._base_config(),
            **self.cell.arguments(),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
        }


class ConvLSTM1D(ConvLSTM):
    """A 1D convolutional LSTM: inputs and states are convolved in place of multiplied.

    Args:
        filters: number of channels of the output and of the states.
        kernel_size: size of the window, an integer or a tuple of 1.
        strides: strides of the convolution of the inputs.
        padding: "valid" or "same"; the states' convolution keeps their size.
        data_format: "channels_last" or "channels_first"; of the configuration by default.
        dilation_rate: dilation of the convolution of the inputs.
        activation: activation of the candidate and of the output.
        recurrent_activation: activation of the gates.
        use_bias: whether there is a bias.
        kernel_initializer: initializer of the kernel, `(*window, channels, 4 * filters)`.
        recurrent_initializer: initializer of the recurrent kernel.
        bias_initializer: initializer of the bias.
        unit_forget_bias: whether the forget gate's bias begins with ones.
        kernel_regularizer: regularizer of the kernel.
        recurrent_regularizer: regularizer of the recurrent kernel.
        bias_regularizer: regularizer of the bias.
        activity_regularizer: regularizer of the output.
        kernel_constraint: constraint of the kernel.
        recurrent_constraint: constraint of the recurrent kernel.
        bias_constraint: constraint of the bias.
        dropout: part of the inputs to drop while training.
        recurrent_dropout: part of the state to drop while training.
        seed: seed of the dropout.
        return_sequences: whether to return the outputs of all time steps, or the last one's.
        return_state: whether to return the last states too.
        go_backwards: whether to run from the last time step to the first.
        stateful: whether the last states of a batch are the initial ones of the next.

    Call arguments:
        sequences: tensor `(batch, time, steps, channels)`.
        initial_state: list of the output and the cell; zeros by default.
        mask: bool tensor `(batch, time)`; false time steps are skipped.
        training: whether to drop.

    Raises:
        ValueError: an argument has a wrong value.

    Example:
        >>> import numpy as np
        >>> ConvLSTM1D(4, 2)(np.ones((2, 3, 5, 2))).shape
        (2, 4, 4)

    Reference:
        X. Shi et al., "Convolutional LSTM network: a machine learning approach for precipitation
        nowcasting", NeurIPS 2015.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: Any = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        **kwargs: Any,
    ) -> None:
        options = {
            "filters": filters,
            "kernel_size": kernel_size,
            "strides": strides,
            "padding": padding,
            "data_format": data_format,
            "dilation_rate": dilation_rate,
            "activation": activation,
            "recurrent_activation": recurrent_activation,
            "use_bias": use_bias,
            "kernel_initializer": kernel_initializer,
            "recurrent_initializer": recurrent_initializer,
            "bias_initializer": bias_initializer,
            "unit_forget_bias": unit_forget_bias,
            "kernel_regularizer": kernel_regularizer,
            "recurrent_regularizer": recurrent_regularizer,
            "bias_regularizer": bias_regularizer,
            "activity_regularizer": activity_regularizer,
            "kernel_constraint": kernel_constraint,
            "recurrent_constraint": recurrent_constraint,
            "bias_constraint": bias_constraint,
            "dropout": dropout,
            "recurrent_dropout": recurrent_dropout,
            "seed": seed,
            "return_sequences": return_sequences,
            "return_state": return_state,
            "go_backwards": go_backwards,
            "stateful": stateful,
        }
        super().__init__(1, options, **kwargs)


class ConvLSTM2D(ConvLSTM):
    """A 2D convolutional LSTM: inputs and states are convolved in place of multiplied.

    Args:
        filters: number of channels of the output and of the states.
        kernel_size: size of the window, an integer or a tuple of 2.
        strides: strides of the convolution of the inputs.
        padding: "valid" or "same"; the states' convolution keeps their size.
        data_format: "channels_last" or "channels_first"; of the configuration by default.
        dilation_rate: dilation of the convolution of the inputs.
        activation: activation of the candidate and of the output.
        recurrent_activation: activation of the gates.
        use_bias: whether there is a bias.
        kernel_initializer: initializer of the kernel, `(*window, channels, 4 * filters)`.
        recurrent_initializer: initializer of the recurrent kernel.
        bias_initializer: initializer of the bias.
        unit_forget_bias: whether the forget gate's bias begins with ones.
        kernel_regularizer: regularizer of the kernel.
        recurrent_regularizer: regularizer of the recurrent kernel.
        bias_regularizer: regularizer of the bias.
        activity_regularizer: regularizer of the output.
        kernel_constraint: constraint of the kernel.
        recurrent_constraint: constraint of the recurrent kernel.
        bias_constraint: constraint of the bias.
        dropout: part of the inputs to drop while training.
        recurrent_dropout: part of the state to drop while training.
        seed: seed of the dropout.
        return_sequences: whether to return the outputs of all time steps, or the last one's.
        return_state: whether to return the last states too.
        go_backwards: whether to run from the last time step to the first.
        stateful: whether the last states of a batch are the initial ones of the next.

    Call arguments:
        sequences: tensor `(batch, time, rows, columns, channels)`.
        initial_state: list of the output and the cell; zeros by default.
        mask: bool tensor `(batch, time)`; false time steps are skipped.
        training: whether to drop.

    Raises:
        ValueError: an argument has a wrong value.

    Example:
        >>> import numpy as np
        >>> ConvLSTM2D(4, 2)(np.ones((2, 3, 5, 5, 2))).shape
        (2, 4, 4, 4)

    Reference:
        X. Shi et al., "Convolutional LSTM network: a machine learning approach for precipitation
        nowcasting", NeurIPS 2015.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: Any = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        **kwargs: Any,
    ) -> None:
        options = {
            "filters": filters,
            "kernel_size": kernel_size,
            "strides": strides,
            "padding": padding,
            "data_format": data_format,
            "dilation_rate": dilation_rate,
            "activation": activation,
            "recurrent_activation": recurrent_activation,
            "use_bias": use_bias,
            "kernel_initializer": kernel_initializer,
            "recurrent_initializer": recurrent_initializer,
            "bias_initializer": bias_initializer,
            "unit_forget_bias": unit_forget_bias,
            "kernel_regularizer": kernel_regularizer,
            "recurrent_regularizer": recurrent_regularizer,
            "bias_regularizer": bias_regularizer,
            "activity_regularizer": activity_regularizer,
            "kernel_constraint": kernel_constraint,
            "recurrent_constraint": recurrent_constraint,
            "bias_constraint": bias_constraint,
            "dropout": dropout,
            "recurrent_dropout": recurrent_dropout,
            "seed": seed,
            "return_sequences": return_sequences,
            "return_state": return_state,
            "go_backwards": go_backwards,
            "stateful": stateful,
        }
        super().__init__(2, options, **kwargs)


class ConvLSTM3D(ConvLSTM):
    """A 3D convolutional LSTM: inputs and states are convolved in place of multiplied.

    Args:
        filters: number of channels of the output and of the states.
        kernel_size: size of the window, an integer or a tuple of 3.
        strides: strides of the convolution of the inputs.
        padding: "valid" or "same"; the states' convolution keeps their size.
        data_format: "channels_last" or "channels_first"; of the configuration by default.
        dilation_rate: dilation of the convolution of the inputs.
        activation: activation of the candidate and of the output.
        recurrent_activation: activation of the gates.
        use_bias: whether there is a bias.
        kernel_initializer: initializer of the kernel, `(*window, channels, 4 * filters)`.
        recurrent_initializer: initializer of the recurrent kernel.
        bias_initializer: initializer of the bias.
        unit_forget_bias: whether the forget gate's bias begins with ones.
        kernel_regularizer: regularizer of the kernel.
        recurrent_regularizer: regularizer of the recurrent kernel.
        bias_regularizer: regularizer of the bias.
        activity_regularizer: regularizer of the output.
        kernel_constraint: constraint of the kernel.
        recurrent_constraint: constraint of the recurrent kernel.
        bias_constraint: constraint of the bias.
        dropout: part of the inputs to drop while training.
        recurrent_dropout: part of the state to drop while training.
        seed: seed of the dropout.
        return_sequences: whether to return the outputs of all time steps, or the last one's.
        return_state: whether to return the last states too.
        go_backwards: whether to run from the last time step to the first.
        stateful: whether the last states of a batch are the initial ones of the next.

    Call arguments:
        sequences: tensor `(batch, time, depth, rows, columns, channels)`.
        initial_state: list of the output and the cell; zeros by default.
        mask: bool tensor `(batch, time)`; false time steps are skipped.
        training: whether to drop.

    Raises:
        ValueError: an argument has a wrong value.

    Example:
        >>> import numpy as np
        >>> ConvLSTM3D(4, 2)(np.ones((2, 3, 5, 5, 5, 2))).shape
        (2, 4, 4, 4, 4)

    Reference:
        X. Shi et al., "Convolutional LSTM network: a machine learning approach for precipitation
        nowcasting", NeurIPS 2015.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: Any = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        **kwargs: Any,
    ) -> None:
        options = {
            "filters": filters,
            "kernel_size": kernel_size,
            "strides": strides,
            "padding": padding,
            "data_format": data_format,
            "dilation_rate": dilation_rate,
            "activation": activation,
            "recurrent_activation": recurrent_activation,
            "use_bias": use_bias,
            "kernel_initializer": kernel_initializer,
            "recurrent_initializer": recurrent_initializer,
            "bias_initializer": bias_initializer,
            "unit_forget_bias": unit_forget_bias,
            "kernel_regularizer": kernel_regularizer,
            "recurrent_regularizer": recurrent_regularizer,
            "bias_regularizer": bias_regularizer,
            "activity_regularizer": activity_regularizer,
            "kernel_constraint": kernel_constraint,
            "recurrent_constraint": recurrent_constraint,
            "bias_constraint": bias_constraint,
            "dropout": dropout,
            "recurrent_dropout": recurrent_dropout,
            "seed": seed,
            "return_sequences": return_sequences,
            "return_state": return_state,
            "go_backwards": go_backwards,
            "stateful": stateful,
        }
        super().__init__(3, options, **kwargs)
