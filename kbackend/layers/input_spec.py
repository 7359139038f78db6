"""`InputSpec`: what a layer demands of its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kbackend.base import shapes, tree
from kbackend.base.dtypes import standardize_dtype
from kbackend.core.tensor import Tensor


class InputSpec:
    """Rank, dtype and sizes that an input must have. What is `None` is free.

    Args:
        dtype: dtype.
        shape: whole shape, with `None` for free dimensions.
        ndim: number of dimensions.
        max_ndim: greatest number of dimensions.
        min_ndim: least number of dimensions.
        axes: axis -> size.
        allow_last_axis_squeeze: whether a last dimension of 1 may be missing or superfluous.
        name: key of the input, where inputs come as a dict.
        optional: whether the input may be `None`.

    Example:
        >>> InputSpec(min_ndim=2, axes={-1: 8})
        InputSpec(min_ndim=2, axes={-1: 8})
    """

    def __init__(
        self,
        dtype: Any = None,
        shape: Any = None,
        ndim: int | None = None,
        max_ndim: int | None = None,
        min_ndim: int | None = None,
        axes: Mapping[int, int | None] | None = None,
        allow_last_axis_squeeze: bool = False,
        name: str | None = None,
        optional: bool = False,
    ) -> None:
        self.dtype = None if dtype is None else standardize_dtype(dtype)
        self.shape = None if shape is None else shapes.standardize_shape(shape)
        self.ndim = len(self.shape) if self.shape is not None else ndim
        self.max_ndim = max_ndim
        self.min_ndim = min_ndim
        self.name = name
        self.optional = optional
        self.allow_last_axis_squeeze = allow_last_axis_squeeze
        self.axes = {int(axis): size for axis, size in (axes or {}).items()}
        limit = self.ndim if self.ndim is not None else max_ndim
        if limit is not None and any(axis >= limit or axis < -limit for axis in self.axes):
            raise ValueError(
                f"[InputSpec] 'axes' names an axis beyond the {limit} dimensions. Received: {axes}."
            )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "dtype": self.dtype, "shape": self.shape, "ndim": self.ndim,
            "max_ndim": self.max_ndim, "min_ndim": self.min_ndim, "axes": self.axes,
            "optional": self.optional,
        }  # fmt: skip

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> InputSpec:
        """A spec from `get_config`'s answer."""
        return cls(**config)

    def __repr__(self) -> str:
        set_ = {k: v for k, v in self.get_config().items() if v not in (None, {}, False)}
        return f"InputSpec({', '.join(f'{k}={v}' for k, v in set_.items())})"


def check_input(spec: Any, inputs: Any, layer_name: str) -> None:
    """Raises `ValueError` unless the inputs meet the spec (or the structure of specs)."""
    if not spec:
        return
    if spec.__class__ is InputSpec and inputs.__class__ is Tensor:
        # The usual case: one tensor, one spec.
        fault = _fault(spec, inputs)
        if fault:
            raise _misfit(layer_name, 0, fault, inputs)
        return
    specs = tree.flatten(spec)
    if isinstance(inputs, dict) and all(s.name in inputs for s in specs):
        values = [inputs[s.name] for s in specs]
    else:
        values = tree.flatten(inputs)
    if len(values) != len(specs):
        raise ValueError(
            f"[{layer_name}] expects {len(specs)} input(s). Received {len(values)}: {values}."
        )
    for i, (value, one) in enumerate(zip(values, specs, strict=True)):
        if one is None or (value is None and one.optional):
            continue
        fault = _fault(one, value)
        if fault:
            raise _misfit(layer_name, i, fault, value)


def _misfit(layer_name: str, i: int, fault: str, value: Any) -> ValueError:
    return ValueError(
        f"[{layer_name}] input {i} is incompatible with the layer: {fault}. Received an input of "
        f"shape {tuple(value.shape)}."
    )


def _fault(spec: InputSpec, value: Any) -> str | None:
    shape = tuple(value.shape)
    ndim = len(shape)
    if spec.ndim is not None and not spec.allow_last_axis_squeeze and ndim != spec.ndim:
        return f"expected ndim={spec.ndim}, found ndim={ndim}"
    if spec.max_ndim is not None and ndim > spec.max_ndim:
        return f"expected at most {spec.max_ndim} dimensions, found ndim={ndim}"
    if spec.min_ndim is not None and ndim < spec.min_ndim:
        return f"expected min_ndim={spec.min_ndim}, found ndim={ndim}"
    if spec.dtype is not None and value.dtype != spec.dtype:
        return f"expected dtype={spec.dtype}, found dtype={value.dtype}"
    for axis, size in spec.axes.items():
        if size is not None and -ndim <= axis < ndim and shape[axis] not in (size, None):
            return f"expected axis {axis} to have the size {size}"
    if spec.shape is not None:
        wanted, have = spec.shape, shape
        if spec.allow_last_axis_squeeze:
            if have and have[-1] == 1:
                have = have[:-1]
            if wanted and wanted[-1] == 1:
                wanted = wanted[:-1]
        if len(wanted) != len(have) or any(
            w is not None and h is not None and w != h for w, h in zip(wanted, have, strict=True)
        ):
            return f"expected shape={spec.shape}"
    return None
