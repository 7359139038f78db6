"""Writes the worked example of `docs/design/compiler.md` from the code.

Run it as `python docs/worked_example.py`. The text around the example is written by hand and is
left alone.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "design" / "compiler.md"
sys.path.insert(0, str(ROOT))

from kbackend import GradientTape, layers, ops, optimizers  # noqa: E402
from kbackend.compiler.pipeline import stages  # noqa: E402
from kbackend.core.tensor import tensor  # noqa: E402
from kbackend.engine.loader import current_engine  # noqa: E402
from kbackend.ir.graph import Graph  # noqa: E402
from kbackend.ir.trace import trace  # noqa: E402

BEGIN, END = "<!-- begin example -->\n", "<!-- end example -->"


def training_step() -> Graph:
    """The trace of a training step of one Dense layer."""
    layer = layers.Dense(4, activation="relu")
    layer.build((8, 3))
    optimizer = optimizers.SGD(0.1)
    optimizer.build(layer.trainable_variables)

    def step(x: Any, y: Any) -> Any:
        with GradientTape() as tape:
            loss = ops.mean(ops.square(layer(x) - y))
        gradients = tape.gradient(loss, layer.trainable_variables)
        optimizer.apply(gradients, layer.trainable_variables)
        return loss

    batch = [tensor(np.zeros(shape, "float32")) for shape in ((8, 3), (8, 4))]
    return trace(step, batch).graph


def example() -> str:
    """The step as it is traced, and after each pass that changes it."""
    return "\n".join(_sections())


def _sections() -> Iterator[str]:
    before = ""
    for name, graph in stages(training_step(), current_engine()):
        text = str(graph)
        if text != before:
            yield f"After **{name}**:\n\n```text\n{text}\n```\n"
        before = text


def current_text(text: str) -> str:
    """The page with its example as the code has it now."""
    before, found, rest = text.partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not found or not closed:
        raise ValueError(f"[docs/worked_example.py] {PAGE} has lost its markers of the example.")
    return f"{before}{BEGIN}\n{example()}\n{END}{after}"


def main() -> None:
    """Writes the page."""
    PAGE.write_text(current_text(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
