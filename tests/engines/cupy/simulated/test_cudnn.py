"""Convolutions by cuDNN, with a stand-in of its frontend that computes on the simulated GPU."""

import dataclasses
import logging
import sys

import numpy as np
import pytest

import kbackend as keras
from kbackend.base import config
from kbackend.base.dtypes import DTYPE_NAMES, numpy_dtype
from kbackend.engine.loader import get_engine
from kbackend.engine.program import Spec
from kbackend_cupy import pointwise, prepare
from kbackend_cupy.blas import Blas
from kbackend_cupy.codegen import convolution as own
from kbackend_cupy.cudnn import choice, library, plans
from kbackend_cupy.cudnn.convolution import Cudnn
from kbackend_cupy.modules import Modules, kernels
from tests.engines.cupy.cudnn_stand_in import PLANS, Graph, Stand
from tests.engines.cupy.simulated import models

OPS = ("conv", "conv_input_grad", "conv_filter_grad")
SAME = ((1, 1), (1, 1))
# (image, filter, parameters)
CASES = {
    "plane": ((2, 6, 7, 3), (3, 3, 3, 5), {"padding": SAME}),
    "line": ((2, 9, 4), (3, 4, 6), {"padding": ((4, 0),), "dilation": (2,)}),
    "volume": ((2, 4, 5, 3, 2), (2, 3, 1, 2, 3), {"strides": (2, 1, 1)}),
    "strides": ((2, 8, 9, 3), (3, 2, 3, 4), {"strides": (2, 3), "padding": ((0, 1), (1, 0))}),
    "dilation": ((1, 9, 8, 2), (3, 3, 2, 4), {"dilation": (2, 3), "padding": ((2, 1), (3, 3))}),
    "groups": ((2, 5, 5, 6), (3, 3, 2, 9), {"groups": 3, "padding": SAME}),
    "depthwise": ((2, 5, 5, 4), (3, 3, 1, 8), {"groups": 4}),
    "pointwise": ((2, 5, 5, 7), (1, 1, 7, 3), {}),
    "many filters": ((1, 3, 3, 40), (1, 1, 40, 70), {}),
}


@pytest.fixture
def stand(cp, tmp_path, monkeypatch):
    """The stand-in, found by `import cudnn`, and an empty cache."""
    monkeypatch.setenv("KBACKEND_CACHE_DIR", str(tmp_path))
    made = Stand(cp)
    monkeypatch.setitem(sys.modules, "cudnn", made.module())
    time = choice.Choices._time

    def timed(self, make, found, arrays):
        # The stand-in computes with the kernels that it competes with.
        return 1e9 if found is None and not made.own else time(self, make, found, arrays)

    monkeypatch.setattr(choice.Choices, "_time", timed)
    yield made
    config.reset()


def cudnn(cp):
    """cuDNN as an engine begins with it."""
    return Cudnn(cp, Modules(cp), Blas(cp))


