"""`Add`, `Subtract`, `Multiply`, `Average`, `Maximum`, `Minimum`, and the functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kbackend import ops
from kbackend.core.masks import get_keras_mask
from kbackend.layers.merging.merge import Merge, mask_like, shape_list


class Add(Merge):
    """The sum of a list of tensors.

    Example:
        >>> import numpy as np
        >>> Add()([np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]])]).tolist()
        [[4.0, 6.0]]
    """

    def merge(self, inputs: Any) -> Any:
        """The sum."""
        return _fold(ops.add, inputs)


class Subtract(Merge):
    """The first of two tensors minus the second.

    Raises:
        ValueError: there are not exactly two.

    Example:
        >>> import numpy as np
        >>> Subtract()([np.array([[1.0, 2.0]]), np.array([[3.0, 5.0]])]).tolist()
        [[-2.0, -3.0]]
    """

    def build(self, input_shape: Any) -> None:
        """Checks that there are two shapes, which can be merged."""
        if len(shape_list("Subtract", input_shape)) != 2:
            raise ValueError(
                f"[{self.name}] takes exactly 2 tensors. Received: input_shape={input_shape}."
            )
        super().build(input_shape)

    def merge(self, inputs: Any) -> Any:
        """The difference."""
        x, y = inputs
        return ops.subtract(x, y)


class Multiply(Merge):
    """The product of a list of tensors. Masked places of one are left out.

    Example:
        >>> import numpy as np
        >>> Multiply()([np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]])]).tolist()
        [[3.0, 8.0]]
    """

    def merge(self, inputs: Any) -> Any:
        """The product."""
        masks = [get_keras_mask(x) for x in inputs]
        if all(mask is None for mask in masks):
            return _fold(ops.multiply, inputs)
        masks = [None if m is None else mask_like(m, x) for m, x in zip(masks, inputs, strict=True)]
        product = _fold(
            ops.multiply,
            [x if m is None else ops.where(m, x, ops.ones_like(x))
             for m, x in zip(masks, inputs, strict=True)],
        )  # fmt: skip
        if any(mask is None for mask in masks):
            return product
        # Nothing was multiplied where all are masked.
        return ops.where(_fold(ops.logical_or, masks), product, ops.zeros_like(product))


class Average(Merge):
    """The mean of a list of tensors.

    Example:
        >>> import numpy as np
        >>> Average()([np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]])]).tolist()
        [[2.0, 3.0]]
    """

    def merge(self, inputs: Any) -> Any:
        """The mean."""
        return ops.divide(_fold(ops.add, inputs), len(inputs))


class Maximum(Merge):
    """The largest of a list of tensors, element by element. Masked places of one are left out.

    Example:
        >>> import numpy as np
        >>> Maximum()([np.array([[1.0, 5.0]]), np.array([[3.0, 4.0]])]).tolist()
        [[3.0, 5.0]]
    """

    def merge(self, inputs: Any) -> Any:
        """The maximum."""
        return _extreme(ops.maximum, inputs)


class Minimum(Merge):
    """The smallest of a list of tensors, element by element. Masked places of one are left out.

    Example:
        >>> import numpy as np
        >>> Minimum()([np.array([[1.0, 5.0]]), np.array([[3.0, 4.0]])]).tolist()
        [[1.0, 4.0]]
    """

    def merge(self, inputs: Any) -> Any:
        """The minimum."""
        return _extreme(ops.minimum, inputs)


def _fold(fn: Callable[[Any, Any], Any], items: Any) -> Any:
    result = items[0]
    for item in items[1:]:
        result = fn(result, item)
    return result


def _extreme(fn: Callable[[Any, Any], Any], inputs: Any) -> Any:
    """`fn` over the places that are not masked."""
    if all(get_keras_mask(x) is None for x in inputs):
        return _fold(fn, inputs)
    result, seen = inputs[0], get_keras_mask(inputs[0])
    seen = None if seen is None else mask_like(seen, result)
    for x in inputs[1:]:
        mask = get_keras_mask(x)
        merged = fn(result, x)
        if seen is not None:
            merged = ops.where(seen, merged, x)
        if mask is None:
            result, seen = merged, None
            continue
        mask = mask_like(mask, x)
        result = ops.where(mask, merged, result)
        seen = None if seen is None else ops.logical_or(seen, mask)
    return result


def add(inputs: Any, **kwargs: Any) -> Any:
    """The sum of a list of tensors.

    Args:
        inputs: list of tensors that broadcast.
        **kwargs: arguments of the layer `Add`.

    Returns:
        A tensor.

    Example:
        >>> import numpy as np
        >>> add([np.array([[1.0]]), np.array([[3.0]])]).tolist()
        [[4.0]]
    """
    return Add(**kwargs)(inputs)


def subtract(inputs: Any, **kwargs: Any) -> Any:
    """The first of two tensors minus the second.

    Args:
        inputs: list of two tensors that broadcast.
        **kwargs: arguments of the layer `Subtract`.

    Returns:
        A tensor.

    Example:
        >>> import numpy as np
        >>> subtract([np.array([[1.0]]), np.array([[3.0]])]).tolist()
        [[-2.0]]
    """
    return Subtract(**kwargs)(inputs)


def multiply(inputs: Any, **kwargs: Any) -> Any:
    """The product of a list of tensors.

    Args:
        inputs: list of tensors that broadcast.
        **kwargs: arguments of the layer `Multiply`.

    Returns:
        A tensor.

    Example:
        >>> import numpy as np
        >>> multiply([np.array([[2.0]]), np.array([[3.0]])]).tolist()
        [[6.0]]
    """
    return Multiply(**kwargs)(inputs)


def average(inputs: Any, **kwargs: Any) -> Any:
    """The mean of a list of tensors.

    Args:
        inputs: list of tensors that broadcast.
        **kwargs: arguments of the layer `Average`.

    Returns:
        A tensor.

    Example:
        >>> import numpy as np
        >>> average([np.array([[1.0]]), np.array([[3.0]])]).tolist()
        [[2.0]]
    """
    return Average(**kwargs)(inputs)


def maximum(inputs: Any, **kwargs: Any) -> Any:
    """The largest of a list of tensors, element by element.

    Args:
        inputs: list of tensors that broadcast.
        **kwargs: arguments of the layer `Maximum`.

    Returns:
        A tensor.

    Example:
        >>> import numpy as np
        >>> maximum([np.array([[1.0]]), np.array([[3.0]])]).tolist()
        [[3.0]]
    """
    return Maximum(**kwargs)(inputs)


def minimum(inputs: Any, **kwargs: Any) -> Any:
    """The smallest of a list of tensors, element by element.

    Args:
        inputs: list of tensors that broadcast.
        **kwargs: arguments of the layer `Minimum`.

    Returns:
        A tensor.

    Example:
        >>> import numpy as np
        >>> minimum([np.array([[1.0]]), np.array([[3.0]])]).tolist()
        [[1.0]]
    """
    return Minimum(**kwargs)(inputs)
