"""Tracing loops and branches: each body is run once, in a trace of its own, and becomes a graph.

What a body takes from around becomes an operand. A variable that it reads is an operand, too; one
that it assigns to is carried from step to step, or is a further result of a branch, and the trace
around gets the update at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from kbackend.base import dtypes
from kbackend.base.errors import TraceError
from kbackend.core import lang
from kbackend.core.aval import Aval
from kbackend.core.bind import Recorder, abstract_maker, active_tapes, recording
from kbackend.core.convert import to_tensor
from kbackend.core.stateless import stateless_scope, trace_scope
from kbackend.core.tensor import Tensor
from kbackend.ir.control import SCAN, STOP_GRADIENT, SWITCH, WHILE
from kbackend.ir.graph import Atom, Graph, Var
from kbackend.ir.trace import Trace, Tracer, current_trace, tracing


def structured() -> bool:
    """Whether loops and branches become equations here: this is part of what is being traced."""
    return current_trace() is not None and trace_scope() is not None and abstract_maker() is None


# ----- the trace of a body -----


class Inner(Trace):
    """The trace of a body, within the one that is current.

    Args:
        loop: whether the body is run again and again.
    """

    def __init__(self, loop: bool) -> None:
        super().__init__(current_trace())
        self.loop = loop
        self._tapes = active_tapes()

    @contextmanager
    def open(self) -> Iterator[None]:
        """Traces what is applied inside."""
        with recording((_Around(self._tapes),) if self._tapes else ()), tracing(self):
            yield

    def atom(self, value: Any) -> Atom:
        """The variable or literal for an argument."""
        if value.__class__ is Tensor and any(tape.follows(value) for tape in self._tapes):
            taken: Tracer = self.take(value)
            return taken.var
        return super().atom(value)

    def take(self, value: Any) -> Any:
        """A value from around as one of this trace, as an object of its own."""
        if value.__class__ is Tracer:
            return (value if value.trace is self else self._capture(value)).alias()
        if not any(tape.follows(value) for tape in self._tapes):
            return value.alias()
        known = self.captured.get(id(value))
        if known is None:
            known = self.captured[id(value)] = (value, self.input(value.aval))
        return known[1].alias()

    def detached(self, tracer: Tracer) -> Tracer:
        """The same value, through which no gradient flows."""
        (found,) = self.emit(STOP_GRADIENT, (tracer,), (tracer.aval,), {})
        return found

    def var_of(self, variable: Any) -> Var:
        """The input that stands for a variable's value at the beginning."""
        known = self.variables.get(id(variable))
        return Var(variable.stored().aval) if known is None or known[1] is None else known[1].var

    def final(self, variable: Any, first: Var) -> Var:
        """What stands for a variable's value at the end."""
        known = self.variables.get(id(variable))
        return first if known is None else known[2].var


class _Around:
    """A recorder in place of the tapes around a body.

    They are told what is computed without the trace; the rest they see as one equation later.
    """

    def __init__(self, tapes: tuple[Recorder, ...]) -> None:
        self._tapes = tapes

    def accessed(self, variable: Any, value: Any) -> None:
        """The tapes around are told once, of the value around."""

    def follows(self, value: Any) -> bool:
        """Whether a tape around follows a value."""
        return any(tape.follows(value) for tape in self._tapes)

    def record(self, op: Any, args: Any, results: Any, params: Any) -> None:
        """Tells the tapes around of what is no equation.

        Raises:
            TraceError: for a gradient that the body's graph will not know of.
        """
        if all(arg.__class__ is Tensor for arg in args):
            for tape in self._tapes:
                tape.record(op, args, results, params)
        elif getattr(op, "overrides", False):
            raise TraceError(
                "[custom_gradient] can't be differentiated inside of a loop or a branch that is "
                "compiled. Use it outside of the loop, or run eagerly: "
                "compile(run_eagerly=True)."
            )


@contextmanager
def before_loop() -> Iterator[None]:
    """What is applied inside belongs before the innermost loop whose body is being traced."""
    trace = current_trace()
    while isinstance(trace, Inner) and not trace.loop:
        trace = trace.parent
    around = trace.parent if isinstance(trace, Inner) else None
    if around is None:
        yield
        return
    with around.open() if isinstance(around, Inner) else tracing(around):
        yield