def described(array):
    """What the planner says of an array."""
    steps = tuple(s // array.itemsize for s in array.strides)
    return Spec(array.shape, DTYPE_NAMES[array.dtype], None if array.flags.c_contiguous else steps)


def problem(rng, case, op, dtype="float32"):
    """Host arrays and parameters of an operation."""
    image, window, own = CASES[case]
    rank = len(image) - 2
    how = {"strides": (1,) * rank, "padding": ((0, 0),) * rank, "dilation": (1,) * rank,
           "groups": 1, **own}  # fmt: skip
    x, w = (rng.standard_normal(s).astype(numpy_dtype(dtype)) for s in (image, window))
    if op == "conv":
        return (x, w), how
    g = get_engine("numpy").kernels["conv"](x, w, **how)
    if op == "conv_input_grad":
        return (g, w), {**how, "space": image[1:-1]}
    return (x, g), {**how, "window": window[:-2]}


def run(cp, prepared, out, arrays):
    """Calls a prepared kernel once, and once as a graph; results of both."""
    scratch = [cp.empty(s.shape, numpy_dtype(s.dtype)) for s in prepared.scratch]
    found = []
    prepared.run(out, *arrays, *scratch)
    found.append(cp.asnumpy(out))
    out.fill(np.nan)
    stream = cp.cuda.Stream(non_blocking=True)
    cp.cuda.Device().synchronize()
    with stream:
        stream.begin_capture(cp.cuda.runtime.streamCaptureModeThreadLocal)
        for call, before, places, behind in prepared.calls:
            given = [(out, *arrays, *scratch)[i] for i in places]
            call(*before, *given, *behind)
        graph = stream.end_capture()
    graph.launch(stream)
    stream.synchronize()
    return [*found, cp.asnumpy(out)]


def check(cp, rng, case, op, dtype="float32", on=lambda array, place: array, by=None):
    """Compares a convolution with NumPy's."""
    given, params = problem(rng, case, op, dtype)
    wide = [a.astype("float64") for a in given]
    expected = get_engine("numpy").kernels[op](*wide, **params)
    arrays = [on(cp.asarray(a), i) for i, a in enumerate(given)]
    out = cp.full(expected.shape, np.nan, numpy_dtype(dtype))
    by = by or cudnn(cp)
    prepared = by.prepare(op, tuple(map(described, arrays)), (described(out),), params)
    assert prepared is not None
    tolerance = {"float32": 1e-5, "float16": 4e-3, "bfloat16": 3e-2}[dtype]
    for found in run(cp, prepared, out, arrays):
        scale = np.abs(expected).max()
        np.testing.assert_allclose(
            found.astype("float64") / scale, expected / scale, atol=tolerance
        )
    return prepared


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("case", CASES)
def test_values(stand, cp, rng, case, op):
    check(cp, rng, case, op)
    assert stand.executed


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_halves(stand, cp, rng, dtype, op):
    check(cp, rng, "groups", op, dtype)


# ----- what cuDNN is given -----


def test_a_plane(stand, cp, rng):
    check(cp, rng, "strides", "conv")
    graph = stand.graphs[-1]
    image, filters, result = (graph.tensors[role] for role in ("image", "filter", "result"))
    assert image.dim == (2, 3, 8, 9) and image.stride == (216, 1, 27, 3)
    # One filter after the other, the channels last.
    assert filters.dim == (4, 3, 3, 2) and filters.stride == (18, 1, 6, 3)
    assert result.dim == (2, 4, 4, 3) and result.stride == (48, 1, 12, 4)
    assert graph.how == {
        "pre_padding": (0, 1), "post_padding": (1, 0), "stride": (2, 3), "dilation": (1, 1),
    }  # fmt: skip


def test_a_line_is_a_plane(stand, cp, rng):
    check(cp, rng, "line", "conv_filter_grad")
    graph = stand.graphs[-1]
    assert graph.tensors["image"].dim == (2, 4, 1, 9)
    assert graph.tensors["filter"].dim == (6, 4, 1, 3)
    assert graph.how == {
        "pre_padding": (0, 4), "post_padding": (0, 0), "stride": (1, 1), "dilation": (1, 2),
    }  # fmt: skip


def test_groups_have_their_channels(stand, cp, rng):
    check(cp, rng, "groups", "conv_input_grad")
    graph = stand.graphs[-1]
    assert graph.tensors["image"].dim[1] == 6 and graph.tensors["filter"].dim[:2] == (9, 2)


@pytest.mark.parametrize("op", OPS)
def test_images_of_other_strides(stand, cp, rng, op):
    def first(array, place):
        """Channels first in memory; of a filter the last dimension first."""
        moved = cp.ascontiguousarray(cp.moveaxis(array, -1, 1))
        return cp.moveaxis(moved, 1, -1)

    check(cp, rng, "plane", op, on=first)


@pytest.mark.parametrize("op", OPS)
def test_images_that_are_not_aligned(stand, cp, rng, op):
    def odd(array, place):
        memory = cp.empty(array.size + 1, array.dtype)
        memory[1:] = array.ravel()
        return memory[1:].reshape(array.shape)

    # The stand-in refuses such addresses.
    check(cp, rng, "plane", op, on=odd)


def test_a_result_that_is_not_aligned(stand, cp, rng):
    given, params = problem(rng, "plane", "conv")
    expected = get_engine("numpy").kernels["conv"](*given, **params)
    memory = cp.full(expected.size + 1, np.nan, "float32")
    out = memory[1:].reshape(expected.shape)
    arrays = [cp.asarray(a) for a in given]
    specs = tuple(map(described, arrays))
    prepared = cudnn(cp).prepare("conv", specs, (described(out),), params)
    for found in run(cp, prepared, out, arrays):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


# ----- which plan -----


@pytest.mark.parametrize(
    ("dtype", "precision", "allowed"),
    [
        ("float32", "highest", {"exact", "roomy"}),
        ("float32", "high", {"quick", "exact", "roomy"}),
        ("float16", "highest", {"quick", "exact", "roomy"}),
        ("bfloat16", "highest", {"quick", "exact", "roomy"}),
    ],
)
def test_plans_that_may_be_taken(stand, cp, rng, dtype, precision, allowed):
    config.set_float32_matmul_precision(precision)
    check(cp, rng, "plane", "conv", dtype)
    assert set(stand.executed) == allowed


def test_the_fastest_is_taken_and_noted(stand, cp, rng):
    stand.slow = {"exact"}
    prepared = check(cp, rng, "plane", "conv")
    assert {"exact", "roomy"} == set(stand.executed)
    assert stand.executed[-2:] == ["roomy", "roomy"]
    assert [s.shape for s in prepared.scratch] == [(5, 27), (4096,)]
    # The same engine asks no more, and another process finds the choice on disk.
    by = cudnn(cp)
    for _ in range(2):
        stand.executed.clear()
        stand.slow = {"roomy"}
        check(cp, rng, "plane", "conv", by=by)
        assert stand.executed == ["roomy", "roomy"]
    graphs = len(stand.graphs)
    check(cp, rng, "plane", "conv", by=by)
    assert len(stand.graphs) == graphs


def test_own_kernels_may_be_faster(stand, cp, rng):
    stand.own, stand.slow = True, {"exact", "roomy"}
    inputs, outputs, params = specs_of(rng)
    assert cudnn(cp).prepare("conv", inputs, outputs, params) is None
    assert {"exact", "roomy"} == set(stand.executed)
    # Another process takes them without a trial, and without a graph.
    graphs = len(stand.graphs)
    assert cudnn(cp).prepare("conv", inputs, outputs, params) is None
    assert len(stand.graphs) == graphs


def noted(monkeypatch):
    """Keys of choices that are written from now on."""
    found, write = [], kernels.write
    names = {b"own", *[name.encode() for name, _, _ in PLANS]}
    monkeypatch.setattr(
        kernels, "write", lambda k, v: (found.append(k) if v in names else None, write(k, v))
    )
    return found


def test_a_choice_belongs_to_what_it_depends_on(stand, cp, rng, monkeypatch):
    found = noted(monkeypatch)

    def anew(dtype="float32", case="plane"):
        known = len(found)
        check(cp, rng, case, "conv", dtype)
        assert len(set(found)) == len(found)
        return len(found) > known

    assert anew() and not anew()
    assert anew(case="pointwise")
    config.set_float32_matmul_precision("high")
    assert anew()
    # Halves are the same under both.
    assert anew("float16")
    config.set_float32_matmul_precision("highest")
    assert not anew("float16") and not anew()
    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["cudnn"], "backend_version", lambda: 92000)
        assert anew()
    with monkeypatch.context() as patch:
        # Other kernels of ours.
        prepare_own = own.PREPARE["conv"]
        patch.setitem(own.PREPARE, "conv", lambda *a, **k: renamed(prepare_own(*a, **k)))
        assert anew()
    properties = cp.cuda.runtime.getDeviceProperties(0)
    patch = {**properties, "name": b"another"}
    monkeypatch.setattr(cp.cuda.runtime, "getDeviceProperties", lambda device: patch)
    assert anew()


