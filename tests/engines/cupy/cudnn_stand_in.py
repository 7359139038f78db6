"""A module `cudnn` that notes what graphs are built, and computes them with kernels of ours.

It has the names of NVIDIA's frontend that are used, takes what that takes, and refuses what that
refuses. Images and filters are found by the dimensions and strides that a graph gives them.
"""

from __future__ import annotations

import enum
import types
from importlib.machinery import ModuleSpec
from typing import Any

from kbackend.base.dtypes import numpy_dtype
from kbackend.engine.program import Spec
from kbackend.engine.strides import contiguous_strides
from kbackend_cupy.launches import memory, prepared
from kbackend_cupy.modules import Modules
from kbackend_cupy.prepare import PREPARE

# Plans in the order of the heuristics: name, notes, bytes of workspace.
PLANS = (
    ("quick", ("TENSOR_CORE",), 4096),
    ("twice", ("NONDETERMINISTIC",), 0),
    ("broken", (), 0),
    ("exact", (), 0),
    ("wide", (), 1 << 40),
    ("roomy", (), 1 << 12),
)


class NotSupported(Exception):  # noqa: N818
    """There is no such plan."""


class DataType(enum.Enum):
    """Dtypes."""

    NOT_SET = 0
    FLOAT = 1
    HALF = 2
    BFLOAT16 = 3


NumericalNote = enum.Enum(
    "NumericalNote",
    "TENSOR_CORE DOWN_CONVERT_INPUTS REDUCED_PRECISION_REDUCTION FFT NONDETERMINISTIC WINOGRAD "
    "WINOGRAD_TILE_4x4 WINOGRAD_TILE_6x6 WINOGRAD_TILE_13x13 STRICT_NAN_PROP",
)
HeurMode = enum.Enum("HeurMode", "A B FALLBACK")
_NAMES = {DataType.FLOAT: "float32", DataType.HALF: "float16", DataType.BFLOAT16: "bfloat16"}


class Tensor:
    """A tensor of a graph."""

    def __init__(self, dim: Any = (), stride: Any = (), data_type: Any = None, uid: int = -1):
        self.dim, self.stride, self.data_type, self.uid = tuple(dim), tuple(stride), data_type, uid
        self.output = False

    def set_dim(self, dim: Any) -> Tensor:
        self.dim = tuple(dim)
        return self

    def set_stride(self, stride: Any) -> Tensor:
        self.stride = tuple(stride)
        return self

    def set_uid(self, uid: int) -> Tensor:
        self.uid = uid
        return self

    def set_name(self, name: str) -> Tensor:
        return self

    def set_data_type(self, data_type: Any) -> Tensor:
        self.data_type = data_type
        return self

    def set_output(self, output: bool) -> Tensor:
        self.output = output
        return self


class Stand:
    """The module, on a device.

    Args:
        cp: the module `cupy`.

    Attributes:
        graphs: all that were made.
        executed: names of plans that ran.
        streams: handle -> stream.
        slow: names of plans that take long.
        own: whether kernels of ours may be chosen.
    """

    def __init__(self, cp: Any) -> None:
        self.cp = cp
        self.graphs: list[Graph] = []
        self.executed: list[str] = []
        self.streams: dict[int, int] = {}
        self.slow: set[str] = set()
        self.own = False
        self.modules = Modules(cp)

    def create_handle(self) -> int:
        self.streams[len(self.streams) + 1] = 0
        return len(self.streams)

    def set_stream(self, handle: int, stream: int) -> None:
        self.streams[handle] = stream

    def module(self) -> types.ModuleType:
        """What `import cudnn` shall find."""
        made = types.ModuleType("cudnn")
        made.__spec__ = ModuleSpec("cudnn", None)
        made.__dict__.update(
            __version__="1.18.0", backend_version=lambda: 91900, data_type=DataType,
            numerical_note=NumericalNote, heur_mode=HeurMode, create_handle=self.create_handle,
            set_stream=self.set_stream, cudnnGraphNotSupportedError=NotSupported,
            pygraph=lambda **given: Graph(self, **given),
        )  # fmt: skip
        return made


