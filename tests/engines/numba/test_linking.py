"""Functions are put into memory in a process whose memory is full of large arrays."""

import subprocess
import sys

_PROGRAM = """
import mmap

import numpy as np

from kbackend_numba.codegen import compile
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.target import host

# A function that lies apart from its constants would end the process.
linker, kept = compile._Linker(), []
for number in range(120):
    code = Code(f"f{number}", host())
    x = code.array(0)
    constants = code.vector([number + 1.5, 2, 3, 4], "float64")
    code.store(code.load(x, 0, "float64", 4) * constants, x, 0)
    (address,) = linker.add(compile.object_code(code.finish, host()), [f"f{number}"])
    for size in (4096, 1 << 16, 1 << 20, 1 << 30, 1 << 31):
        kept.append(mmap.mmap(-1, size))
    values = np.ones(4)
    table = np.array([values.ctypes.data])
    compile.PROTOTYPE(address)(table.ctypes.data, table.ctypes.data, 0, 1, 0)
    assert values.tolist() == [number + 1.5, 2, 3, 4]
print("all", number + 1)
"""


def test_large_arrays_between():
    found = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True)
    assert found.stdout == "all 120\n", found.stderr[-2000:]
