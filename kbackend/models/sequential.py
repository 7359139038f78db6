"""`Sequential`: layers one after the other."""

from __future__ import annotations

import inspect
from typing import Any

from kbackend.base import tree
from kbackend.base.serialization import deserialize, serialize
from kbackend.layers.call_spec import is_tensor
from kbackend.layers.core.input_layer import InputLayer
from kbackend.layers.layer import Layer
from kbackend.models.functional import Model
from kbackend.models.inputs import input_tensor_of
from kbackend.ops.keras_tensor import KerasTensor


class Sequential(Model):
    """A stack of layers, each with one input and one output.

    Args:
        layers: list of layers (or of functions of a tensor); an `Input` may come first.
        trainable: whether the weights are to be trained.
        name: name.

    Example:
        >>> import kbackend as keras
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        >>> model.output_shape
        (None, 2)
    """

    def __init__(self, layers: Any = None, trainable: bool = True, name: str | None = None) -> None:
        super().__init__(trainable=trainable, name=name)
        self._stack: list[Layer] = []
        for layer in layers or []:
            self.add(layer, rebuild=False)
        self._rebuild()

    def add(self, layer: Any, rebuild: bool = True) -> None:
        """Puts a layer on top of the stack.

        Args:
            layer: layer, or KerasTensor made by `Input`.
            rebuild: whether to make the graph at once where the input's shape is known.

        Raises:
            ValueError: it is not a layer, its name is taken, or an `Input` is not the first.
        """
        if isinstance(layer, KerasTensor) and hasattr(layer, "_keras_history"):
            layer = layer._keras_history.operation
        if not isinstance(layer, Layer):
            if inspect.isfunction(layer) or inspect.isbuiltin(layer):
                raise ValueError(
                    "[Sequential] a function can't be added. Wrap it: "
                    f"layers.Lambda({layer.__name__})."
                )
            raise ValueError(
                f"[Sequential] only layers can be added. Received: {layer!r} of type "
                f"{type(layer).__name__}."
            )
        if any(known.name == layer.name for known in self._stack):
            raise ValueError(
                f"[Sequential] the layers' names must differ. '{layer.name}' is there already."
            )
        if isinstance(layer, InputLayer) and self._stack:
            raise ValueError(
                f"[Sequential] '{self.name}' starts with '{self._stack[0].name}' already; an Input "
                "must come first."
            )
        if not self._stack and getattr(layer, "_given_shape", None) is not None:
            # The classic spelling: the first layer says what the model receives.
            self._stack.append(InputLayer(batch_shape=layer._given_shape, dtype=layer.input_dtype))
        self._stack.append(layer)
        if rebuild:
            self._rebuild()
        else:
            self.built = False

    def pop(self, rebuild: bool = True) -> Layer:
        """Takes the top layer off the stack and returns it."""
        if not self.layers:
            raise ValueError(f"[Sequential] '{self.name}' has no layers to pop.")
        layer = self._stack.pop()
        if rebuild:
            self._rebuild()
        return layer

    def _rebuild(self) -> None:
        """Makes the graph anew if the stack says what it receives."""
        self._function = None
        self.built = False
        self._steps.clear()
        if len(self._stack) > 1 and isinstance(self._stack[0], InputLayer):
            self._make_graph(self._stack[0].output)
        elif (
            len(self._stack) > 0 and isinstance(self._stack[0], Model) and self._stack[0]._function
        ):
            first = self._stack[0]
            shape = tree.map_structure(lambda x: x.shape, first.input)
            self._make_graph(input_tensor_of(shape, tree.flatten(first.input)[0].dtype))

    def _make_graph(self, inputs: Any) -> None:
        x = inputs
        for layer in self.layers:
            try:
                x = layer(x)
            except NotImplementedError:
                # Its shapes can't be inferred: the stack is simply called, layer by layer.
                return
        if any(not isinstance(leaf, KerasTensor) for leaf in tree.flatten(x)):
            return
        self._set_graph(inputs, x)

    def _set_graph(self, inputs: Any, outputs: Any) -> None:
        super()._set_graph(inputs, outputs)
        # The stack says which layers there are; the graph adds its input layer, which has no state.
        self._layers[:] = [layer for layer in self._stack if not isinstance(layer, InputLayer)]

    def build(self, input_shape: Any = None) -> None:
        """Makes the graph for an input of the given shape (the batch included)."""
        if self._function is None and input_shape is not None and self.layers:
            dtype = self.layers[0].input_dtype
            self._make_graph(input_tensor_of(input_shape, dtype))
        self.built = self._function is not None

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """The top layer's output."""
        if self._function is not None and self._fits(inputs):
            return super().call(inputs, training=training, mask=mask)
        x = inputs
        for layer in self.layers:
            kwargs: dict[str, Any] = {}
            signature = layer._call_signature
            if signature.has_mask and mask is not None:
                kwargs["mask"] = mask
            if signature.has_training and training is not None:
                kwargs["training"] = training
            x = layer(x, **kwargs)
            mask = tree.map_structure(lambda y: getattr(y, "_keras_mask", None), x)
        return x

    def _fits(self, inputs: Any) -> bool:
        """Whether the graph was made for inputs of this number and rank."""
        flat = tree.flatten(inputs)
        wanted = self._function.inputs  # type: ignore[union-attr]
        return len(flat) == len(wanted) and all(
            is_tensor(x) and abs(len(x.shape) - len(w.shape)) <= 1
            for x, w in zip(flat, wanted, strict=True)
        )

    def _direct_layers(self) -> list[Layer]:
        """The layers of the stack, without the input."""
        stack = self.__dict__.get("_stack", [])
        return [layer for layer in stack if not isinstance(layer, InputLayer)]

    @property
    def input_dtype(self) -> str:
        """Dtype of the first layer's inputs."""
        return self._stack[0].input_dtype if self._stack else super().input_dtype

    # ----- configuration -----

    @property
    def _layers_first(self) -> bool:
        return True

    def get_config(self) -> dict[str, Any]:
        """The stack, and the shape that it was built for."""
        stack = list(self._stack)
        if self._function is not None and not isinstance(stack[0], InputLayer):
            stack.insert(0, self._function.inputs[0]._keras_history.operation)
        config = {**Layer.get_config(self), "layers": [serialize(x) for x in stack]}
        shape = self._input_shape_or_none()
        return config if shape is None else {**config, "build_input_shape": shape}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """A stack from what `get_config` returned.

        Args:
            config: the configuration.
            custom_objects: name -> class or function of the user's that it refers to.
        """
        if "layers" not in config:
            return super().from_config(config, custom_objects)
        model = cls(name=config.get("name"))
        for form in config["layers"]:
            layer = deserialize(form, custom_objects=custom_objects)
            if not isinstance(layer, Layer):
                raise ValueError(f"[Sequential] the config holds no layer, but {layer!r}.")
            model.add(layer, rebuild=False)
        model._rebuild()
        shape = config.get("build_input_shape")
        if model._function is None and shape is not None:
            model.build(tree.lists_to_tuples(shape))
        if not config.get("trainable", True):
            model.trainable = False
        return model

    def get_build_config(self) -> dict[str, Any] | None:
        """The shape that the stack was built for, or `None`."""
        shape = self._input_shape_or_none()
        return None if shape is None else {"input_shape": shape}

    def _input_shape_or_none(self) -> Any:
        if self._function is not None:
            return self.input_shape
        return None if self._build_shapes is None else self._build_shapes.get("input_shape")
