"""`randint`, `categorical` and `shuffle`."""

from __future__ import annotations

from typing import Any

from kbackend.base.shapes import canonical_axis, standardize_shape
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.ops.define import op
from kbackend.random.arguments import check_broadcast, int_dtype
from kbackend.random.forms import open_unit, state_of, wide


@op(static=("shape",))
def randint(shape: Any, minval: Any, maxval: Any, dtype: Any = "int32", seed: Any = None) -> Any:
    """Uniform random integers in `[minval, maxval)`.

    Args:
        shape: shape of the result.
        minval: lower bound, a number or a tensor that broadcasts to `shape`; included.
        maxval: upper bound, likewise; excluded.
        dtype: integer dtype.
        seed: integer, SeedGenerator, or `None` (the global generator).

    Returns:
        The tensor. The remainder of 64 random bits is taken, so no value is favoured by more than
        one part in `2**64 / (maxval - minval)`.

    Raises:
        ValueError: the dtype is not an integer, a bound does not fit, or the interval is empty.

    Example:
        >>> from kbackend import random
        >>> sorted(set(random.randint((100,), 0, 3, seed=1).tolist()))
        [0, 1, 2]
    """
    dtype, shape = int_dtype("randint", dtype), standardize_shape(shape)
    if isinstance(minval, (int, float)) and isinstance(maxval, (int, float)):
        if int(maxval) <= int(minval):
            raise ValueError(
                "[random.randint] 'maxval' must be greater than 'minval'. Received: "
                f"minval={minval}, maxval={maxval}."
            )
    # Two's complement wraps, so that differences of 64-bit bounds are right in uint64.
    signed = "uint64" if dtype == "uint64" else "int64"
    low, high = to_tensor(minval, signed), to_tensor(maxval, signed)
    for bound in (low, high):
        check_broadcast(tuple(bound.shape), shape)
    start = lang.bitcast(low, "uint64")
    span = lang.maximum(lang.sub(lang.bitcast(high, "uint64"), start), 1)
    offset = lang.mod(lang.random_bits(state_of(seed), shape, 64), span)
    return lang.cast(lang.bitcast(lang.add(offset, start), signed), dtype)


@op(static=("num_samples",))
def categorical(logits: Any, num_samples: Any, dtype: Any = "int32", seed: Any = None) -> Any:
    """Class numbers drawn with probabilities `softmax(logits)`.

    Args:
        logits: `(batch, classes)`, unnormalised log-probabilities.
        num_samples: number of draws per row.
        dtype: integer dtype of the result.
        seed: integer, SeedGenerator, or `None` (the global generator).

    Returns:
        `(batch, num_samples)` class numbers.

    Raises:
        ValueError: the logits are not a matrix, or `num_samples` is not an integer.

    Example:
        >>> from kbackend import random
        >>> random.categorical([[0.0, 100.0], [100.0, 0.0]], 3, seed=1).tolist()
        [[1, 1, 1], [0, 0, 0]]

    Reference:
        E. J. Gumbel, "Statistical theory of extreme values", 1954 (the Gumbel-max trick).
    """
    dtype, logits = int_dtype("categorical", dtype), to_tensor(logits)
    if len(logits.shape) != 2:
        raise ValueError(
            "[random.categorical] 'logits' must have the shape (batch, classes). Received: "
            f"shape={tuple(logits.shape)}."
        )
    (draws,) = standardize_shape(num_samples, allow_unknown=False)
    batch, classes = logits.shape
    computed = wide(logits.dtype)
    u = open_unit(state_of(seed), (batch, draws, classes), computed)
    gumbel = lang.neg(lang.log(lang.neg(lang.log(u))))
    rows = lang.reshape(lang.cast(logits, computed), (-1 if batch is None else batch, 1, classes))
    return lang.cast(lang.argmax(lang.add(gumbel, rows), 2), dtype)


@op()
def shuffle(x: Any, axis: int = 0, seed: Any = None) -> Any:
    """x with its entries along one axis in random order.

    Args:
        x: tensor.
        axis: axis to shuffle along.
        seed: integer, SeedGenerator, or `None` (the global generator).

    Returns:
        A tensor of the same shape. Gradients follow the order.

    Raises:
        ValueError: there is no such axis.

    Example:
        >>> from kbackend import random
        >>> sorted(random.shuffle([3, 1, 2], seed=1).tolist())
        [1, 2, 3]
    """
    x = to_tensor(x)
    ndim = len(x.shape)
    axis = canonical_axis(axis, ndim)
    # Sorting random keys: two equal ones among n have the probability n**2 / 2**65.
    keys = lang.random_bits(state_of(seed), (x.shape[axis],), 64)
    shuffled = lang.gather(x, (lang.argsort(keys, 0),), (axis,))
    if axis == 0:
        return shuffled
    # gather put the axis first
    return lang.transpose(shuffled, (*range(1, axis + 1), 0, *range(axis + 1, ndim)))
