"""A convolution as cuDNN takes it: channels second in the dimensions, last in memory."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

from kbackend.engine.program import Ints, Spec
from kbackend_cupy.codegen.loop import SHORT

# Primitive -> what its result and its arguments are.
ROLES = {
    "conv": ("result", "image", "filter"),
    "conv_input_grad": ("image", "result", "filter"),
    "conv_filter_grad": ("filter", "image", "result"),
}
DTYPES = frozenset(("float32", "float16", "bfloat16"))
# cuDNN has convolutions over planes and volumes.
_MOST = 3


class Case(NamedTuple):
    """A convolution or one of its gradients.

    Attributes:
        name: the primitive.
        dtype: of all arrays.
        image: (batch, channels, *space).
        filter: (filters, channels of a group, *window).
        result: (batch, filters, *positions).
        strides: from one window to the next.
        low: padding before the image.
        high: padding behind it.
        dilation: from one tap to the next.
    """

    name: str
    dtype: str
    image: Ints
    filter: Ints
    result: Ints
    strides: Ints
    low: Ints
    high: Ints
    dilation: Ints

    def shape(self, role: str) -> Ints:
        """Dimensions of the array with a role."""
        shape: Ints = getattr(self, role)
        return shape

    @property
    def groups(self) -> int:
        """How many groups the channels are split into."""
        return self.image[1] // self.filter[1]


def steps(shape: Ints) -> Ints:
    """Elements from one index to the next, for dimensions whose second one is last in memory.

    >>> steps((2, 3, 4, 5))
    (60, 1, 15, 3)
    """
    space = shape[2:]
    inner = [shape[1] * prod(space[d + 1 :]) for d in range(len(space))]
    return (shape[1] * prod(space), 1, *inner)


def of(
    name: str,
    inputs: tuple[Spec, ...],
    outputs: tuple[Spec, ...],
    strides: Ints,
    padding: tuple[tuple[int, int], ...],
    dilation: Ints,
    **_: Any,
) -> Case | None:
    """A primitive as a case, or `None` if cuDNN has no such convolution."""
    specs = (*outputs, *inputs)
    by_role = dict(zip(ROLES[name], specs, strict=True))
    dtype = outputs[0].dtype
    if dtype not in DTYPES or any(spec.dtype != dtype for spec in specs):
        return None
    if len(strides) > _MOST or any(not 0 < spec.size <= SHORT for spec in specs):
        return None
    image, result = (_second(by_role[role].shape) for role in ("image", "result"))
    window = by_role["filter"].shape
    low, high = (tuple([pair[end] for pair in padding]) for end in (0, 1))
    filters = (window[-1], window[-2], *window[:-2])
    if len(strides) == 1:
        # A line is a plane of the height 1.
        image, result, filters = (_flat(shape) for shape in (image, result, filters))
        low, high, strides, dilation = (0, *low), (0, *high), (1, *strides), (1, *dilation)
    return Case(name, dtype, image, filters, result, strides, low, high, dilation)


def _second(shape: Ints) -> Ints:
    return (shape[0], shape[-1], *shape[1:-1])


def _flat(shape: Ints) -> Ints:
    return (*shape[:2], 1, *shape[2:])
