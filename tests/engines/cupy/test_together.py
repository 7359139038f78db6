"""Several kernels as one launch, and which steps of a program share one."""

import dataclasses
from typing import NamedTuple

import numpy as np
import pytest

from kbackend.engine.program import ARENA, Node, Place, Program, Region, Spec, Step
from kbackend_cupy.codegen import contract, indexing, movement
from kbackend_cupy.codegen.region import Plan, plan
from kbackend_cupy.codegen.together import ROOM, room, together
from kbackend_cupy.grouping import groups
from kbackend_cupy.launches import PreparedCalls
from tests.engines.cupy.kernels import compiled, garbage, needs_text, spec
from tests.engines.cupy.regions import over, product, softmax, specs_of, sums
from tests.gpu_simulator import cuda_on_cpu, nvrtc

FLOAT = "float32"


class Case(NamedTuple):
    """A launch with what it needs: its plan, specs of the outputs, the inputs."""

    plan: Plan
    outputs: list
    inputs: list

    @property
    def launch(self):
        (found,) = self.plan.launches
        return found

    def arrays(self):
        """Memory for a run."""
        scratch = [garbage(one) for one in self.plan.scratch]
        tickets = np.zeros(self.plan.tickets, np.uint32)
        return [*map(garbage, self.outputs), *self.inputs, *scratch, tickets]


def loops(rng):
    """Loops of several kinds, small ones and large ones."""
    found = []
    for size in (3, 700, 1, 5000):
        x, y = (rng.standard_normal(size).astype(FLOAT) for _ in range(2))
        region = product(x, y, (size,))
        out = Spec((size,), FLOAT)
        found.append(Case(plan(region, region.inputs), [out, out], [x, y]))
    x, index = rng.standard_normal((6, 4)).astype(FLOAT), rng.integers(0, 6, 9)
    out = Spec((9, 4), FLOAT)
    gather = indexing.gather((spec(x), spec(index)), (out,), axes=(0,))
    found.insert(1, Case(gather, [out], [x, index]))
    out = Spec((12, 4), FLOAT)
    concatenate = movement.concatenate((spec(x), spec(x)), (out,), axis=0)
    found.insert(3, Case(concatenate, [out], [x, x]))
    return found


def reductions(rng):
    """Rows, and sums of columns in shares and in one."""
    found = []
    for region in (softmax(70, 10), sums((5000, 40), (0,)), sums((20, 7), (0,))):
        x = rng.standard_normal(region.shape).astype(FLOAT)
        found.append(Case(plan(region, region.inputs), specs_of(region), [x]))
    return found


def products(rng):
    """Products of several tiles, one of them with a long sum."""
    found = []
    for rows, inner, columns in ((70, 130, 33), (20, 3000, 12), (3000, 7, 200)):
        x, y = (rng.standard_normal(s).astype(FLOAT) for s in ((rows, inner), (inner, columns)))
        out = Spec((rows, columns), FLOAT)
        made = contract.dot((spec(x), spec(y)), (out,), contract=((1,), (0,)), batch=((), ()))
        found.append(Case(made, [out], [x, y]))
    assert len({case.launch.block for case in found}) > 1 and found[1].plan.tickets
    return found


KINDS = {"loops": loops, "reductions": reductions, "products": products,
         "both": lambda rng: loops(rng) + reductions(rng)}  # fmt: skip


def run(launch, arrays):
    library = cuda_on_cpu.build(launch.text)
    given = [*[arrays[i] for i in launch.arrays], *launch.scalars]
    cuda_on_cpu.launch(library, launch.name, launch.grid, launch.block, given)


