"""`KerasTensor`: a tensor of a functional model before there is data; shape inference with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kbackend.base import shapes, tree
from kbackend.base.dtypes import standardize_dtype
from kbackend.base.naming import auto_name
from kbackend.core.aval import Aval
from kbackend.core.bind import Symbolic, abstract_values
from kbackend.core.primitive import Primitive
from kbackend.core.tensor import Tensor


class KerasTensor(Symbolic):
    """A symbolic tensor: a shape, in which dimensions may be `None`, and a dtype.

    Args:
        shape: tuple of ints and `None`.
        dtype: name of the dtype.
        sparse: accepted for compatibility; only dense tensors are supported.
        ragged: accepted for compatibility; only dense tensors are supported.
        record_history: whether the tensor may become part of a functional model.
        name: name, made up by default.

    Raises:
        ValueError: a sparse or ragged tensor is asked for, or the shape is malformed.

    Example:
        >>> KerasTensor((None, 3), "float32").shape
        (None, 3)
    """

    __slots__ = (
        "__dict__",
        "__weakref__",
        "_keras_history",
        "_keras_mask",
        "_name",
        "aval",
        "record_history",
    )

    # Set by the node that makes the tensor, and by the layer that attaches a mask.
    _keras_history: Any
    _keras_mask: Any

    def __init__(
        self,
        shape: Any,
        dtype: Any = "float32",
        sparse: bool = False,
        ragged: bool = False,
        record_history: bool = True,
        name: str | None = None,
    ) -> None:
        if sparse or ragged:
            raise ValueError(
                "[KerasTensor] only dense tensors are supported. Received: "
                f"sparse={sparse}, ragged={ragged}."
            )
        self.aval = Aval(shapes.standardize_shape(shape), standardize_dtype(dtype))
        self._name = name
        self.record_history = record_history

    @classmethod
    def of(cls, aval: Aval) -> KerasTensor:
        """A symbolic tensor without history."""
        made = cls.__new__(cls)
        made.aval = aval
        made._name = None
        made.record_history = True
        return made

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Dimensions, `None` where unknown."""
        return self.aval.shape

    @property
    def dtype(self) -> str:
        """Name of the dtype."""
        return self.aval.dtype

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.aval.shape)

    @property
    def size(self) -> int | None:
        """Number of elements, `None` if unknown."""
        return shapes.size_of(self.aval.shape)

    @property
    def sparse(self) -> bool:
        """Always false."""
        return False

    @property
    def ragged(self) -> bool:
        """Always false."""
        return False

    @property
    def name(self) -> str:
        """Name, unique unless it was given."""
        if self._name is None:
            self._name = auto_name("keras_tensor")
        return self._name

    @name.setter
    def name(self, value: str) -> None:
        self._name = value

    def process(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """The inferred result, a symbolic tensor without history."""
        out = primitive.infer([arg.aval for arg in args], params)
        if primitive.multiple_results:
            return tuple(KerasTensor.of(aval) for aval in out)
        return KerasTensor.of(out)

    def alias(self) -> KerasTensor:
        """Another symbolic tensor of the same shape and dtype."""
        return KerasTensor.of(self.aval)

    def __len__(self) -> int:
        if not self.shape or self.shape[0] is None:
            raise TypeError(f"The length of a symbolic tensor of shape {self.shape} is unknown.")
        return self.shape[0]

    def _no_value(self, what: str) -> TypeError:
        return TypeError(
            f"A KerasTensor has no values, so {what}. It stands for the data that a functional "
            "model will be called with; use ops and layers on it. Received: " + repr(self)
        )

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise self._no_value("it can't become a NumPy array")

    def __bool__(self) -> bool:
        raise self._no_value("it is neither true nor false")

    def __float__(self) -> float:
        raise self._no_value("it is not a number")

    def __int__(self) -> int:
        raise self._no_value("it is not a number")

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<KerasTensor shape={self.shape}, dtype={self.dtype}, name={self._name}>"


def is_keras_tensor(x: Any) -> bool:
    """Whether `x` is a symbolic tensor of a functional model."""
    return isinstance(x, KerasTensor)


def any_symbolic(structure: Any) -> bool:
    """Whether a nested structure holds a KerasTensor."""
    return any(isinstance(leaf, KerasTensor) for leaf in tree.iter_leaves(structure))


class SymbolicScope:
    """Within it, ops and layers called on KerasTensors infer shapes and build no model.

    Example:
        >>> import kbackend as keras
        >>> with SymbolicScope():
        ...     y = keras.ops.sum(keras.KerasTensor((None, 3)), axis=1)
        >>> y.shape
        (None,)
    """

    def __enter__(self) -> SymbolicScope:
        self._scope = abstract_values(KerasTensor.of)
        self._scope.__enter__()
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self._scope.__exit__(*exc_info)


# Two sizes that real code hardly meets, to tell known from unknown dimensions.
_PLACEHOLDERS = (83, 89)


def infer_spec(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What `fn` would return for symbolic arguments: a structure of KerasTensors.

    Unknown dimensions are carried through as `None`. Where `fn` computes with them in Python
    (`x.shape[0] * 2`), it is run on two sets of sizes instead, and what differs is unknown.
    """
    try:
        with abstract_values(KerasTensor.of):
            return _as_specs(fn(*args, **kwargs))
    except (TypeError, ValueError) as error:
        leaves = tree.flatten((args, kwargs))
        if not any(isinstance(x, KerasTensor) and None in x.shape for x in leaves):
            raise
        try:
            first, second = (_infer_sized(fn, args, kwargs, size) for size in _PLACEHOLDERS)
            return tree.map_structure(_merge, first, second)
        except (TypeError, ValueError):
            # With sizes it fails as well: the first error speaks of the user's own shapes.
            raise error from None


def _infer_sized(fn: Callable[..., Any], args: Any, kwargs: Any, size: int) -> Any:
    def fill(x: Any) -> Any:
        if not isinstance(x, KerasTensor) or None not in x.shape:
            return x
        filled = KerasTensor.of(Aval(tuple(size if d is None else d for d in x.shape), x.dtype))
        mask = getattr(x, "_keras_mask", None)
        if mask is not None:
            filled._keras_mask = fill(mask)
        return filled

    args, kwargs = tree.map_structure(fill, (args, kwargs))
    with abstract_values(KerasTensor.of):
        return _as_specs(fn(*args, **kwargs))


def _merge(a: Any, b: Any) -> Any:
    if not isinstance(a, KerasTensor):
        return a
    dims = tuple(m if m == n else None for m, n in zip(a.shape, b.shape, strict=True))
    return KerasTensor.of(Aval(dims, a.dtype))


def _as_specs(structure: Any) -> Any:
    """Concrete results of a symbolic call (constants) as symbolic tensors too."""
    return tree.map_structure(
        lambda x: KerasTensor.of(x.aval) if x.__class__ is Tensor else x, structure
    )
