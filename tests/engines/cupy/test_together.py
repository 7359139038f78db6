"""Several loops as one launch, and which steps of a program share one."""

import numpy as np
import pytest

from kbackend.engine.program import ARENA, Node, Place, Program, Region, Spec, Step
from kbackend_cupy.codegen import indexing, movement
from kbackend_cupy.codegen.region import plan
from kbackend_cupy.codegen.together import ROOM, room, together
from kbackend_cupy.grouping import groups
from kbackend_cupy.launches import PreparedCalls
from tests.engines.cupy.kernels import compiled, garbage, needs_text, spec
from tests.engines.cupy.regions import product
from tests.gpu_simulator import cuda_on_cpu, nvrtc

FLOAT = "float32"


def cases(rng):
    """(launch, outputs, inputs) of loops of several kinds, small ones and large ones."""
    found = []
    for size in (3, 700, 1, 5000):
        x, y = (rng.standard_normal(size).astype(FLOAT) for _ in range(2))
        region = product(x, y, (size,))
        (launch,) = plan(region, region.inputs).launches
        out = Spec((size,), FLOAT)
        found.append((launch, [out, out], [x, y]))
    x, index = rng.standard_normal((6, 4)).astype(FLOAT), rng.integers(0, 6, 9)
    out = Spec((9, 4), FLOAT)
    (launch,) = indexing.gather((spec(x), spec(index)), (out,), axes=(0,)).launches
    found.insert(1, (launch, [out], [x, index]))
    out = Spec((12, 4), FLOAT)
    (launch,) = movement.concatenate((spec(x), spec(x)), (out,), axis=0).launches
    found.insert(3, (launch, [out], [x, x]))
    return found


def run(launch, arrays):
    library = cuda_on_cpu.build(launch.text)
    given = [*[arrays[i] for i in launch.arrays], *launch.scalars]
    cuda_on_cpu.launch(library, launch.name, launch.grid, launch.block, given)


@needs_text
@pytest.mark.parametrize("order", cuda_on_cpu.ORDERS)
def test_as_one_by_one(rng, order):
    found = cases(rng)
    alone, whole = [], []
    for launch, outputs, inputs in found:
        arrays = [*map(garbage, outputs), *inputs]
        run(launch, arrays)
        alone += arrays[: len(outputs)]
        whole.append([*map(garbage, outputs), *inputs])
    with cuda_on_cpu.order(order):
        one = together([launch for launch, _, _ in found])
        run(one, [own[i] for own, (launch, _, _) in zip(whole, found, strict=True)
                  for i in launch.arrays])  # fmt: skip
    outputs = [own[i] for own, (_, out, _) in zip(whole, found, strict=True)
               for i in range(len(out))]  # fmt: skip
    for value, expected in zip(outputs, alone, strict=True):
        np.testing.assert_array_equal(value, expected)


@needs_text
@pytest.mark.parametrize("architecture", nvrtc.ARCHITECTURES)
def test_budgets(rng, architecture):
    one = together([launch for launch, _, _ in cases(rng)])
    used = compiled(one.text, architecture)[one.name]
    # As for the loops alone.
    assert used.spilled == 0 and used.registers <= 64 and used.shared == 0


# ----- which steps -----


def program(*steps):
    """A program of elementwise steps ((inputs), output) on values that lie at 64 bytes each."""
    out = Spec((4,), FLOAT)
    made = []
    count = 1 + max(value for inputs, output in steps for value in (*inputs, output))
    for inputs, output in steps:
        given = tuple([out] * len(inputs))
        name = "neg" if len(inputs) == 1 else "add"
        node = Node(name, tuple(range(len(inputs))), {}, out)
        region = Region(given, (node,), (len(inputs),), (4,))
        launches = plan(region, given).launches
        prepared = PreparedCalls(print, calls=((print, (), (), ()),), launches=launches)
        made.append(Step(name, inputs, (output,), prepared=prepared))
    places = tuple([Place(ARENA, 64 * i) for i in range(count)])
    return Program((out,) * count, places, {}, (), (), (), tuple(made), 64 * count)


def grouped(*steps):
    return [[step.outputs[0] for step in group] for group in groups(program(*steps))]


def test_steps_apart_are_done_at_once():
    assert grouped(((0,), 1), ((2,), 3), ((0, 2), 4)) == [[1, 3, 4]]


def test_steps_that_need_each_other_are_not():
    assert grouped(((0,), 1), ((1,), 2)) == [[1], [2]]
    # Nor where memory is written again that has just been read, or written.
    assert grouped(((0,), 1), ((2,), 0)) == [[1], [0]]
    assert grouped(((0,), 1), ((2,), 1)) == [[1], [1]]


def test_a_step_moves_past_others():
    assert grouped(((0,), 1), ((1,), 2), ((3,), 4)) == [[1], [2, 4]]
    assert grouped(((0,), 1), ((1,), 2), ((2,), 5), ((1,), 4)) == [[1], [2], [5, 4]]


def test_arguments_are_not_more_than_a_launch_takes():
    steps = [((0,), i) for i in range(1, 400)]
    found = groups(program(*steps))
    assert sum(map(len, found)) == 399 and len(found) > 1
    for group in found:
        assert sum(room(step.prepared.launches[0]) for step in group) <= ROOM
