"""Training steps of the benchmark models as the CuPy engine plans them. Nothing is run."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np

import kbackend as keras
import kbackend_cupy.prepare
from benchmarks.models import all_models
from kbackend.engine.program import Program
from kbackend_cupy.codegen.launch import Launch
from kbackend_cupy.codegen.region import Plan
from kbackend_cupy.engine import CupyEngine
from kbackend_cupy.grouping import groups
from kbackend_cupy.launches import PreparedCalls, prepared
from kbackend_cupy.modules import Modules
from kbackend_cupy.scan import PreparedScan
from tests.gpu_simulator.activate import activate


class Planned(NamedTuple):
    """A model's training step.

    Attributes:
        program: as the engine gets it.
        texts: name -> text of the kernels that are launched.
    """

    program: Program
    texts: dict[str, str]


@dataclass(frozen=True)
class PlannedCalls(PreparedCalls):
    """Launches that can't be made, with the plan that they came from."""

    plan: Plan = Plan(())


class _Found(BaseException):
    """Carries a program out of the step that would have run it."""


@functools.cache
def planned(name: str) -> Planned:
    """The training step of a benchmark model, with dropout and Adam, on a batch of its size."""
    activate()
    import cupy

    compile_, qr = CupyEngine.compile, cupy.linalg.qr

    def compiling(self: Any, program: Program) -> Any:
        if "train_step" in program.name:
            raise _Found(program)
        return compile_(self, program)

    def with_plan(plan: Plan, modules: Modules) -> PlannedCalls:
        made = prepared(plan, modules)
        return PlannedCalls(**{f.name: getattr(made, f.name) for f in fields(made)}, plan=plan)

    def on_host(x: Any, mode: str = "reduced") -> Any:
        # The simulator has no cuSOLVER; initial weights need it.
        return tuple(map(cupy.asarray, np.linalg.qr(cupy.asnumpy(x), mode=mode)))

    keras.set_backend("cupy")
    CupyEngine.compile, cupy.linalg.qr = compiling, on_host
    kbackend_cupy.prepare.prepared = with_plan
    try:
        model = all_models()[name]
        x, y = model.data(1, 0)
        net = model.build(keras, True)
        net.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        net.fit(x, y, batch_size=len(x), epochs=1, verbose=0)
    except _Found as found:
        program = found.args[0]
        return Planned(program, {launch.name: launch.text for launch in _launched(program)})
    finally:
        CupyEngine.compile, cupy.linalg.qr = compile_, qr
        kbackend_cupy.prepare.prepared = prepared
    raise AssertionError("There was no training step.")


def launches(program: Program) -> int:
    """How many calls a program makes on the device; of a loop, in all of its steps."""
    found = 0
    for group in groups(program):
        step, made = group.steps[0], group.steps[0].prepared
        if isinstance(made, PreparedScan):
            found += step.params["length"] * launches(step.params["body"])
        elif isinstance(made, PreparedCalls):
            found += len(made.calls) if group.launch is None else 1
    return found


def _launched(program: Program) -> Iterator[Launch]:
    """The launches of a program, those in loops included."""
    for group in groups(program):
        made = group.steps[0].prepared
        if group.launch is not None:
            yield group.launch
        elif isinstance(made, PreparedScan):
            yield from _launched(group.steps[0].params["body"])
        elif isinstance(made, PreparedCalls):
            yield from made.launches
