"""Compiled programs on NumPy: a flat list of calls, bound beforehand to views of one arena.

What is in the arena never moves, so calls on it are bound once. Inputs, outputs and what general
kernels return do: a slot knows the calls that take it, or a view of it, and binds them anew when
its array is another one than before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kbackend.base.dtypes import numpy_dtype
from kbackend.engine.interface import Engine
from kbackend.engine.interpreter import STRUCTURED, located, region_function
from kbackend.engine.program import ARENA, Place, Program, Spec, Step
from kbackend_numpy import threads
from kbackend_numpy.kernels.elementwise import Slot
from kbackend_numpy.region import PreparedCalls
from kbackend_numpy.structured import PreparedControl

Array = np.ndarray[Any, Any]
_ALIGNMENT = 64


class Replay:
    """A program that is ready to run.

    Args:
        engine: whose kernels compute what is not prepared.
        program: the planned program.

    Attributes:
        calls: functions with their arguments, which are changed in place when a slot is bound.
        step_of: number of the step that each of them is of.
    """

    def __init__(self, engine: Engine, program: Program) -> None:
        self.program = program
        self._engine = engine
        self._arena = _aligned(program.arena)
        self.calls: list[tuple[Callable[..., Any], list[Any]]] = []
        self.step_of: list[int] = []
        self._bound: dict[int, Any] = {}
        # Moving value -> what to do with its new array: (arguments, position, how to view it)
        self._users: dict[int, list[tuple[list[Any], int, _View | None]]] = {}
        self._inputs = program.inputs
        elsewhere = {*program.inputs, *program.constants, *_returned(program)}
        # Outputs are handed out, so that each run writes them into memory of their own.
        self._made = [i for i in dict.fromkeys(program.outputs) if i not in elsewhere]
        self._fixed: dict[int, Any] = dict(program.constants)
        for number, step in enumerate(program.steps):
            self._add(number, step)
        self._outputs = program.outputs
        self._updates = [(program.inputs.index(i), i) for i, _ in program.updates]
        self._fresh = [
            (i, program.specs[i].shape, numpy_dtype(program.specs[i].dtype)) for i in self._made
        ]
        # Outputs that can be made where they are wanted, and those that are copied there.
        made = {self._outputs.index(value): value for value in self._made}
        self._direct = list(made.items())
        self._copied = [(i, value) for i, value in enumerate(self._outputs) if i not in made]
        self.owns_cores = (
            sum(step.prepared.work for step in program.steps if step.prepared) > _WORTH_OWNING
            and threads.count() > 1
        )

    # ----- binding -----

    def _add(self, number: int, step: Step) -> None:
        """Appends the calls of a step."""
        prepared = step.prepared
        if prepared is None:
            function = _general(self._engine, step)
            args: list[Any] = [None] * len(step.inputs)
            self._attach(args, list(step.inputs), 0)
            self._append(number, _keeping(self, function, step.outputs), args)
            return
        values: list[int | Array] = [*step.outputs, *step.inputs]
        for spec, offset in zip(prepared.scratch, step.scratch, strict=True):
            values.append(self._view(Place(ARENA, offset), spec))
        if isinstance(prepared, PreparedCalls):
            for fn, given in prepared.calls:
                args = list(given)
                slots = [(i, a) for i, a in enumerate(given) if a.__class__ is Slot]
                for position, slot in slots:
                    self._attach(args, [values[slot]], position)
                self._append(number, fn, args)
            return
        args = [None] * len(values)
        self._attach(args, values, 0)
        run = prepared.run
        if isinstance(prepared, PreparedControl):
            run = prepared.bind(self._engine)
        self._append(number, run, args)

    def _append(self, number: int, fn: Callable[..., Any], args: list[Any]) -> None:
        self.calls.append((fn, args))
        self.step_of.append(number)

    def _attach(self, args: list[Any], values: Sequence[int | Array], first: int) -> None:
        """Puts the arrays of values among a call's arguments, from position `first`."""
        for position, value in enumerate(values, first):
            if not isinstance(value, int):
                args[position] = value
                continue
            place, spec = self.program.places[value], self.program.specs[value]
            if place.base == ARENA or place.base in self._fixed:
                args[position] = self._view(place, spec)
            else:
                view = None
                if place.base != value and not self._same(value, place):
                    view = _View(spec.shape, numpy_dtype(spec.dtype), place.offset, place.strides)
                self._users.setdefault(place.base, []).append((args, position, view))

    def _same(self, value: int, place: Place) -> bool:
        """Whether a value is its base as it stands."""
        base, spec = self.program.specs[place.base], self.program.specs[value]
        return place.offset == 0 and place.strides is None and base[:2] == spec[:2]

    def _view(self, place: Place, spec: Spec) -> Array:
        """The array of a value that never moves."""
        dtype = numpy_dtype(spec.dtype)
        if place.base == ARENA:
            if not spec.size:
                return np.empty(spec.shape, dtype)
            return np.ndarray(spec.shape, dtype, self._arena.data, place.offset, place.strides)
        constant = self._fixed[place.base]
        view = _View(spec.shape, dtype, place.offset, place.strides)
        return constant if constant.shape == spec.shape and not place.offset else view(constant)

    def bind(self, value: int, array: Any) -> None:
        """Gives a value that moves another array."""
        self._bound[value] = array
        for args, position, view in self._users.get(value, ()):
            args[position] = array if view is None else view(array)

    # ----- running -----

    def __call__(self, arrays: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """Runs the program.

        Args:
            arrays: of the inputs.
        """
        bound = self._bound
        for value, array in zip(self._inputs, arrays, strict=True):
            if bound.get(value) is not array:
                self.bind(value, array if array.flags.c_contiguous else np.ascontiguousarray(array))
        for value, shape, dtype in self._fresh:
            self.bind(value, np.empty(shape, dtype))
        with np.errstate(all="ignore"):
            if self.owns_cores:
                threads.enter()
                try:
                    self._run()
                finally:
                    threads.leave()
            else:
                self._run()
        outputs = [self._array(value) for value in self._outputs]
        for value, _, _ in self._fresh:
            del bound[value]
        return outputs, [arrays[position] for position, _ in self._updates]

    def fill(self, arrays: Sequence[Any], outputs: Sequence[Any]) -> None:
        """Runs the program as a part of another one that is being run.

        Args:
            arrays: of the inputs, contiguous.
            outputs: memory for the outputs.
        """
        bound = self._bound
        for value, array in zip(self._inputs, arrays, strict=True):
            if bound.get(value) is not array:
                self.bind(value, array)
        for position, value in self._direct:
            if bound.get(value) is not outputs[position]:
                self.bind(value, outputs[position])
        self._run()
        for position, value in self._copied:
            np.copyto(outputs[position], self._array(value))

    def _run(self) -> None:
        number = -1
        try:
            for number, (fn, args) in enumerate(self.calls):  # noqa: B007
                fn(*args)
        except Exception as error:
            step = self.program.steps[self.step_of[number]]
            raise located(error, step) from error.__cause__

    def _array(self, value: int) -> Any:
        found = self._bound.get(value)
        return self._fixed[value] if found is None else found


# Work on large kernels, in nanoseconds, from which on a program takes the cores for itself.
_WORTH_OWNING = 2_000_000


class _View:
    """How a value is read from the memory of another one."""

    __slots__ = ("dtype", "offset", "shape", "strides")

    def __init__(
        self, shape: tuple[int, ...], dtype: Any, offset: int, strides: tuple[int, ...] | None
    ) -> None:
        self.shape, self.dtype, self.offset, self.strides = shape, dtype, offset, strides

    def __call__(self, array: Array) -> Array:
        if 0 in self.shape:
            return np.empty(self.shape, self.dtype)
        # As bytes, because not every dtype can export its buffer.
        buffer = array if self.dtype.char in "fdil?" else array.reshape(-1).view(np.uint8)
        return np.ndarray(self.shape, self.dtype, buffer, self.offset, self.strides)


def _aligned(size: int) -> Array:
    """Bytes that begin at a multiple of the alignment."""
    raw = np.empty(size + _ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + size]


def _returned(program: Program) -> set[int]:
    """Values that general kernels make in memory of their own."""
    return {o for step in program.steps if step.prepared is None for o in step.outputs}


def _general(engine: Engine, step: Step) -> Callable[..., Any]:
    """A kernel that returns its results."""
    if step.name in STRUCTURED:
        return STRUCTURED[step.name](engine, step)
    if step.name == "region":
        return region_function(engine, step.params["region"])
    params = dict(step.params)
    kernel = engine.kernels.get(step.name) or engine.composites[step.name].fn
    return lambda *arrays: kernel(*arrays, **params)


def _keeping(
    replay: Replay, fn: Callable[..., Any], outputs: tuple[int, ...]
) -> Callable[..., Any]:
    """Calls `fn` and binds what it returns, copied where it is a view of what it was given."""

    def call(*arrays: Any) -> None:
        out = fn(*arrays)
        for value, array in zip(outputs, out if out.__class__ is tuple else (out,), strict=True):
            flags = array.flags
            own = flags.owndata and flags.c_contiguous and not any(array is x for x in arrays)
            replay.bind(value, array if own else np.array(array, order="C"))

    return call
