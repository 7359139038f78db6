"""Arrays that other libraries share with tensors on a device, and a device that is full."""

import numpy as np
import pytest

import kbackend as keras
from kbackend.core.tensor import tensor
from kbackend.engine.program import ARENA, Place, Program, Spec
from kbackend_cupy.memory import DeviceMemoryError, arena


class Foreign:
    """Another library's array, of which only the interface is known."""

    def __init__(self, array, *names):
        for name in names:
            setattr(type(self), name, property(lambda self, name=name: getattr(array, name)))


@pytest.mark.parametrize(
    "names", [("__cuda_array_interface__",), ("__dlpack__", "__dlpack_device__")]
)
def test_arrays_of_others_stay_on_the_device(gpu, cp, names):
    kind = type("Foreign", (Foreign,), {})
    array = cp.arange(6, dtype="float32").reshape(2, 3)
    with gpu.counted() as found:
        x = tensor(kind(array, *names))
        shared = tensor(kind(array, *names), copy=False)
    assert found[0].to_host == found[0].to_device == 0
    assert x.array.data.ptr != array.data.ptr and shared.array.data.ptr == array.data.ptr
    np.testing.assert_array_equal(np.array(x), np.arange(6).reshape(2, 3))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_a_zero_keeps_its_sign(gpu, dtype):
    for value in (-0.0, np.float32(-0.0), np.array([-0.0])):
        assert np.signbit(np.asarray(tensor(value, dtype)).astype("float64")).all()
    assert not np.signbit(np.asarray(tensor(0.0, dtype)).astype("float64"))


def test_a_reduction_over_no_axes(gpu):
    compiled = keras.jit(lambda x: (keras.ops.sum(x) * 2, keras.ops.max(x, axis=())))
    found = compiled(tensor(np.float32(3.0)))
    assert [float(y) for y in found] == [6.0, 3.0]


def test_others_take_tensors(gpu, cp):
    x = keras.ops.reshape(keras.ops.arange(6, dtype="float32"), (2, 3))
    one = cp.asarray(x)
    assert one.data.ptr == x.array.data.ptr
    assert x.__cuda_array_interface__["data"] == (x.array.data.ptr, True)
    other = cp.from_dlpack(x)
    other[:] = 0
    # A tensor never changes.
    np.testing.assert_array_equal(np.array(x), np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(cp.asnumpy(one), np.array(x))


def test_tensors_on_the_host_have_no_interface():
    with keras.use_backend("numpy"):
        assert not hasattr(keras.ops.ones(3), "__cuda_array_interface__")


@pytest.fixture
def full(gpu, cp):
    """A device with one more MiB, and a pool that holds nothing from before."""
    free, total = cp.cuda.runtime.memGetInfo()
    with cp.cuda.using_allocator(cp.cuda.MemoryPool().malloc):
        x = keras.ops.ones((1024, 512))
        with gpu.memory(total - free + x.nbytes + (1 << 20)):
            yield x


def test_a_result_that_is_too_large_is_named(full):
    with pytest.raises(DeviceMemoryError, match=r"\[concatenate\]") as found:
        keras.ops.concatenate([full, full])
    text = str(found.value)
    assert "float32(1024, 512) of 2.0 MiB" in text and "1.0 MiB of the device's" in text


def test_a_program_that_is_too_large_is_named(full, cp):
    spec = Spec((1024, 1024), "float32")
    program = Program((spec,), (Place(ARENA),), {}, (), (), (), (), spec.size * 4, name="step")
    with pytest.raises(MemoryError, match=r"\[step\].*4.0 MiB, of which") as found:
        arena(cp, program, program.arena)
    assert "float32(1024, 1024) of 4.0 MiB" in str(found.value)