def renamed(plan):
    launches = [dataclasses.replace(one, name=f"other_{one.name}") for one in plan.launches]
    return plan._replace(launches=tuple(launches))


def test_a_choice_that_is_gone_is_made_anew(stand, cp, rng, monkeypatch):
    key, plan = [], next(name for name, _, _ in PLANS)
    monkeypatch.setattr(plans.Plans, "key", lambda *args: key[0])
    for one, content in (("a" * 64, b"a plan of long ago"), ("b" * 64, plan.encode())):
        key[:] = [one]
        kernels.write(one, content)
        stand.executed.clear()
        check(cp, rng, "plane", "conv")
        # The second one has products of TF32, which nobody has asked for.
        assert {"exact", "roomy"} == set(stand.executed)
        assert kernels.read(one) in (b"exact", b"roomy")


def test_a_plan_that_no_stream_can_record_is_not_taken(stand, cp, rng, monkeypatch):
    execute = Graph.execute_plan_at_index

    def waiting(self, memory, workspace, index, handle):
        if self.get_plan_name_at_index(index) == "exact":
            cp.cuda.get_current_stream().synchronize()
        execute(self, memory, workspace, index, handle)

    monkeypatch.setattr(Graph, "execute_plan_at_index", waiting)
    stand.slow = {"roomy"}
    check(cp, rng, "plane", "conv")
    assert stand.executed[-1] == "roomy"


