"""Variables, their scopes, seed generators, dtype policies."""

import asyncio
import copy
import importlib.util
import pathlib
import pickle
import threading

import numpy as np
import pytest

import kbackend as kb
from kbackend.engine.loader import current_engine, get_engine, register_engine, use_backend
from kbackend.state.dtype_policy import DTypePolicy, dtype_policy, set_dtype_policy
from kbackend.state.dtype_policy import get as get_policy
from kbackend.state.scopes import autocast, current_path, name_scope

T = kb.ops.convert_to_tensor
_EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "counting_engine.py"


@pytest.fixture
def counting():
    spec = importlib.util.spec_from_file_location("counting_engine_of_state", _EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    register_engine("counting", module.CountingEngine)
    return get_engine("counting")


def test_making_variables():
    v = kb.Variable(lambda shape, dtype: np.full(shape, 2.0, dtype), shape=(2, 3))
    assert (v.shape, v.dtype, v.ndim, v.size, len(v)) == ((2, 3), "float32", 2, 6, 2)
    assert kb.Variable([1, 2]).dtype == "int32"
    assert kb.Variable([1, 2], dtype="float16").dtype == "float16"
    first, second = (int(kb.Variable(1.0).path.removeprefix("variable_")) for _ in range(2))
    assert second == first + 1
    with name_scope("a"), name_scope("b"):
        assert kb.Variable(1.0, name="v").path == "a/b/v"
        assert current_path() == "a/b"
    assert current_path() == ""


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({"initializer": lambda s, dtype: 1.0}, "'shape' is needed"),
        ({"initializer": [1.0], "shape": (2,)}, r"has the shape \(1,\)"),
        ({"initializer": 1.0, "name": "a/b"}, "without '/'"),
        ({"initializer": 1.0, "aggregation": "max"}, "'aggregation' must be one of"),
        ({"initializer": 1.0, "colour": 1}, "unknown arguments: colour"),
        ({"initializer": lambda s, dtype: [1.0], "shape": ()}, "returned a value of shape"),
        ({"initializer": kb.KerasTensor(())}, "symbolic"),
    ],
)
def test_constructor_errors(kwargs, match):
    with pytest.raises(ValueError, match=match):
        kb.Variable(**kwargs)


def test_assigning():
    v = kb.Variable([1.0, 2.0], name="v")
    before = v.value
    assert v.assign([3, 4]).tolist() == [3.0, 4.0]
    assert v.assign_add([1.0, 1.0]).tolist() == [4.0, 5.0]
    assert v.assign_sub(T([1.0, 1.0])).tolist() == [3.0, 4.0]
    assert before.tolist() == [1.0, 2.0]
    for wrong in ([1.0], 1.0, [[1.0, 2.0]]):
        with pytest.raises(ValueError, match=r"'v' has the shape \(2,\)"):
            v.assign(wrong)
    with pytest.raises((TypeError, ValueError)):
        v.assign(["a", "b"])
    with pytest.raises(ValueError, match="symbolic"):
        v.assign(kb.KerasTensor((2,)))
    assert v.numpy().tolist() == [3.0, 4.0]
    mine = v.numpy()
    mine[0] = 9.0
    assert v.tolist() == [3.0, 4.0]


def test_numbers_and_copies():
    v = kb.Variable(2.5, name="v")
    assert (float(v), int(v), bool(v), f"{v:.2f}") == (2.5, 2, True, "2.50")
    assert "path=v" in repr(v)
    assert [0, 1, 2][kb.Variable(1)] == 1
    assert round(v).item() == 2.0
    for other in (copy.deepcopy(v), pickle.loads(pickle.dumps(v))):
        other.assign(7.0)
        assert (float(v), float(other), other.path, other.dtype) == (2.5, 7.0, "v", "float32")


def test_variables_that_share_values_are_two_to_a_tape():
    a = kb.Variable([1.0, 2.0])
    b, c, d = copy.deepcopy(a), kb.Variable(a.value), kb.Variable([0.0, 0.0])
    d.assign(a)
    with kb.GradientTape() as tape:
        y = kb.ops.sum(a * 1.0 + b * 2.0 + c * 3.0 + d * 4.0)
    found = tape.gradient(y, [a, b, c, d])
    assert [g.tolist() for g in found] == [[1.0] * 2, [2.0] * 2, [3.0] * 2, [4.0] * 2]


def test_variables_move_to_the_engine_that_reads_them(counting):
    v = kb.Variable([1.0, 2.0])
    with use_backend("counting"):
        assert v.value.engine is counting
        v.assign_add([1.0, 1.0])
        with kb.GradientTape() as tape:
            y = kb.ops.sum(v * v)
    found = tape.gradient(y, v)
    assert (found.engine.name, found.tolist()) == ("counting", [4.0, 6.0])
    assert (v.value.engine, v.tolist()) == (current_engine(), [2.0, 3.0])