class Graph:
    """A graph of one convolution."""

    def __init__(
        self, stand: Stand, *, name: str, io_data_type: Any, intermediate_data_type: Any,
        compute_data_type: Any, handle: int,
    ) -> None:  # fmt: skip
        assert handle in stand.streams
        assert intermediate_data_type is compute_data_type is DataType.FLOAT
        self.stand, self.name, self.kind = stand, name, io_data_type
        self.tensors: dict[str, Tensor] = {}
        self.how: dict[str, Any] = {}
        self.checked: list[str] = []
        self.barred: set[str] = set()
        self.room: int | None = None
        self.built: set[int] = set()
        self._runs: dict[Any, Any] = {}
        stand.graphs.append(self)

    def tensor(self, *, dim: Any, stride: Any, data_type: Any, name: str, uid: int) -> Tensor:
        return Tensor(dim, stride, data_type, uid)

    def _convolution(self, op: str, roles: dict[str, Tensor], made: str, how: Any) -> Tensor:
        assert how.pop("compute_data_type") is DataType.FLOAT
        assert sorted(how) == ["dilation", "post_padding", "pre_padding", "stride"]
        self.op, self.how, self.made = op, how, made
        self.tensors = {**roles, made: Tensor()}
        return self.tensors[made]

    def conv_fprop(self, *, image: Tensor, weight: Tensor, **how: Any) -> Tensor:
        return self._convolution("conv", {"image": image, "filter": weight}, "result", how)

    def conv_dgrad(self, *, loss: Tensor, filter: Tensor, **how: Any) -> Tensor:
        return self._convolution(
            "conv_input_grad", {"result": loss, "filter": filter}, "image", how
        )

    def conv_wgrad(self, *, image: Tensor, loss: Tensor, **how: Any) -> Tensor:
        return self._convolution(
            "conv_filter_grad", {"image": image, "result": loss}, "filter", how
        )

    def validate(self) -> None:
        image, filters, result = (self.tensors[r] for r in ("image", "filter", "result"))
        assert self.tensors[self.made].output
        for one in (image, filters, result):
            assert one.data_type is self.kind and len(one.dim) == len(one.stride) in (4, 5)
        assert image.dim[0] == result.dim[0] and filters.dim[0] == result.dim[1]
        assert image.dim[1] % filters.dim[1] == 0
        how = self.how
        for d, size in enumerate(image.dim[2:]):
            padded = size + how["pre_padding"][d] + how["post_padding"][d]
            reach = how["dilation"][d] * (filters.dim[d + 2] - 1) + 1
            assert (padded - reach) // how["stride"][d] + 1 == result.dim[d + 2]
        self.checked.append("valid")

    def build_operation_graph(self) -> None:
        assert self.checked == ["valid"]
        self.checked.append("built")

    def create_execution_plans(self, modes: list[HeurMode]) -> None:
        assert self.checked == ["valid", "built"] and modes
        self.checked.append("plans")

    def deselect_numeric_notes(self, notes: list[Any]) -> None:
        assert self.checked[-1] == "plans" and all(isinstance(n, NumericalNote) for n in notes)
        self.barred |= {note.name for note in notes}

    def deselect_workspace_greater_than(self, size: int) -> None:
        self.room = size

    def get_execution_plan_count(self) -> int:
        return len(PLANS)

    def get_plan_name_at_index(self, index: int) -> str:
        return PLANS[index][0]

    def build_plan_at_index(self, index: int) -> None:
        name, notes, size = PLANS[index]
        if self.barred & set(notes) or (self.room is not None and size > self.room):
            raise NotSupported(name)
        if name == "broken":
            raise RuntimeError("this plan can't be built")
        self.built.add(index)

    def get_workspace_size_plan_at_index(self, index: int) -> int:
        return PLANS[index][2] if index in self.built else 0

    # ----- running -----

    def execute_plan_at_index(
        self, memory: dict[int, int], workspace: int, index: int, handle: int
    ) -> None:
        cp = self.stand.cp
        assert index in self.built
        assert self.stand.streams[handle] == cp.cuda.get_current_stream().ptr
        name, _, size = PLANS[index]
        self.stand.executed.append(name)
        assert all(type(place) is int and place % 16 == 0 for place in memory.values())
        for _ in range(20 if name in self.stand.slow else 1):
            if size:
                _array(cp, workspace, (size,), "uint8", (1,)).fill(255)
            self._run({role: memory[one.uid] for role, one in self.tensors.items()})

    def _run(self, memory: dict[str, int]) -> None:
        """Computes with the kernels of this engine, which take arrays channels last."""
        cp, dtype = self.stand.cp, _NAMES[self.kind]
        views, specs = {}, {}
        for role, one in self.tensors.items():
            # (batch, channels, *space) -> (batch, *space, channels); of filters (*window, in, out).
            order = (*range(2, len(one.dim)), 1, 0)
            if role != "filter":
                order = (0, *range(2, len(one.dim)), 1)
            shape = tuple([one.dim[i] for i in order])
            strides = tuple([one.stride[i] for i in order])
            views[role] = _array(cp, memory[role], shape, dtype, strides)
            straight = strides == contiguous_strides(shape)
            specs[role] = Spec(shape, dtype, None if straight else strides)
        own = [role for role in ("image", "result", "filter") if role != self.made]
        target = Spec(specs[self.made].shape, dtype)
        if self.op not in self._runs:
            self._runs[self.op] = self._made(own, specs, target)
        run, room = self._runs[self.op]
        run(room[0], *[views[role] for role in own], *room[1:])
        cp.copyto(views[self.made], room[0])

    def _made(self, own: list[str], specs: dict[str, Spec], target: Spec) -> Any:
        how = self.how
        pads = tuple(zip(how["pre_padding"], how["post_padding"], strict=True))
        image, filters = self.tensors["image"].dim, self.tensors["filter"].dim
        params = {
            "strides": tuple(how["stride"]), "padding": pads, "dilation": tuple(how["dilation"]),
            "groups": image[1] // filters[1],
        }  # fmt: skip
        if self.op == "conv_input_grad":
            params["space"] = image[2:]
        if self.op == "conv_filter_grad":
            params["window"] = filters[2:]
        plan = PREPARE[self.op](tuple([specs[role] for role in own]), (target,), **params)
        made = prepared(plan, self.stand.modules)
        cp = self.stand.cp
        return made.run, [cp.empty(target.shape, numpy_dtype(target.dtype)), *memory(cp, made)]


def _array(cp: Any, place: int, shape: Any, dtype: str, strides: Any) -> Any:
    """Memory at an address as an array."""
    kind = numpy_dtype(dtype)
    reach = sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) + 1
    memory = cp.cuda.UnownedMemory(place, reach * kind.itemsize, None)
    steps = tuple([s * kind.itemsize for s in strides])
    return cp.ndarray(shape, kind, memptr=cp.cuda.MemoryPointer(memory, 0), strides=steps)