def test_a_full_device_takes_the_first_plan(stand, cp, rng, monkeypatch):
    def full(*args, **kwargs):
        raise cp.cuda.memory.OutOfMemoryError(1, 1, 0)

    found = noted(monkeypatch)
    inputs, outputs, params = specs_of(rng)
    with monkeypatch.context() as patch:
        patch.setattr(cp, "zeros", full)
        assert cudnn(cp).prepare("conv", inputs, outputs, params) is not None
    # It isn't what a time has shown.
    assert not stand.executed and not found


# ----- without it -----


def specs_of(rng, case="plane", op="conv", dtype="float32"):
    given, params = problem(rng, case, op, dtype)
    out = get_engine("numpy").kernels[op](*given, **params)
    return tuple(map(described, given)), (described(out),), params


def test_what_it_has_not(stand, cp, rng):
    by = cudnn(cp)
    inputs, outputs, params = specs_of(rng, dtype="float64")
    assert by.prepare("conv", inputs, outputs, params) is None
    none = Spec((0, 6, 7, 3), "float32"), Spec((3, 3, 3, 5), "float32")
    assert by.prepare("conv", none, (Spec((0, 6, 7, 5), "float32"),), params) is None
    four = Spec((1, 2, 2, 2, 2, 1), "float32"), Spec((1, 1, 1, 1, 1, 1), "float32")
    how = {"strides": (1,) * 4, "padding": ((0, 0),) * 4, "dilation": (1,) * 4, "groups": 1}
    assert by.prepare("conv", four, (four[0],), how) is None
    assert by.prepare("add", inputs, outputs, {}) is None
    assert not stand.graphs


def test_own_kernels_where_there_is_no_plan(stand, cp, rng, monkeypatch, caplog):
    inputs, outputs, params = specs_of(rng)
    with monkeypatch.context() as patch:
        patch.setattr(plans, "ROOM", -1)
        prepared = prepare.Preparer(cp)("conv", inputs, outputs, params)
    assert prepared is not None and prepared.launches and not stand.executed

    def refused(self):
        raise sys.modules["cudnn"].cudnnGraphNotSupportedError("no such convolution")

    monkeypatch.setattr(Graph, "validate", refused)
    with caplog.at_level(logging.INFO, "kbackend.cupy"):
        prepared = prepare.Preparer(cp)("conv", inputs, outputs, params)
    assert prepared is not None and prepared.launches and not stand.executed
    assert "no such convolution" in caplog.text


def test_a_missing_package_is_no_matter(cp, rng, monkeypatch, caplog):
    monkeypatch.setattr(library.importlib.util, "find_spec", lambda name: None)
    inputs, outputs, params = specs_of(rng)
    with caplog.at_level(logging.DEBUG, "kbackend.cupy"):
        prepared = prepare.Preparer(cp)("conv", inputs, outputs, params)
    assert prepared is not None and prepared.launches
    assert not caplog.records


def test_a_broken_package_is_told(stand, cp, rng, monkeypatch, caplog):
    def broken():
        raise RuntimeError("Unable to find symbol cudnnGetVersion")

    inputs, outputs, params = specs_of(rng)
    monkeypatch.setattr(sys.modules["cudnn"], "backend_version", broken)
    by = prepare.Preparer(cp)
    with caplog.at_level(logging.INFO, "kbackend.cupy"):
        for _ in range(2):
            assert by("conv", inputs, outputs, params).launches
    assert [r.getMessage() for r in caplog.records] == [
        "cuDNN can't be used: Unable to find symbol cudnnGetVersion"
    ]
    monkeypatch.setattr(sys.modules["cudnn"], "backend_version", lambda: 8907)
    with caplog.at_level(logging.INFO, "kbackend.cupy"):
        assert prepare.Preparer(cp)("conv", inputs, outputs, params).launches
    assert "too old" in caplog.messages[-1]


def test_a_library_that_does_not_fit_the_device_is_told(stand, cp, rng, monkeypatch, caplog):
    def failing():
        raise RuntimeError("cudnnHandle Create failed")

    inputs, outputs, params = specs_of(rng)
    monkeypatch.setattr(sys.modules["cudnn"], "create_handle", failing)
    by = prepare.Preparer(cp)
    with caplog.at_level(logging.INFO, "kbackend.cupy"):
        for _ in range(2):
            assert by("conv", inputs, outputs, params).launches
    assert caplog.messages == ["cuDNN can't be used: cudnnHandle Create failed"]


