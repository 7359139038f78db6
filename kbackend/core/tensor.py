"""The one array type that users see. Immutable, knows its engine."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from kbackend.base import config, dtypes
from kbackend.core.aval import Aval
from kbackend.engine.interface import Engine
from kbackend.engine.loader import current_engine, get_engine


class Tensor:
    """An n-dimensional array on one engine.

    Made by `kbackend.ops` and layers, or by `convert_to_tensor`; never changed in place.
    Operators follow NumPy's broadcasting and Keras's dtype promotion; they are attached by
    `kbackend.core.operators`.
    """

    __slots__ = ("__weakref__", "_dtype", "_keras_mask", "array", "engine")

    # NumPy must hand `ndarray + Tensor` over to Tensor.__radd__.
    __array_priority__ = 1000

    def __init__(self, array: Any, engine: Engine) -> None:
        self.array = array
        self.engine = engine

    @property
    def shape(self) -> tuple[int, ...]:
        """Dimensions."""
        return self.array.shape  # type: ignore[no-any-return]

    @property
    def dtype(self) -> str:
        """Name of the dtype."""
        try:
            return self._dtype
        except AttributeError:
            self._dtype: str = self.engine.dtype_of(self.array)
            return self._dtype

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.array.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        size = 1
        for dim in self.array.shape:
            size *= dim
        return size

    @property
    def nbytes(self) -> int:
        """Bytes that the elements take."""
        return self.size * dtypes.itemsize(self.dtype)

    @property
    def aval(self) -> Aval:
        """Shape and dtype."""
        return Aval(self.array.shape, self.dtype)

    # ----- to the host -----

    def numpy(self) -> np.ndarray[Any, Any]:
        """A NumPy copy of the values that the caller may change."""
        return np.array(self.engine.to_numpy(self.array))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        host = self.engine.to_numpy(self.array)
        if dtype is not None and host.dtype != dtype:
            if copy is False:
                raise ValueError(f"Converting a {self.dtype} tensor to {dtype} needs a copy.")
            return host.astype(dtype)
        if copy:
            return host.copy()
        view = host.view()
        view.flags.writeable = False
        return view

    def __dlpack__(self, **kwargs: Any) -> Any:
        # A copy: a consumer may write through DLPack, and a Tensor never changes.
        return self.array.copy().__dlpack__(**kwargs)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        # To be read only, since a Tensor never changes; arrays on the host have no such attribute.
        found = dict(self.array.__cuda_array_interface__)
        found["data"] = (found["data"][0], True)
        return found

    def item(self) -> Any:
        """The single value as a Python scalar."""
        return self.engine.to_numpy(self.array).item()

    def tolist(self) -> Any:
        """The values as nested Python lists."""
        return self.engine.to_numpy(self.array).tolist()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __complex__(self) -> complex:
        return complex(self.item())

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(
                "The truth value of a tensor with more than one element is ambiguous. "
                f"Use ops.any or ops.all. Received: shape={self.shape}."
            )
        return bool(self.item())

    def __index__(self) -> int:
        if self.ndim or not dtypes.is_int(self.dtype):
            raise TypeError(
                f"Only an integer scalar can be an index. Received: {self.dtype}{self.shape}."
            )
        return operator.index(self.item())

    def __len__(self) -> int:
        if not self.array.shape:
            raise TypeError("A scalar tensor has no length.")
        return int(self.array.shape[0])

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self)

    def __repr__(self) -> str:
        values = np.array2string(self.engine.to_numpy(self.array), separator=", ", threshold=60)
        return f"<Tensor shape={self.shape} dtype={self.dtype} engine={self.engine.name}>\n{values}"

    __hash__ = object.__hash__

    def __copy__(self) -> Tensor:
        return self

    def __deepcopy__(self, memo: Any) -> Tensor:
        return self

    def __reduce__(self) -> Any:
        # The host copy travels; it is put on the same engine where it arrives.
        return _restore, (np.array(self.engine.to_numpy(self.array)), self.dtype, self.engine.name)

    def alias(self) -> Tensor:
        """The same array as another object, which no tape knows."""
        made = Tensor(self.array, self.engine)
        made._dtype = self.dtype
        return made

    def to_engine(self, engine: Engine | str) -> Tensor:
        """The same values on another engine (the tensor itself if it is there already)."""
        target = get_engine(engine) if isinstance(engine, str) else engine
        if target is self.engine:
            return self
        return Tensor(target.asarray(self.engine.to_numpy(self.array), self.dtype), target)


def _restore(host: np.ndarray[Any, Any], dtype: str, engine: str) -> Tensor:
    target = get_engine(engine)
    return Tensor(target.asarray(host, dtype), target)


# What Python values are taken for when no dtype is asked for.
_PYTHON_SCALARS = {bool: "bool", complex: "complex64"}
_INT32 = range(-(2**31), 2**31)


def tensor(value: Any, dtype: str | None = None, copy: bool = True) -> Tensor:
    """A Tensor on the current engine from host data.

    Args:
        value: NumPy array, nested list, scalar, or anything with `__array__`.
        dtype: name of the dtype; `None` keeps that of arrays, and takes int32 and `floatx` for
            Python ints and floats.
        copy: `False` lets the tensor share the memory of an array nobody will write to again.
    """
    engine = current_engine()
    if dtype is None:
        cls = value.__class__
        if cls is float:
            dtype = config.floatx()
        elif cls is int:
            dtype = "int32" if value in _INT32 else "int64"
        elif cls in (list, tuple, range):
            value, dtype = _from_list(list(value) if cls is range else value)
        elif cls is np.ndarray and not value.dtype.isnative:
            value = value.astype(value.dtype.newbyteorder("="))
        else:
            dtype = _PYTHON_SCALARS.get(cls)
    return Tensor(engine.asarray(value, dtype, copy=copy), engine)


def uploaded(value: np.ndarray[Any, Any], copy: bool = True) -> Tensor:
    """What `tensor` makes of a NumPy array, for a batch of data; see `Engine.upload`.

    Args:
        value: the array.
        copy: as for `tensor`.
    """
    engine = current_engine()
    if not value.dtype.isnative:
        value = value.astype(value.dtype.newbyteorder("="))
    return Tensor(engine.upload(value, copy), engine)


def _from_list(value: Any) -> tuple[Any, str | None]:
    """A nested list as an array, and the dtype its Python numbers are weak enough to take."""
    leaf = value
    while isinstance(leaf, (list, tuple)) and leaf:
        leaf = leaf[0]
    host = np.asarray(_to_host(value))
    if isinstance(leaf, (bool, int, float, list, tuple)):
        if host.dtype == np.float64:
            return host, config.floatx()
        if host.dtype == np.int64 and (
            not host.size or (int(host.min()) in _INT32 and int(host.max()) in _INT32)
        ):
            return host, "int32"
    return host, None


def _to_host(value: Any) -> Any:
    """Nested lists with every tensor in them replaced by its host values."""
    if isinstance(value, (list, tuple)):
        return [_to_host(item) for item in value]
    return np.asarray(value) if hasattr(value, "__array__") else value
