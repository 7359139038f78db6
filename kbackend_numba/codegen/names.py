"""What a call brings, by name."""

from __future__ import annotations

from collections.abc import Sequence

from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.value import Address, Value


class Names:
    """The arrays and sizes of a call.

    Args:
        code: where they are used.
        arrays: names of the arrays, in their order.
        sizes: names of the sizes, in their order.
    """

    def __init__(self, code: Code, arrays: Sequence[str], sizes: Sequence[str]) -> None:
        self._code = code
        self._arrays = {name: i for i, name in enumerate(arrays)}
        self._sizes = {name: i for i, name in enumerate(sizes)}

    def array(self, name: str) -> Address:
        """The address of an array."""
        return self._code.array(self._arrays[name])

    def size(self, name: str) -> Value:
        """One of the integers."""
        return self._code.size(self._sizes[name])
