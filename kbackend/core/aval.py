"""The abstract value: what is known of a tensor before it is computed."""

from __future__ import annotations

from typing import NamedTuple

from kbackend.base.shapes import Shape


class Aval(NamedTuple):
    """Shape and dtype of a value.

    Attributes:
        shape: dimensions, `None` where unknown.
        dtype: name of the dtype.
        weak: whether the value came from a Python scalar, so that it must not widen others.
    """

    shape: Shape
    dtype: str
    weak: bool = False

    def __str__(self) -> str:
        dims = ",".join("?" if d is None else str(d) for d in self.shape)
        return f"{self.dtype}[{dims}]" + ("~" if self.weak else "")
