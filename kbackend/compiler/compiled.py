"""`jit`: functions that are traced once for each kind of arguments and replayed from then on."""

from __future__ import annotations

import functools
import threading
import traceback
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kbackend.base import config, tree
from kbackend.base.garbage import uncollected
from kbackend.base.threads import num_threads
from kbackend.compiler.executable import Executable
from kbackend.core.bind import Symbolic, abstract_maker, active_tapes
from kbackend.core.convert import to_tensor
from kbackend.core.stateless import stateless_scope
from kbackend.core.surroundings import surroundings
from kbackend.core.tensor import Tensor
from kbackend.engine.loader import current_engine
from kbackend.ir.trace import is_own_file, trace, user_level

# Signatures that are kept for one function; the one that was made longest ago goes first.
_SIGNATURES = 64

# Python's numbers are arguments like tensors, so that counting up compiles nothing anew.
_NUMBERS = frozenset((int, float, complex))

_tracing = threading.RLock()


class Compiled:
    """A function together with its compiled forms.

    Args:
        fn: a function of structures of tensors; whatever else is in them is static.
        name: what it is called in messages.
        batched: whether the tensors among the arguments are data, a row for each sample.
    """

    def __init__(self, fn: Callable[..., Any], name: str, batched: bool = False) -> None:
        self.fn = fn
        self.name = name
        self._batched = batched
        # signature -> executables, which differ in what was trainable; `None` where it runs eagerly
        self._known: OrderedDict[Any, list[Executable] | None] = OrderedDict()
        self._warned = False

    def __call__(self, *args: Any) -> Any:
        """Runs the function: compiled if that can be, eagerly if not."""
        if active_tapes() or stateless_scope() is not None or abstract_maker() is not None:
            # A tape around must see what is applied; within a trace, all belongs to that one.
            return self.fn(*args)
        engine = current_engine()
        arrays: list[Any] = []
        settings = (config.floatx(), num_threads(), *surroundings())
        key = (describe(args, arrays, engine), engine, settings)
        try:
            known = self._known.get(key, ())
        except TypeError as error:
            return self._eagerly(args, error)
        if known is None:
            return self.fn(*args)
        for executable in known:
            if executable.fits():
                return executable(arrays)
        if any(isinstance(leaf, Symbolic) for leaf in tree.iter_leaves(args)):
            # A model is being put together.
            return self.fn(*args)
        try:
            executable = self._compile(key, args, arrays, engine)
        except Exception as error:
            # If it fails eagerly, too, that error is the one to show.
            result = self._eagerly(args, error)
            self._known[key] = None
            return result
        return executable(arrays)

    def _compile(
        self, key: Any, args: Sequence[Any], arrays: Sequence[Any], engine: Any
    ) -> Executable:
        with _tracing:
            for made in self._known.get(key) or ():
                # Another thread has compiled it while this one waited.
                if made.fits():
                    return made
            with uncollected():
                traced = trace(self.fn, args, self.name)
                executable = Executable(traced, engine, len(arrays) if self._batched else 0)
            known = self._known.setdefault(key, [])
            if known is not None:
                known.append(executable)
            if len(self._known) > _SIGNATURES:
                self._known.popitem(last=False)
            return executable

    def _eagerly(self, args: Sequence[Any], error: Exception) -> Any:
        """Runs the function as it is, and warns once that it can't be compiled."""
        result = self.fn(*args)
        if not self._warned:
            self._warned = True
            where = _line_of(error)
            warnings.warn(
                f"[jit] '{self.name}' can't be compiled and runs eagerly"
                f"{f', because of {where}' if where else ''}: {error}",
                stacklevel=user_level(),
            )
        return result

    def executables(self) -> list[Executable]:
        """What has been compiled so far."""
        return [one for known in self._known.values() for one in known or ()]


