"""Tapes on several threads: each item is done once, in every order of waking and sleeping."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from kbackend.config import set_num_threads
from kbackend_numba import threads
from kbackend_numba.codegen.compile import function
from kbackend_numba.native import Call, Tape, native

ROWS, COLUMNS = 64, 96
ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def as_before():
    yield
    set_num_threads(None)


def write(code):
    """Adds one to each number of the items' rows, and notes the thread behind the row."""
    x, worker = code.array(0), code.array(1)
    with code.loop(code.begin, code.end) as row:
        with code.loop(row * COLUMNS, (row + 1) * COLUMNS, 8) as i:
            code.store(code.load(x, i, "float32", 8) + 1.0, x, i)
        code.store(code.worker, worker, row)


def tape_on(x, workers, calls, cost=1e6):
    tape = Tape()
    call = Call(function(("adds one", ROWS, COLUMNS), write), (0, 1), (), ROWS, cost)
    for _ in range(calls):
        pointers = tape.add(call)
        pointers[0], pointers[1] = x, workers
    return tape


def arrays():
    return np.zeros((ROWS, COLUMNS), np.float32), np.full(ROWS, -1, np.int64)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_each_item_once(count):
    set_num_threads(count)
    x, workers = arrays()
    tape = tape_on(x, workers, 50)
    for turn in range(1, 30):
        tape()
        assert (x == 50 * turn).all()
        assert workers.min() >= 0 and workers.max() < count
        if turn % 10 == 0:
            # Long enough for the threads to fall asleep.
            time.sleep(0.02)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("cost", [10.0, 1e6])
def test_calls_that_are_done_at_once(count, cost):
    set_num_threads(count)
    several = [arrays() for _ in range(5)]
    items = [ROWS, 1, 17, ROWS, 2]
    tape = Tape()
    for (x, workers), rows in zip(several, items, strict=True):
        call = Call(function(("adds one", ROWS, COLUMNS), write), (0, 1), (), rows, cost)
        pointers = tape.add(call, joined=bool(tape.work))
        pointers[0], pointers[1] = x, workers
    for turn in range(1, 60):
        tape()
        for (x, workers), rows in zip(several, items, strict=True):
            assert (x[:rows] == turn).all() and not x[rows:].any()
            assert workers[:rows].max() < count and (workers[rows:] == -1).all()
    assert tape.work == sum(items) * cost
    assert [name for name, _ in tape.times(1)] == ["together"]


def test_small_calls_stay_with_the_caller():
    set_num_threads(2)
    x, workers = arrays()
    tape_on(x, workers, 5, cost=10.0)()
    assert (x == 5).all() and (workers == 0).all()


def test_callers_side_by_side():
    set_num_threads(2)
    failures = []

    def caller():
        x, workers = arrays()
        tape = tape_on(x, workers, 20)
        for turn in range(1, 60):
            tape()
            if not (x == 20 * turn).all():
                failures.append(turn)

    callers = [threading.Thread(target=caller) for _ in range(4)]
    for each in callers:
        each.start()
    for each in callers:
        each.join()
    assert not failures


def test_a_change_of_the_number_of_threads():
    x, workers = arrays()
    tape = tape_on(x, workers, 10)
    for turn, count in enumerate((1, 4, 2, 1, 3), 1):
        set_num_threads(count)
        tape()
        assert (x == 10 * turn).all() and workers.max() < count


# In an interpreter of its own: other tests' libraries have threads too, and object to forks.
FORKING = """
import os, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from tests.engines.numba.test_threads import arrays, set_num_threads, tape_on
set_num_threads(2)
x, workers = arrays()
tape = tape_on(x, workers, 10)
tape()
child = os.fork()
if child == 0:
    status = 1
    try:
        for _ in range(5):
            tape()
        status = 0 if (x == 60).all() else 2
    finally:
        os._exit(status)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0
tape()
assert (x == 20).all()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_child_has_threads_of_its_own():
    subprocess.run([sys.executable, "-c", FORKING], check=True, timeout=120, cwd=ROOT)


def test_threads_end_when_there_are_fewer():
    set_num_threads(4)
    x, workers = arrays()
    tape = tape_on(x, workers, 4)
    tape()
    set_num_threads(1)
    tape()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        names = [t.name for t in threading.enumerate() if t.name.startswith("kbackend-numba-")]
        if not names:
            break
        time.sleep(0.01)
    assert not names
    assert threads.current(1).size == 1


def test_a_kernel_called_by_itself():
    x, workers = arrays()
    call = Call(function(("adds one", ROWS, COLUMNS), write), (0, 1), (), ROWS, 1e6)
    native([call, call]).run(x, workers)
    assert (x == 2).all()


def test_a_tape_that_runs_needs_no_waking():
    # A thread that comes back from spinning late finds the tape that began meanwhile.
    pool = threads.Pool(1)
    served = []

    def serve(*_):
        served.append(pool._running)
        # The second time the tape is over, and the pool closed.
        pool._running, pool._closed = len(served) < 2, len(served) > 1

    pool._runtime = type("Fake", (), {"serve": staticmethod(serve), "turns": 1})
    pool._wake[0].acquire()
    pool._running = True
    thread = threading.Thread(target=pool._serve, args=(0,), daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive() and served == [True, True]
