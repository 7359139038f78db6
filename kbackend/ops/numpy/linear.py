"""Products of matrices and vectors."""

from __future__ import annotations

from typing import Any

from kbackend.base.dtypes import COMPLEX_SET
from kbackend.base.shapes import broadcast
from kbackend.core import lang, operators
from kbackend.core.convert import to_tensor
from kbackend.core.operators import promote
from kbackend.ops.define import op
from kbackend.ops.numpy.common import (
    axis_of,
    flat,
    floating,
    host_ints,
    move_axis,
    part,
    wide_product,
)
from kbackend.ops.numpy.index import take_diagonal
from kbackend.ops.numpy.reduce import summable


@op()
def matmul(x1: Any, x2: Any) -> Any:
    """Matrix product of the last two dimensions; the leading ones broadcast.

    Args:
        x1: tensor of at least one dimension; a vector is a row.
        x2: tensor of at least one dimension; a vector is a column.

    Returns:
        Tensor of the common dtype; int32 for int8.

    Example:
        >>> matmul([[1, 2], [3, 4]], [1, 1]).tolist()
        [3, 7]
    """
    x, y = promote(x1, x2)
    if x.dtype == "int8" and x.shape and to_tensor(x1).dtype == to_tensor(x2).dtype:
        return wide_product(x, y, x.shape[-1], operators.matmul)
    return operators.matmul(x, y)


@op()
def dot(x1: Any, x2: Any) -> Any:
    """Sum of products over the last axis of one and the second to last of the other.

    Args:
        x1: tensor.
        x2: tensor; of a vector the only axis is summed over. A scalar multiplies.

    Returns:
        Tensor of the common dtype, with the remaining axes of both.

    Example:
        >>> dot([1, 2], [3, 4]).item()
        11
    """
    x, y = promote(x1, x2)
    nx, ny = len(x.shape), len(y.shape)
    if nx == 0 or ny == 0:
        return lang.mul(x, y)
    return lang.dot(x, y, ((nx - 1,), (max(ny - 2, 0),)))


@op()
def inner(x1: Any, x2: Any) -> Any:
    """Sum of products over the last axes.

    Args:
        x1: tensor.
        x2: tensor with as many elements along its last axis. A scalar multiplies.

    Returns:
        Tensor of the common dtype, with the remaining axes of both.

    Example:
        >>> inner([1, 2], [3, 4]).item()
        11
    """
    x, y = promote(x1, x2)
    if not x.shape or not y.shape:
        return lang.mul(x, y)
    return lang.dot(x, y, ((len(x.shape) - 1,), (len(y.shape) - 1,)))


@op()
def outer(x1: Any, x2: Any) -> Any:
    """All products of an element of one with an element of the other.

    Args:
        x1: tensor, flattened.
        x2: tensor, flattened.

    Returns:
        Matrix of the common dtype.

    Example:
        >>> outer([1, 2], [3, 4]).tolist()
        [[3, 4], [6, 8]]
    """
    x, y = promote(x1, x2)
    return lang.mul(lang.reshape(x, (-1, 1)), lang.reshape(y, (1, -1)))


@op()
def vdot(x1: Any, x2: Any) -> Any:
    """Scalar product of the flattened tensors, the first one conjugated.

    Args:
        x1: tensor.
        x2: tensor with as many elements.

    Returns:
        Scalar of the common dtype.

    Example:
        >>> vdot([1, 2], [3, 4]).item()
        11
    """
    x, y = promote(x1, x2)
    if x.dtype in COMPLEX_SET:
        x = lang.complex_(lang.real(x), lang.neg(lang.imag(x)))
    return lang.dot(flat(x), flat(y), ((0,), (0,)))