@needs_text
@pytest.mark.parametrize("order", cuda_on_cpu.ORDERS)
@pytest.mark.parametrize("kind", KINDS)
def test_as_one_by_one(rng, kind, order):
    found = KINDS[kind](rng)
    alone, whole = [], []
    for case in found:
        arrays = case.arrays()
        run(case.launch, arrays)
        alone += arrays[: len(case.outputs)]
        whole.append(case.arrays())
    with cuda_on_cpu.order(order):
        one = together([case.launch for case in found])
        pairs = list(zip(whole, found, strict=True))
        run(one, [own[i] for own, case in pairs for i in case.launch.arrays])
    outputs = [own[i] for own, case in pairs for i in range(len(case.outputs))]
    for value, expected in zip(outputs, alone, strict=True):
        np.testing.assert_array_equal(value, expected)


def chain(rng):
    """A softmax of columns' sums and what follows, each of what was made before.

    Returns:
        (launches side by side, launches behind them, arrays for each, the ticket); and what each
        should make.
    """
    x = rng.standard_normal((3000, 48)).astype(FLOAT)
    columns, rows = Spec((48,), FLOAT), Spec((6, 8), FLOAT)
    add = Region((spec(x),), (Node("reduce_sum", (0,), over((0,), False), columns),), (1,),
                 x.shape, axes=(0,))  # fmt: skip
    first = Case(plan(add, (spec(x),)), [columns], [x])
    summed = first.arrays()
    made = [garbage(rows), garbage(Spec((6, 1), FLOAT)), summed[0].reshape(6, 8)]
    soft = softmax(6, 8)
    second = plan(soft, soft.inputs)
    doubled = Region((rows, rows), (Node("add", (0, 1), {}, rows),), (2,), (6, 8))
    third, last = plan(doubled, (rows, rows)), garbage(rows)
    other = rng.standard_normal(3).astype(FLOAT)
    beside = Case(plan(product(other, other, (3,)), (spec(other),) * 2),
                  [spec(other)] * 2, [other, other])  # fmt: skip
    head, tail = [first.launch, beside.launch], [second.launches[0], third.launches[0]]
    own = [summed, beside.arrays(), made, [last, made[0], made[0]]]
    ticket = np.zeros(1, np.uint32)
    arrays = [a[i] for a, launch in zip(own, head + tail, strict=True) for i in launch.arrays]
    total = x.astype("float64").sum(0)
    grown = np.exp((total - total.reshape(6, 8).max(1).repeat(8)).reshape(6, 8))
    share = grown / grown.sum(1, keepdims=True)
    return head, tail, [*arrays, ticket], [(summed[0], total), (made[0], share), (last, 2 * share)]


@needs_text
@pytest.mark.parametrize("order", cuda_on_cpu.ORDERS)
def test_one_behind_the_other(rng, order):
    head, tail, arrays, results = chain(rng)
    one = together(head, tail)
    assert one.grid[0] > 2
    with cuda_on_cpu.order(order):
        run(one, arrays)
    for found, expected in results:
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-4)
    # As before: the next run draws them again.
    assert not arrays[-1].any()


@needs_text
def test_what_is_done_too_early_is_seen(rng):
    head, tail, arrays, results = chain(rng)
    one = together(head, tail)
    text = one.text.replace("is_last(ticket, gridDim.x)", "is_last(ticket, gridDim.x - 1)")
    assert text != one.text
    with cuda_on_cpu.order("reverse"):
        run(dataclasses.replace(one, text=text), arrays)
    share, expected = results[1]
    assert not np.allclose(share, expected, rtol=1e-3)


@needs_text
@pytest.mark.parametrize("architecture", nvrtc.ARCHITECTURES)
@pytest.mark.parametrize("kind", KINDS)
def test_budgets(rng, kind, architecture):
    one = together([case.launch for case in KINDS[kind](rng)])
    used = compiled(one.text, architecture)[one.name]
    # As for the kernels alone.
    assert used.spilled == 0
    assert used.registers <= (168 if kind == "products" else 64)
    assert used.shared <= (20480 if kind == "products" else 8192)


# ----- which steps -----


