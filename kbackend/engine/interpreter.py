"""The default way to run a program: step by step, with the kernels of the engine's table.

It needs no planned memory, so an engine that is a table alone runs compiled programs, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from kbackend.engine.program import Program, Region, Runner, Step

if TYPE_CHECKING:
    from kbackend.engine.interface import Engine

Fn = Callable[..., Any]


class Interpreter:
    """Runs the steps of a program one after the other.

    Args:
        engine: whose kernels compute.
        program: what to run.
    """

    def __init__(self, engine: Engine, program: Program) -> None:
        self.engine = engine
        self.program = program
        self._fns = [_function(engine, step) for step in program.steps]
        # What may be forgotten after each step: values that no later one needs.
        kept = {*program.outputs, *(value for _, value in program.updates)}
        last: dict[int, int] = {}
        for number, step in enumerate(program.steps):
            for value in (*step.inputs, *step.outputs):
                last[value] = number
        self._dead: list[list[int]] = [[] for _ in program.steps]
        for value, number in last.items():
            if value not in kept and value not in program.constants:
                self._dead[number].append(value)

    def __call__(self, arrays: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """Arrays of the outputs, and the new ones of the inputs that are updated."""
        program = self.program
        values: dict[int, Any] = dict(program.constants)
        values.update(zip(program.inputs, arrays, strict=True))
        for step, fn, dead in zip(program.steps, self._fns, self._dead, strict=True):
            try:
                out = fn(*[values[i] for i in step.inputs])
            except Exception as error:
                raise located(error, step) from error.__cause__
            values.update(zip(step.outputs, out if out.__class__ is tuple else (out,), strict=True))
            for value in dead:
                del values[value]
        return [values[i] for i in program.outputs], [values[i] for _, i in program.updates]


def located(error: Exception, step: Step) -> Exception:
    """The error, told with the layer and the op that it came from; of the same kind."""
    where = f"[{step.source}] " if step.source else ""
    if len(error.args) == 1 and isinstance(error.args[0], str):
        error.args = (f"{where}{step.name}: {error.args[0]}",)
    else:
        error.add_note(f"{where}{step.name}")
    return error


def _function(engine: Engine, step: Step) -> Fn:
    """The step as a function of arrays."""
    if step.name == "copy":
        return lambda x: x
    if step.name == "region":
        return region_function(engine, step.params["region"])
    if step.name in STRUCTURED:
        return STRUCTURED[step.name](engine, step)
    params = dict(step.params)
    kernel = engine.kernels.get(step.name) or engine.composites[step.name].fn
    return lambda *arrays: kernel(*arrays, **params) if params else kernel(*arrays)


def region_function(engine: Engine, region: Region) -> Fn:
    """A region as a function of arrays, which calls one kernel after the other.

    Reductions need nothing more: where others take their results, they keep the dimensions.
    """
    kernels = [
        (engine.kernels.get(n.name) or engine.composites[n.name].fn, n.inputs, dict(n.params))
        for n in region.nodes
    ]

    def run(*arrays: Any) -> tuple[Any, ...]:
        values = list(arrays)
        for kernel, inputs, params in kernels:
            values.append(kernel(*[values[i] for i in inputs], **params))
        return tuple([values[i] for i in region.outputs])

    return run


# ----- steps with programs inside -----


def _switch(engine: Engine, step: Step) -> Fn:
    runners: list[Runner] = [engine.compile(program) for program in step.params["branches"]]

    def run(index: Any, *operands: Any) -> tuple[Any, ...]:
        chosen = min(max(int(engine.to_numpy(index)), 0), len(runners) - 1)
        return tuple(runners[chosen](list(operands))[0])

    return run


def _while(engine: Engine, step: Step) -> Fn:
    condition = engine.compile(step.params["condition"])
    body = engine.compile(step.params["body"])
    # Operands: what only the condition reads, what only the body reads, what is carried.
    first, second = step.params["constants"]
    limit = step.params["limit"]

    def run(*operands: Any) -> tuple[Any, ...]:
        of_condition, of_body = list(operands[:first]), list(operands[first : first + second])
        carry = list(operands[first + second :])
        count = 0
        while limit is None or count < limit:
            ((going,), _) = condition([*of_condition, *carry])
            if not bool(engine.to_numpy(going)):
                break
            carry = body([*of_body, *carry])[0]
            count += 1
        return tuple(carry)

    return run


def _scan(engine: Engine, step: Step) -> Fn:
    body = engine.compile(step.params["body"])
    constants, carries = step.params["constants"], step.params["carries"]
    length, reverse = step.params["length"], step.params["reverse"]
    reshape, slice_ = engine.kernels["reshape"], engine.kernels["slice"]
    concatenate = engine.kernels["concatenate"]

    def row(x: Any, t: int) -> Any:
        rest = x.shape[1:]
        part = slice_(
            x, starts=(t, *(0 for _ in rest)), stops=(t + 1, *rest), steps=(1,) * len(x.shape)
        )
        return reshape(part, shape=rest)

    def run(*operands: Any) -> tuple[Any, ...]:
        fixed = list(operands[:constants])
        carry = list(operands[constants : constants + carries])
        xs = operands[constants + carries :]
        stacked: list[list[Any]] = []
        for t in reversed(range(length)) if reverse else range(length):
            outs = body([*fixed, *carry, *[row(x, t) for x in xs]])[0]
            carry = outs[:carries]
            stacked.append([reshape(y, shape=(1, *y.shape)) for y in outs[carries:]])
        if reverse:
            stacked.reverse()
        return (*carry, *[concatenate(*ys, axis=0) for ys in zip(*stacked, strict=True)])

    return run


def _parts(engine: Engine, step: Step) -> Fn:
    body = engine.compile(step.params["body"])
    count, cuts, joins = (step.params[key] for key in ("count", "cuts", "joins"))
    slice_, concatenate = engine.kernels["slice"], engine.kernels["concatenate"]
    add = engine.kernels["add"]

    def piece(x: Any, axis: int, part: int) -> Any:
        if axis < 0:
            return x
        size = x.shape[axis] // count
        starts, stops = [0] * len(x.shape), list(x.shape)
        starts[axis], stops[axis] = part * size, (part + 1) * size
        return slice_(x, starts=tuple(starts), stops=tuple(stops), steps=(1,) * len(x.shape))

    def run(*operands: Any) -> tuple[Any, ...]:
        rows = [
            body([piece(x, axis, part) for x, axis in zip(operands, cuts, strict=True)])[0]
            for part in range(count)
        ]
        results = []
        for axis, outs in zip(joins, zip(*rows, strict=True), strict=True):
            joined = outs[0]
            if axis >= 0:
                joined = concatenate(*outs, axis=axis)
            else:
                for out in outs[1:]:
                    joined = add(joined, out)
            results.append(joined)
        return tuple(results)

    return run


# Steps with programs inside, as functions of arrays.
STRUCTURED: dict[str, Callable[[Engine, Step], Fn]] = {
    "switch": _switch,
    "while": _while,
    "scan": _scan,
    "parts": _parts,
}
