"""Bytes that launches move, counted while their texts run on the CPU.

g++ puts a call before each access to memory, as for its sanitizer; the calls are to functions here,
which note what lies in a launch's arrays. Memory is counted in sectors of 32 bytes, as devices
transfer it: each once for each block that touches it, as if a block's cache held all that it
touches and none were shared with other blocks; and each once for the whole launch, which is what a
cache that holds the launch's arrays leaves to the device's memory.
"""

from __future__ import annotations

import ctypes
import functools
from typing import NamedTuple

import numpy as np

from kbackend.base.dtypes import itemsize, numpy_dtype
from kbackend.engine.program import Ints, Program, Spec, Step
from kbackend.engine.strides import contiguous_strides
from kbackend_cupy.codegen.launch import Launch
from kbackend_cupy.scan import PreparedScan
from tests.engines.cupy.planned import PlannedCalls
from tests.gpu_simulator import cuda_on_cpu

_SECTOR = 32
_FLAGS = (
    "-O1", "-ffp-contract=fast", "-fsanitize=kernel-address",
    "--param=asan-instrumentation-with-call-threshold=0", "--param=asan-stack=0",
    "--param=asan-globals=0",
)  # fmt: skip
_HOOKS = r"""
namespace counted {
typedef uintptr_t At;
struct Range { At begin, end; unsigned *read, *written; };
struct Report { unsigned long by_block, by_launch; int count; Range ranges[4096]; };
extern "C" __attribute__((visibility("default"))) Report counted_report = {};
#define PLAIN __attribute__((no_sanitize("kernel-address"), noinline))
PLAIN static void note(At place, size_t size, bool written) {
    static int last = 0;
    Report& report = counted_report;
    const Range* range = report.ranges + last;
    if (last >= report.count || place < range->begin || place >= range->end) {
        for (last = 0; last < report.count; ++last) {
            range = report.ranges + last;
            if (place >= range->begin && place < range->end) break;
        }
        if (last == report.count) return;
    }
    const unsigned now = on_cpu::block_number;
    unsigned* stamps = written ? range->written : range->read;
    const At end = (place + size - 1 - range->begin) / 32;
    for (At sector = (place - range->begin) / 32; sector <= end; ++sector) {
        if (stamps[sector] == now) continue;
        if (!stamps[sector]) ++report.by_launch;
        ++report.by_block;
        stamps[sector] = now;
    }
}
extern "C" {
#define COUNTED(size)                                                       \
    PLAIN void __asan_load##size##_noabort(At p) { note(p, size, false); }  \
    PLAIN void __asan_store##size##_noabort(At p) { note(p, size, true); }
COUNTED(1) COUNTED(2) COUNTED(4) COUNTED(8) COUNTED(16)
PLAIN void __asan_loadN_noabort(At p, size_t size) { note(p, size, false); }
PLAIN void __asan_storeN_noabort(At p, size_t size) { note(p, size, true); }
PLAIN void __asan_handle_no_return() {}
PLAIN void __asan_before_dynamic_init(const char*) {}
PLAIN void __asan_after_dynamic_init() {}
}
}
"""


class Moved(NamedTuple):
    """Bytes.

    Attributes:
        least: each input read once, each output written once.
        by_launch: what is touched, each sector once for each launch.
        by_block: each sector once for each block.
    """

    least: int
    by_launch: int
    by_block: int

    def plus(self, other: Moved, times: int = 1) -> Moved:
        """The sum with so many times as much as another."""
        return Moved(*[a + times * b for a, b in zip(self, other, strict=True)])


class _Range(ctypes.Structure):
    _fields_ = [("begin", ctypes.c_size_t), ("end", ctypes.c_size_t),
                ("read", ctypes.c_void_p), ("written", ctypes.c_void_p)]  # fmt: skip


class _Report(ctypes.Structure):
    _fields_ = [("by_block", ctypes.c_ulong), ("by_launch", ctypes.c_ulong),
                ("count", ctypes.c_int), ("ranges", _Range * 4096)]  # fmt: skip