# ----- windows that are single places -----


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_mere_products_are_those_of_cublas(cp, rng, dtype, op):
    given, params = problem(rng, "many filters", op, dtype)
    arrays = [cp.asarray(a) for a in given]
    expected = get_engine("numpy").kernels[op](*[a.astype("float64") for a in given], **params)
    out = cp.full(expected.shape, np.nan, numpy_dtype(dtype))
    specs = tuple(map(described, arrays)), (described(out),)
    prepared = pointwise.prepare(Blas(cp), op, *specs, params)
    assert prepared is not None and not prepared.scratch
    tolerance = {"float64": 1e-12, "float32": 1e-5, "float16": 4e-3, "bfloat16": 3e-2}[dtype]
    for found in run(cp, prepared, out, arrays):
        scale = np.abs(expected).max()
        np.testing.assert_allclose(
            found.astype("float64") / scale, expected / scale, atol=tolerance
        )
    # The engine takes it where there is no cuDNN.
    assert not prepare.Preparer(cp)(op, *specs, params).launches


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize(
    "change",
    [{"strides": (2, 2)}, {"padding": ((1, 1), (1, 1))}, {"groups": 2}, {"window": (3, 1)}],
)
def test_what_is_no_product(cp, rng, op, change):
    how = {"strides": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1,
           **change}  # fmt: skip
    window = how.pop("window", (1, 1))
    x = rng.standard_normal((1, 4, 4, 6)).astype("float32")
    w = rng.standard_normal((*window, 6 // how["groups"], 4)).astype("float32")
    g = get_engine("numpy").kernels["conv"](x, w, **how)
    arrays = {"conv": (x, w), "conv_input_grad": (g, w), "conv_filter_grad": (x, g)}[op]
    out = {"conv": g, "conv_input_grad": x, "conv_filter_grad": w}[op]
    params = how | {
        "conv_input_grad": {"space": (4, 4)},
        "conv_filter_grad": {"window": window},
    }.get(op, {})
    specs = tuple(map(described, arrays)), (described(out),)
    assert pointwise.prepare(Blas(cp), op, *specs, params) is None


def test_arrays_of_other_strides_are_no_product(cp, rng):
    given, params = problem(rng, "many filters", "conv")
    x = described(given[0].transpose(0, 2, 1, 3))
    out = Spec((1, 3, 3, 70), "float32")
    assert pointwise.prepare(Blas(cp), "conv", (x, described(given[1])), (out,), params) is None


def test_a_product_competes_with_cudnn(stand, cp, rng):
    stand.own, stand.slow = True, {"exact", "roomy"}
    inputs, outputs, params = specs_of(rng, "many filters")
    made = prepare.Preparer(cp)("conv", inputs, outputs, params)
    assert {"exact", "roomy"} == set(stand.executed) and not made.scratch and not made.launches
    stand.own = False
    check(cp, rng, "pointwise", "conv")
    assert stand.executed[-1] in ("exact", "roomy")


# ----- training -----


@pytest.fixture
def engine(stand, monkeypatch):
    """The CuPy engine with the stand-in, chosen for the test."""
    keras.set_backend("cupy")
    found = get_engine("cupy")
    monkeypatch.setattr(found, "_preparer", prepare.Preparer(stand.cp))
    return found


def test_a_training_is_that_of_numpy(engine, stand, simulator):
    x, y = models.data("cnn")
    found = {}
    for name in ("cupy", "numpy"):
        keras.set_backend(name)
        model = models.compiled("cnn")
        found[name] = models.fit(model, x, y, epochs=2).history["loss"]
    assert {graph.op for graph in stand.graphs} >= {"conv", "conv_filter_grad"}
    np.testing.assert_allclose(found["cupy"], found["numpy"], rtol=2e-4)


def test_the_precision_holds_for_programs(engine, stand, rng):
    x, w = (rng.standard_normal(s).astype("float32") for s in ((1, 5, 5, 2), (3, 3, 2, 3)))
    fn = keras.jit(lambda x, w: keras.ops.conv(x, w))
    stand.slow = {"exact", "roomy"}
    used = []
    for precision in ("highest", "high", "highest"):
        config.set_float32_matmul_precision(precision)
        fn(x, w)
        stand.executed.clear()
        np.array(fn(x, w))
        used.append(set(stand.executed))
    assert used[1] == {"quick"} and "quick" not in used[0] | used[2]
