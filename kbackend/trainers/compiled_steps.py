"""The compiled forms of a model's steps."""

from __future__ import annotations

from typing import Any

from kbackend.compiler.compiled import Compiled


class CompiledSteps:
    """Steps by name. A copy of a model starts without any: programs belong to its own variables."""

    def __init__(self) -> None:
        self._steps: dict[str, Compiled] = {}

    def of(self, model: Any, name: str) -> Compiled:
        """The compiled form of a step of `model`.

        Args:
            model: whose step it is.
            name: `train_step`, `test_step` or `predict_step`.
        """
        found = self._steps.get(name)
        if found is None:
            method = getattr(model, name)

            def run(data: Any) -> Any:
                outcome = method(data)
                # Losses and masks that layers keep belong to the trace, and end with it.
                model._clear_losses()
                return outcome

            found = self._steps[name] = Compiled(run, f"{model.name}.{name}", batched=True)
        return found

    def clear(self) -> None:
        """Forgets all: the model has changed."""
        self._steps.clear()

    def __deepcopy__(self, memo: Any) -> CompiledSteps:
        return CompiledSteps()

    def __reduce__(self) -> Any:
        return CompiledSteps, ()
