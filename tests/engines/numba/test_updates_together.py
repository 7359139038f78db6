"""Updates of optimizers with all that is done around them: a region for each, one call for all."""

import numpy as np
import pytest

import kbackend
from kbackend import optimizers
from kbackend.base.dtypes import numpy_dtype
from kbackend.compiler.compiled import Compiled
from kbackend.config import set_num_threads
from kbackend.core.tensor import tensor
from kbackend.engine.extents import Extents
from kbackend.state.variable import Variable
from kbackend_numba.codegen.target import host
from kbackend_numba.native import Tape

SHAPES = [(3, 5), (70,), (), (130, 40), (1,), (64, 33)]
AROUND = {"weight_decay": 0.02, "use_ema": True, "ema_momentum": 0.7}
MAKERS = {
    "sgd": lambda **kw: optimizers.SGD(0.1, **kw),
    "momentum": lambda **kw: optimizers.SGD(0.1, momentum=0.9, **kw),
    "nesterov": lambda **kw: optimizers.SGD(0.1, momentum=0.9, nesterov=True, **kw),
    "adam": lambda **kw: optimizers.Adam(0.01, **kw),
    "amsgrad": lambda **kw: optimizers.Adam(0.01, amsgrad=True, **kw),
    "rmsprop": lambda **kw: optimizers.RMSprop(0.01, momentum=0.5, **kw),
    "centered": lambda **kw: optimizers.RMSprop(0.01, centered=True, **kw),
}
CLIPPING = ({}, {"global_clipnorm": 0.5}, {"clipnorm": 0.3}, {"clipvalue": 0.1})
# Of a number, half a unit in the last place and that of a factor.
HALVES = {"float16": 2.0**-10, "bfloat16": 2.0**-7}


@pytest.fixture(autouse=True)
def as_before():
    yield
    set_num_threads(None)


def run(make, steps=4, engine="numba", dtype="float32", digits=None, **settings):
    """What some steps make of variables and state, and the program of a step.

    All begins with numbers of the dtype `digits`, by default that of the variables.
    """
    rng = np.random.default_rng(3)
    kind, few = numpy_dtype(dtype), numpy_dtype(digits or dtype)

    def array(shape):
        return rng.normal(size=shape).astype(few).astype(kind)

    with kbackend.use_backend(engine):
        variables = [Variable(array(shape), dtype=dtype) for shape in SHAPES]
        optimizer = make(**settings)
        optimizer.build(variables)

        def apply(*gradients):
            optimizer.apply(list(gradients), variables)

        step = Compiled(apply, "apply")
        for _ in range(steps):
            step(*[tensor(array(shape)) for shape in SHAPES])
        (compiled,) = step.executables()
        return [v.numpy() for v in (*variables, *optimizer.variables)], compiled


@pytest.mark.parametrize("clipping", CLIPPING, ids=str)
@pytest.mark.parametrize("name", MAKERS)
def test_the_same_on_any_number_of_threads_and_as_on_numpy(name, clipping):
    settings = AROUND | clipping
    wanted, _ = run(MAKERS[name], engine="numpy", **settings)
    found = []
    for count in (1, 2, 3):
        set_num_threads(count)
        found.append(run(MAKERS[name], **settings)[0])
    for one, two, three, want in zip(*found, wanted, strict=True):
        assert one.tobytes() == two.tobytes() == three.tobytes()
        np.testing.assert_allclose(one, want, rtol=3e-5, atol=3e-6)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("clipping", CLIPPING, ids=str)
