"""What lets a model be stored: its configuration, how it was built and compiled, and files."""

from __future__ import annotations

import inspect
import json
import warnings
from typing import Any

from kbackend.base import tree
from kbackend.base.serialization import deserialize, object_sharing_scope, serialize
from kbackend.layers.layer import Layer
from kbackend.models.graph_config import graph_config, is_graph_config, read_graph
from kbackend.models.summary import print_summary
from kbackend.saving.model_file import save_model
from kbackend.saving.model_weights import load_weights, save_weights
from kbackend.trainers.trainer import Trainer


class Persistence:
    """Mixed into `Model`: saving, loading and describing."""

    # ----- configuration -----

    @property
    def _layers_first(self) -> bool:
        """Whether files keep the layers under `layers`, before any other attributes."""
        return self._function is not None  # type: ignore[attr-defined]

    def get_config(self) -> dict[str, Any]:
        """The graph of a functional model; the constructor's arguments of a subclass."""
        if self._function is not None and _takes_graph(type(self)):  # type: ignore[attr-defined]
            return graph_config(self)
        return Layer.get_config(self)  # type: ignore[arg-type]

    # Nothing that a subclass says about its configuration.
    get_config._inherited = True  # type: ignore[attr-defined]

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """A model from what `get_config` returned.

        Args:
            config: the configuration.
            custom_objects: name -> class or function of the user's that it refers to.
        """
        if is_graph_config(config) and _takes_graph(cls):
            inputs, outputs = read_graph(
                config, lambda form: deserialize(form, custom_objects=custom_objects)
            )
            model = cls(inputs, outputs, name=config.get("name"))  # type: ignore[call-arg]
            if not config.get("trainable", True):
                model.trainable = False  # type: ignore[attr-defined]
            return model
        try:
            return cls(**deserialize_policy(config))
        except TypeError as error:
            raise TypeError(
                f"[{cls.__name__}] can't be made from its config: {error}. Define get_config() and "
                f"from_config() so that they fit the constructor. Received: {config}."
            ) from error

    def to_json(self, **kwargs: Any) -> str:
        """The configuration as JSON text, without weights; see `models.model_from_json`.

        Args:
            **kwargs: arguments of `json.dumps`.
        """
        with object_sharing_scope():
            return json.dumps(serialize(self), **kwargs)

    # ----- how it was built -----

    def build(self, input_shape: Any) -> None:
        """Makes the weights, by a call on symbolic inputs of the given batch shape(s).

        Args:
            input_shape: shape, or structure of shapes, with the batch dimension.

        Raises:
            ValueError: `call` can't be run on such inputs.
        """
        if self.built or input_shape is None:  # type: ignore[attr-defined]
            return
        self._build_by_call(tree.lists_to_tuples(input_shape))  # type: ignore[attr-defined]

    build._inherited = True  # type: ignore[attr-defined]

    # ----- how it was compiled -----

    def get_compile_config(self) -> dict[str, Any] | None:
        """The arguments of `compile`, as plain data; `None` if a subclass has its own `compile`."""
        if type(self).compile is not Trainer.compile:  # type: ignore[attr-defined]
            return None
        if not self.compiled:  # type: ignore[attr-defined]
            return {}
        arguments = {**self._compile_arguments, "optimizer": self.optimizer}  # type: ignore[attr-defined]
        return {key: serialize(value) for key, value in arguments.items()}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles the model as `get_compile_config` says, and builds its optimizer.

        Args:
            config: what `get_compile_config` returned.
        """
        if type(self).compile is not Trainer.compile:  # type: ignore[attr-defined]
            warnings.warn(
                f"[{self.name}] has a compile() of its own, so that its arguments were not "  # type: ignore[attr-defined]
                "restored. Compile the model, or define get_compile_config() and "
                "compile_from_config().",
                stacklevel=2,
            )
            return
        self.compile(**deserialize(config))  # type: ignore[attr-defined]
        optimizer = self.optimizer  # type: ignore[attr-defined]
        if optimizer is not None and self.built and not optimizer.built:  # type: ignore[attr-defined]
            optimizer.build(self.trainable_variables)  # type: ignore[attr-defined]

    # ----- files -----

    def save(self, filepath: Any, overwrite: bool = True, zipped: bool | None = None) -> None:
        """Writes the model to a `.keras` file; see `saving.save_model`.

        Args:
            filepath: path that ends in ".keras".
            overwrite: whether an existing file is replaced.
            zipped: accepted for compatibility; a `.keras` file is always one zip archive.
        """
        save_model(self, filepath, overwrite=overwrite, zipped=zipped)

    def save_weights(self, filepath: Any, overwrite: bool = True) -> None:
        """Writes the state to a `.weights.h5` file; see `saving.save_weights`.

        Args:
            filepath: path that ends in ".weights.h5".
            overwrite: whether an existing file is replaced.
        """
        save_weights(self, filepath, overwrite=overwrite)

    def load_weights(
        self, filepath: Any, skip_mismatch: bool = False, by_name: bool = False
    ) -> None:
        """Sets the state from a file; see `saving.load_weights`.

        Args:
            filepath: path of a ".weights.h5" or ".keras" file.
            skip_mismatch: whether layers that the file does not fit keep their state.
            by_name: whether layers are found in the file by their names.
        """
        load_weights(self, filepath, skip_mismatch=skip_mismatch, by_name=by_name)

    # ----- description -----

    def summary(
        self,
        line_length: int | None = None,
        positions: Any = None,
        print_fn: Any = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: Any = None,
    ) -> None:
        """Prints a table of the layers, their output shapes and numbers of parameters.

        Args:
            line_length: width of the table.
            positions: where each column ends, in characters or as fractions of the width.
            print_fn: what takes each line of the text in place of standard output.
            expand_nested: whether to show the layers inside of nested models.
            show_trainable: whether to show what is trained.
            layer_range: names (or regular expressions) of the first and the last layer to show.

        Raises:
            ValueError: `layer_range` names no layers.
        """
        print_summary(
            self, line_length=line_length, positions=positions, print_fn=print_fn,
            expand_nested=expand_nested, show_trainable=show_trainable, layer_range=layer_range,
        )  # fmt: skip


def _takes_graph(cls: type) -> bool:
    """Whether the constructor takes inputs and outputs, as `Model`'s does."""
    names = list(inspect.signature(cls.__init__).parameters)[1:]  # type: ignore[misc]
    return names[:2] in (["args", "kwargs"], ["inputs", "outputs"])


def deserialize_policy(config: dict[str, Any]) -> dict[str, Any]:
    """A config in which objects described as plain data are made."""
    return {
        key: deserialize(value) if isinstance(value, dict) and "class_name" in value else value
        for key, value in config.items()
    }