def test_stateless_scope():
    v, w = kb.Variable(1.0), kb.Variable(2.0)
    with kb.StatelessScope([(v, T(5.0))]) as scope:
        assert float(v) == 5.0
        v.assign_add(1.0)
        w.assign(v * 2.0)
        assert float(w) == 12.0
        with pytest.raises(ValueError, match="shape"):
            v.assign([1.0])
    assert (float(v), float(w)) == (1.0, 2.0)
    assert float(scope.get_current_value(v)) == 6.0
    assert float(scope.get_current_value(w)) == 12.0
    assert scope.get_current_value(kb.Variable(0.0)) is None
    x = T(3.0)
    with kb.GradientTape() as tape:
        tape.watch(x)
        with kb.StatelessScope({v: x}.items()):
            y = v * v
    assert tape.gradient(y, x).item() == 6.0


def test_stateless_values_follow_the_engine(counting):
    v = kb.Variable(1.0)
    with kb.StatelessScope([(v, T(5.0))]), use_backend("counting"):
        assert (v * 2.0).engine is counting


def test_autocast():
    v, n = kb.Variable([1.0]), kb.Variable([1])
    fixed = kb.Variable([1.0], autocast=False)
    with autocast("bfloat16"):
        assert (v.value.dtype, v.dtype, n.value.dtype) == ("bfloat16", "bfloat16", "int32")
        assert fixed.value.dtype == "float32"
        with autocast(None):
            assert v.value.dtype == "float32"
        v.assign([1.001])
        with kb.GradientTape() as tape:
            y = v * 2.0
    assert v.numpy().tolist() == [np.float32(1.001)]
    assert y.dtype == "bfloat16"
    assert tape.gradient(y, v).dtype == "float32"


def test_threads_have_engines_tapes_and_scopes_of_their_own(counting):
    v = kb.Variable(3.0)
    start = threading.Barrier(3)
    found, errors = {}, []

    def work(engine, factor):
        try:
            with use_backend(engine), kb.GradientTape() as tape:
                x = T(2.0)
                tape.watch(x)
                start.wait(timeout=10)
                for _ in range(50):
                    y = x * x * factor
                start.wait(timeout=10)
            found[engine] = (y.engine.name, tape.gradient(y, x).item(), len(tape._nodes))
        except Exception as error:
            errors.append(error)

    threads = [
        threading.Thread(target=work, args=pair) for pair in (("numpy", 1.0), ("counting", 10.0))
    ]
    for thread in threads:
        thread.start()
    with kb.StatelessScope([(v, T(9.0))]):
        start.wait(timeout=10)
        start.wait(timeout=10)
    for thread in threads:
        thread.join(timeout=10)
    assert errors == []
    assert found == {"numpy": ("numpy", 4.0, 0), "counting": ("counting", 40.0, 0)}


def test_tasks_have_engines_of_their_own(counting):
    async def work(engine):
        with use_backend(engine):
            names = []
            for _ in range(5):
                names.append((T(1.0) + 1.0).engine.name)
                await asyncio.sleep(0)
        return set(names)

    async def both():
        return await asyncio.gather(work("numpy"), work("counting"), work("numpy"))

    assert asyncio.run(both()) == [{"numpy"}, {"counting"}, {"numpy"}]
    assert T(1.0).engine is current_engine()


# ----- seeds -----


def test_seed_generator():
    g = kb.random.SeedGenerator(7)
    assert [g.next().tolist() for _ in range(3)] == [[7, 0], [7, 1], [7, 2]]
    again = kb.random.SeedGenerator.from_config(g.get_config())
    assert again.next().tolist() == [7, 0]
    for other in (copy.deepcopy(g), pickle.loads(pickle.dumps(g))):
        assert other.next().tolist() == [7, 3]
    assert g.next().tolist() == [7, 3]
    for wrong in (-1, 2**32, 1.5, "a", True):
        with pytest.raises(ValueError, match="'seed' must be an integer"):
            kb.random.SeedGenerator(wrong)


def test_seed_generator_gives_each_thread_its_own_state():
    g, seen = kb.random.SeedGenerator(1), []

    def work():
        seen.extend(int(np.asarray(g.next())[1]) for _ in range(100))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(300))


# ----- policies -----


def test_dtype_policies():
    mixed = DTypePolicy("mixed_float16")
    assert (mixed.compute_dtype, mixed.variable_dtype) == ("float16", "float32")
    assert DTypePolicy.from_config(mixed.get_config()) == mixed
    assert hash(DTypePolicy("float32")) == hash(get_policy("float32"))
    assert get_policy({"class_name": "DTypePolicy", "config": {"name": "bfloat16"}}).name
    assert pickle.loads(pickle.dumps(mixed)) == mixed
    assert mixed != DTypePolicy("float16")
    set_dtype_policy("mixed_bfloat16")
    assert dtype_policy().name == DTypePolicy().name == "mixed_bfloat16"
    with pytest.raises(ValueError, match="no policy is called 'mixed_int8'"):
        set_dtype_policy("mixed_int8")
    assert dtype_policy().name == "mixed_bfloat16"
    x = mixed.convert_input([1.0], autocast=True, dtype="float16")
    assert x.dtype == "float16"
    assert mixed.convert_input([1], autocast=True, dtype="float16").dtype == "int32"
