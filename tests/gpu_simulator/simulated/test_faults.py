"""Faults that a real GPU may hide show on the simulated one."""

import numpy as np
import pytest


def test_a_missing_synchronisation_shows(cp, simulator):
    memory = cp.cuda.alloc_pinned_memory(32)
    host = np.frombuffer(memory, "float32", 8)
    host[:] = -1
    with simulator.lazy():
        stream = cp.cuda.Stream(non_blocking=True)
        with stream:
            x = cp.arange(8, dtype="float32")
            x.data.copy_to_host_async(host.ctypes.data, 32)
        early = host.copy()
        stream.synchronize()
    np.testing.assert_array_equal(early, [-1] * 8)
    np.testing.assert_array_equal(host, np.arange(8))


def test_streams_that_do_not_wait_for_each_other(cp, simulator):
    with simulator.lazy():
        one, other = (cp.cuda.Stream(non_blocking=True) for _ in range(2))
        x = cp.zeros(4, "float32")
        cp.cuda.Device().synchronize()
        with one:
            x += 1
        with other:
            early = x + 0
        other.synchronize()
        assert float(early.sum()) == 0
        with other:
            other.wait_event(one.record())
            late = x + 0
        other.synchronize()
        assert float(late.sum()) == 4


def capture(cp, work, mode="Global"):
    """Records what `work` does; the graph is launched once."""
    stream = cp.cuda.Stream(non_blocking=True)
    with stream:
        work()
        stream.synchronize()
        stream.begin_capture(getattr(cp.cuda.runtime, f"streamCaptureMode{mode}"))
        try:
            work()
        finally:
            graph = stream.end_capture()
        graph.launch(stream)
        stream.synchronize()


def test_capture_and_replay(cp):
    x = cp.zeros(4, "float32")

    def work():
        cp.add(x, 1, out=x)

    capture(cp, work)
    # Once for itself and once from the graph; recording doesn't run it.
    np.testing.assert_array_equal(cp.asnumpy(x), [2] * 4)


@pytest.mark.parametrize(
    "forbidden",
    [
        lambda cp, x: float(x[0]),
        lambda cp, x: x.get(),
        lambda cp, x: cp.cuda.Device().synchronize(),
        lambda cp, x: cp.cuda.Memory(1 << 20),
        lambda cp, x: cp.asarray(np.ones(3)),
        lambda cp, x: cp.ones((2, 2)) @ cp.ones((2, 2)),
    ],
    ids=["item", "get", "synchronize", "malloc", "copy of pageable memory", "CuPy's own product"],
)
def test_forbidden_in_a_capture(cp, forbidden):
    x = cp.zeros(4, "float32")
    runtime = cp.cuda.runtime
    with pytest.raises((runtime.CUDARuntimeError, RuntimeError)):
        capture(cp, lambda: forbidden(cp, x))


def test_launches_that_no_device_takes(cp):
    kernel = cp.RawKernel('extern "C" __global__ void f(float* x) { x[threadIdx.x] = 1; }', "f")
    x = cp.zeros(4096, "float32")
    with pytest.raises(cp.cuda.driver.CUDADriverError):
        kernel((1,), (2048,), (x,))


def test_copies_out_of_bounds(cp):
    pointer = cp.cuda.Memory(64).ptr
    host = np.zeros(65, "uint8")
    with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="InvalidValue"):
        cp.cuda.runtime.memcpy(host.ctypes.data, pointer, 65, 2)


def test_memory_ends(cp, simulator):
    # One of its own, since the default one has what other tests have left.
    pool = cp.cuda.MemoryPool()
    with simulator.memory(1 << 20), pytest.raises(cp.cuda.memory.OutOfMemoryError):
        pool.malloc(1 << 21)


def test_counts(cp, simulator):
    x = cp.ones(8, "float32")
    cp.cuda.Device().synchronize()
    with simulator.counted() as found:
        y = x + 1
        y.get()
        cp.asarray(np.ones(4, "float32"))
    (counts,) = found
    assert (counts.launches, counts.to_host, counts.to_device) == (1, 1, 1)
    assert counts.syncs >= 1


def test_an_event_is_waited_for_alone(cp, simulator):
    """Work of other streams, and what a stream is given later, stays as late as it may be."""
    hosts = [np.ndarray(4, "float32", buffer=cp.cuda.alloc_pinned_memory(16)) for _ in range(3)]
    for host in hosts:
        host[:] = 0
    first, second, third = (cp.cuda.Stream(non_blocking=True) for _ in range(3))
    x = cp.ones(4, "float32")
    with simulator.lazy():
        for stream, host in zip((first, second, third), hosts, strict=True):
            x.data.copy_to_host_async(host.ctypes.data, 16, stream)
        done = second.record()
        # Whoever waits for the event waits for the second stream, not for the first one.
        third.wait_event(done)
        third.record().synchronize()
        assert [host[0] for host in hosts] == [0, 1, 1]