def _line_of(error: Exception) -> str:
    """`file:line` of the user's code that an error came from."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not is_own_file(frame.filename)]
    return f"{own[-1].filename}:{own[-1].lineno}" if own else ""


def describe(value: Any, arrays: list[Any], engine: Any) -> Any:
    """What a program depends on besides values: structure, shapes, dtypes, and all that is static.

    Args:
        value: arguments.
        arrays: where the arrays of the tensors among them are collected.
        engine: where they are needed.
    """
    cls = value.__class__
    if cls is Tensor:
        arrays.append((value if value.engine is engine else value.to_engine(engine)).array)
        mask = getattr(value, "_keras_mask", None)
        if mask is not None:
            return value.shape, value.dtype, describe(mask, arrays, engine)
        return value.shape, value.dtype
    if cls is tuple or cls is list:
        return cls, *[describe(item, arrays, engine) for item in value]
    if isinstance(value, Mapping):
        # The order of the keys is something that a function can see.
        order = tuple(value)
        return cls, order, *[describe(value[k], arrays, engine) for k in tree.keys_of(value)]
    if tree.is_nested(value):
        return cls, *[describe(item, arrays, engine) for item in value]
    return cls, value


class _Static:
    """An argument that is part of the signature; a structure in it counts as one value."""

    __slots__ = ("_key", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self._key = _told_apart(value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Static) and self._key == other._key

    def __hash__(self) -> int:
        return hash((_Static, self._key))


def _told_apart(value: Any) -> Any:
    """A key that tells values apart which are equal, but not the same: 1, 1.0, True; 0.0, -0.0."""
    cls = value.__class__
    if cls in (float, complex):
        return cls, repr(value)
    return (cls, *map(_told_apart, value)) if isinstance(value, tuple) else (cls, value)


def _argument(leaf: Any) -> Any:
    """Arrays and numbers as tensors; everything else as it is."""
    cls = leaf.__class__
    if cls is Tensor:
        return leaf
    if cls in _NUMBERS or (hasattr(leaf, "__array__") and not hasattr(leaf, "assign")):
        return to_tensor(leaf)
    return leaf


def jit(
    fn: Callable[..., Any] | None = None,
    *,
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Sequence[str] = (),
) -> Any:
    """`fn`, compiled: traced once for each kind of arguments, then replayed as a planned program.

    Tensors, arrays and numbers among the arguments are inputs of the program; shapes, dtypes and
    everything else (bools, strings, `None`, objects) are part of the signature: new ones compile
    anew. Variables that are read or assigned inside are inputs and outputs by themselves. What
    Python does besides computing tensors (printing, appending to lists) happens when the function
    is traced, and only then. A function that needs the value of a tensor in Python can't be traced;
    it runs eagerly, with one warning that names the line. Under a GradientTape, and within another
    compiled function, the function itself is run.

    Args:
        fn: a function of structures of tensors.
        static_argnums: position(s) of arguments that are part of the signature, although they are
            numbers or structures; hashable.
        static_argnames: the same for arguments given by keyword.

    Returns:
        The compiled function; a decorator if `fn` is not given.

    Raises:
        TypeError: `fn` is no function.

    Example:
        >>> import kbackend as keras
        >>> @keras.jit
        ... def step(x, w):
        ...     return keras.ops.tanh(x @ w)
        >>> step(keras.ops.ones((2, 3)), keras.ops.zeros((3, 4))).shape
        (2, 4)
    """
    if fn is None:
        return functools.partial(
            jit, static_argnums=static_argnums, static_argnames=static_argnames
        )
    if not callable(fn):
        raise TypeError(f"[jit] 'fn' must be a function. Received: fn={fn!r}.")
    numbers = {static_argnums} if isinstance(static_argnums, int) else set(static_argnums)
    names = {static_argnames} if isinstance(static_argnames, str) else set(static_argnames)
    function = fn

    def call(args: Any, kwargs: Any) -> Any:
        args = [a.value if a.__class__ is _Static else a for a in args]
        kwargs = {k: a.value if a.__class__ is _Static else a for k, a in kwargs.items()}
        return function(*args, **kwargs)

    compiled = Compiled(call, getattr(fn, "__name__", type(fn).__name__))

    @functools.wraps(fn)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        given = [
            _Static(arg) if i in numbers else tree.map_structure(_argument, arg)
            for i, arg in enumerate(args)
        ]
        named = {
            name: _Static(arg) if name in names else tree.map_structure(_argument, arg)
            for name, arg in kwargs.items()
        }
        return compiled(given, named)

    wrapped.compiled = compiled  # type: ignore[attr-defined]
    return wrapped
