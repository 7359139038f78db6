"""`bind` and composites: engines, errors, what tapes see."""

import importlib.util
import pathlib

import numpy as np
import pytest

import kbackend as kb
from kbackend.base.errors import EngineError, PrimitiveError
from kbackend.core import lang
from kbackend.core.bind import Symbolic, bind
from kbackend.core.composite import COMPOSITES, Composite
from kbackend.core.primitive import PRIMITIVES, Primitive
from kbackend.engine.interface import Kernel
from kbackend.engine.loader import current_engine, get_engine, register_engine, use_backend

T = kb.ops.convert_to_tensor
_EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "counting_engine.py"


@pytest.fixture
def counting():
    spec = importlib.util.spec_from_file_location("counting_engine_of_core", _EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    register_engine("counting", module.CountingEngine)
    return get_engine("counting")


def test_mixed_engines_are_refused_with_the_mend(counting):
    x = T([1.0])
    with use_backend("counting"):
        y = T([2.0])
    named = rf"\[add\].*{x.engine.name}, counting.*to_engine.*use_backend"
    with pytest.raises(EngineError, match=named):
        lang.add(x, y)
    assert lang.add(x, y.to_engine(x.engine.name)).tolist() == [3.0]
    assert y.to_engine("counting") is y


def test_operators_bring_values_to_the_current_engine(counting):
    x = T([1.0])
    with use_backend("counting"):
        before = counting.counts["mul"]
        y = T(x) * 3.0
        assert (y.engine.name, y.tolist()) == ("counting", [3.0])
        assert counting.counts["mul"] == before + 1


def test_missing_kernel(counting):
    del counting.kernels["tanh"]
    with use_backend("counting"), pytest.raises(EngineError, match="'counting' has no.*'tanh'"):
        lang.tanh(T([1.0]))


def test_kernel_limited_to_dtypes():
    guarded = get_engine("numpy")._guarded("tanh", Kernel(np.tanh, frozenset({"float32"})))
    assert guarded(np.float32(0)) == 0
    with pytest.raises(EngineError, match="'tanh' on float64; it takes float32. Cast"):
        guarded(np.float64(0))


def test_shape_rule_errors_name_primitive_and_arguments():
    with pytest.raises(ValueError, match=r"^\[reshape\].*Arguments: float32\[2\]\.$"):
        lang.reshape(T([1.0, 2.0]), (3,))
    with pytest.raises(ValueError, match=r"^\[reshape\].*Arguments: float32\[2\]\.$"):
        lang.reshape(kb.KerasTensor((2,)), (3,))


def test_a_size_that_is_unknown_is_no_value():
    with pytest.raises(TypeError, match=r"^\[full\] 'value' must be a number"):
        lang.full((2,), None, "int32")


def test_what_is_no_tensor_is_refused():
    with pytest.raises(PrimitiveError, match=r"\[add\] takes tensors. Received: int, str"):
        bind(PRIMITIVES["add"], 1, "a")


def test_symbolic_arguments_take_the_call_over():
    seen = []

    class Spy(Symbolic):
        __slots__ = ("aval",)

        def process(self, primitive, args, params):
            seen.append((primitive.name, args, params))
            return "answer"

    spy, x = Spy(), T([1.0])
    assert bind(PRIMITIVES["reshape"], spy, shape=(1,)) == "answer"
    assert bind(PRIMITIVES["add"], x, spy) == "answer"
    assert seen == [("reshape", (spy,), {"shape": (1,)}), ("add", (x, spy), {})]


def test_primitives_are_defined_once():
    with pytest.raises(PrimitiveError, match="'add' is defined twice"):
        Primitive("add", "elementwise")
    with pytest.raises(PrimitiveError, match="'add' are attached twice"):
        PRIMITIVES["add"].define(None, [])


@pytest.fixture
def cubed():
    made = Composite("cubed_in_tests", lambda x: lang.mul(x, lang.mul(x, x)))
    yield made
    del COMPOSITES["cubed_in_tests"]


def _rule(needs, g, result, x):
    return [lang.mul(g, lang.mul(lang.mul(x, x), 3.0))]


def test_composite_uses_the_kernel_for_its_dtypes_only(cubed, monkeypatch):
    calls = []

    def kernel(x):
        calls.append(x.dtype)
        return x * x * x

    only = Kernel(kernel, frozenset({"float32"}))
    monkeypatch.setitem(current_engine().composites, "cubed_in_tests", only)
    assert cubed(T([2.0])).tolist() == [8.0]
    assert cubed(T(np.array([2.0]))).tolist() == [8.0]
    assert calls == [np.float32]


def test_a_composite_that_its_kernel_declines_is_its_body(cubed, monkeypatch):
    cubed.def_vjp(_rule)
    choosy = Kernel(lambda x: NotImplemented if x.ndim else x * x * x)
    monkeypatch.setitem(current_engine().composites, "cubed_in_tests", choosy)
    assert cubed(T([2.0])).tolist() == [8.0]
    assert cubed(T(2.0)).item() == 8.0
    x = T([2.0])
    with kb.GradientTape() as tape:
        tape.watch(x)
        y = cubed(x)
    assert len(tape._nodes) == 1
    assert tape.gradient(y, x).tolist() == [12.0]


def test_composite_with_a_rule_is_one_node(cubed):
    x = T(2.0)
    for rule, count in ((None, 2), (_rule, 1)):
        if rule is not None:
            cubed.def_vjp(rule)
        with kb.GradientTape(persistent=True) as tape:
            tape.watch(x)
            y = cubed(x)
        assert len(tape._nodes) == count
        assert tape.gradient(y, x).item() == 12.0
    second = kb.grad(kb.grad(cubed))
    assert second(2.0).item() == 12.0
    assert kb.grad(second)(2.0).item() == 6.0


def test_composite_infers_shapes_by_its_body(cubed):
    assert cubed(kb.KerasTensor((None, 2), "float16")).shape == (None, 2)
