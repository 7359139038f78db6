"""What a tensor engine is: a table of kernels and a few ways to move arrays in and out.

The floors above know an engine only by this interface. An engine's arrays are opaque to them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from kbackend.base.errors import EngineError
from kbackend.engine.interpreter import Interpreter
from kbackend.engine.memory import MemoryInfo, host_memory
from kbackend.engine.program import Cut, Prepared, Program, Runner, Spec

KernelFn = Callable[..., Any]
# (specs of the inputs, specs of the outputs, **parameters) -> a kernel, or None where it has none
Prepare = Callable[..., Prepared | None]


@dataclass(frozen=True)
class Kernel:
    """One primitive's implementation on one engine, with the conditions under which it applies.

    Attributes:
        fn: called with the engine's arrays positionally and the primitive's parameters by keyword;
            returns an array, or a tuple of arrays for a primitive with several results.
        dtypes: names of the dtypes of the first argument that `fn` takes, or `None` for all.
        prepare: makes the same kernel for given shapes and dtypes, writing into memory that it is
            handed; for compiled programs. It may decline with `None`: then `fn` is called.
        takes: of a composite's kernel, called with the specs of its arguments: whether it is for
            such arguments. For others `fn` returns `NotImplemented`, and the body runs. `None`: it
            is for all.
    """

    fn: KernelFn
    dtypes: frozenset[str] | None = None
    prepare: Prepare | None = None
    takes: Callable[[tuple[Spec, ...]], bool] | None = None


@dataclass(frozen=True)
class Probe:
    """Whether an engine can run here, and if not, why not and what would mend it."""

    usable: bool
    reason: str = ""
    mend: str = ""


class Engine:
    """Base class of all engines.

    A subclass sets `name`, fills `table` (primitive name -> `Kernel`) and, if it likes,
    `composites` (composite name -> `Kernel`), and implements the array transfers.
    """

    name: ClassVar[str]
    # Capabilities that floors above may ask for by name (see `supports`).
    capabilities: ClassVar[frozenset[str]] = frozenset()
    # Primitives whose results can be views of their argument, given by offset and strides. Programs
    # for engines without them keep every value in memory of its own.
    views: ClassVar[frozenset[str]] = frozenset()
    # What regions may hold: elementwise primitives, composites that are as elementwise as they, and
    # reductions (`kbackend.engine.program.REDUCTIONS`). Without them every operation is a step.
    fusible: ClassVar[frozenset[str]] = frozenset()
    # Primitives and composites whose kernels can end with a region that takes their result, as
    # steps "epilogue"; see `Step`. Such a step is made only where `prepare` has a kernel for it.
    epilogues: ClassVar[frozenset[str]] = frozenset()
    # Bytes that elementwise steps which only leave the program, as updates of variables do, may
    # keep alive while they wait, so that they come one after the other and can be done at once.
    gathers: ClassVar[int] = 0
    # Steps for which memory stays unused when its value is needed no longer: steps so near to each
    # other are not kept in their order by memory that the later one was given.
    rests: ClassVar[int] = 0

    def __init__(self, table: Mapping[str, Kernel], composites: Mapping[str, Kernel]) -> None:
        self.table = dict(table)
        self.composites = dict(composites)
        # Resolved once, so that a call costs one dictionary look-up.
        self.kernels: dict[str, KernelFn] = {
            name: self._guarded(name, kernel) for name, kernel in self.table.items()
        }

    def _guarded(self, name: str, kernel: Kernel) -> KernelFn:
        """`kernel.fn`, preceded by the dtype check where the kernel states one."""
        allowed = kernel.dtypes
        if allowed is None:
            return kernel.fn

        def checked(first: Any, *args: Any, **params: Any) -> Any:
            dtype = self.dtype_of(first)
            if dtype not in allowed:
                raise EngineError(
                    f"The engine '{self.name}' has no kernel for '{name}' on {dtype}; it takes "
                    f"{', '.join(sorted(allowed))}. Cast the input first."
                )
            return kernel.fn(first, *args, **params)

        return checked

    @classmethod
    def probe(cls) -> Probe:
        """Whether this engine can run on this machine."""
        return Probe(usable=True)

    def supports(self, capability: str) -> bool:
        """Whether the engine declares the named capability."""
        return capability in self.capabilities

    def asarray(self, value: Any, dtype: str | None = None, copy: bool = True) -> Any:
        """The engine's own array for a NumPy array, nested list or scalar.

        Args:
            value: host data.
            dtype: name of the dtype wanted; `None` keeps the data's own.
            copy: whether the result must own its memory; `False` may share that of `value`.
        """
        raise EngineError(f"The engine '{self.name}' does not implement asarray().")

    def to_numpy(self, array: Any) -> np.ndarray[Any, Any]:
        """A host copy (or read-only view) of one of the engine's arrays."""
        raise EngineError(f"The engine '{self.name}' does not implement to_numpy().")

    def upload(self, value: np.ndarray[Any, Any], copy: bool = True) -> Any:
        """What `asarray` does, for a batch of data.

        An engine with the capability "upload" copies a batch while its device computes what it was
        given before. Such a copy is worth to be begun before the batch is needed.

        Args:
            value: an array of the host, in its byte order.
            copy: as in `asarray`.
        """
        return self.asarray(value, copy=copy)

    def take_rows(
        self, array: np.ndarray[Any, Any], indices: np.ndarray[Any, Any]
    ) -> np.ndarray[Any, Any]:
        """Rows of an array of the host, in memory from which `upload` is quick.

        Args:
            array: contiguous.
            indices: of rows; within bounds, none negative.
        """
        return array.take(indices, axis=0)

    def fetch(self, array: Any) -> Callable[[], np.ndarray[Any, Any]]:
        """Begins what `to_numpy` does; the function that is returned ends it, and gives the result.

        A device may go on with other work in between. By default all is done at once.
        """
        host = self.to_numpy(array)
        return lambda: host

    def dtype_of(self, array: Any) -> str:
        """Name of the dtype of one of the engine's arrays."""
        raise EngineError(f"The engine '{self.name}' does not implement dtype_of().")

    def owns(self, value: Any) -> bool:
        """Whether `value` is an array of the kind that this engine computes on."""
        return False

    def parts(self, cut: Cut) -> int:
        """In how many parts a step should cut its batch; 1: it stays whole.

        Args:
            cut: what would be done in parts.
        """
        return 1

    def fuses_reduction(self, name: str, x: Spec, axes: tuple[int, ...]) -> bool:
        """Whether a reduction that `fusible` names is worth a place in a region.

        Args:
            name: the primitive.
            x: what it reduces; the region's domain.
            axes: those that it reduces.
        """
        return True

    def scatters(self, x: Spec, indices: tuple[Spec, ...], axes: tuple[int, ...]) -> bool:
        """Whether regions can take rows that are scattered among zeros as these rows.

        They are steps "scattered" then; see `kbackend.engine.program.Step`. Such a step is made
        only where `prepare` has a kernel for it.

        Args:
            x: what the rows are scattered to: an array of the region's shape.
            indices: where they go, as for "scatter".
            axes: which axes are indexed.
        """
        return False

    def opens(self, name: str, dtype: str) -> bool:
        """Whether a composite stays whole only until regions are made.

        It then becomes its body, so that what comes before and after it can join in.

        Args:
            name: the composite, one for which there is a kernel.
            dtype: of its first argument.
        """
        return False

    def takes_composite(self, name: str, inputs: tuple[Spec, ...]) -> bool:
        """Whether there is a kernel for a composite of such arguments."""
        kernel = self.composites.get(name)
        if kernel is None or (kernel.dtypes is not None and inputs[0].dtype not in kernel.dtypes):
            return False
        return kernel.takes is None or kernel.takes(inputs)

    def contiguous(self, array: Any) -> Any:
        """One of the engine's arrays with its elements in row-major order."""
        return array

    def copy(self, array: Any) -> Any:
        """The elements in memory that nothing else uses."""
        return self.asarray(self.to_numpy(array), self.dtype_of(array))

    def overwrite(self, array: Any, value: Any) -> bool:
        """Writes elements into an array that nothing else uses, where that spares new memory.

        Args:
            array: what is overwritten.
            value: an array of the same shape and dtype.

        Returns:
            Whether it was done. Engines that can't, or gain nothing by it, leave the array alone.
        """
        return False

    def prepare(
        self,
        name: str,
        inputs: tuple[Spec, ...],
        outputs: tuple[Spec, ...],
        params: Mapping[str, Any],
    ) -> Prepared | None:
        """The kernel of a step for given shapes, or `None` where there is only the general one."""
        kernel = self.table.get(name) or self.composites.get(name)
        if kernel is None or kernel.prepare is None:
            return None
        return kernel.prepare(inputs, outputs, **params)

    def compile(self, program: Program) -> Runner:
        """Makes a program ready to run; by default its steps call the kernels of the table."""
        return Interpreter(self, program)

    def device_scope(self, name: str) -> AbstractContextManager[Any]:
        """A context in which new arrays are made on the device `name`, such as "cpu" or "gpu:1".

        Raises:
            EngineError: the engine has no such device.
        """
        if name.lower() not in ("cpu", "cpu:0"):
            raise EngineError(
                f"The engine '{self.name}' computes on the device 'cpu:0' only. Received: {name!r}."
            )
        return nullcontext()

    def synchronize(self) -> None:
        """Waits until all work handed to the device is done. Nothing to wait for on a host."""

    def memory_info(self) -> MemoryInfo:
        """Memory of the current device; by default that of the host."""
        return host_memory()

    def limit_memory(self) -> None:
        """Obeys `config.memory_limit` from now on. On a host there is no limit."""

    def free_memory(self) -> None:
        """Gives back what is kept for arrays to come. By default nothing is."""

    def __repr__(self) -> str:
        return f"<engine {self.name}: {len(self.table)} primitives>"
