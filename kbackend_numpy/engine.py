"""The engine class: arrays are `numpy.ndarray`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kbackend.base import dtypes
from kbackend.engine.interface import Engine
from kbackend.engine.program import REDUCTIONS, Cut, Prepared, Program, Runner, Spec
from kbackend_numpy import batch_parts, region, region_reduce, structured
from kbackend_numpy.kernels.elementwise import COMPOSITES, NAMES
from kbackend_numpy.replay import Replay
from kbackend_numpy.table import composites, table


class NumpyEngine(Engine):
    """Computes with NumPy on the host."""

    name = "numpy"
    views = frozenset(("reshape", "transpose", "broadcast_to", "slice", "rev"))
    fusible = NAMES | COMPOSITES | REDUCTIONS

    def __init__(self) -> None:
        super().__init__(table(), composites())

    def asarray(self, value: Any, dtype: str | None = None, copy: bool = True) -> Any:
        """`value` as an ndarray; see `Engine.asarray`."""
        if dtype is None:
            array = np.array(value) if copy else np.asarray(value)
        else:
            wanted = dtypes.numpy_dtype(dtype)
            # What is beyond a dtype's range becomes infinite, as in kernels.
            with np.errstate(over="ignore"):
                array = np.array(value, wanted) if copy else np.asarray(value, wanted)
        if array.dtype not in dtypes.DTYPE_NAMES:
            raise TypeError(
                f"Can't make a tensor of values with the NumPy dtype {array.dtype}. "
                f"Supported: {', '.join(dtypes.NUMPY_DTYPES)}."
            )
        return array

    def to_numpy(self, array: Any) -> np.ndarray[Any, Any]:
        """The array itself; see `Engine.to_numpy`."""
        return np.asarray(array)

    def dtype_of(self, array: Any) -> str:
        """Name of the array's dtype."""
        return dtypes.DTYPE_NAMES[array.dtype]

    def owns(self, value: Any) -> bool:
        """Whether `value` is an ndarray."""
        return isinstance(value, np.ndarray)

    def contiguous(self, array: Any) -> Any:
        """The array with its elements in row-major order."""
        return np.ascontiguousarray(array).reshape(array.shape)

    def copy(self, array: Any) -> Any:
        """A contiguous copy."""
        return np.array(array, order="C")

    def prepare(
        self,
        name: str,
        inputs: tuple[Spec, ...],
        outputs: tuple[Spec, ...],
        params: Mapping[str, Any],
    ) -> Prepared | None:
        """The kernel of a step for given shapes; see `Engine.prepare`."""
        if name == "region":
            return region.prepare(params["region"], inputs)
        if name == "parts":
            return batch_parts.prepare(inputs, outputs, params)
        if name in structured.NAMES:
            return structured.prepare(name, inputs, outputs, params)
        if name == "copy":
            return region.prepare_op(name, inputs, outputs, params)
        return super().prepare(name, inputs, outputs, params)

    def parts(self, cut: Cut) -> int:
        """See `Engine.parts`: one for each thread, if the step is worth it."""
        return batch_parts.count(cut)

    def fuses_reduction(self, name: str, x: Spec, axes: tuple[int, ...]) -> bool:
        """See `Engine.fuses_reduction`."""
        return region_reduce.takes(x, axes)

    def compile(self, program: Program) -> Runner:
        """The program as calls bound to planned memory."""
        return Replay(self, program)
