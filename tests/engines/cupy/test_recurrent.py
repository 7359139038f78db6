"""Kernels of whole recurrent layers: on the CPU against the bodies, and for real devices."""

import numpy as np
import pytest

from kbackend.base.dtypes import numpy_dtype
from kbackend.engine.program import Spec
from kbackend_cupy.codegen import recurrent_team
from kbackend_cupy.codegen.recurrent import COMPOSITES
from tests.engines.cupy.kernels import compiled, needs_text
from tests.engines.cupy.recurrent import CELLS, Case, arguments
from tests.engines.cupy.whole import body, planned, run
from tests.gpu_simulator import cuda_on_cpu, nvrtc, process

pytestmark = needs_text

# Sums of products of numbers around 1, each rounded; what comes back adds up over the steps.
TOLERANCE = {"float32": 5e-6, "float64": 1e-14, "float16": 1e-2, "bfloat16": 8e-2}


def close(found, expected):
    for value, reference in zip(found, expected, strict=True):
        assert value.dtype == reference.dtype and value.shape == reference.shape
        tolerance = TOLERANCE[value.dtype.name]
        wide = [a.astype("float64") for a in (value, reference)]
        scale = max(1.0, float(np.nanmax(np.abs(wide[1]), initial=0.0)))
        np.testing.assert_allclose(*wide, rtol=0, atol=tolerance * scale)


def same_bits(found, expected):
    for value, reference in zip(found, expected, strict=True):
        np.testing.assert_array_equal(
            value.view(f"V{value.itemsize}"), reference.view(f"V{value.itemsize}")
        )


def check(case):
    """Results and gradients in each order of threads, against those of the bodies."""
    results = []
    for order in cuda_on_cpu.ORDERS:
        with cuda_on_cpu.order(order):
            results.append(case.by(run))
    close(results[0], case.by(body))
    for found in results[1:]:
        same_bits(found, results[0])


def mask_of(shape, rng):
    """A mask with gaps, and an example of which nothing is left."""
    mask = rng.random(shape[:2]) < 0.6
    mask[-1] = False
    return mask


@pytest.mark.parametrize("cell", CELLS)
def test_equals_the_body(cell):
    # batch, time, features, units
    check(Case(cell, *arguments(cell, (1, 1, 1, 1))))
    check(Case(cell, *arguments(cell, (13, 3, 7, 33)), sequences=True))


@pytest.mark.parametrize("cell", CELLS)
def test_masks_and_steps_from_the_last_to_the_first(cell, rng):
    shape = (6, 5, 3, 7)
    mask, given = mask_of(shape, rng), arguments(cell, shape)
    check(Case(cell, *given, mask=mask))
    check(Case(cell, *given, mask=mask, sequences=True, backwards=True))


@pytest.mark.parametrize(
    ("cell", "dtype"),
    [("lstm", "float64"), ("gru", "float64"), ("lstm", "float16"), ("gru", "bfloat16"),
     ("simple_rnn", "float16")],
)  # fmt: skip
def test_other_dtypes(cell, dtype):
    check(Case(cell, *arguments(cell, (5, 3, 4, 9), dtype), sequences=True))