@op()
def tensordot(x1: Any, x2: Any, axes: Any = 2) -> Any:
    """Sum of products over given axes.

    Args:
        x1: tensor.
        x2: tensor.
        axes: the number of last axes of x1 and first axes of x2 to sum over, or a pair of the axes
            of x1 and those of x2.

    Returns:
        Tensor of the common dtype, with the remaining axes of both.

    Example:
        >>> tensordot([[1, 2], [3, 4]], [[1, 0], [0, 1]], axes=2).item()
        5
    """
    x, y = promote(x1, x2)
    nx, ny = len(x.shape), len(y.shape)
    axes = host_ints(axes)
    if axes.__class__ is int:
        if not 0 <= axes <= min(nx, ny):
            raise ValueError(
                f"tensordot() can't sum over {axes} axes. "
                f"Received shapes: {tuple(x.shape)} and {tuple(y.shape)}."
            )
        first, second = tuple(range(nx - axes, nx)), tuple(range(axes))
    else:
        pair = [tuple(a) if isinstance(a, (list, tuple)) else (a,) for a in axes]
        if len(pair) != 2 or len(pair[0]) != len(pair[1]):
            raise ValueError(
                "tensordot() takes as many axes of one tensor as of the other. "
                f"Received: axes={axes}."
            )
        first = tuple(axis_of(a, nx) for a in pair[0])
        second = tuple(axis_of(a, ny) for a in pair[1])
    return lang.dot(x, y, (first, second))


@op()
def kron(x1: Any, x2: Any) -> Any:
    """Kronecker product: the first tensor with each element replaced by its multiple of the second.

    Args:
        x1: tensor.
        x2: tensor.

    Returns:
        Tensor of the common dtype, whose dimensions are products.

    Example:
        >>> kron([1, 10], [1, 2]).tolist()
        [1, 2, 10, 20]
    """
    x, y = promote(x1, x2)
    ndim = max(len(x.shape), len(y.shape))
    a = (1,) * (ndim - len(x.shape)) + tuple(x.shape)
    b = (1,) * (ndim - len(y.shape)) + tuple(y.shape)
    x = lang.reshape(x, tuple(d for n in a for d in (n, 1)))
    y = lang.reshape(y, tuple(d for n in b for d in (1, n)))
    shape = tuple(None if n is None or m is None else n * m for n, m in zip(a, b, strict=True))
    return lang.reshape(lang.mul(x, y), shape)