def program(*steps, size=20_000):
    """A program of steps ((inputs), output) on values that lie side by side.

    They are elementwise, or products: ((inputs), output, "dot").
    """
    out = Spec((size,), FLOAT)
    made = []
    count = 1 + max(value for inputs, output, *_ in steps for value in (*inputs, output))
    # Too large to be done element by element.
    square = Spec((128, 128), FLOAT)
    dot = contract.dot((square,) * 2, (square,), contract=((1,), (0,)), batch=((), ()))
    for inputs, output, *kind in steps:
        given = tuple([out] * len(inputs))
        name = "neg" if len(inputs) == 1 else "add"
        node = Node(name, tuple(range(len(inputs))), {}, out)
        region = Region(given, (node,), (len(inputs),), (size,))
        launches = (dot if kind else plan(region, given)).launches
        prepared = PreparedCalls(print, calls=((print, (), (), ()),), launches=launches)
        made.append(Step(name, inputs, (output,), prepared=prepared))
    places = tuple([Place(ARENA, 4 * size * i) for i in range(count)])
    return Program((out,) * count, places, {}, (), (), (), tuple(made), 4 * size * count)


def grouped(*steps, **size):
    """The outputs of steps by launches: side by side, and behind."""
    found = groups(program(*steps, **size))
    outputs = [[[s.outputs[0] for s in part] for part in (g.steps, g.tail)] for g in found]
    return [head if not tail else [head, tail] for head, tail in outputs]


def test_steps_apart_are_done_at_once():
    assert grouped(((0,), 1), ((2,), 3), ((0, 2), 4)) == [[1, 3, 4]]


def test_steps_that_need_each_other_are_not():
    assert grouped(((0,), 1), ((1,), 2)) == [[1], [2]]
    # Nor where memory is written again that has just been read, or written.
    assert grouped(((0,), 1), ((2,), 0)) == [[1], [0]]
    assert grouped(((0,), 1), ((2,), 1)) == [[1], [1]]


def test_small_steps_follow_what_they_need():
    assert grouped(((0,), 1), ((1,), 2), ((0, 2), 3), size=4) == [[[1], [2, 3]]]
    # Others may still begin with it.
    assert grouped(((0,), 1), ((1,), 2), ((0,), 3), size=4) == [[[1, 3], [2]]]


def test_a_step_moves_back():
    # Nobody needs 1 before 4 is made.
    assert grouped(((0,), 1), ((2, 3), 4, "dot"), ((4,), 5)) == [[4], [5, 1]]
    assert grouped(((0,), 1), ((1, 3), 4, "dot"), ((4,), 5)) == [[1], [4], [5]]


def test_a_step_moves_past_others():
    assert grouped(((0,), 1), ((1,), 2), ((3,), 4)) == [[1], [2, 4]]
    assert grouped(((0,), 1), ((1,), 2), ((2,), 5), ((1,), 4)) == [[1], [2], [5, 4]]


def test_arguments_are_not_more_than_a_launch_takes():
    steps = [((0,), i) for i in range(1, 400)]
    found = groups(program(*steps, size=4))
    assert sum(len(group.all) for group in found) == 399 and len(found) > 1
    for group in found:
        assert sum(room(step.prepared.launches[0]) for step in group.all) <= ROOM


def test_what_takes_long_is_not_small():
    """The block that does small steps would keep the whole device waiting."""
    x, index = Spec((64, 8), FLOAT), Spec((4096,), "int32")
    few = index._replace(shape=(64,))
    for count, small in ((few, True), (index, False)):
        given = (x, Spec((*count.shape, 8), FLOAT), count)
        (launch,) = indexing.scatter(given, (x,), axes=(0,), mode="add").launches
        assert (launch.size <= 8192) == small
    wide = Spec((1, 1024, 1024), FLOAT)
    (launch,) = indexing.PREPARE["argmax"]((wide,), (Spec((1, 1024), "int32"),), axis=2).launches
    assert launch.size == 1 << 20
