"""Tracing: running a function on values without data, and writing down what it applies.

Variables need no arguments of their own: one that is read becomes an input of the graph, and what
is assigned to it an output. So a training step is traced as it is written.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, Token
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kbackend.base import tree
from kbackend.base.dtypes import COMPLEX_SET, FLOAT_SET, name_of
from kbackend.base.errors import TraceError
from kbackend.core import lang, operators
from kbackend.core.aval import Aval
from kbackend.core.bind import Symbolic, active_tapes, recording
from kbackend.core.composite import Composite
from kbackend.core.indexing import INDEXING
from kbackend.core.masks import get_keras_mask, has_mask, set_keras_mask
from kbackend.core.primitive import Primitive
from kbackend.core.stateless import tracing_through
from kbackend.core.tensor import Tensor
from kbackend.engine.loader import current_engine
from kbackend.ir.barrier import BARRIER
from kbackend.ir.graph import Atom, Eqn, Graph, Lit, Source, Var

_current: ContextVar[Trace | None] = ContextVar("kbackend_trace", default=None)
current_trace = _current.get

# Names of the layers that are being called, outermost first: what errors are told with.
_layers: ContextVar[tuple[str, ...]] = ContextVar("kbackend_layers", default=())

# Their lines say nothing to a user.
_PACKAGES = (str(Path(__file__).resolve().parents[1]), str(Path(np.__file__).parent))


def push_layer(name: str) -> Token[tuple[str, ...]]:
    """From here on equations are said to come from the layer `name`."""
    return _layers.set((*_layers.get(), name))


def pop_layer(token: Token[tuple[str, ...]]) -> None:
    """Undoes the `push_layer` that returned `token`."""
    _layers.reset(token)


@cache
def is_own_file(path: str) -> bool:
    """Whether a source file belongs to this package, or to NumPy."""
    return path.startswith(_PACKAGES)


def user_line() -> str:
    """`file:line` of the innermost caller outside of this package."""
    frame = sys._getframe(1)
    while frame is not None and is_own_file(frame.f_code.co_filename):
        frame = frame.f_back  # type: ignore[assignment]
    return "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def user_level() -> int:
    """The `stacklevel` with which a warning, given where this is called, points at the user."""
    level, frame = 1, sys._getframe(1)
    while frame is not None and is_own_file(frame.f_code.co_filename):
        level, frame = level + 1, frame.f_back  # type: ignore[assignment]
    return level


class Tracer(Symbolic):
    """A tensor while a function is traced: a shape and a dtype, and the variable it stands for."""

    __slots__ = ("__weakref__", "_keras_mask", "aval", "source", "trace", "var")

    # NumPy must hand `ndarray + Tracer` over to Tracer.__radd__.
    __array_priority__ = 1000

    def __init__(self, trace: Trace, var: Var, source: Source) -> None:
        self.trace = trace
        self.var = var
        self.aval = var.aval
        self.source = source

    @property
    def shape(self) -> tuple[int, ...]:
        """Dimensions."""
        return self.aval.shape  # type: ignore[return-value]

    @property
    def dtype(self) -> str:
        """Name of the dtype."""
        return self.aval.dtype

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.aval.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    # ----- what bind calls -----

    def process(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """The primitive as an equation of the innermost trace."""
        avals = primitive.infer([arg.aval for arg in args], params)
        several = primitive.multiple_results
        outs = live_trace().emit(primitive, args, avals if several else (avals,), params)
        return outs if several else outs[0]

    def process_composite(self, composite: Composite, args: Sequence[Any], params: Any) -> Any:
        """The composite as one equation, unless a tape needs to see what is inside."""
        tapes = active_tapes()
        if tapes and composite.vjp is None:
            return composite.body(*args, **params)
        if not all(arg.__class__ is Tracer or arg.__class__ is Tensor for arg in args):
            return composite.body(*args, **params)
        body = body_graph(composite, tuple([arg.aval for arg in args]), params)
        results = live_trace().emit(composite, args, body.out_avals, params)
        for tape in tapes:
            tape.record(composite, args, results, params)
        return results if body.several else results[0]

    def alias(self) -> Tracer:
        """The same variable as another object, which no tape knows."""
        return Tracer(self.trace, self.var, self.source)

    def detached(self) -> Tracer:
        """The same value, through which no gradient flows."""
        return live_trace().detached(self)

    def barrier(self) -> Tracer:
        """The same value behind an equation that no rewriting sees through."""
        return live_trace().emit(BARRIER, (self,), (self.aval,), {})[0]

    # ----- what would need a value -----

    def _no_value(self, what: str) -> TraceError:
        live_trace()
        return TraceError(
            f"{what} needs the value of a tensor, which is not known while a function is "
            f"compiled. Received: {self!r}. Use ops.where, ops.cond or ops.while_loop in place of "
            "Python's if and while, or run eagerly: compile(run_eagerly=True)."
        )

    def __bool__(self) -> bool:
        raise self._no_value("Python's if, while, and, or, not (or bool())")

    def __float__(self) -> float:
        raise self._no_value("float()")

    def __int__(self) -> int:
        raise self._no_value("int()")

    def __complex__(self) -> complex:
        raise self._no_value("complex()")

    def __index__(self) -> int:
        raise self._no_value("Indexing or range() with a tensor")

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise self._no_value("Conversion to a NumPy array")

    def __dlpack__(self, **kwargs: Any) -> Any:
        raise self._no_value("Conversion by DLPack")

    def numpy(self) -> Any:
        """There is no value yet."""
        raise self._no_value("numpy()")

    def item(self) -> Any:
        """There is no value yet."""
        raise self._no_value("item()")

    def tolist(self) -> Any:
        """There is no value yet."""
        raise self._no_value("tolist()")

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("A scalar tensor has no length.")
        return self.shape[0]

    def __format__(self, spec: str) -> str:
        if spec:
            raise self._no_value("A format")
        return repr(self)

    __hash__ = object.__hash__

    def __deepcopy__(self, memo: Any) -> Tracer:
        return self

    def __repr__(self) -> str:
        return f"<Tracer {self.aval}>"


operators.attach(
    Tracer,
    operators.OPERATORS
    | operators.REFLECTED
    | operators.EQUALITY
    | INDEXING
    | {"__array_ufunc__": operators.array_ufunc},
)


def live_trace() -> Trace:
    """The innermost trace.

    Raises:
        TraceError: nothing is being traced any more.
    """
    trace = current_trace()
    if trace is None:
        raise TraceError(
            "A tensor of a function that was compiled is used outside of it. Return it from the "
            "function, or assign it to a Variable, instead of keeping it in an attribute or a list."
        )
    return trace


class Trace:
    """What has been applied so far. It stands between variables and their values as a scope.

    Args:
        parent: the trace around, for the body of a loop or a branch.
    """

    collect_losses = False

    def __init__(self, parent: Trace | None = None) -> None:
        self.parent = parent
        self.inputs: list[Var] = []
        self.eqns: list[Eqn] = []
        # id -> (tensor, its literal or variable); the tensor is kept so that its id stays its own
        self._constants: dict[int, tuple[Tensor, Atom]] = {}
        self._fills: dict[tuple[Any, ...], Var] = {}
        # id of a tracer of a trace around -> (that tracer, the input that stands for it here)
        self.captured: dict[int, tuple[Tracer, Tracer]] = {}
        # id of a variable -> (variable, tracer it was first read as or None, tracer it is now)
        self.variables: dict[int, tuple[Any, Tracer | None, Tracer]] = {}
        self.assigned: dict[int, Any] = {}

    # ----- building -----

    def input(self, aval: Aval) -> Tracer:
        """A new input."""
        var = Var(aval)
        self.inputs.append(var)
        return Tracer(self, var, Source())

    def atom(self, value: Any) -> Atom:
        """The variable or literal for an argument."""
        if value.__class__ is Tracer:
            if value.trace is self:
                return value.var
            return self._capture(value).var
        known = self._constants.get(id(value))
        if known is None:
            known = self._constants[id(value)] = (value, self._constant(value))
        return known[1]

    def _capture(self, tracer: Tracer) -> Tracer:
        """The input of this trace that stands for a tracer of one around."""
        known = self.captured.get(id(tracer))
        if known is not None:
            return known[1]
        around = self.parent
        while around is not None and around is not tracer.trace:
            around = around.parent
        if around is None:
            raise TraceError(
                "A tensor of one compiled function, or one made inside of a loop or a branch, is "
                "used outside of it. Pass it as an argument, or return it from the loop's or "
                "branch's function."
            )
        inner = self.input(tracer.aval)
        self.captured[id(tracer)] = (tracer, inner)
        return inner

    def _constant(self, tensor: Tensor) -> Atom:
        """A literal; an equation for a tensor of equal elements, which needs no memory then."""
        if tensor.size > 1:
            host = np.asarray(tensor)
            first = host.reshape(-1)[0]
            if tensor.dtype not in COMPLEX_SET and _all_equal(host, first):
                key = (tensor.shape, tensor.dtype, repr(first))
                if key not in self._fills:
                    params = {"shape": tensor.shape, "value": first.item(), "dtype": tensor.dtype}
                    out = Var(tensor.aval)
                    self.eqns.append(Eqn(lang.full_p, (), (out,), params))
                    self._fills[key] = out
                return self._fills[key]
        return Lit(tensor)

    def emit(
        self, op: Any, args: Sequence[Any], avals: Sequence[Aval], params: dict[str, Any]
    ) -> tuple[Tracer, ...]:
        """Appends an equation; returns its results."""
        inputs = tuple([self.atom(arg) for arg in args])
        outs = tuple([Var(aval) for aval in avals])
        source = self._source(args)
        self.eqns.append(Eqn(op, inputs, outs, params, source))
        return tuple([Tracer(self, out, source) for out in outs])

    def _source(self, args: Sequence[Any]) -> Source:
        layers = _layers.get()
        if layers:
            return Source("/".join(layers), user_line())
        # The gradient of a layer's computation comes from that layer, too.
        for arg in args:
            if arg.__class__ is Tracer and arg.source.layer:
                return arg.source
        return Source("", user_line())

    # ----- as the scope between variables and their values -----

    def get_current_value(self, variable: Any) -> Tracer:
        """What the variable holds at this point of the trace."""
        known = self.variables.get(id(variable))
        if known is None:
            first = self.input(variable.stored().aval)
            known = self.variables[id(variable)] = (variable, first, first)
        return known[2]

    def add_update(self, update: tuple[Any, Any]) -> None:
        """What is assigned to the variable from here on."""
        variable, value = update
        value = variable.conform(value)
        if value.__class__ is not Tracer or value.trace is not self:
            value = Tracer(self, self._as_var(value), Source())
        known = self.variables.get(id(variable))
        first = None if known is None else known[1]
        # Another object, so that tapes can tell the variable from what it was assigned.
        self.variables[id(variable)] = (variable, first, self.detached(value))
        self.assigned[id(variable)] = variable

    def _as_var(self, value: Any) -> Var:
        """A constant, or an outer value, as a variable of this trace."""
        atom = self.atom(value)
        if isinstance(atom, Var):
            return atom
        (copied,) = self.emit(lang.reshape_p, (value,), (value.aval,), {"shape": value.shape})
        return copied.var

    def detached(self, tracer: Tracer) -> Tracer:
        """The same value, through which no gradient flows."""
        return tracer.alias()

    def add_loss(self, loss: Any) -> None:
        """Losses are kept by the layers."""


def _all_equal(host: Any, first: Any) -> bool:
    """Whether all elements have the bits of `first` (so that -0.0 and NaN are told apart)."""
    if 0 in host.strides and all(s == 0 or d == 1 for s, d in zip(host.strides, host.shape)):  # noqa: B905
        return True
    flat = host.reshape(-1)
    if flat[-1] != first or flat[flat.size // 2] != first:
        return False
    return bool((flat == first).all()) and not (
        name_of(host.dtype) in FLOAT_SET and first == 0 and bool(np.signbit(flat).any())
    )


@contextmanager
def tracing(trace: Trace) -> Iterator[None]:
    """Makes `trace` the innermost one, and the scope that variables are read through."""
    token = _current.set(trace)
    try:
        with tracing_through(trace):
            yield
    finally:
        _current.reset(token)


class Traced(NamedTuple):
    """A traced function.

    Attributes:
        graph: inputs: the arguments, then the variables read; outputs: the tensors returned, then
            the values assigned.
        structure: what the function returned, each tensor in it replaced by its `Output`.
        read: variables that are inputs.
        assigned: variables that are outputs.
    """

    graph: Graph
    structure: Any
    read: tuple[Any, ...]
    assigned: tuple[Any, ...]


class Output(int):
    """Position of a tensor among a graph's outputs.

    Attributes:
        mask: that of the mask which is attached to the tensor, or `None`.
    """

    mask: Output | None = None


def trace(fn: Callable[..., Any], args: Sequence[Any], name: str = "") -> Traced:
    """Runs `fn` on values without data.

    Args:
        fn: function of structures of tensors.
        args: its arguments; tensors in them become inputs, everything else stays as it is.
        name: what is computed.

    Returns:
        The graph and what is around it.

    Raises:
        TraceError: the function needs the value of a tensor, or keeps one of another function.
    """
    if current_trace() is not None:
        raise TraceError("A compiled function is traced inside of another one.")
    made = Trace()

    def enter(leaf: Any) -> Any:
        if leaf.__class__ is not Tensor:
            return leaf
        entered = made.input(leaf.aval)
        if has_mask(leaf):
            set_keras_mask(entered, enter(get_keras_mask(leaf)))
        return entered

    with tracing(made):
        entered = tree.map_structure(enter, tuple(args))
        count = len(made.inputs)
        result = fn(*entered)
        structure, outputs = close(made, result)
    variables = list(made.variables.values())
    read = [(v, first.var) for v, first, _ in variables if first is not None]
    finals = {id(v): now.var for v, _, now in variables}
    assigned = tuple(made.assigned.values())
    graph = Graph(
        (*made.inputs[:count], *[var for _, var in read]),
        tuple(made.eqns),
        (*outputs, *[finals[id(v)] for v in assigned]),
        name or getattr(fn, "__name__", "function"),
    )
    return Traced(graph, structure, tuple(v for v, _ in read), assigned)


def close(made: Trace, result: Any) -> tuple[Any, list[Atom]]:
    """A result's structure with `Output`s for its tensors, and the atoms that they are."""
    outputs: list[Atom] = []

    def leave(leaf: Any) -> Any:
        if leaf.__class__ is Tensor or leaf.__class__ is Tracer:
            outputs.append(made.atom(leaf))
            output = Output(len(outputs) - 1)
            if has_mask(leaf):
                output.mask = leave(get_keras_mask(leaf))
            return output
        read = getattr(leaf, "read", None)
        if read is not None and hasattr(leaf, "assign"):
            return leave(read())
        return leaf

    return tree.map_structure(leave, result), outputs


# ----- the bodies of composites -----


class Body(NamedTuple):
    """A composite's body as a graph, and whether it returns a tuple."""

    graph: Graph
    several: bool

    @property
    def out_avals(self) -> tuple[Aval, ...]:
        """Avals of the results."""
        return self.graph.out_avals


_bodies: dict[tuple[Any, ...], Body] = {}
_BODIES_LIMIT = 4096


def body_graph(composite: Composite, avals: tuple[Aval, ...], params: dict[str, Any]) -> Body:
    """The graph of a composite's body for arguments of the given avals; kept for the next time."""
    # Literals in it are arrays of the engine that it was traced on.
    key = (current_engine(), composite.name, avals, tuple(sorted(params.items())))
    found = _bodies.get(key)
    if found is None:
        made = Trace()
        with recording(()), tracing(made):
            result = composite.body(*[made.input(aval) for aval in avals], **params)
            several = isinstance(result, tuple)
            outputs = tuple([made.atom(x) for x in (result if several else (result,))])
        found = Body(Graph(tuple(made.inputs), tuple(made.eqns), outputs, composite.name), several)
        if len(_bodies) >= _BODIES_LIMIT:
            _bodies.clear()
        _bodies[key] = found
    return found
