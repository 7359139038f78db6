"""`Variable`: a tensor that can be replaced; what weights, moments and counters are kept in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kbackend.base import dtypes, shapes
from kbackend.base.naming import auto_name
from kbackend.core import lang, operators
from kbackend.core.bind import Symbolic, abstract_maker, abstract_values, active_tapes
from kbackend.core.convert import Readable, to_tensor
from kbackend.core.indexing import INDEXING
from kbackend.core.running import wait_for_steps
from kbackend.core.stateless import outside_of_scopes, trace_scope
from kbackend.core.tensor import Tensor
from kbackend.engine.interface import Engine
from kbackend.engine.loader import current_engine
from kbackend.state.scopes import autocast_dtype, current_path, stateless_scope

_AGGREGATIONS = ("none", "mean", "sum", "only_first_replica")


class Variable(Readable):
    """A tensor that can be assigned to.

    Reading it gives an immutable Tensor on the current engine (the variable moves there if it was
    elsewhere). Gradient tapes watch trainable variables that are read.

    Args:
        initializer: initial value, or a function `(shape, dtype=...) -> tensor`.
        shape: shape, needed with a function.
        dtype: dtype; that of the initial value by default, `floatx` for a function.
        trainable: whether an optimizer should change it.
        autocast: whether a layer's compute dtype applies when it is read.
        aggregation: how replicas' updates are combined: "none", "mean", "sum" or
            "only_first_replica".
        synchronization: accepted for compatibility.
        name: name, made up by default.
        layout: accepted for compatibility.

    Raises:
        ValueError: an argument is missing or has a wrong value.

    Example:
        >>> v = Variable([1.0, 2.0], name="v")
        >>> v.assign_add([1.0, 1.0]).tolist()
        [2.0, 3.0]
    """

    def __init__(
        self,
        initializer: Any,
        shape: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        aggregation: str | None = "none",
        synchronization: str = "auto",
        name: str | None = None,
        layout: Any = None,
        **kwargs: Any,
    ) -> None:
        if kwargs:
            raise ValueError(f"[Variable] unknown arguments: {', '.join(kwargs)}.")
        name = name or auto_name(type(self).__name__)
        if not isinstance(name, str) or "/" in name:
            raise ValueError(f"[Variable] 'name' must be a string without '/'. Received: {name!r}.")
        aggregation = "none" if aggregation is None else aggregation
        if aggregation not in _AGGREGATIONS:
            raise ValueError(
                f"[Variable] 'aggregation' must be one of {_AGGREGATIONS}. Received: "
                f"{aggregation!r}."
            )
        self.name = name
        parent = current_path()
        self.path = f"{parent}/{name}" if parent else name
        self.trainable = bool(trainable)
        self.aggregation = aggregation
        self.synchronization = synchronization
        self.layout = layout
        self.regularizer: Callable[[Any], Any] | None = None
        self.constraint: Callable[[Any], Any] | None = None
        self.overwrite_with_gradient = False
        self._autocast = autocast
        if callable(initializer) and not isinstance(initializer, (Tensor, Readable)):
            if shape is None:
                raise ValueError(
                    "[Variable] 'shape' is needed when the initializer is a function. Received: "
                    f"initializer={initializer}, shape=None."
                )
            dims = shapes.standardize_shape(shape, allow_unknown=False)
            wanted = dtypes.standardize_dtype(dtype)
            # A layer may make its weights while shapes are being inferred, or a step is traced;
            # they have values all the same.
            with abstract_values(None), outside_of_scopes():
                value = to_tensor(initializer(dims, dtype=wanted), wanted)
            if value.shape != dims:
                raise ValueError(
                    f"[Variable] the initializer of '{name}' returned a value of shape "
                    f"{value.shape}; {dims} was asked for."
                )
        else:
            value = to_tensor(initializer, dtype)
            if isinstance(value, Symbolic):
                raise ValueError("[Variable] a symbolic tensor can't be an initial value.")
            if shape is not None and value.shape != shapes.standardize_shape(shape):
                raise ValueError(
                    f"[Variable] the initial value of '{name}' has the shape {value.shape}. "
                    f"Received: shape={tuple(shape)}."
                )
        # An object of its own, so that tapes can tell it from what it was made of, and in the order
        # that its values have after they were set, since products round by it.
        self._tensor: Tensor = Tensor(value.engine.contiguous(value.array), value.engine)
        # Whether the memory of the value may be known to others than this variable.
        self._shared = True
        self._dtype: str = value.dtype
        self._is_float = self._dtype in dtypes.FLOAT_SET

    # ----- reading -----

    def read(self) -> Any:
        """The value as it is seen here: in a stateless scope, under a tape, autocast."""
        value = self._current()
        tapes = active_tapes()
        if tapes:
            for tape in tapes:
                tape.accessed(self, value)
        if self._is_float and self._autocast:
            dtype = autocast_dtype()
            if dtype is not None and dtype != self._dtype:
                return lang.cast(value, dtype)
        return value

    value = property(read)

    def _current(self) -> Any:
        scope = stateless_scope()
        if scope is not None:
            inside = scope.get_current_value(self)
            if inside is not None:
                if inside.__class__ is Tensor and inside.engine is not current_engine():
                    return inside.to_engine(current_engine())
                return inside
        return self.kept()

    def kept(self) -> Any:
        """The value as the trace around knows it, if there is one; else as it is stored."""
        scope = trace_scope()
        return self.stored() if scope is None else scope.get_current_value(self)

    def stored(self) -> Tensor:
        """The value that is kept here, whatever scopes are open."""
        wait_for_steps()
        self._shared = True
        value = self._tensor
        if value.engine is not current_engine():
            # The variable moves to the engine that reads it, and stays there.
            value = self._tensor = value.to_engine(current_engine())
        return value

    @property
    def shape(self) -> tuple[int, ...]:
        """Dimensions."""
        return self._tensor.shape

    @property
    def dtype(self) -> str:
        """Name of the dtype that it is read as."""
        if self._is_float and self._autocast:
            return autocast_dtype() or self._dtype
        return self._dtype

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return self._tensor.size

    def numpy(self) -> np.ndarray[Any, Any]:
        """A NumPy copy of the value."""
        return self._current().numpy()  # type: ignore[no-any-return]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return self._current().__array__(dtype, copy)  # type: ignore[no-any-return]

    # NumPy must hand `ndarray + Variable` over to the reflected operator.
    __array_priority__ = 1000

    # ----- writing -----

    def conform(self, value: Any) -> Any:
        """`value` as a tensor of this variable's dtype and shape.

        Raises:
            ValueError: the shapes differ.
        """
        tensor = to_tensor(value, self._dtype)
        if tuple(tensor.shape) != self.shape:
            raise ValueError(
                f"[Variable] '{self.path}' has the shape {self.shape}; a value of shape "
                f"{tuple(tensor.shape)} can't be assigned to it."
            )
        return tensor

    def assign(self, value: Any) -> Any:
        """Replaces the value; returns the new one.

        Raises:
            ValueError: the shapes differ.
        """
        tensor = self.conform(value)
        if tensor.__class__ is not Tensor and abstract_maker() is not None:
            # Shapes are being inferred: there is nothing to store.
            return tensor
        scope = stateless_scope()
        if scope is not None:
            scope.add_update((self, tensor))
        else:
            self.store(tensor)
        return tensor

    def store(self, tensor: Any) -> None:
        """Keeps a tensor of this variable's shape and dtype, whatever scopes are open.

        Raises:
            ValueError: the tensor is symbolic.
        """
        if tensor.__class__ is not Tensor:
            raise ValueError(
                f"[Variable] a symbolic value can't be stored in '{self.path}'. "
                "Assign inside of a layer's call() or a compiled step."
            )
        wait_for_steps()
        own, engine = self._tensor, tensor.engine
        if not self._shared and own.engine is engine and engine.overwrite(own.array, tensor.array):
            return
        # Two variables that are given one tensor must still be two to a tape.
        self._tensor = tensor.alias()
        self._shared = True

    # ----- for compiled steps -----

    def lend(self, engine: Engine, written: bool) -> Any:
        """The array of the value, for a compiled step.

        Args:
            engine: where it is needed.
            written: whether the step may write into it. Then nobody else knows its memory.
        """
        value = self._tensor
        if value.engine is not engine:
            value = self._tensor = value.to_engine(engine)
            self._shared = True
        if written and self._shared:
            value = self._tensor = Tensor(engine.copy(value.array), engine)
            self._shared = False
        return value.array

    def take_back(self, engine: Engine, array: Any) -> None:
        """Keeps the array that a compiled step made of the one it was lent."""
        if array is not self._tensor.array:
            self._tensor = Tensor(array, engine)
            self._shared = True

    def assign_add(self, value: Any) -> Any:
        """Adds `value` to the value; returns the new one."""
        return self.assign(operators.add(self._current(), to_tensor(value, self._dtype)))

    def assign_sub(self, value: Any) -> Any:
        """Subtracts `value` from the value; returns the new one."""
        return self.assign(operators.subtract(self._current(), to_tensor(value, self._dtype)))

    # ----- as a number -----

    def __float__(self) -> float:
        return float(self._current())

    def __int__(self) -> int:
        return int(self._current())

    def __bool__(self) -> bool:
        return bool(self._current())

    def __index__(self) -> int:
        return int(self._current().__index__())

    def __len__(self) -> int:
        return len(self._tensor)

    def __format__(self, spec: str) -> str:
        return format(self._current(), spec) if spec else str(self)

    def tolist(self) -> Any:
        """The value as nested Python lists."""
        return self._current().tolist()

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        values = np.array2string(np.asarray(self), separator=", ", threshold=60)
        return (
            f"<Variable path={self.path}, shape={self.shape}, dtype={self._dtype}, value={values}>"
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> Variable:
        copied = object.__new__(type(self))
        memo[id(self)] = copied
        copied.__dict__.update(self.__dict__)
        copied._tensor = self.stored().alias()
        copied._shared = True
        return copied


def _on_value(fn: Callable[..., Any]) -> Callable[..., Any]:
    """An operator that reads the variable first."""

    def operate(self: Any, *args: Any) -> Any:
        return fn(self.read(), *args)

    return operate


operators.attach(
    Variable,
    {
        name: _on_value(fn)
        for name, fn in (
            operators.OPERATORS | operators.REFLECTED | operators.EQUALITY | INDEXING
        ).items()
    }
    | {"__array_ufunc__": operators.array_ufunc},
)