def _constants(inner: Inner, carried: Sequence[Any] = ()) -> list[tuple[Any, Var]]:
    """Pairs of a value around and the input that stands for it, but for variables in `carried`."""
    apart = {id(variable) for variable in carried}
    captured = [(outer, taken.var) for outer, taken in inner.captured.values()]
    read = [
        (_value_of(variable), first.var)
        for variable, first, _ in inner.variables.values()
        if first is not None and id(variable) not in apart
    ]
    return captured + read


def _value_of(variable: Any) -> Any:
    """The variable's value around the body; the tapes there are told that it is read."""
    scope = stateless_scope()
    value = None if scope is None else scope.get_current_value(variable)
    if value is None:
        value = variable.kept()
    for tape in active_tapes():
        tape.accessed(variable, value)
    return value


def _assign(variables: Sequence[Any], values: Sequence[Any]) -> None:
    """Hands the new values of variables to the scope around the body."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


# ----- branches -----


def branch(fn: Callable[[], Any]) -> tuple[Inner, Any]:
    """The trace of a branch, and what it returns."""
    inner = Inner(loop=False)
    with inner.open():
        return inner, fn()


def switch(index: Any, inners: Sequence[Inner], results: Sequence[Sequence[Any]]) -> list[Any]:
    """The results of the branch number `index`.

    Args:
        index: int32 scalar.
        inners: traces of the branches.
        results: for each branch a list of tensors, alike in shapes and dtypes.
    """
    assigned = list({id(v): v for inner in inners for v in inner.assigned.values()}.values())
    outputs = [[inner.atom(x) for x in found] for inner, found in zip(inners, results, strict=True)]
    taken = [_constants(inner, assigned) for inner in inners]
    outer = {id(value): value for pairs in taken for value, _ in pairs}
    branches = []
    for inner, pairs, found in zip(inners, taken, outputs, strict=True):
        own = {id(value): var for value, var in pairs}
        inputs = [own.get(key) or Var(_plain(value.aval)) for key, value in outer.items()]
        firsts = [inner.var_of(v) for v in assigned]
        finals = [inner.final(v, first) for v, first in zip(assigned, firsts, strict=True)]
        branches.append(Graph((*inputs, *firsts), tuple(inner.eqns), (*found, *finals), "branch"))
    begin = [_value_of(v) for v in assigned]
    outs = SWITCH.emit([index, *outer.values(), *begin], {"branches": tuple(branches)})
    count = len(outs) - len(assigned)
    _assign(assigned, outs[count:])
    return list(outs[:count])


def _plain(aval: Aval) -> Aval:
    return Aval(aval.shape, aval.dtype)


# ----- loops -----


def _widened(name: str, before: Sequence[Any], after: Sequence[Any]) -> list[Any] | None:
    """The initial carries in the dtypes that a step makes of them; `None` if they have them.

    Raises:
        ValueError: a step changes a shape, or makes a dtype narrower.
    """
    changed = False
    found = []
    for position, (x, y) in enumerate(zip(before, after, strict=True)):
        if tuple(x.shape) != tuple(y.shape) or dtypes.result_type(x.dtype, y.dtype) != y.dtype:
            raise ValueError(
                f"[{name}] what is carried must keep its shape and dtype from one step to the next "
                f"when it is compiled. Received for leaf {position}: {x.dtype}{tuple(x.shape)} "
                f"before and {y.dtype}{tuple(y.shape)} after a step. Begin with a value of the "
                "shape and dtype that the step returns."
            )
        changed = changed or x.dtype != y.dtype
        found.append(lang.cast(x, y.dtype) if x.dtype != y.dtype else x)
    return found if changed else None


def scan(
    name: str,
    fn: Callable[[list[Any], list[Any]], tuple[list[Any], list[Any], list[Any]]],
    init: Sequence[Any],
    xs: Sequence[Any],
    length: int,
    reverse: bool = False,
) -> tuple[list[Any], list[Any], list[Any]]:
    """A function with carries, applied to one row of the xs after the other.

    Args:
        name: what it is called in messages.
        fn: `(carries, rows) -> (carries, last, ys)`, lists of tensors. `last` is what is wanted of
            the last step only.
        init: the first carries.
        xs: tensors whose first dimension is `length`.
        length: number of steps, at least one.
        reverse: whether the steps go from the last row to the first.

    Returns:
        The last carries, `last` of the last step, and the ys of all steps, stacked.

    Raises:
        ValueError: a step changes the shape of a carry, or makes its dtype narrower.
    """
    carries: list[Any] | None = list(init)
    while carries is not None:
        given = carries
        inner = Inner(loop=True)
        entering = [inner.input(_plain(x.aval)) for x in given]
        rows = [inner.input(Aval(tuple(x.shape[1:]), x.dtype)) for x in xs]
        with inner.open():
            leaving, last, ys = fn(list(entering), list(rows))
        carries = _widened(name, given, leaving)
    assigned = list(inner.assigned.values())
    firsts = [inner.var_of(v) for v in assigned]
    outputs = [
        *[inner.atom(x) for x in leaving],
        *[inner.final(v, first) for v, first in zip(assigned, firsts, strict=True)],
        *[inner.atom(x) for x in last],
        *[inner.atom(y) for y in ys],
    ]
    # Inputs that nothing reads, so that the results can be carried.
    unread = [Var(_plain(x.aval)) for x in last]
    constants = _constants(inner, assigned)
    body = Graph(
        (
            *[var for _, var in constants],
            *[x.var for x in entering],
            *firsts,
            *unread,
            *[x.var for x in rows],
        ),
        tuple(inner.eqns),
        tuple(outputs),
        f"{name}_body",
    )
    begin = [
        *given,
        *[_value_of(v) for v in assigned],
        *[lang.zeros(tuple(x.shape), x.dtype) for x in last],
    ]
    outs = SCAN.emit(
        [*[value for value, _ in constants], *begin, *xs],
        {
            "body": body,
            "constants": len(constants),
            "carries": len(begin),
            "length": length,
            "reverse": reverse,
        },
    )
    first, second = len(given), len(given) + len(assigned)
    _assign(assigned, outs[first:second])
    return list(outs[:first]), list(outs[second : len(begin)]), list(outs[len(begin) :])


def while_loop(
    name: str,
    condition: Callable[[list[Any]], Any],
    fn: Callable[[list[Any]], list[Any]],
    init: Sequence[Any],
    limit: int | None = None,
) -> list[Any]:
    """A function applied to carries again and again while a condition holds.

    Args:
        name: what it is called in messages.
        condition: takes the carries, returns a scalar.
        fn: takes the carries, returns the next ones.
        init: the first carries.
        limit: the greatest number of steps, or `None`.

    Returns:
        The last carries.

    Raises:
        ValueError: a step changes the shape of a carry, or makes its dtype narrower; or the
            condition is no scalar.
    """
    carries: list[Any] | None = list(init)
    while carries is not None:
        given = carries
        inner = Inner(loop=True)
        entering = [inner.input(_plain(x.aval)) for x in given]
        with inner.open():
            leaving = fn(list(entering))
        carries = _widened(name, given, leaving)
    test = Inner(loop=True)
    tested = [test.input(_plain(x.aval)) for x in given]
    with test.open():
        going = to_tensor(condition(list(tested)))
        if any(d != 1 for d in going.shape):
            raise ValueError(
                f"[{name}] the condition must be a scalar. Received a tensor of shape "
                f"{tuple(going.shape)}. Reduce it with ops.any or ops.all."
            )
        going = lang.reshape(lang.cast(going, "bool"), ())
    if test.assigned:
        names = ", ".join(v.name for v in test.assigned.values())
        raise TraceError(
            f"[{name}] the condition assigns to variables: {names}. Assign to them in the body, "
            "or run eagerly: compile(run_eagerly=True)."
        )
    finals = [test.atom(going)]
    outputs = [inner.atom(x) for x in leaving]
    assigned = list(inner.assigned.values())
    firsts = [inner.var_of(v) for v in assigned]
    outputs += [inner.final(v, first) for v, first in zip(assigned, firsts, strict=True)]
    of_test, of_body = _constants(test, assigned), _constants(inner, assigned)
    conditions = Graph(
        (*[v for _, v in of_test], *[x.var for x in tested], *[test.var_of(v) for v in assigned]),
        tuple(test.eqns),
        tuple(finals),
        f"{name}_condition",
    )
    body = Graph(
        (*[v for _, v in of_body], *[x.var for x in entering], *firsts),
        tuple(inner.eqns),
        tuple(outputs),
        f"{name}_body",
    )
    outs = WHILE.emit(
        [
            *[value for value, _ in of_test],
            *[value for value, _ in of_body],
            *given,
            *[_value_of(v) for v in assigned],
        ],
        {
            "condition": conditions,
            "body": body,
            "constants": (len(of_test), len(of_body)),
            "limit": limit,
        },
    )
    _assign(assigned, outs[len(given) :])
    return list(outs[: len(given)])