@pytest.mark.parametrize("name", MAKERS)
def test_half_precision_is_rounded_once_a_step(name, clipping, dtype):
    if not host().casts(dtype):
        pytest.skip("the processor has no casts of this dtype")
    # These are numbers of half precision.
    settings = {"weight_decay": 0.03125, "use_ema": True, "ema_momentum": 0.75} | clipping
    wanted, _ = run(MAKERS[name], 1, digits=dtype, **settings)
    found = []
    for count in (1, 2, 3):
        set_num_threads(count)
        found.append(run(MAKERS[name], 1, dtype=dtype, **settings)[0])
    for one, two, three, want in zip(*found, wanted, strict=True):
        assert one.tobytes() == two.tobytes() == three.tobytes()
        if one.dtype == numpy_dtype(dtype):
            # Rates, limits and norms are rounded, too, and the results.
            bound = 2 * HALVES[dtype]
            one = one.astype("float32")
            np.testing.assert_allclose(one, want, rtol=bound, atol=bound / 8)


@pytest.mark.parametrize("dtype", ["float32", *HALVES])
@pytest.mark.parametrize("clipping", CLIPPING, ids=str)
@pytest.mark.parametrize("name", MAKERS)
def test_all_that_is_done_to_a_parameter_is_one_region(name, clipping, dtype):
    if dtype in HALVES and not host().casts(dtype):
        pytest.skip("the processor has no casts of this dtype")
    _, compiled = run(MAKERS[name], dtype=dtype, **AROUND, **clipping)
    program = compiled.program
    large = [
        step
        for step in program.steps
        if not step.name.startswith("reduce")
        and any(program.specs[o].shape == (130, 40) for o in step.outputs)
    ]
    # The parameter, its average, and the optimizer's own state.
    state = {"sgd": 0, "momentum": 1, "nesterov": 1, "amsgrad": 3}.get(name, 2)
    assert [step.name for step in large] == ["region"]
    assert len(large[0].outputs) == 2 + state
    # In place: nothing of it is in the arena, and nothing is copied.
    assert "copy" not in {step.name for step in program.steps}


@pytest.mark.parametrize("dtype", ["float32", *HALVES])
def test_one_call_for_all_parameters(dtype):
    if dtype in HALVES and not host().casts(dtype):
        pytest.skip("the processor has no casts of this dtype")
    _, compiled = run(MAKERS["adam"], dtype=dtype, **AROUND)
    (tape,) = [fn for fn, _ in compiled._run.calls if isinstance(fn, Tape)]
    # That of the scalar may be part of what else is computed of scalars.
    assert max(len(entry) for entry in tape._entries) >= len(SHAPES) - 1
    assert sum(name == "together" for name, _ in tape.times(1)) == 1


def test_small_sums_of_squares_are_one_call():
    _, compiled = run(MAKERS["adam"], global_clipnorm=0.5)
    (tape,) = [fn for fn, _ in compiled._run.calls if isinstance(fn, Tape)]
    names = [[ready.call.function.key[0] for ready in entry] for entry in tape._entries]
    assert sum(name.count("region sums") >= 2 for name in names) >= 1


def test_a_rate_is_computed_once_and_first():
    _, compiled = run(MAKERS["adam"])
    names = [step.name for step in compiled.program.steps]
    assert names.count("adam_rate") == 1
    assert names.index("adam_rate") < names.index("region")


def test_what_touches_others_memory_is_not_joined():
    with kbackend.use_backend("numba"):

        def chain(x, y):
            # The second needs the first, in another shape, so that they are two regions.
            first = kbackend.ops.tanh(x) * 2.0 + y
            turned = kbackend.ops.reshape(first, (6, 4))
            return first, turned * turned + 1.0

        step = Compiled(chain, "chain")
        x = np.arange(24, dtype="float32").reshape(4, 6) / 10
        first, second = step(tensor(x), tensor(x))
        np.testing.assert_allclose(second.numpy().reshape(4, 6), first.numpy() ** 2 + 1, rtol=1e-6)
        (compiled,) = step.executables()
        regions = [step for step in compiled.program.steps if step.name == "region"]
        assert len(regions) == 2
        extents = [Extents(compiled.program, step) for step in regions]
        assert not extents[0].apart(extents[1])
        (tape,) = [fn for fn, _ in compiled._run.calls if isinstance(fn, Tape)]
        assert all(len(entry) == 1 for entry in tape._entries)
