"""cuDNN's plans for a convolution: its graph, and which plans may be taken."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from kbackend_cupy.cudnn.case import Case, steps

# The numbers by which graphs know their tensors.
UIDS = {"image": 1, "filter": 2, "result": 3}
_TYPES = {"float32": "FLOAT", "float16": "HALF", "bfloat16": "BFLOAT16"}
# What no plan may do: other results from run to run, sums in less than float32, and products of
# other numbers than those that are given.
_NEVER = (
    "NONDETERMINISTIC", "REDUCED_PRECISION_REDUCTION", "DOWN_CONVERT_INPUTS", "FFT", "WINOGRAD",
    "WINOGRAD_TILE_4x4", "WINOGRAD_TILE_6x6", "WINOGRAD_TILE_13x13",
)  # fmt: skip
# For float32 they have TF32 alone.
_TENSOR_CORES = "TENSOR_CORE"
# Bytes of workspace that a plan may take.
ROOM = 256 << 20
# How many plans may be one engine with other parameters.
_ALIKE = 2


class Found(NamedTuple):
    """A plan that is ready.

    Attributes:
        graph: the frontend's graph.
        number: of the plan among the graph's.
        name: of the plan.
        workspace: bytes that it needs.
    """

    graph: Any
    number: int
    name: str
    workspace: int


def graph_of(fe: Any, handle: int | None, case: Case) -> Any:
    """The graph of a case, checked, without plans.

    Args:
        fe: the module `cudnn`.
        handle: cuDNN's, of the device; `None` where nothing is to be run.
        case: the convolution.
    """
    types = fe.data_type
    kind = getattr(types, _TYPES[case.dtype])
    graph = fe.pygraph(
        name=case.name,
        io_data_type=kind,
        intermediate_data_type=types.FLOAT,
        compute_data_type=types.FLOAT,
        handle=handle,
    )

    def tensor(role: str) -> Any:
        shape = case.shape(role)
        return graph.tensor(
            dim=shape, stride=steps(shape), data_type=kind, name=role, uid=UIDS[role]
        )

    how = {
        "pre_padding": case.low,
        "post_padding": case.high,
        "stride": case.strides,
        "dilation": case.dilation,
        "compute_data_type": types.FLOAT,
    }
    if case.name == "conv":
        role = "result"
        out = graph.conv_fprop(image=tensor("image"), weight=tensor("filter"), **how)
    elif case.name == "conv_input_grad":
        role = "image"
        out = graph.conv_dgrad(loss=tensor("result"), filter=tensor("filter"), **how)
    else:
        role = "filter"
        out = graph.conv_wgrad(image=tensor("image"), loss=tensor("result"), **how)
    shape = case.shape(role)
    out.set_dim(shape).set_stride(steps(shape)).set_uid(UIDS[role]).set_name(role)
    out.set_data_type(kind)
    out.set_output(True)
    graph.validate()
    graph.build_operation_graph()
    return graph


def barred(dtype: str, precise: bool) -> tuple[str, ...]:
    """Names of the numerical notes that no plan may have.

    Args:
        dtype: of the arrays.
        precise: whether products of float32 must be exact.
    """
    return (*_NEVER, _TENSOR_CORES) if dtype == "float32" and precise else _NEVER


class Plans:
    """Plans of cases.

    Args:
        cp: the module `cupy`.
        fe: the module `cudnn`.

    Attributes:
        errors: what is raised where there is no such plan.
    """

    def __init__(self, cp: Any, fe: Any) -> None:
        self._cp, self._fe = cp, fe
        self.errors = (fe.cudnnGraphNotSupportedError, RuntimeError)

    def key(self, case: Case, precise: bool, rivals: tuple[str, ...]) -> str:
        """The name of a choice among these plans and others on disk: all that it depends on."""
        properties = self._cp.cuda.runtime.getDeviceProperties(self._cp.cuda.runtime.getDevice())
        versions = (self._fe.backend_version(), self._fe.__version__)
        words = repr(("cudnn", case, precise, rivals, properties["name"], versions, ROOM))
        return hashlib.sha256(words.encode()).hexdigest()

    def built(
        self, handle: int, case: Case, precise: bool, name: str | None = None
    ) -> Iterator[Found]:
        """The plans that can be built, the most promising first, without many that are alike.

        Args:
            handle: cuDNN's, for the current device.
            case: the convolution.
            precise: whether products of float32 must be exact.
            name: of the only plan that is wanted.
        """
        fe = self._fe
        graph = graph_of(fe, handle, case)
        graph.create_execution_plans([fe.heur_mode.A, fe.heur_mode.FALLBACK])
        notes = fe.numerical_note.__members__
        graph.deselect_numeric_notes(
            [notes[note] for note in barred(case.dtype, precise) if note in notes]
        )
        graph.deselect_workspace_greater_than(ROOM)
        tried: set[str] = set()
        alike: dict[str, int] = {}
        for index in range(graph.get_execution_plan_count()):
            own = graph.get_plan_name_at_index(index)
            if own in tried or (name is not None and own != name):
                continue
            tried.add(own)
            engine = own.partition("_")[0]
            if alike.get(engine, 0) == _ALIKE:
                continue
            try:
                graph.build_plan_at_index(index)
            except self.errors:
                continue
            size = graph.get_workspace_size_plan_at_index(index)
            if size <= ROOM:
                alike[engine] = alike.get(engine, 0) + 1
                yield Found(graph, index, own, size)
