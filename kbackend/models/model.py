"""`Model`: a layer that can be trained, with layers of its own."""

from __future__ import annotations

from typing import Any, ClassVar

from kbackend.base import tree
from kbackend.layers.layer import Layer
from kbackend.models import inputs as model_inputs
from kbackend.models.persistence import Persistence
from kbackend.ops.function import Function
from kbackend.ops.keras_tensor import KerasTensor
from kbackend.trainers.trainer import Trainer


class Model(Persistence, Trainer, Layer):
    """Layers, and how to train and run them.

    There are three ways to make one: `Model(inputs, outputs)` from the KerasTensors of a functional
    graph; a subclass that makes layers in its constructor and implements `call`; and `Sequential`.

    Args:
        inputs: KerasTensor(s) made by `Input`, in any nested structure.
        outputs: KerasTensor(s) computed from them.
        name: name.
        trainable: whether the weights are to be trained.
        dtype: dtype, or policy, of a subclass.

    Example:
        >>> import kbackend as keras
        >>> x = keras.Input((4,))
        >>> model = keras.Model(x, keras.layers.Dense(2)(x))
        >>> model.predict(np.ones((3, 4)), verbose=0).shape
        (3, 2)
    """

    _function: Function | None = None
    # Set by functional.py, which knows this class.
    _functional_class: ClassVar[type]

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        kwargs = model_inputs.modern_spelling(kwargs)
        if cls is Model and model_inputs.is_functional_call(args, kwargs):
            # The public class serves for both; a graph makes it a Functional.
            return Layer.__new__(Model._functional_class, *args, **kwargs)
        return Layer.__new__(cls, *args, **kwargs)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs = model_inputs.modern_spelling(kwargs)
        functional = model_inputs.is_functional_call(args, kwargs)
        names = ("inputs", "outputs", "name")
        if functional:
            if len(args) > len(names):
                raise ValueError(
                    "[Model] takes inputs, outputs and a name. Received "
                    f"{len(args)} positional arguments."
                )
            kwargs = {**dict(zip(names, args, strict=False)), **kwargs}
            inputs, outputs = kwargs.pop("inputs"), kwargs.pop("outputs")
        elif args:
            raise ValueError(
                f"[{type(self).__name__}] super().__init__() takes keyword arguments, or inputs "
                f"and outputs. Received: {args}."
            )
        Layer.__init__(self, **kwargs)
        Trainer.__init__(self)
        if functional:
            self._set_graph(inputs, outputs)

    # ----- a functional graph -----

    def _set_graph(self, inputs: Any, outputs: Any) -> None:
        """Makes the operations between `inputs` and `outputs` the model's computation."""
        function = Function(inputs, outputs, name=self.name)
        self._function = function
        for operation in function.operations:
            if isinstance(operation, Layer):
                self._tracker.track(operation)
        self.built = True

    @property
    def inputs(self) -> list[KerasTensor] | None:
        """The KerasTensors that the graph starts from, or `None`."""
        return None if self._function is None else self._function.inputs

    @property
    def outputs(self) -> list[KerasTensor] | None:
        """The KerasTensors that the graph ends in, or `None`."""
        return None if self._function is None else self._function.outputs

    @property
    def input(self) -> Any:
        """The graph's input(s), in the structure that they were given in."""
        return self._graph("input").inputs_struct

    @property
    def output(self) -> Any:
        """The graph's output(s), in the structure that they were given in."""
        return self._graph("output").outputs_struct

    def _graph(self, attribute: str) -> Function:
        if self._function is None:
            raise AttributeError(
                f"[{self.name}] '{attribute}' is known only of a model with a graph: make it with "
                "Model(inputs, outputs), or give Sequential an Input."
            )
        return self._function

    @property
    def input_shape(self) -> Any:
        """Shape(s) of the graph's input(s)."""
        return tree.map_structure(lambda x: x.shape, self.input)

    @property
    def output_shape(self) -> Any:
        """Shape(s) of the graph's output(s)."""
        return tree.map_structure(lambda x: x.shape, self.output)

    @property
    def operations(self) -> list[Any]:
        """The graph's operations: layers, and ops called on KerasTensors."""
        return [] if self._function is None else list(self._function.operations)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """The outputs for `inputs`, by the graph; a subclass without one implements it.

        Args:
            inputs: structure of tensors like the model's inputs, or a dict by input name.
            training: whether the layers behave as in training.
            mask: mask(s) of the inputs.
        """
        if self._function is None:
            raise NotImplementedError(
                f"[{type(self).__name__}] a subclass of Model must implement call()."
            )
        return self._function.run(model_inputs.match(self._function, inputs, mask, self.name))

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """Masks come out of a graph with its outputs; a subclass hands its input's on."""
        return None if self._function is not None else previous_mask

    # ----- layers -----

    @property
    def layers(self) -> list[Layer]:
        """The layers directly inside of the model."""
        return self._direct_layers()

    @layers.setter
    def layers(self, value: Any) -> None:
        raise AttributeError(
            f"[{self.name}] 'layers' lists the model's layers and can't be set. Use another "
            "attribute name."
        )

    def _direct_layers(self) -> list[Layer]:
        return list(self._flatten_layers(include_self=False, recursive=False))

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer with the given name, or at the given place in `layers`.

        Raises:
            ValueError: there is no such layer, or not exactly one of the arguments is given.
        """
        if (name is None) == (index is None):
            raise ValueError(
                f"[{self.name}] get_layer() takes a name or an index. Received: name={name}, "
                f"index={index}."
            )
        layers = self.layers
        if index is not None:
            if not -len(layers) <= index < len(layers):
                raise ValueError(
                    f"[{self.name}] has {len(layers)} layers. Received: index={index}."
                )
            return layers[index]
        for layer in layers:
            if layer.name == name:
                return layer
        raise ValueError(
            f"[{self.name}] has no layer called {name!r}. Its layers: "
            f"{', '.join(layer.name for layer in layers)}."
        )
