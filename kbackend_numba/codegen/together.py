"""Several calls that don't need each other as one call: its items are those of all of them."""

from __future__ import annotations

from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.compile import Function, function

# Words for each call: its function, the tables of its arrays and sizes, its first item among all.
MEMBER = 4


def together() -> Function:
    """The function that goes through calls.

    Its sizes are the number of calls, `MEMBER` words for each, and the number of all items at the
    place of a next one's first.
    """
    return function(("together", MEMBER), _write)


def _write(code: Code) -> None:
    with code.loop(0, code.size(0)) as member:
        words = member * MEMBER + 1
        first, behind = code.size(words + 3), code.size(words + 3 + MEMBER)
        begin = code.maximum(code.begin, first)
        end = code.minimum(code.end, behind)
        with code.when(begin < end):
            kernel, arrays, sizes = [code.size(words + i) for i in range(3)]
            code.run(kernel, arrays, sizes, begin - first, end - first)
