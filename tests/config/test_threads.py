"""How many threads may compute: settings, and that results don't depend on them."""

import threading

import numpy as np
import pytest

import kbackend
from kbackend.base import threads
from kbackend.base.errors import ConfigError
from kbackend_numpy import threads as numpy_threads


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    yield
    monkeypatch.undo()
    threads.set_num_threads(None)


def test_environment_limits_the_cores(monkeypatch):
    monkeypatch.setattr(threads, "_cores", lambda: 8)
    monkeypatch.delenv("KBACKEND_NUM_THREADS", raising=False)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "6")
    monkeypatch.setenv("OMP_NUM_THREADS", "nonsense")
    threads.set_num_threads(None)
    assert threads.num_threads() == 6
    monkeypatch.setenv("KBACKEND_NUM_THREADS", "3")
    threads.set_num_threads(None)
    assert threads.thread_setting() == (
        "num_threads",
        3,
        "environment variable KBACKEND_NUM_THREADS",
    )


@pytest.mark.parametrize("text", ["0", "-1", "two"])
def test_nonsense_in_the_environment(monkeypatch, text):
    monkeypatch.setenv("KBACKEND_NUM_THREADS", text)
    with pytest.raises(ConfigError, match="KBACKEND_NUM_THREADS"):
        threads.set_num_threads(None)
    with pytest.raises(ConfigError, match="KBACKEND_NUM_THREADS"):
        threads.num_threads()


@pytest.mark.parametrize("number", [0, -2, True, 1.5, "2"])
def test_nonsense_as_a_number(number):
    with pytest.raises(ConfigError, match="positive integer"):
        kbackend.config.set_num_threads(number)
    assert threads.num_threads() >= 1


def test_a_compiled_step_follows_the_setting():
    rng = np.random.default_rng(0)
    x = kbackend.ops.convert_to_tensor(rng.normal(size=(700, 900)).astype("float32"))

    @kbackend.jit
    def step(x):
        return kbackend.ops.tanh(x) * kbackend.ops.exp(x) + x

    results = []
    for count in (1, 3, 2):
        kbackend.config.set_num_threads(count)
        results.append(np.asarray(step(x)))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


class Blas:
    """Stands in for NumPy's, so that the test needs no cores."""

    def __init__(self, count):
        self.count = count

    def get(self):
        return self.count

    def set(self, count):
        self.count = count


def test_blas_has_no_more_threads_than_were_asked_for(monkeypatch):
    blas = Blas(4)
    monkeypatch.setattr(numpy_threads, "_blas", lambda: blas)
    monkeypatch.setattr(numpy_threads, "_unlimited", None)
    for name in ("KBACKEND_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    kbackend.config.set_num_threads(None)
    assert blas.count == 4
    kbackend.config.set_num_threads(2)
    assert blas.count == 2
    kbackend.config.set_num_threads(16)
    assert blas.count == 4
    with numpy_threads.owned():
        kbackend.config.set_num_threads(3)
        assert blas.count == 1
    assert blas.count == 3
    kbackend.config.set_num_threads(None)
    assert blas.count == 4


def test_what_is_split_is_not_split_again():
    found = []

    def inner(index, worker):
        found.append((index, worker, threading.get_ident()))

    def outer(index, worker):
        here = threading.get_ident()
        before = len(found)
        assert not numpy_threads.active()
        numpy_threads.split(lambda i, w: inner((index, i), w), 3)
        mine = [f for f in found[before:] if f[0][0] == index]
        assert [f[0][1] for f in mine] == [0, 1, 2]
        assert {f[1:] for f in mine} == {(0, here)}

    with numpy_threads.owned():
        split = numpy_threads.active()
        numpy_threads.split(outer, 4)
        assert numpy_threads.active() == split
    assert len(found) == 12
