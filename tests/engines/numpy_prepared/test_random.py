"""Prepared random bits."""

import numpy as np
import pytest

from kbackend_numpy import threads
from kbackend_numpy.kernels import random
from kbackend_numpy.kernels.random import KERNELS
from tests.engines.numpy_prepared.harness import allocated, check

KERNEL = KERNELS["random_bits"]
STATES = [(0, 0), (42, 7), (4294967295, 4294967295)]


def _state(pair):
    return np.array(pair, np.uint32)


@pytest.mark.parametrize("width", [32, 64])
@pytest.mark.parametrize("pair", STATES)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (5,), (3, 7), (64, 100), (3, 30001)])
def test_same_bits(shape, pair, width):
    check(KERNEL, [_state(pair)], {"shape": shape, "width": width})


@pytest.mark.parametrize("width", [32, 64])
@pytest.mark.parametrize("count", [250000, 250001, 400003])
def test_threads_begin_at_their_own_counters(count, width):
    with threads.owned():
        check(KERNEL, [_state((42, 7))], {"shape": (count,), "width": width})


def test_bits_are_those_of_a_new_generator():
    generator = np.random.Philox(key=[42, 0x6B6261636B656E64], counter=[0, 7, 0, 0])
    found = KERNEL.fn(_state((42, 7)), shape=(10001,), width=64)
    np.testing.assert_array_equal(found, generator.random_raw(10001))


def test_a_few_generators_are_kept():
    for _ in range(5):
        KERNEL.fn(_state((1, 2)), shape=(10,), width=64)
    assert 1 <= len(random._spare) <= 8


@pytest.mark.parametrize("count", [100000, 1000000])
def test_little_is_allocated(count):
    with threads.owned():
        # A chunk of 8192 words on each of two threads, of up to 4000000 bytes.
        params = {"shape": (count,), "width": 32}
        assert allocated(KERNEL, [_state((42, 7))], params) < 2 * 8192 * 8 + 4096
