"""`LowRank`: adapters of low rank beside a frozen weight."""

from __future__ import annotations

from typing import Any

import numpy as np

from kbackend.core import lang, operators
from kbackend.layers.arguments import positive_int
from kbackend.layers.layer import Layer
from kbackend.state.variable import Variable


class LowRank(Layer):
    """Base of layers with one large weight that can be adapted by a product of two small ones.

    A subclass keeps the weight in the attribute `_<name>`, and names it in `_adapted`. It calls
    `_configure_lora` in its constructor and `_build_lora` at the end of `build`.

    Reference:
        E. Hu et al., "LoRA: low-rank adaptation of large language models", ICLR 2022.
    """

    _adapted: str

    def _configure_lora(self, rank: Any, alpha: Any, quantization_config: Any) -> None:
        kind = type(self).__name__
        if quantization_config is not None:
            raise ValueError(
                f"[{kind}] quantized weights are not supported. Received: "
                f"quantization_config={quantization_config!r}. Leave it out."
            )
        self.lora_rank = None if rank is None else positive_int(kind, "lora_rank", rank)
        self.lora_alpha = rank if alpha is None else alpha
        self.lora_enabled = False
        self.quantization_config = None

    def _build_lora(self) -> None:
        if self.lora_rank is not None:
            self.enable_lora(self.lora_rank, lora_alpha=self.lora_alpha)

    def enable_lora(
        self,
        rank: int,
        a_initializer: Any = "he_uniform",
        b_initializer: Any = "zeros",
        lora_alpha: float | None = None,
    ) -> None:
        """Freezes the weight and adds the trainable product `a @ b` of the given rank to it.

        Args:
            rank: size of the dimension between `a` and `b`.
            a_initializer: initializer of `a`.
            b_initializer: initializer of `b`.
            lora_alpha: the product is scaled by `lora_alpha / rank`; `rank` by default.

        Raises:
            ValueError: the layer is not built, has an adapter, or its weight has a constraint.
        """
        kind, name = type(self).__name__, self._adapted
        rank = positive_int(kind, "rank", rank)
        if getattr(self, f"{name}_constraint") is not None:
            raise ValueError(
                f"[{self.name}] an adapter of low rank can't meet the constraint of '{name}'. "
                f"Make the layer without {name}_constraint."
            )
        if not self._has_weight:
            raise ValueError(f"[{self.name}] must be built before enable_lora().")
        if self.lora_enabled:
            raise ValueError(f"[{self.name}] has an adapter of low rank already.")
        weight = self._weight
        regularizer = getattr(self, f"{name}_regularizer")
        made = [
            self.add_weight(
                name=f"lora_{name}_{part}", shape=shape, initializer=initializer,
                regularizer=regularizer,
            )
            for part, shape, initializer in (
                ("a", (*weight.shape[:-1], rank), a_initializer),
                ("b", (rank, weight.shape[-1]), b_initializer),
            )
        ]  # fmt: skip
        for part, variable in zip("ab", made, strict=True):
            setattr(self, f"lora_{name}_{part}", variable)
        weight.trainable = False
        self.lora_enabled = True
        self.lora_rank = rank
        self.lora_alpha = rank if lora_alpha is None else lora_alpha

    @property
    def _has_weight(self) -> bool:
        return f"_{self._adapted}" in self.__dict__

    @property
    def _weight(self) -> Variable:
        """The weight without its adapter."""
        if not self._has_weight:
            raise AttributeError(
                f"[{self.name}] has no '{self._adapted}' before it is built. Call it on data, or "
                "build(input_shape)."
            )
        variable: Variable = self.__dict__[f"_{self._adapted}"]
        return variable

    @property
    def _factors(self) -> tuple[Variable, Variable]:
        return getattr(self, f"lora_{self._adapted}_a"), getattr(self, f"lora_{self._adapted}_b")

    def _adapted_weight(self) -> Any:
        """The weight as it is to be used: the variable, or its sum with the adapter."""
        weight = self._weight
        if not self.lora_enabled:
            return weight
        a, b = (factor.read() for factor in self._factors)
        scale = self.lora_alpha / self.lora_rank
        return lang.add(weight.read(), lang.mul(operators.matmul(a, b), scale))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = {**super().get_config(), "quantization_config": None}
        if self.lora_rank is not None:
            config |= {"lora_rank": self.lora_rank, "lora_alpha": self.lora_alpha}
        return config

    # ----- saving: the sum of weight and adapter is what is stored -----

    def save_own_variables(self, store: Any) -> None:
        """Writes the layer's own weights, the adapted one with its adapter added."""
        if not self.lora_enabled:
            super().save_own_variables(store)
            return
        for i, variable in enumerate(self._stored):
            store[str(i)] = self._adapted_weight() if variable is self._weight else variable

    def load_own_variables(self, store: Any) -> None:
        """Reads the layer's own weights; the adapter becomes zero.

        Raises:
            ValueError: their number or a shape is wrong; nothing is changed then.
        """
        if not self.lora_enabled:
            super().load_own_variables(store)
            return
        wanted = self._stored
        if len(store.keys()) != len(wanted):
            raise ValueError(
                f"[{self.name}] expects {len(wanted)} variables. The file has "
                f"{len(store.keys())}: {sorted(store.keys())}."
            )
        values = [v.conform(np.asarray(store[str(i)])) for i, v in enumerate(wanted)]
        for variable, value in zip(wanted, values, strict=True):
            variable.assign(value)
        for factor in self._factors:
            factor.assign(lang.zeros(factor.shape, "float32"))

    @property
    def _stored(self) -> list[Variable]:
        """The variables that a file holds: all but the adapter's."""
        factors = self._factors
        own = [*self._trainable_variables, *self._non_trainable_variables]
        return [v for v in own if not any(v is factor for factor in factors)]
