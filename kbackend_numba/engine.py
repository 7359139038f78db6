"""The engine class: NumPy's arrays and table, with compiled kernels in compiled programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kbackend.engine.interface import Engine, Probe
from kbackend.engine.program import REDUCTIONS, Prepared, Program, Runner, Spec
from kbackend_numba.codegen.elementwise import FLOATS, OPERATIONS
from kbackend_numba.codegen.value import DTYPES, HALVES
from kbackend_numba.eager import with_eager
from kbackend_numba.kernels import region_scattered
from kbackend_numba.replay import NativeReplay
from kbackend_numba.table import COMPOSITES, EPILOGUES, OUTPUTS, PREPARE, prepare
from kbackend_numpy.engine import NumpyEngine
from kbackend_numpy.kernels.optimizer import COMPOSITES as UPDATES


class NumbaEngine(NumpyEngine):
    """Computes with kernels compiled for this machine's CPU."""

    name = "numba"
    fusible = frozenset(OPERATIONS) | REDUCTIONS
    epilogues = frozenset(EPILOGUES)
    gathers = 1 << 18
    # The batch stays whole: compiled kernels share their work themselves.
    parts = Engine.parts

    def __init__(self) -> None:
        super().__init__()
        self.composites = with_eager({**self.composites, **COMPOSITES}, PREPARE, OUTPUTS)

    @classmethod
    def probe(cls) -> Probe:
        """Whether LLVM can write code for this machine."""
        return Probe(usable=True)

    def opens(self, name: str, dtype: str) -> bool:
        """See `Engine.opens`: updates of optimizers become regions."""
        return name in UPDATES and dtype in FLOATS | HALVES

    def scatters(self, x: Spec, indices: tuple[Spec, ...], axes: tuple[int, ...]) -> bool:
        """See `Engine.scatters`: rows of a table."""
        return region_scattered.suits(x, indices, axes)

    def fuses_reduction(self, name: str, x: Spec, axes: tuple[int, ...]) -> bool:
        """See `Engine.fuses_reduction`: of what compiled code has dtypes for, and of something."""
        return x.size > 0 and x.dtype in DTYPES | HALVES

    def prepare(
        self,
        name: str,
        inputs: tuple[Spec, ...],
        outputs: tuple[Spec, ...],
        params: Mapping[str, Any],
    ) -> Prepared | None:
        """The compiled kernel of a step, or NumPy's where there is none for its shapes."""
        found = prepare(name, inputs, outputs, params)
        return found or super().prepare(name, inputs, outputs, params)

    def compile(self, program: Program) -> Runner:
        """The program as tapes of compiled kernels."""
        return NativeReplay(self, program)
