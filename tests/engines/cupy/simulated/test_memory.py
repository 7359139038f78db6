"""How much memory a device has, who holds it, and how much of it may be taken."""

import gc

import numpy as np
import pytest

import kbackend as keras
from kbackend.base import config
from kbackend.base.errors import EngineError
from kbackend.core.tensor import uploaded
from kbackend.engine import loader
from kbackend.engine.program import ARENA, Place, Program, Spec
from kbackend_cupy.engine import CupyEngine
from kbackend_cupy.memory import DeviceMemoryError, arena
from tests.engines.cupy.simulated import models

MIB = 1 << 20


def gaps(pool):
    """What is free in a pool between arrays that other tests have left, so that nothing fits in."""
    held, size = [], pool.free_bytes()
    while size >= 512:
        total = pool.total_bytes()
        block = pool.malloc(size)
        if pool.total_bytes() == total:
            held.append(block)
            size = min(size, pool.free_bytes())
        else:
            del block
            pool.free_all_blocks()
            size //= 2
    return held


@pytest.fixture
def gpu(simulator, cp):
    """The CuPy engine, with nothing kept from before."""
    keras.set_backend("cupy")
    gc.collect()
    keras.free_memory()
    held = gaps(cp.get_default_memory_pool())
    yield simulator
    del held
    keras.config.set_memory_limit(None)
    config.reset()
    keras.set_backend("cupy")


def test_arrays_are_counted(gpu):
    before = keras.memory_info()
    assert before.total == 16 << 30 and before.limit is None
    x = keras.ops.ones((MIB,))
    found = keras.memory_info("gpu")
    assert found.used - before.used == 4 * MIB
    assert found.reserved - before.reserved == before.free - found.free == 4 * MIB
    del x
    found = keras.memory_info()
    # The pool keeps it until it is asked.
    assert (found.used, found.reserved) == (before.used, before.reserved + 4 * MIB)
    keras.free_memory()
    assert keras.memory_info() == before


def test_what_is_kept_for_batches_is_given_back(gpu):
    before = keras.memory_info().used
    x, y = models.data("mlp")
    for _ in range(5):
        uploaded(np.ones(MIB, "float32"))
    assert keras.memory_info().used >= before + 8 * MIB
    keras.free_memory()
    assert keras.memory_info().used == before
    model = models.compiled("mlp")
    models.fit(model, x, y, epochs=2)
    keras.free_memory()
    models.fit(model, x, y, epochs=2)


def test_no_such_device(gpu):
    with pytest.raises(EngineError, match="has the devices 'gpu:0'"):
        keras.memory_info("gpu:7")


@pytest.mark.parametrize(
    ("limit", "size"),
    [(64 * MIB, 64 * MIB), ("64 MiB", 64 * MIB), (0.5, 8 << 30), ("25%", 4 << 30)],
)  # fmt: skip
def test_limits(gpu, limit, size):
    keras.config.set_memory_limit(limit)
    assert keras.memory_info().limit == size
    keras.config.set_memory_limit(None)
    assert keras.memory_info().limit is None


def test_an_engine_begins_with_the_limit_of_the_settings(gpu, cp, monkeypatch):
    monkeypatch.setenv("KBACKEND_MEMORY_LIMIT", "32 MiB")
    config.reset()
    CupyEngine()
    assert cp.get_default_memory_pool().get_limit() == 32 * MIB


def test_limits_of_cupy_hold_where_none_is_set(gpu, cp):
    cp.get_default_memory_pool().set_limit(size=48 * MIB)
    CupyEngine()
    assert keras.memory_info().limit == 48 * MIB


def test_devices_that_come_into_use_are_limited(gpu, cp):
    engine = loader.get_engine("cupy")
    engine._devices.clear()
    keras.config.set_memory_limit("32 MiB")
    assert keras.memory_info().limit is None
    assert keras.memory_info("gpu:0").limit == 32 * MIB
    assert engine._devices == {0}


def test_what_goes_beyond_the_limit_is_named(gpu):
    gc.collect()
    x = keras.ops.ones((MIB,))
    held = keras.memory_info().used
    keras.config.set_memory_limit(held + 6 * MIB)
    cases = {
        "concatenate": lambda: keras.ops.concatenate([x, x]),
        "asarray": lambda: keras.ops.convert_to_tensor(np.ones((2, MIB), "float32")),
        "upload": lambda: uploaded(np.ones((2, MIB), "float32")),
    }
    for name, make in cases.items():
        with pytest.raises(DeviceMemoryError, match=rf"\[{name}\]") as found:
            make()
        text = str(found.value)
        assert "MiB that may be taken" in text and "set_memory_limit" in text
        assert "float32(1048576,)" in text or "float32(2, 1048576) of 8.0 MiB" in text
    keras.config.set_memory_limit(None)
    for make in cases.values():
        assert make().nbytes == 8 * MIB


@pytest.mark.parametrize("name", ["upload", "asarray", "kernel", "program"])
def test_memory_of_batches_gives_way(gpu, cp, name):
    part = keras.ops.ones((MIB,))
    held = keras.memory_info().used
    for _ in range(4):
        uploaded(np.ones(MIB, "float32"))
    assert keras.memory_info().used == held + 12 * MIB
    keras.config.set_memory_limit(held + 16 * MIB)
    spec = Spec((3, MIB), "float32")
    program = Program((spec,), (Place(ARENA),), {}, (), (), (), (), 12 * MIB, name="step")
    made = {
        "upload": lambda: uploaded(np.ones((3, MIB), "float32")),
        "asarray": lambda: keras.ops.convert_to_tensor(np.ones((3, MIB), "float32")),
        "kernel": lambda: keras.ops.concatenate([part, part, part]),
        "program": lambda: arena(cp, program, program.arena),
    }[name]()
    assert keras.memory_info().used == held + 12 * MIB
    if name != "program":
        np.testing.assert_array_equal(np.array(made), 1)