def _memory(spec: Spec) -> tuple[np.ndarray, np.ndarray]:
    """Values for an array: all of its memory, and that from its first element on."""
    steps = spec.strides or contiguous_strides(spec.shape)
    spans = [s * (d - 1) for s, d in zip(steps, spec.shape, strict=True)] if spec.size else []
    below, above = -sum(s for s in spans if s < 0), sum(s for s in spans if s > 0)
    size = itemsize(spec.dtype)
    count = below + above + 1
    raw = np.zeros(count * size + 2 * _SECTOR, np.uint8)
    start = -raw.ctypes.data % _SECTOR
    found = raw[start : start + count * size].view(numpy_dtype(spec.dtype))
    # Of any sign, so that both sides of a choice are read; integers are indices.
    rng = np.random.default_rng(0)
    found[:] = (
        rng.integers(0, 2, count) if found.dtype.kind in "biu" else rng.standard_normal(count)
    )
    return found, found[below:]


@functools.cache
def launched(
    launches: tuple[Launch, ...], arrays: tuple[Spec, ...], same: Ints, tickets: int = 0
) -> Moved:
    """What launches move, beside `least`.

    Args:
        launches: of one step.
        arrays: outputs, inputs and scratch of the step.
        same: for each array the first one that is the same memory.
        tickets: how many follow the arrays. They are not counted.
    """
    memory = [_memory(spec) for spec in arrays]
    zeros = np.zeros(tickets, np.uint32)
    memory = [*[memory[i] for i in same], (zeros, zeros)]
    total = Moved(0, 0, 0)
    for launch in launches:
        library = cuda_on_cpu.build(_HOOKS + launch.text, flags=_FLAGS)
        report = _Report.in_dll(ctypes.CDLL(str(library)), "counted_report")
        held = []
        wanted = dict.fromkeys(same[i] for i in launch.arrays if i < len(same))
        report.by_block = report.by_launch = 0
        report.count = len(wanted)
        for number, i in enumerate(wanted):
            whole, _ = memory[i]
            begin = whole.ctypes.data
            stamps = np.zeros((2, whole.nbytes // _SECTOR + 2), np.uint32)
            held.append(stamps)
            report.ranges[number] = _Range(
                begin, begin + whole.nbytes, stamps[0].ctypes.data, stamps[1].ctypes.data
            )
        given = [*[memory[i][1] for i in launch.arrays], *launch.scalars]
        cuda_on_cpu.launch(library, launch.name, launch.grid, launch.block, given)
        report.count = 0
        total = total.plus(Moved(0, report.by_launch * _SECTOR, report.by_block * _SECTOR))
    return total


def _bytes(spec: Spec) -> int:
    """Of the elements of an array, those that are repeated counted once."""
    steps = spec.strides or contiguous_strides(spec.shape)
    count = int(np.prod([d for d, s in zip(spec.shape, steps, strict=True) if s] or [1]))
    return count * itemsize(spec.dtype) if spec.size else 0


def _least(step: Step, specs: tuple[Spec, ...]) -> int:
    read = dict.fromkeys(step.inputs)
    if step.name == "region":
        known = step.params["region"].known
        read = dict.fromkeys(v for i, v in enumerate(step.inputs) if i not in known)
    if step.name == "gather":
        # As many elements as the result has.
        first, *indices = step.inputs
        result = _bytes(specs[step.outputs[0]])
        return 2 * result + sum(_bytes(specs[i]) for i in indices)
    return sum(_bytes(specs[value]) for value in (*read, *step.outputs))


def of_step(step: Step, specs: tuple[Spec, ...]) -> Moved:
    """What a step moves."""
    least = _least(step, specs)
    if isinstance(step.prepared, PreparedScan):
        return Moved(0, 0, 0).plus(of_program(step.params["body"]), step.params["length"])
    if not isinstance(step.prepared, PlannedCalls):
        # cuBLAS, of which nobody knows better.
        return Moved(least, least, least)
    plan = step.prepared.plan
    values = (*step.outputs, *step.inputs)
    arrays = (*[specs[v] for v in values], *plan.scratch)
    same = [values.index(v) for v in values]
    same += range(len(values), len(arrays))
    found = launched(plan.launches, arrays, tuple(same), plan.tickets)
    # What one launch of a step hands on to others is written, and read by each of them.
    for i in range(len(values), len(arrays)):
        takers = sum(i in launch.arrays for launch in plan.launches)
        least += takers * _bytes(arrays[i]) if takers > 1 else 0
    return found._replace(least=least)


def of_program(program: Program) -> Moved:
    """What all steps of a program move."""
    total = Moved(0, 0, 0)
    for step in program.steps:
        total = total.plus(of_step(step, program.specs))
    return total
