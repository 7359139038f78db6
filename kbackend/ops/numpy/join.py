"""Several tensors into one, and one into several."""

from __future__ import annotations

from typing import Any

from kbackend.base.dtypes import result_type
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.ops.define import op
from kbackend.ops.numpy.common import axis_of, flat, host_ints, insert_axis, part


def _alike(xs: Any, name: str) -> list[Any]:
    """Tensors of the common dtype of `xs`."""
    tensors = [to_tensor(x) for x in xs]
    if not tensors:
        raise ValueError(f"[{name}] needs at least one tensor. Received an empty list.")
    first = tensors[0].dtype
    for x in tensors:
        if x.dtype != first:
            dtype = result_type(*(t.dtype for t in tensors))
            return [lang.cast(t, dtype) for t in tensors]
    return tensors


@op()
def concatenate(xs: Any, axis: int | None = 0) -> Any:
    """Tensors one after the other along an axis.

    Args:
        xs: list of tensors whose shapes agree except along the axis.
        axis: int; `None` joins the flattened tensors.

    Returns:
        Tensor of the common dtype.

    Example:
        >>> concatenate([[1, 2], [3]]).tolist()
        [1, 2, 3]
    """
    tensors = _alike(xs, "concatenate")
    if axis is None:
        return lang.concatenate([flat(x) for x in tensors], 0)
    return lang.concatenate(tensors, axis_of(axis, len(tensors[0].shape)))


@op()
def stack(x: Any, axis: int = 0) -> Any:
    """Tensors of one shape side by side along a new axis.

    Args:
        x: list of tensors.
        axis: place of the new axis in the result.

    Returns:
        Tensor of the common dtype.

    Example:
        >>> stack([[1, 2], [3, 4]], axis=1).tolist()
        [[1, 3], [2, 4]]
    """
    tensors = _alike(x, "stack")
    shape = tuple(tensors[0].shape)
    for other in tensors[1:]:
        if len(other.shape) != len(shape):
            raise ValueError(
                "stack() needs tensors of one shape. "
                f"Received: {[tuple(t.shape) for t in tensors]}."
            )
    axis = axis_of(axis, len(shape) + 1)
    return lang.concatenate([insert_axis(t, axis) for t in tensors], axis)


@op()
def append(x1: Any, x2: Any, axis: int | None = None) -> Any:
    """The second tensor after the first along an axis.

    Args:
        x1: tensor.
        x2: tensor whose shape agrees except along the axis.
        axis: int; by default both are flattened.

    Returns:
        Tensor of the common dtype.

    Example:
        >>> append([1, 2], [3]).tolist()
        [1, 2, 3]
    """
    return concatenate([x1, x2], axis)


@op()
def hstack(xs: Any) -> Any:
    """Tensors side by side: along the second axis, vectors along the first.

    Args:
        xs: list of tensors.

    Returns:
        Tensor of the common dtype.

    Example:
        >>> hstack([[1, 2], [3]]).tolist()
        [1, 2, 3]
    """
    tensors = [_at_least(x, 1) for x in _alike(xs, "hstack")]
    return lang.concatenate(tensors, 0 if len(tensors[0].shape) == 1 else 1)


@op()
def vstack(xs: Any) -> Any:
    """Tensors one below the other, vectors as rows.

    Args:
        xs: list of tensors.

    Returns:
        Tensor of the common dtype.

    Example:
        >>> vstack([[1, 2], [3, 4]]).tolist()
        [[1, 2], [3, 4]]
    """
    return lang.concatenate([_at_least(x, 2) for x in _alike(xs, "vstack")], 0)


@op()
def dstack(xs: Any) -> Any:
    """Tensors one behind the other along the third axis.

    Args:
        xs: list of tensors.

    Returns:
        Tensor of the common dtype and at least three dimensions.

    Example:
        >>> dstack([[1, 2], [3, 4]]).tolist()
        [[[1, 3], [2, 4]]]
    """
    return lang.concatenate([_at_least(x, 3) for x in _alike(xs, "dstack")], 2)


def _at_least(x: Any, ndim: int) -> Any:
    """`x` with at least `ndim` dimensions, as the stacking functions want them."""
    shape = tuple(x.shape)
    if len(shape) >= ndim:
        return x
    if ndim == 1:
        return lang.reshape(x, (1,))
    if len(shape) < 2:
        x = lang.reshape(x, (1, *shape) if shape else (1, 1))
    return x if ndim == 2 else lang.reshape(x, (*x.shape, 1))


