"""Compiled programs on a device: calls bound beforehand to views of one arena.

What is in the arena never moves, so calls on it are bound once. Inputs, outputs and what general
kernels return do: whoever takes them is bound anew when their array is another one than before.
From the second run on, all calls are one graph, if a stream can record them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kbackend.base.dtypes import numpy_dtype
from kbackend.engine.interface import Engine
from kbackend.engine.interpreter import STRUCTURED, located, region_function
from kbackend.engine.program import ARENA, Place, Program, Spec, Step
from kbackend_cupy.capture import Recorder
from kbackend_cupy.grouping import Group, groups
from kbackend_cupy.launches import PreparedCalls, caller
from kbackend_cupy.local import Local
from kbackend_cupy.memory import arena
from kbackend_cupy.modules import Modules
from kbackend_cupy.scan import PreparedScan

# (function, arguments); arguments are changed in place when an array is bound.
Call = tuple[Callable[..., Any], list[Any]]


class Replay:
    """A program that is ready to run.

    Args:
        cp: the module `cupy`.
        engine: whose kernels compute what is not prepared.
        modules: where kernels come from.
        program: the planned program.
    """

    def __init__(self, cp: Any, engine: Engine, modules: Modules, program: Program) -> None:
        self._cp, self._engine, self._modules = cp, engine, modules
        self.program = program
        found = groups(program)
        self._local = Local(found, program.arena)
        self._arena = arena(cp, program, self._local.end)
        self._fixed: dict[int, Any] = dict(program.constants)
        self._bound: dict[int, Any] = {}
        # Value that moves -> who takes its array: (arguments, position, how it is viewed)
        self._users: dict[int, list[tuple[list[Any], int, Callable[[Any], Any] | None]]] = {}
        self._calls: list[Call] = []
        self._step_of: list[Step] = []
        for group in found:
            self._add_group(group)
        if self._local.tickets:
            # Once for all runs: whoever draws the last one puts them back.
            begin = Place(ARENA, self._local.begin)
            self._view(begin, Spec((self._local.tickets,), "uint32")).fill(0)
            cp.cuda.get_current_stream().synchronize()
        returned = {o for step in program.steps if step.prepared is None for o in step.outputs}
        elsewhere = {*program.inputs, *program.constants, *returned}
        # Outputs are handed out, so that each run writes them into memory of their own.
        self._made = [i for i in dict.fromkeys(program.outputs) if i not in elsewhere]
        self._updates = [program.inputs.index(i) for i, _ in program.updates]
        general = [step for step in program.steps if step.prepared is None]
        self._recorder = Recorder(cp, program, general[0] if general else None)

    # ----- binding -----

    def _add_group(self, group: Group) -> None:
        """Appends the calls of steps that are done at once."""
        values: list[list[Any]] = []
        for step, local in zip(group.all, self._local.arrays(group), strict=True):
            arrays: list[Any] = [*step.outputs, *step.inputs]
            if step.prepared is not None:
                pairs = zip(step.prepared.scratch, step.scratch, strict=True)
                arrays += [self._view(Place(ARENA, offset), spec) for spec, offset in pairs]
            values.append(arrays + [self._view(*one) for one in local])
        launch = group.launch
        if launch is None:
            self._add(group.steps[0], values[0])
            return
        own = zip(group.launches, values, strict=True)
        given = [arrays[i] for one, arrays in own for i in one.arrays]
        given += [self._view(*self._local.ticket())] if group.tail else []
        args: list[Any] = [None] * len(given)
        self._attach(args, given)
        self._append(group.steps[0], caller(launch, self._modules), args)

    def _add(self, step: Step, values: list[Any]) -> None:
        """Appends the calls of a step.

        Args:
            step: the step.
            values: the arrays that its calls take.
        """
        prepared = step.prepared
        if prepared is None:
            args: list[Any] = [None] * len(step.inputs)
            self._attach(args, step.inputs)
            self._append(step, self._keeping(_general(self._engine, step), step.outputs), args)
            return
        if not isinstance(prepared, PreparedCalls):
            count = len(step.outputs) + len(step.inputs) + len(prepared.scratch)
            args = [None] * count
            self._attach(args, values[:count])
            run = (
                prepared.bind(self._inside) if isinstance(prepared, PreparedScan) else prepared.run
            )
            self._append(step, run, args)
            return
        for call, before, places, behind in prepared.calls:
            args = [*before, *[None] * len(places), *behind]
            self._attach(args, [values[i] for i in places], len(before))
            self._append(step, call, args)

    def _inside(self, program: Program) -> Replay:
        return Replay(self._cp, self._engine, self._modules, program)

    def _append(self, step: Step, function: Callable[..., Any], args: list[Any]) -> None:
        self._calls.append((function, args))
        self._step_of.append(step)

    def _attach(self, args: list[Any], values: Sequence[Any], first: int = 0) -> None:
        """Puts the arrays of values among a call's arguments."""
        for position, value in enumerate(values, first):
            if not isinstance(value, int):
                args[position] = value
                continue
            place, spec = self.program.places[value], self.program.specs[value]
            if place.base == ARENA or place.base in self._fixed:
                args[position] = self._view(place, spec)
            else:
                view = None if place == Place(value) else self._viewer(place, spec)
                self._users.setdefault(place.base, []).append((args, position, view))

    def _view(self, place: Place, spec: Spec) -> Any:
        """The array of a value that never moves."""
        if place.base == ARENA:
            if not spec.size:
                return self._cp.empty(spec.shape, numpy_dtype(spec.dtype))
            return self._shown(self._arena, place, spec)
        constant = self._fixed[place.base]
        return (
            constant
            if place.offset == 0 and constant.shape == spec.shape
            else (self._viewer(place, spec)(constant))
        )

    def _viewer(self, place: Place, spec: Spec) -> Callable[[Any], Any]:
        return lambda array: self._shown(array.data, place, spec)

    def _shown(self, memory: Any, place: Place, spec: Spec) -> Any:
        """Memory as an array."""
        return self._cp.ndarray(
            spec.shape, numpy_dtype(spec.dtype), memptr=memory + place.offset, strides=place.strides
        )

    def _keeping(self, function: Callable[..., Any], outputs: Sequence[int]) -> Callable[..., Any]:
        """Calls a function and binds what it returns, copied if it isn't contiguous or new."""

        def call(*arrays: Any) -> None:
            out = function(*arrays)
            for value, array in zip(
                outputs, out if out.__class__ is tuple else (out,), strict=True
            ):
                shared = any(_overlap(array, given) for given in arrays)
                own = array.flags.c_contiguous and not shared
                self.bind(value, array if own else array.copy(order="C"))

        return call

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
        given = [a if a.flags.c_contiguous else self._cp.ascontiguousarray(a) for a in arrays]
        outputs = self._recorder.replay(self, given) if self._recorder.ready(given) else None
        if outputs is None:
            self.bind_inputs(given)
            self.bind_outputs()
            self.run()
            outputs = [self.array(value) for value in self.program.outputs]
            for value in self._made:
                del self._bound[value]
        return outputs, [arrays[position] for position in self._updates]

    def fill(self, arrays: Sequence[Any], outputs: Sequence[Any]) -> None:
        """Runs the program as a part of another one.

        Args:
            arrays: of the inputs, contiguous.
            outputs: memory for the outputs.
        """
        self.bind_inputs(arrays)
        made = {self.program.outputs.index(value): value for value in self._made}
        for position, value in made.items():
            self.bind(value, outputs[position])
        self.run()
        for position, value in enumerate(self.program.outputs):
            array = self.array(value)
            if outputs[position] is not array:
                self._cp.copyto(outputs[position], array)

    def bind_inputs(self, arrays: Sequence[Any]) -> None:
        """Binds the arrays of the inputs."""
        for value, array in zip(self.program.inputs, arrays, strict=True):
            if self._bound.get(value) is not array:
                self.bind(value, array)

    def bind_outputs(self) -> None:
        """Binds new memory to the outputs."""
        for value in self._made:
            spec = self.program.specs[value]
            self.bind(value, self._cp.empty(spec.shape, numpy_dtype(spec.dtype)))

    def run(self) -> None:
        """Makes all calls."""
        number = 0
        try:
            for number, (function, args) in enumerate(self._calls):  # noqa: B007
                function(*args)
        except Exception as error:
            raise located(error, self._step_of[number]) from error.__cause__

    def array(self, value: int) -> Any:
        """The array of a value that moves or is constant."""
        found = self._bound.get(value)
        return self._fixed[value] if found is None else found

    @property
    def made(self) -> list[int]:
        """Outputs that the program's calls write."""
        return self._made


def _overlap(array: Any, other: Any) -> bool:
    """Whether two arrays lie in one allocation."""
    return array is other or array.data.mem is other.data.mem


def _general(engine: Engine, step: Step) -> Callable[..., Any]:
    """A kernel that returns its results."""
    if step.name in STRUCTURED:
        return STRUCTURED[step.name](engine, step)
    if step.name == "region":
        return region_function(engine, step.params["region"])
    if step.name == "copy":
        return lambda x: x
    params = dict(step.params)
    kernel = engine.kernels.get(step.name) or engine.composites[step.name].fn
    return lambda *arrays: kernel(*arrays, **params)
