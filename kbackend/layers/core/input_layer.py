"""`InputLayer` and `Input`: where data enters a model."""

from __future__ import annotations

from typing import Any

from kbackend.base.config import floatx
from kbackend.base.dtypes import standardize_dtype
from kbackend.base.shapes import standardize_shape
from kbackend.layers.layer import Layer
from kbackend.ops.keras_tensor import KerasTensor
from kbackend.ops.node import Node


class InputLayer(Layer):
    """An entry point of a model: its output is a KerasTensor that nothing was computed for.

    Args:
        shape: shape of one sample, with `None` for unknown dimensions.
        batch_size: number of samples in a batch, if it is fixed.
        dtype: dtype of the data; `floatx` by default.
        sparse: accepted for compatibility; only dense tensors are supported.
        ragged: accepted for compatibility; only dense tensors are supported.
        batch_shape: shape with the batch dimension, in place of `shape` and `batch_size`.
        input_tensor: KerasTensor that becomes the model's input, in place of a new one.
        optional: whether the model may be called with `None` for this input.
        name: name.

    Raises:
        ValueError: arguments are missing, or contradict each other.

    Example:
        >>> InputLayer(shape=(3,), name="x").output
        <KerasTensor shape=(None, 3), dtype=float32, name=x>
    """

    def __init__(
        self,
        shape: Any = None,
        batch_size: int | None = None,
        dtype: Any = None,
        sparse: bool | None = None,
        ragged: bool | None = None,
        batch_shape: Any = None,
        input_tensor: Any = None,
        optional: bool = False,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        # How Keras 2 spelt `shape` and `batch_shape`.
        shape = kwargs.pop("input_shape", shape)
        batch_shape = kwargs.pop("batch_input_shape", batch_shape)
        super().__init__(name=name, **kwargs)
        if input_tensor is not None:
            if not isinstance(input_tensor, KerasTensor):
                raise ValueError(
                    "[InputLayer] 'input_tensor' must be a KerasTensor. Received: "
                    f"input_tensor={input_tensor!r} of type {type(input_tensor).__name__}."
                )
            if dtype is not None and standardize_dtype(dtype) != input_tensor.dtype:
                raise ValueError(
                    f"[InputLayer] 'input_tensor' has the dtype {input_tensor.dtype}. Received: "
                    f"dtype={dtype}."
                )
        wanted = _batch_shape(shape, batch_size, batch_shape, input_tensor)
        if input_tensor is None:
            output = KerasTensor(
                wanted, dtype or floatx(), sparse=bool(sparse), ragged=bool(ragged), name=self.name
            )
        else:
            output = input_tensor
        self.batch_shape = wanted
        self.sparse = self.ragged = False
        self.optional = bool(optional)
        self._dtype: str = output.dtype
        self.built = True
        Node(self, (), {}, output)

    @property
    def dtype(self) -> str:
        """Dtype of the data."""
        return self._dtype

    def call(self) -> None:
        """An input layer is not called: its `output` is where a model starts."""
        raise ValueError(f"[{self.name}] an InputLayer can't be called. Use its 'output'.")

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "batch_shape": self.batch_shape, "dtype": self.dtype, "sparse": self.sparse,
            "ragged": self.ragged, "name": self.name, "optional": self.optional,
        }  # fmt: skip

    def __repr__(self) -> str:
        return f"<InputLayer name={self.name}, batch_shape={self.batch_shape}, dtype={self.dtype}>"


def _batch_shape(shape: Any, batch_size: Any, batch_shape: Any, input_tensor: Any) -> Any:
    """The one batch shape that the arguments agree on."""
    if shape is not None and batch_shape is not None:
        raise ValueError(
            "[InputLayer] 'shape' and 'batch_shape' can't be given together. Received: "
            f"shape={shape}, batch_shape={batch_shape}."
        )
    if batch_size is not None and batch_shape is not None:
        raise ValueError(
            "[InputLayer] 'batch_size' can't be given with 'batch_shape', which holds it. "
            f"Received: batch_size={batch_size}, batch_shape={batch_shape}."
        )
    if shape is not None:
        batch_shape = (batch_size, *standardize_shape(shape))
    if input_tensor is not None:
        if batch_shape is not None and standardize_shape(batch_shape) != input_tensor.shape:
            raise ValueError(
                f"[InputLayer] 'input_tensor' has the shape {input_tensor.shape}, not "
                f"{tuple(batch_shape)}."
            )
        return input_tensor.shape
    if batch_shape is None:
        raise ValueError(
            "[InputLayer] one of 'shape', 'batch_shape' and 'input_tensor' is needed, as in "
            "Input(shape=(28, 28))."
        )
    return standardize_shape(batch_shape)


def Input(  # noqa: N802 - Keras's name
    shape: Any = None,
    batch_size: int | None = None,
    dtype: Any = None,
    sparse: bool | None = None,
    ragged: bool | None = None,
    batch_shape: Any = None,
    name: str | None = None,
    tensor: Any = None,
    optional: bool = False,
) -> KerasTensor:
    """A KerasTensor that stands for the data a model will be called with.

    Args:
        shape: shape of one sample, with `None` for unknown dimensions.
        batch_size: number of samples in a batch, if it is fixed.
        dtype: dtype of the data; `floatx` by default.
        sparse: accepted for compatibility; only dense tensors are supported.
        ragged: accepted for compatibility; only dense tensors are supported.
        batch_shape: shape with the batch dimension, in place of `shape` and `batch_size`.
        name: name of the input.
        tensor: KerasTensor that becomes the model's input, in place of a new one.
        optional: whether the model may be called with `None` for this input.

    Returns:
        The KerasTensor.

    Raises:
        ValueError: arguments are missing, or contradict each other.

    Example:
        >>> Input(shape=(28, 28, 1), batch_size=32).shape
        (32, 28, 28, 1)
    """
    layer = InputLayer(
        shape=shape, batch_size=batch_size, dtype=dtype, sparse=sparse, ragged=ragged,
        batch_shape=batch_shape, input_tensor=tensor, optional=optional, name=name,
    )  # fmt: skip
    output: KerasTensor = layer.output
    return output