# ----- apart -----


def _split(x: Any, sections: Any, axis: int, name: str, even: bool) -> list[Any]:
    x = to_tensor(x)
    axis = axis_of(axis, len(x.shape))
    n = x.shape[axis]
    sections = host_ints(sections)
    if sections.__class__ is int:
        if sections < 1:
            raise ValueError(
                f"[{name}] needs at least one section. Received: indices_or_sections={sections}."
            )
        if n is None:
            return [part(x, axis, 0, None) for _ in range(sections)]
        if even and n % sections:
            raise ValueError(
                f"[{name}] can't cut axis {axis} of size {n} into {sections} equal parts. "
                "Use array_split for unequal ones."
            )
        size, more = divmod(n, sections)
        # The first ones are longer by one.
        sections = [i * size + min(i, more) for i in range(1, sections)]
    if n is None:
        return [part(x, axis, 0, None) for _ in range(len(sections) + 1)]
    cuts = [0, *(min(max(i + n if i < 0 else i, 0), n) for i in sections), n]
    return [part(x, axis, a, max(a, b)) for a, b in zip(cuts[:-1], cuts[1:], strict=True)]


@op(static=("indices_or_sections",))
def split(x: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """A tensor cut along an axis.

    Args:
        x: tensor.
        indices_or_sections: number of equal parts, or the places to cut at.
        axis: axis to cut along.

    Returns:
        List of tensors.

    Raises:
        ValueError: the axis can't be divided evenly.

    Example:
        >>> [p.tolist() for p in split([1, 2, 3, 4], [1, 3])]
        [[1], [2, 3], [4]]
    """
    return _split(x, indices_or_sections, axis, "split", True)


@op(static=("indices_or_sections",))
def array_split(x: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """A tensor cut along an axis into parts that may differ in size by one.

    Args:
        x: tensor.
        indices_or_sections: number of parts, or the places to cut at.
        axis: axis to cut along.

    Returns:
        List of tensors.

    Example:
        >>> [p.tolist() for p in array_split([1, 2, 3], 2)]
        [[1, 2], [3]]
    """
    return _split(x, indices_or_sections, axis, "array_split", False)


@op(static=("indices_or_sections",))
def hsplit(x: Any, indices_or_sections: Any) -> list[Any]:
    """A tensor cut into columns: along the second axis, a vector along the first.

    Args:
        x: tensor.
        indices_or_sections: number of equal parts, or the places to cut at.

    Returns:
        List of tensors.

    Example:
        >>> [p.tolist() for p in hsplit([[1, 2], [3, 4]], 2)]
        [[[1], [3]], [[2], [4]]]
    """
    x = to_tensor(x)
    return _split(x, indices_or_sections, 0 if len(x.shape) == 1 else 1, "hsplit", True)


@op(static=("indices_or_sections",))
def vsplit(x: Any, indices_or_sections: Any) -> list[Any]:
    """A tensor cut into rows, along the first axis.

    Args:
        x: tensor of at least two dimensions.
        indices_or_sections: number of equal parts, or the places to cut at.

    Returns:
        List of tensors.

    Example:
        >>> [p.tolist() for p in vsplit([[1, 2], [3, 4]], 2)]
        [[[1, 2]], [[3, 4]]]
    """
    x = to_tensor(x)
    if len(x.shape) < 2:
        raise ValueError(f"vsplit() needs two dimensions. Received: shape={tuple(x.shape)}.")
    return _split(x, indices_or_sections, 0, "vsplit", True)


@op(static=("indices_or_sections",))
def dsplit(x: Any, indices_or_sections: Any) -> list[Any]:
    """A tensor cut along the third axis.

    Args:
        x: tensor of at least three dimensions.
        indices_or_sections: number of equal parts, or the places to cut at.

    Returns:
        List of tensors.

    Example:
        >>> [p.shape for p in dsplit(np.zeros((2, 2, 4)), 2)]
        [(2, 2, 2), (2, 2, 2)]
    """
    x = to_tensor(x)
    if len(x.shape) < 3:
        raise ValueError(f"dsplit() needs three dimensions. Received: shape={tuple(x.shape)}.")
    return _split(x, indices_or_sections, 2, "dsplit", True)
