"""The memory plan: layouts of views, offsets in the arena, and programs with and without it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kbackend.compiler.lower import lower
from kbackend.compiler.memory import plan
from kbackend.compiler.memory.arena import ALIGNMENT, Block, aligned, peak, place
from kbackend.compiler.memory.layout import contiguous, view
from kbackend.compiler.passes.fuse import fuse
from kbackend.core import lang
from kbackend.engine.loader import get_engine
from kbackend.engine.program import ARENA
from kbackend_numpy.engine import NumpyEngine

from .running import Plain
from .support import assert_same_bits, graphs, traced, values

pytestmark = pytest.mark.engine("numpy")

# ----- layouts -----


@st.composite
def movements(draw, shape):
    """A movement of an array with that shape: its name and its parameters."""
    name = draw(st.sampled_from(["reshape", "transpose", "broadcast_to", "slice", "rev"]))
    if name == "reshape":
        return name, {"shape": draw(st.sampled_from(reshapes(shape)))}
    if name == "transpose":
        return name, {"axes": tuple(draw(st.permutations(range(len(shape)))))}
    if name == "broadcast_to":
        lead = draw(st.lists(st.integers(1, 2), max_size=1))
        dims = [draw(st.integers(1, 3)) if d == 1 else d for d in shape]
        return name, {"shape": (*lead, *dims)}
    if name == "rev":
        return name, {"axes": tuple(i for i in range(len(shape)) if draw(st.booleans()))}
    starts = tuple(draw(st.integers(0, d)) for d in shape)
    stops = tuple(draw(st.integers(a, d)) for a, d in zip(starts, shape, strict=True))
    steps = tuple(draw(st.integers(1, 3)) for _ in shape)
    return name, {"starts": starts, "stops": stops, "steps": steps}


def reshapes(shape):
    """Some shapes with as many elements."""
    size = int(np.prod(shape))
    found = [shape, (-1,) if size else (0,), (*shape, 1), (1, *shape)]
    found += [(d, size // d) for d in (2, 3, 4, 6) if size and size % d == 0]
    return found


def moved(array, name, params):
    """What NumPy makes of it; `None` where it would have to copy."""
    if name == "reshape":
        try:
            return np.reshape(array, params["shape"], copy=False)
        except ValueError:
            return None
    if name == "transpose":
        return array.transpose(params["axes"])
    if name == "broadcast_to":
        return np.broadcast_to(array, params["shape"])
    if name == "rev":
        return np.flip(array, params["axes"])
    keys = zip(params["starts"], params["stops"], params["steps"], strict=True)
    return array[tuple([slice(*key) for key in keys])]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([1, 2, 3, 4, 0]), max_size=4), st.data())
def test_layouts_are_those_of_numpy(shape, data):
    whole = np.arange(int(np.prod(shape)), dtype="int32").reshape(shape)
    array, layout = whole, contiguous(tuple(shape))
    for _ in range(data.draw(st.integers(1, 4))):
        name, params = data.draw(movements(array.shape))
        found, expected = view(name, layout, params), moved(array, name, params)
        if found is None:
            assert expected is None
            return
        if expected is None:
            # Strides may still be found where NumPy gives up: between dimensions of size 1.
            return
        array, layout = expected, found
        assert layout.shape == array.shape
        assert layout.contiguous == array.flags.c_contiguous or not array.size
        shown = np.ndarray(
            layout.shape, "int32", whole, layout.offset * 4, [s * 4 for s in layout.strides]
        ) if array.size else array  # fmt: skip
        np.testing.assert_array_equal(shown, array)


# ----- the arena -----

BLOCKS = st.lists(
    st.tuples(st.integers(0, 500), st.integers(0, 20), st.integers(0, 8)).map(
        lambda t: Block(t[0], t[1], t[1] + t[2])
    ),
    max_size=30,
)


@settings(max_examples=300, deadline=None)
@given(BLOCKS)
def test_blocks_that_live_at_one_time_do_not_overlap(blocks):
    offsets, total = place(blocks)
    for i, (a, at) in enumerate(zip(blocks, offsets, strict=True)):
        assert at % ALIGNMENT == 0
        assert at + a.size <= total or not a.size
        for b, other in zip(blocks[:i], offsets, strict=False):
            together = a.first <= b.last and b.first <= a.last
            if together and a.size and b.size:
                assert at + a.size <= other or other + b.size <= at
    assert peak(blocks) <= total <= sum(aligned(block.size) for block in blocks)


def test_memory_is_used_again():
    blocks = [Block(100, 0, 1), Block(100, 2, 3), Block(50, 1, 2)]
    offsets, total = place(blocks)
    assert offsets[0] == offsets[1]
    assert total == peak(blocks) == 192


# ----- programs -----


def disjoint(blocks):
    """A plan that shares nothing."""
    offsets, total = [], 0
    for block in blocks:
        offsets.append(total)
        total += aligned(block.size)
    return offsets, total


def planned_and_not(graph, engine, updates, monkeypatch):
    """The program with its plan, and with memory of its own for each value."""
    with_plan = lower(graph, engine, updates)
    with monkeypatch.context() as patch:
        patch.setattr(plan, "place", disjoint)
        patch.setattr(plan._Plan, "overwritable", lambda self, number, step: [])
        without = lower(graph, engine, updates)
    return with_plan, without


def run(program, engine, args):
    runner = engine.compile(program)
    for _ in range(2):
        runner._arena[...] = 0xFF
        arrays = [arg.array.copy() for arg in args]
        outputs, updated = runner(arrays)
    unchanged = set(range(len(args))) - {program.inputs.index(i) for i, _ in program.updates}
    for i in unchanged:
        np.testing.assert_array_equal(arrays[i], args[i].array)
    return outputs + updated


def fused(graph):
    return fuse(graph, lambda eqn: eqn.op.name in NumpyEngine.fusible)


def fitting_updates(graph, data):
    """Some outputs as new values of inputs of their shape and dtype."""
    updates, taken = [], set()
    for o, atom in enumerate(graph.outputs):
        fits = [
            i
            for i, var in enumerate(graph.inputs)
            if var.aval[:2] == atom.aval[:2] and i not in taken
        ]
        if fits and data.draw(st.booleans()):
            taken.add(fits[0])
            updates.append((fits[0], o))
    return updates


@settings(max_examples=200, deadline=None)
@given(graphs(most=20), st.booleans(), st.data())
def test_random_programs_are_the_same_with_and_without_a_plan(graph, regions, data):
    engine = get_engine("numpy")
    args = values(graph)
    graph = fused(graph) if regions else graph
    updates = fitting_updates(graph, data)
    with pytest.MonkeyPatch.context() as monkeypatch:
        with_plan, without = planned_and_not(graph, engine, updates, monkeypatch)
    assert with_plan.arena <= without.arena
    found, wanted = run(with_plan, engine, args), run(without, engine, args)
    assert_same_bits(found, wanted)
    plain = Plain()
    outputs, updated = plain.compile(lower(graph, plain, updates))([a.array for a in args])
    assert_same_bits(found, outputs + updated)


def test_values_take_over_memory_that_is_needed_no_longer():
    graph = traced(lambda x: lang.neg(lang.exp(lang.neg(x))), (100,))
    program = lower(graph, get_engine("numpy"))
    assert program.arena == aligned(400)
    assert program.naive == 3 * aligned(400)


def test_memory_rests_where_an_engine_wants_it(monkeypatch):
    def fn(x, w):
        # A chain of values of one size, of which no step writes over another.
        for _ in range(4):
            x = lang.dot(x, w, ((1,), (0,)))
        return (x,)

    graph, size = traced(fn, (16, 16), (16, 16)), aligned(16 * 16 * 4)
    assert lower(graph, get_engine("numpy")).arena == 2 * size
    # The memory of the first value may not be that of the third.
    monkeypatch.setattr(NumpyEngine, "rests", 1)
    assert lower(graph, get_engine("numpy")).arena == 3 * size


def test_memory_that_a_step_takes_twice_is_taken_over_too():
    def fn(x):
        y = lang.neg(x)
        return (lang.exp(lang.mul(y, y)),)

    program = lower(traced(fn, (100,)), get_engine("numpy"))
    assert program.arena == aligned(400)


def test_a_variable_is_updated_in_place():
    def fn(v, x):
        return (lang.sub(v, x),)

    program = lower(traced(fn, (100,), (100,)), get_engine("numpy"), [(0, 0)])
    ((variable, value),) = program.updates
    assert program.places[value].base == variable
    assert program.arena == 0 and [step.name for step in program.steps] == ["sub"]


def test_a_variable_whose_old_value_is_needed_later_is_not():
    def fn(v, x):
        new = lang.sub(v, x)
        return new, lang.mul(lang.exp(new), v)

    program = lower(traced(fn, (100,), (100,)), get_engine("numpy"), [(0, 0)])
    assert [step.name for step in program.steps] == ["sub", "exp", "mul", "copy"]
    assert program.places[program.steps[0].outputs[0]].base == ARENA


def test_variables_that_swap_their_values():
    graph = traced(lambda a, b: (b, a), (3,), (3,))
    engine = get_engine("numpy")
    args = values(graph)
    outputs = run(lower(graph, engine, [(0, 0), (1, 1)]), engine, args)
    assert_same_bits(outputs, [args[1], args[0]])


def test_outputs_have_memory_of_their_own():
    graph = traced(lambda x: (lambda y: (y, lang.reshape(y, (4,)), y))(lang.exp(x)), (2, 2))
    engine = get_engine("numpy")
    runner = engine.compile(lower(graph, engine))
    args = [arg.array for arg in values(graph)]
    first = [np.array(x) for x in runner(args)[0]]
    kept = runner(args)[0]
    runner([args[0] + 1])
    assert_same_bits(kept, first)
    assert not np.shares_memory(kept[0], kept[1])
