"""Kernels that a training step of PyTorch launches, counted where its operations are dispatched.

    python tests/engines/cupy/torch_launches.py MODEL …

Needs PyTorch, NumPy, and no GPU: below its differentiation, PyTorch hands each operation to the
kernels of a device by one call, the same on every device. A call that makes no view and no empty
memory counts as one launch, whatever it launches in fact: a call over a list of arrays or a
softmax may take several. Of the results of a convolution's gradient, each counts as one. The
numbers of steps, which Adam keeps on the host, count nothing.

The answer is a line of JSON: model -> way of Adam -> launches, and the bytes of their arrays.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

# Memory, parts of arrays, marks for a profiler, and what reads a number on the host.
_NONE = ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "detach",
         "_unsafe_view", "_reshape_alias", "lift_fresh", "alias", "set_", "unsafe_split",
         "_record_function_enter_new", "_record_function_exit", "_local_scalar_dense")  # fmt: skip
ADAMS = ("loop", "foreach", "fused")


def _counter(torch: Any) -> Any:
    """A mode that notes each operation: its name, how often, and the bytes of its arrays."""
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    def arrays(*values: Any) -> list[Any]:
        return [x for x in tree_leaves(values) if isinstance(x, torch.Tensor)]

    class Counter(TorchDispatchMode):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.launches = self.bytes = 0

        def __torch_dispatch__(
            self, func: Any, kinds: Any, args: Any = (), named: Any = None
        ) -> Any:
            out = func(*args, **(named or {}))
            name = func.overloadpacket.__name__
            given = arrays(args, named)
            counts_steps = name in ("add_", "_foreach_add_") and all(x.ndim == 0 for x in given)
            if not (func.is_view or name in _NONE or counts_steps):
                self.launches += sum(args[-1]) if name == "convolution_backward" else 1
                # What is changed in place is given and returned: read once and written once.
                for group in (given, arrays(out)):
                    self.bytes += sum({x.data_ptr(): x.nbytes for x in group}.values())
            return out

    return Counter()


def count(torch: Any, model: Any, adam: str) -> dict[str, int]:
    """What a step of a benchmark model launches."""
    torch.manual_seed(0)
    net, _ = model.build_torch(torch, True)
    learned = [p for p in net.parameters() if p.requires_grad]
    how = {"foreach": adam == "foreach", "fused": adam == "fused"}
    optimizer = torch.optim.Adam(learned, lr=1e-3, eps=1e-7, **how)
    x, y = model.data(1, 0)
    samples, labels = torch.from_numpy(x), torch.from_numpy(y).long()
    if samples.ndim == 4:
        samples = samples.permute(0, 3, 1, 2)
    net.train()

    def step() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(samples), labels).backward()
        optimizer.step()

    # Without oneDNN an LSTM is dispatched as the operations that its cells consist of.
    with torch.backends.mkldnn.flags(enabled=False):
        # The first makes the optimizer's memory.
        step()
        counter = _counter(torch)
        with counter:
            step()
    return {"launches": counter.launches, "bytes": counter.bytes}


def main(names: list[str]) -> None:
    """Prints the counts of models."""
    sys.path.insert(0, str(Path(__file__).parents[3]))
    warnings.simplefilter("ignore")
    import torch

    from benchmarks.models import all_models

    models = all_models()
    print(json.dumps({name: {a: count(torch, models[name], a) for a in ADAMS} for name in names}))


if __name__ == "__main__":
    main(sys.argv[1:])