@pytest.mark.parametrize(
    ("cell", "batch", "examples"), [("gru", 199, 2), ("lstm", 599, 4), ("simple_rnn", 599, 4)]
)
def test_examples_of_a_block(cell, batch, examples):
    # Not all of them are there in the last block.
    case = Case(cell, *arguments(cell, (batch, 2, 2, 17)), sequences=True)
    plan, _ = planned(case.name, case.args, **case.params, keep=True)
    assert plan.launches[-1].grid[0] == -(-batch // examples)
    close(case.by(run), case.by(body))


# Sums whose parts are quads, and those of which the last quad is incomplete.
@pytest.mark.parametrize(("cell", "units"), [("lstm", 24), ("gru", 21), ("simple_rnn", 21)])
def test_weights_that_do_not_stay_in_registers(cell, units, monkeypatch):
    monkeypatch.setattr(recurrent_team, "_ROOM", {2: 0})
    monkeypatch.setattr(recurrent_team, "_THREADS", 64)
    check(Case(cell, *arguments(cell, (5, 3, 2, units))))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_only_some_gradients(cell):
    args, cotangents = arguments(cell, (4, 3, 5, 6))
    for wants in ((True, *[False] * (len(args) - 1)), (False, *[True] * 3, *[False] * 2)):
        case = Case(cell, args, cotangents, wants=wants[: len(args)])
        close(case.by(run), case.by(body))


@pytest.mark.parametrize("cell", CELLS)
def test_any_layout_of_the_arguments(cell, rng):
    args, cotangents = arguments(cell, (6, 4, 3, 8))
    mask = np.ascontiguousarray(mask_of((6, 4), rng).T).T
    args[0] = np.ascontiguousarray(args[0].transpose(2, 0, 1)).transpose(1, 2, 0)
    args[1:3] = [np.asfortranarray(a) for a in args[1:3]]
    args[3] = np.ascontiguousarray(args[3][..., ::-1])[..., ::-1]
    args[4:] = [np.broadcast_to(np.float32(0.5), a.shape) for a in args[4:]]
    cotangents = [np.broadcast_to(a[:, :1], a.shape) for a in cotangents]
    if cell == "gru":
        args[2] = np.repeat(args[2], 2, 1)[:, ::2]
    check(Case(cell, args, cotangents, mask=mask, sequences=cell != "lstm"))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("cell", CELLS)
def test_special_values_reach_what_they_should(cell, value):
    args, cotangents = arguments(cell, (4, 5, 3, 6))
    args[0][2, 3, 1] = value
    case = Case(cell, args, cotangents, sequences=True)
    for found, expected in zip(case.by(run), case.by(body), strict=True):
        np.testing.assert_array_equal(np.isfinite(found), np.isfinite(expected))


def test_without_what_the_gradient_needs():
    args, _ = arguments("lstm", (5, 4, 3, 6))
    for sequences in (False, True):
        params = {"sequences": sequences, "backwards": False}
        kept = run("lstm_sequence", args, **params, keep=True)
        found = run("lstm_sequence", args, **params, keep=False)
        same_bits(found, kept[: len(found)])


def test_what_is_left_to_the_loop():
    def takes(batch=2, time=3, features=4, units=5, dtype="float32", other=None, cell="lstm"):
        states, blocks, _ = CELLS[cell]
        shapes = [(batch, time, features), (features, blocks * units), (units, blocks * units)]
        shapes += [(blocks * units,), *[(batch, units)] * states]
        specs = [Spec(shape, dtype) for shape in shapes]
        if other is not None:
            specs[1] = Spec(shapes[1], other)
        forward = COMPOSITES[f"{cell}_sequence"].takes(tuple(specs))
        # A gradient has the cotangents before the arguments.
        back = (*specs[4:], specs[4], *specs)[-len(specs) - 1 - states :]
        assert COMPOSITES[f"{cell}_sequence_grad"].takes(back) == forward
        return forward

    assert takes()
    assert not any(takes(**{name: 0}) for name in ("batch", "time", "features", "units"))
    assert not takes(dtype="int32") and not takes(other="float64")
    # A MiB of recurrent weights.
    assert takes(units=256) and not takes(units=257) and not takes(units=256, dtype="float64")
    assert takes(units=512, cell="simple_rnn") and not takes(units=513, cell="simple_rnn")
    assert not takes(units=600, dtype="float16", cell="simple_rnn")
    assert not takes(batch=1 << 12, time=1 << 12, units=32)


@pytest.mark.parametrize("cell", CELLS)
def test_launches(cell):
    args, cotangents = arguments(cell, (64, 16, 32, 40))
    case = Case(cell, args, cotangents)
    plan, outputs = planned(case.name, args, **case.params, keep=True)
    names = [one.name.rpartition("_")[0] for one in plan.launches]
    assert names == ["dot", f"recurrent_{cell}"]
    kept = [np.zeros(one.shape, numpy_dtype(one.dtype)) for one in outputs[case.shown :]]
    inputs = [*cotangents, *args, *kept]
    plan, _ = planned(f"{case.name}_grad", inputs, **case.params, wants=case.wants)
    names = [one.name.rpartition("_")[0] for one in plan.launches]
    assert names == ["turned", f"recurrent_{cell}_back", "dot", "dot", "dot", "biases"]


# ----- real devices -----


# As in the benchmarks; several examples in a block, with and without a part of each sum for every
# one of them; the most units.
BUDGETS = [(64, 64, 32, 128), (520, 8, 8, 128), (700, 8, 8, 160), (300, 8, 8, 256)]


def specs_of(cell, shape, dtype):
    """Specs of the arguments of a layer and its gradient, with a mask."""
    states, blocks, rows = CELLS[cell]
    batch, time, features, units = shape
    bias = (rows, blocks * units) if rows > 1 else (blocks * units,)
    shapes = [(batch, time, features), (features, blocks * units), (units, blocks * units), bias]
    args = [Spec(one, dtype) for one in (*shapes, *[(batch, units)] * states)]
    return args, Spec((batch, time), "bool")


# The compiler takes a few tenths of a second for each of these kernels.
@pytest.mark.parametrize(
    "architecture",
    [
        "sm_90",
        *[
            pytest.param(one, marks=pytest.mark.slow)
            for one in nvrtc.ARCHITECTURES
            if one != "sm_90"
        ],
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("cell", CELLS)
def test_budgets(cell, dtype, architecture):
    for shape in BUDGETS:
        args, mask = specs_of(cell, shape, dtype)
        params = {"sequences": True, "backwards": False}
        whole = COMPOSITES[f"masked_{cell}_sequence"]
        if not whole.takes((*args, mask)):
            continue
        outputs = whole.outputs((*args, mask), **params, keep=True)
        plan = whole.plan((*args, mask), outputs, **params, keep=True)
        shown = 1 + CELLS[cell][0]
        inputs = (*outputs[:shown], *args, *outputs[shown:], mask)
        back = COMPOSITES[f"masked_{cell}_sequence_grad"]
        params["wants"] = (True,) * len(args)
        gradient = back.plan(inputs, tuple(args), **params)
        for launch in (*plan.launches, *gradient.launches):
            used = compiled(launch.text, architecture)[launch.name]
            # 512 threads have 128 registers each, and a block has 48 KiB without asking.
            own = launch.name.startswith("recurrent")
            assert used.spilled == 0
            assert used.registers * launch.block[0] <= 65536 and used.registers <= 168
            assert used.shared <= (49152 if own else 20480)


# ----- planted faults -----


@pytest.mark.parametrize("number", range(1, 4))
def test_a_step_without_a_barrier_is_seen(number):
    # Several parts of each sum, so that threads need each other's.
    args, _ = arguments("lstm", (3, 4, 3, 40))
    params = {"sequences": True, "backwards": False, "keep": True}

    def fault(text):
        if "recurrent" not in text:
            return text
        parts = text.split("__syncthreads();")
        parts[number : number + 2] = [parts[number] + parts[number + 1]]
        return "__syncthreads();".join(parts)

    expected, wrong = run("lstm_sequence", args, **params), 0
    for order in cuda_on_cpu.ORDERS:
        with cuda_on_cpu.order(order):
            found = run("lstm_sequence", args, change=fault, **params)
        wrong += any(not np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    assert wrong


SANITIZED = """
import sys
import numpy as np
from tests.engines.cupy import kernels
from tests.engines.cupy.recurrent import CELLS, Case, arguments
from tests.engines.cupy.whole import planned
fault = (lambda text: text.replace(sys.argv[1], sys.argv[2])) if len(sys.argv) > 1 else None
kernels.garbage = lambda given: np.zeros(given.shape, given.dtype)
flags = ("-O1", "-g1", "-fsanitize=address")
def run(name, inputs, **params):
    plan, outputs = planned(name, inputs, **params)
    return kernels.execute(plan, outputs, inputs, change=fault, flags=flags)
for cell in CELLS:
    mask = np.ones((5, 3), bool)
    Case(cell, *arguments(cell, (5, 3, 2, 7)), mask=mask, sequences=True).by(run)
print("done")
"""


def test_no_access_out_of_bounds():
    done = process.sanitized(SANITIZED)
    assert done.returncode == 0 and "done" in done.stdout, done.stderr[-3000:]


@pytest.mark.parametrize(("right", "wrong"), [("u < 7u", "u <= 7u"), ("t < 3u", "t <= 3u")])
def test_an_access_out_of_bounds_is_seen(right, wrong):
    done = process.sanitized(SANITIZED, right, wrong)
    assert done.returncode != 0 and "AddressSanitizer" in done.stderr, done.stderr[-3000:]