@op()
def cross(
    x1: Any, x2: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Any:
    """Cross product of vectors of 2 or 3 elements.

    Args:
        x1: tensor.
        x2: tensor whose other dimensions broadcast with those of x1.
        axisa: axis of x1 with the vectors.
        axisb: axis of x2 with the vectors.
        axisc: axis of the result with the vectors; there is none for two vectors of 2 elements.
        axis: all three of them.

    Returns:
        Tensor of the common dtype.

    Example:
        >>> cross([1, 0, 0], [0, 1, 0]).tolist()
        [0, 0, 1]
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    x, y = operators._bool_to_int(*promote(x1, x2))
    x = move_axis(x, axis_of(axisa, len(x.shape)), len(x.shape) - 1)
    y = move_axis(y, axis_of(axisb, len(y.shape)), len(y.shape) - 1)
    n, m = x.shape[-1], y.shape[-1]
    if n not in (2, 3) or m not in (2, 3):
        raise ValueError(
            f"cross() takes vectors of 2 or 3 elements. Received: {n} and {m} elements."
        )
    a = [_component(x, i) for i in range(n)]
    b = [_component(y, i) for i in range(m)]

    def difference(i: int, j: int) -> Any:
        return lang.sub(lang.mul(a[i], b[j]), lang.mul(a[j], b[i]))

    if n == m == 2:
        return difference(0, 1)
    # A vector of 2 elements lies in the plane: its third one is 0.
    for parts in (a, b):
        if len(parts) == 2:
            parts.append(lang.mul(parts[0], 0))
    rows = [difference(1, 2), difference(2, 0), difference(0, 1)]
    shape = broadcast(*(tuple(r.shape) for r in rows))
    out = lang.concatenate([lang.reshape(r, (*shape, 1)) for r in rows], len(shape))
    return move_axis(out, len(shape), axis_of(axisc, len(shape) + 1))


def _component(x: Any, i: int) -> Any:
    """Element i along the last axis."""
    return lang.reshape(part(x, len(x.shape) - 1, i, i + 1), tuple(x.shape[:-1]))


@op()
def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """Sum along diagonals of matrices.

    Args:
        x: tensor of at least two dimensions.
        offset: which diagonal: 0 is the main one, positive ones lie above it.
        axis1: axis of the rows.
        axis2: axis of the columns.

    Returns:
        Tensor without the two axes; narrow integers and bool become 32 bits wide.

    Example:
        >>> trace([[1, 2], [3, 4]]).item()
        5
    """
    x = to_tensor(x)
    ndim = len(x.shape)
    if ndim < 2:
        raise ValueError(
            f"trace() needs at least two dimensions. Received: shape={tuple(x.shape)}."
        )
    found = take_diagonal(x, int(offset), axis_of(axis1, ndim), axis_of(axis2, ndim))
    return lang.reduce_sum(summable(found), (ndim - 2,))


@op()
def corrcoef(x: Any) -> Any:
    """Correlation coefficients of the rows of a matrix.

    Args:
        x: matrix with one variable per row and one observation per column, or a vector.

    Returns:
        Symmetric floating matrix (a scalar for a vector).

    Example:
        >>> corrcoef([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]).numpy().round(3).tolist()
        [[1.0, -1.0], [-1.0, 1.0]]
    """
    x = floating(x)
    if len(x.shape) not in (1, 2):
        raise ValueError(f"corrcoef() takes a matrix. Received: shape={tuple(x.shape)}.")
    vector = len(x.shape) == 1
    if vector:
        x = lang.reshape(x, (1, x.shape[0]))
    n = x.shape[1]
    center = lang.sub(x, lang.div(lang.reduce_sum(x, (1,), True), float(n or 1)))
    other = center
    if x.dtype in COMPLEX_SET:
        other = lang.complex_(lang.real(center), lang.neg(lang.imag(center)))
    products = lang.dot(center, other, ((1,), (1,)))
    spread = lang.sqrt(take_diagonal(products, 0, 0, 1))
    size = spread.shape[0]
    out = lang.div(
        lang.div(products, lang.reshape(spread, (size, 1))), lang.reshape(spread, (1, size))
    )
    if x.dtype not in COMPLEX_SET:
        # Rounding must not lead out of [-1, 1].
        out = lang.minimum(lang.maximum(out, -1.0), 1.0)
    return lang.reshape(out, ()) if vector else out


@op()
def slogdet(x: Any) -> Any:
    """Sign and logarithm of the absolute value of determinants.

    Args:
        x: floating tensor whose last two dimensions are square matrices.

    Returns:
        The signs, and the logarithms (minus infinity for a singular matrix).

    Example:
        >>> sign, logarithm = slogdet([[2.0, 0.0], [0.0, -3.0]])
        >>> sign.item(), logarithm.item()
        (-1.0, 1.79...)
    """
    x = floating(x)
    ndim = len(x.shape)
    if ndim < 2:
        raise ValueError(f"slogdet() takes matrices. Received: shape={tuple(x.shape)}.")
    factors, order = lang.lu(x)
    main = take_diagonal(factors, 0, ndim - 2, ndim - 1)
    last = (ndim - 2,)
    # Each pair of rows that changed places turns the sign.
    size = x.shape[-1]
    lead = tuple(order.shape[:-1])
    first = lang.reshape(order, (*lead, size, 1))
    second = lang.reshape(order, (*lead, 1, size))
    later = lang.lt(lang.iota((size, 1), 0, "int32"), lang.iota((1, size), 1, "int32"))
    swaps = lang.cast(lang.bitwise_and(later, lang.lt(second, first)), "int32")
    parity = lang.mod(lang.reduce_sum(swaps, (ndim - 2, ndim - 1)), 2)
    turned = lang.cast(lang.sub(1, lang.mul(parity, 2)), x.dtype)
    sign = lang.mul(turned, lang.reduce_prod(lang.sign(main), last))
    return sign, lang.reduce_sum(lang.log(lang.abs_(main)), last)
