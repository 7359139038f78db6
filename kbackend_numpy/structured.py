"""Choices and loops in compiled programs: the programs inside write into planned memory.

Rows of a scan's xs are views, its ys are written straight into the rows of their stack, and carries
go to and fro between two places, of which the last step's is the result. What lies apart in memory
is copied to where it lies together first: programs take contiguous arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kbackend.engine.interface import Engine
from kbackend.engine.program import Prepared, Program, Spec

Run = Callable[..., None]


@dataclass(frozen=True)
class PreparedControl(Prepared):
    """A step with programs inside.

    Attributes:
        bind: makes `run` for one replay: the programs inside have memory of their own.
    """

    bind: Callable[[Engine], Run] = lambda engine: unbound


def unbound(*arrays: Any) -> None:
    """What stands for `run` before `bind` has made it."""
    raise RuntimeError("A step with programs inside must be bound before it is run.")


def prepare(
    name: str, inputs: tuple[Spec, ...], outputs: tuple[Spec, ...], params: Mapping[str, Any]
) -> PreparedControl:
    """The step `name`, which is "switch", "while" or "scan", for given shapes."""
    return _STEPS[name](inputs, outputs, params)


NAMES = frozenset(("switch", "while", "scan"))


def plain(spec: Spec) -> Spec:
    """The spec of a contiguous array like it."""
    return Spec(spec.shape, spec.dtype)


def _work(program: Program) -> float:
    """Nanoseconds that a program's large kernels take on one thread."""
    return sum(step.prepared.work for step in program.steps if step.prepared)


class _Gathered:
    """Which of several arrays lie apart, and the scratch that they are copied to."""

    def __init__(self, specs: Sequence[Spec]) -> None:
        self.apart = [i for i, spec in enumerate(specs) if not spec.contiguous]
        self.scratch = tuple([plain(specs[i]) for i in self.apart])

    def __call__(self, arrays: Sequence[Any], scratch: Sequence[Any]) -> list[Any]:
        """The arrays, each contiguous."""
        found = list(arrays)
        for i, array in zip(self.apart, scratch, strict=True):
            np.copyto(array, found[i])
            found[i] = array
        return found


# ----- switch -----


def _switch(
    inputs: tuple[Spec, ...], outputs: tuple[Spec, ...], params: Mapping[str, Any]
) -> PreparedControl:
    branches, count = params["branches"], len(outputs)
    gathered = _Gathered(inputs[1:])
    end = count + len(inputs)

    def bind(engine: Engine) -> Run:
        programs: list[Any] = [engine.compile(branch) for branch in branches]

        def run(*arrays: Any) -> None:
            chosen = min(max(int(arrays[count]), 0), len(programs) - 1)
            operands = gathered(arrays[count + 1 : end], arrays[end:])
            programs[chosen].fill(operands, arrays[:count])

        return run

    work = max(map(_work, branches))
    return PreparedControl(unbound, gathered.scratch, work=work, bind=bind)


# ----- while -----


def _while(
    inputs: tuple[Spec, ...], outputs: tuple[Spec, ...], params: Mapping[str, Any]
) -> PreparedControl:
    first, second = params["constants"]
    limit, count = params["limit"], len(outputs)
    constants = first + second
    gathered = _Gathered(inputs)
    end = count + len(inputs)
    # The answer of the condition, the other place of each carry, and what is gathered.
    scratch = (Spec((), "bool"), *map(plain, outputs), *gathered.scratch)

    def bind(engine: Engine) -> Run:
        condition: Any = engine.compile(params["condition"])
        body: Any = engine.compile(params["body"])

        def run(*arrays: Any) -> None:
            final = arrays[:count]
            going, other = arrays[end], arrays[end + 1 : end + 1 + count]
            given = gathered(arrays[count:end], arrays[end + 1 + count :])
            tested, fixed = given[:first], given[first:constants]
            now: Sequence[Any] = given[constants:]
            target, following, steps = final, other, 0
            while limit is None or steps < limit:
                condition.fill([*tested, *now], (going,))
                if not going:
                    break
                body.fill([*fixed, *now], target)
                now, target, following = target, following, target
                steps += 1
            for array, found in zip(final, now, strict=True):
                if array is not found:
                    np.copyto(array, found)

        return run

    # How many steps there will be isn't known.
    work = _work(params["condition"]) + _work(params["body"])
    return PreparedControl(unbound, scratch, work=work, bind=bind)


# ----- scan -----


def _rows_apart(spec: Spec) -> bool:
    """Whether the elements of one row do not lie side by side."""
    if spec.strides is None:
        return False
    step = 1
    for dim, stride in zip(reversed(spec.shape[1:]), reversed(spec.strides[1:]), strict=True):
        if dim != 1 and stride != step:
            return True
        step *= dim
    return False


def _scan(
    inputs: tuple[Spec, ...], outputs: tuple[Spec, ...], params: Mapping[str, Any]
) -> PreparedControl:
    constants, carries = params["constants"], params["carries"]
    length, count, rows = params["length"], len(outputs), constants + carries
    gathered = _Gathered(inputs[:rows])
    apart = [_rows_apart(spec) for spec in inputs[rows:]]
    buffers = [
        Spec(spec.shape[1:], spec.dtype)
        for spec, far in zip(inputs[rows:], apart, strict=True)
        if far
    ]
    # The other place of each carry, rows that lie apart, and what is gathered.
    scratch = (*map(plain, outputs[:carries]), *buffers, *gathered.scratch)
    end = count + len(inputs)
    order = range(length - 1, -1, -1) if params["reverse"] else range(length)

    def bind(engine: Engine) -> Run:
        body: Any = engine.compile(params["body"])

        def run(*arrays: Any) -> None:
            places = arrays[:carries], arrays[end : end + carries]
            stacks, xs = arrays[carries:count], arrays[count + rows : end]
            first = end + carries
            copies = arrays[first : first + len(buffers)]
            given = gathered(arrays[count : count + rows], arrays[first + len(buffers) :])
            fixed = given[:constants]
            now: Sequence[Any] = given[constants:]
            # So that the last step writes into the results themselves.
            side = (length - 1) % 2
            for t in order:
                taken = iter(copies)
                row = [*fixed, *now]
                for x, far in zip(xs, apart, strict=True):
                    part = x[t, ...]
                    if far:
                        copy = next(taken)
                        np.copyto(copy, part)
                        part = copy
                    row.append(part)
                now, side = places[side], 1 - side
                body.fill(row, (*now, *[stack[t, ...] for stack in stacks]))

        return run

    work = length * _work(params["body"])
    return PreparedControl(unbound, scratch, work=work, bind=bind)


_STEPS = {"switch": _switch, "while": _while, "scan": _scan}
