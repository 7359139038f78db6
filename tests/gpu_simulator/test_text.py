"""CUDA text without CuPy: NVRTC accepts it, and the CPU does what it says."""

import numpy as np
import pytest

from tests.gpu_simulator import cuda_on_cpu, ingredients, nvrtc, process

pytestmark = pytest.mark.skipif(
    ingredients.missing_for_text() is not None, reason=str(ingredients.missing_for_text())
)

# Adds up 256 numbers, each half of the threads after the other.
TREE = """
extern "C" __global__ void total(const float* x, float* y) {
    __shared__ float s[256];
    const int t = threadIdx.x;
    s[t] = x[t];
    __syncthreads();
    for (int half = 128; half > 0; half /= 2) {
        if (t < half) s[t] += s[t + half];
        BARRIER
    }
    if (t == 0) y[0] = s[0];
}
"""
GOOD = TREE.replace("BARRIER", "__syncthreads();")
RACE = TREE.replace("BARRIER", "")


def totals(text):
    x = np.arange(256, dtype="float32")
    found = []
    for order in cuda_on_cpu.ORDERS:
        y = np.full(1, np.nan, "float32")
        with cuda_on_cpu.order(order):
            cuda_on_cpu.launch(cuda_on_cpu.build(text), "total", (1, 1, 1), (256, 1, 1), (x, y))
        found.append(float(y[0]))
    return found


def test_every_order_of_threads():
    assert totals(GOOD) == [255 * 128] * 3


def test_a_missing_barrier_shows():
    assert totals(RACE) != [255 * 128] * 3


def test_shuffles_and_votes():
    text = """
    extern "C" __global__ void f(const int* x, int* y) {
        const int t = threadIdx.x, all = __shfl_xor_sync(0xffffffffu, x[t], 1);
        y[t] = all + 100 * __popc(__ballot_sync(0xffffffffu, t % 2))
             + 10000 * __syncthreads_count(t < 5) + __shfl_down_sync(0xffffffffu, t, 4, 8);
    }"""
    t = np.arange(64, dtype="int32")
    y = np.zeros(64, "int32")
    cuda_on_cpu.launch(cuda_on_cpu.build(text), "f", (1, 1, 1), (64, 1, 1), (t * 3, y))
    down = np.where(t % 8 < 4, t % 32 + 4, t % 32) + t // 32 * 32
    np.testing.assert_array_equal(y, (t ^ 1) * 3 + 1600 + 50000 + down)


def test_shared_memory_begins_as_nan():
    text = """
    extern "C" __global__ void f(float* y) {
        __shared__ float s[2];
        extern __shared__ float d[];
        if (threadIdx.x == 0) s[0] = 1;
        __syncthreads();
        y[0] = s[0]; y[1] = s[1]; y[2] = d[0];
    }"""
    y = np.zeros(3, "float32")
    library = cuda_on_cpu.build(text)
    cuda_on_cpu.launch(library, "f", (1, 1, 1), (32, 1, 1), (y,), shared=16)
    np.testing.assert_array_equal(np.isnan(y), [False, True, True])


RUN = """
import sys
import numpy as np
from pathlib import Path
from tests.gpu_simulator import cuda_on_cpu
x, y = np.ones(100, "float32"), np.empty(100, "float32")
cuda_on_cpu.launch(Path(sys.argv[1]), "f", (1, 1, 1), (128, 1, 1), (x, y, np.int32(100)))
print("done")
"""
STORE = """
extern "C" __global__ void f(const float* x, float* y, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i COMPARED n) y[i] = x[i];
}"""


def test_a_store_out_of_bounds_shows():
    flags = ("-O1", "-g1", "-fsanitize=address")
    good, wrong = (
        cuda_on_cpu.build(STORE.replace("COMPARED", sign), flags=flags) for sign in ("<", "<=")
    )
    done = process.sanitized(RUN, str(good))
    assert done.returncode == 0 and "done" in done.stdout, done.stderr
    done = process.sanitized(RUN, str(wrong))
    assert done.returncode != 0 and "heap-buffer-overflow" in done.stderr


def test_a_barrier_that_not_all_reach_shows():
    text = """
    extern "C" __global__ void f(const float* x, float* y, int n) {
        if (threadIdx.x < 16) __syncwarp(); else __syncthreads();
        y[threadIdx.x % n] = 1;
    }"""
    done = process.python(RUN, str(cuda_on_cpu.build(text)))
    assert done.returncode != 0 and "deadlock" in done.stderr


@pytest.mark.parametrize("architecture", nvrtc.ARCHITECTURES)
def test_machine_code(architecture):
    code, used = nvrtc.compile(GOOD, architecture)
    assert code[:4] == b"\x7fELF"
    assert used["total"].shared == 1024 and 0 < used["total"].registers < 32
    assert used["total"].spilled == 0


def test_what_is_no_cuda_is_refused():
    with pytest.raises(nvrtc.CompileError, match="undefined"):
        nvrtc.compile('extern "C" __global__ void f() { unknown(); }', "sm_90")
    with pytest.raises(cuda_on_cpu.BuildError, match="unknown"):
        cuda_on_cpu.build('extern "C" __global__ void f() { unknown(); }')


def test_arguments_are_checked():
    library = cuda_on_cpu.build(STORE.replace("COMPARED", "<"))
    x = np.ones(4, "float32")
    with pytest.raises(TypeError, match="takes 3 arguments"):
        cuda_on_cpu.launch(library, "f", (1, 1, 1), (4, 1, 1), (x, x))
    with pytest.raises(TypeError, match="Argument 2 of f has 4 bytes"):
        cuda_on_cpu.launch(library, "f", (1, 1, 1), (4, 1, 1), (x, x, np.int64(4)))
