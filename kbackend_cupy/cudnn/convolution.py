"""Steps that are convolutions, as calls of cuDNN between copies to the order that it wants.

Filters come as (*window, channels, filters). cuDNN wants those of images whose channels are last to
begin with the filters, so they are turned on the way in, and their gradients on the way out.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from math import prod
from typing import Any

from kbackend.base import config
from kbackend.engine.program import Ints, Prepared, Spec
from kbackend_cupy import pointwise
from kbackend_cupy.blas import Blas
from kbackend_cupy.codegen import convolution as own
from kbackend_cupy.codegen.region import Plan
from kbackend_cupy.codegen.turned import copied, turned
from kbackend_cupy.cudnn import case as cases
from kbackend_cupy.cudnn.choice import Choices, Contest
from kbackend_cupy.cudnn.library import Handles, load
from kbackend_cupy.cudnn.plans import UIDS, Found, Plans
from kbackend_cupy.launches import caller, from_calls, prepared
from kbackend_cupy.modules import Modules

_log = logging.getLogger("kbackend.cupy")

# Bytes that addresses are multiples of.
_ALIGNED = 16


class Cudnn:
    """Convolutions by cuDNN, which is looked for when the first one comes.

    Args:
        cp: the module `cupy`.
        modules: where kernels that copy come from.
        blas: cuBLAS, which does what is a mere product.
    """

    def __init__(self, cp: Any, modules: Modules, blas: Blas) -> None:
        self._cp, self._modules, self._blas = cp, modules, blas
        self._loaded = False
        self._found: Convolutions | None = None

    def prepare(
        self,
        name: str,
        inputs: tuple[Spec, ...],
        outputs: tuple[Spec, ...],
        params: Mapping[str, Any],
    ) -> Prepared | None:
        """A convolution for given shapes, or `None` where cuDNN is missing or has none."""
        if name not in cases.ROLES:
            return None
        if not self._loaded:
            self._loaded = True
            self._found = self._load()
        return None if self._found is None else self._found.prepare(name, inputs, outputs, params)

    def _load(self) -> Convolutions | None:
        fe = load()
        if fe is None:
            return None
        found = Convolutions(self._cp, fe, self._modules, self._blas)
        try:
            found.handles.current()
        # A library that doesn't fit the driver or the device, which is no reason to fail.
        except RuntimeError as error:
            _log.info("cuDNN can't be used: %s", error)
            return None
        return found


class Convolutions:
    """Convolutions by cuDNN.

    Args:
        cp: the module `cupy`.
        fe: the module `cudnn`.
        modules: where kernels that copy come from.
        blas: cuBLAS, which does what is a mere product.

    Attributes:
        handles: cuDNN's.
    """

    def __init__(self, cp: Any, fe: Any, modules: Modules, blas: Blas) -> None:
        self._cp, self._modules, self._blas = cp, modules, blas
        self.handles, self._choices = Handles(cp, fe), Choices(cp, Plans(cp, fe))

    def prepare(
        self,
        name: str,
        inputs: tuple[Spec, ...],
        outputs: tuple[Spec, ...],
        params: Mapping[str, Any],
    ) -> Prepared | None:
        """A convolution for given shapes, or `None` where kernels of ours do it."""
        case = cases.of(name, inputs, outputs, **params)
        if case is None:
            return None
        roles, specs = cases.ROLES[name], (*outputs, *inputs)
        plain = tuple([Spec(spec.shape, spec.dtype) for spec in specs])
        product = pointwise.prepare(self._blas, name, plain[1:], plain[:1], params)
        plan = own.PREPARE[name](plain[1:], plain[:1], **params) if product is None else None
        rivals = () if plan is None else tuple([launch.name for launch in plan.launches])

        def make(found: Found | None) -> Prepared | None:
            if found is not None:
                return self._calls(found, roles, plain)
            return product if plan is None else prepared(plan, self._modules)

        precise = config.float32_matmul_precision() == "highest"
        contest = Contest(case, precise, rivals, plain, make)
        found = self._choices.find(self.handles.current(), contest)
        return None if found is None else self._calls(found, roles, specs)

    def _calls(self, found: Found, roles: tuple[str, ...], specs: tuple[Spec, ...]) -> Prepared:
        """The calls of a step: copies, the convolution, and for a filter's gradient a copy back."""
        scratch: list[Spec] = []
        before: list[Any] = []
        behind: list[Any] = []
        uids, places = [], []

        def room(shape: Ints, dtype: str) -> int:
            scratch.append(Spec(shape, dtype))
            return len(specs) + len(scratch) - 1

        for place, (role, spec) in enumerate(zip(roles, specs, strict=True)):
            at = place
            if role == "filter":
                rows, columns = prod(spec.shape[:-1]), spec.shape[-1]
                at = room((columns, rows), spec.dtype)
                if place == 0:
                    behind += turned(Spec((columns, rows), spec.dtype), (0, at))
                else:
                    before += _rows_of_filters(spec, (at, place))
            elif not spec.contiguous:
                at = room(spec.shape, spec.dtype)
                before += copied(spec, (at, place))
            uids.append(UIDS[role])
            places.append(at)
        if found.workspace:
            places.append(room((found.workspace,), "uint8"))
        calls = [(caller(one, self._modules), (), one.arrays, ()) for one in before]
        calls.append((self._call(found, tuple(uids)), (), tuple(places), ()))
        calls += [(caller(one, self._modules), (), one.arrays, ()) for one in behind]
        return from_calls(tuple(calls), Plan((), tuple(scratch)))

    def _call(self, found: Found, uids: Ints) -> Any:
        """The function that runs a plan: called with its tensors, the result first, and with its
        workspace, if it has one.
        """
        device, follow = self._cp.cuda.runtime.getDevice(), self.handles.follow
        graph, number, count = found.graph, found.number, len(uids)
        kept: dict[int, Any] = {}
        placed = self._placed

        def call(*arrays: Any) -> None:
            handle = follow(device)
            tensors = arrays[:count]
            result = tensors[0]
            aligned = [
                array if array.data.ptr % _ALIGNED == 0 else placed(kept, i, array, i > 0)
                for i, array in enumerate(tensors)
            ]
            memory = {uid: array.data.ptr for uid, array in zip(uids, aligned, strict=True)}
            space = arrays[count].data.ptr if len(arrays) > count else 0
            graph.execute_plan_at_index(memory, space, number, handle=handle)
            if aligned[0] is not result:
                self._cp.copyto(result, aligned[0])

        return call

    def _placed(self, kept: dict[int, Any], i: int, array: Any, filled: bool) -> Any:
        """Memory for an array that lies where cuDNN takes none, with its elements if `filled`.

        It stays: a stream that records what is called here may not allocate.
        """
        if i not in kept:
            kept[i] = self._cp.empty(array.shape, array.dtype)
        if filled:
            self._cp.copyto(kept[i], array)
        return kept[i]


def _rows_of_filters(spec: Spec, arrays: Ints) -> list[Any]:
    """Launches that write a filter as rows, one for each of its filters."""
    if spec.contiguous:
        return turned(Spec((prod(spec.shape[:-1]), spec.shape[-1]), spec.dtype), arrays)
    steps = spec.strides or ()
    first = Spec((spec.shape[-1], *spec.shape[:-1]), spec.dtype, (steps[-1], *steps[:-1]))
    return copied(first, arrays)
