"""`Layer`: state and a computation. What all layers and models are."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from kbackend import constraints, initializers, regularizers
from kbackend.autodiff.custom import remat
from kbackend.autodiff.remat_scope import current_remat_scope
from kbackend.base import tree
from kbackend.core.bind import abstract_maker, abstract_values
from kbackend.core.masks import flat_masks, get_keras_mask, masks_of, set_keras_mask
from kbackend.core.surroundings import depends_on
from kbackend.core.tensor import Tensor
from kbackend.engine.loader import current_engine
from kbackend.ir.trace import current_trace, pop_layer, push_layer
from kbackend.layers.call_spec import (
    BuildSignature,
    CallSignature,
    bind_arguments,
    is_tensor,
    keyword_names,
    read_build,
    read_call,
    shape_of,
    symbols_of,
    tensor_arguments,
)
from kbackend.layers.classic import pop_input_shape
from kbackend.layers.input_spec import check_input
from kbackend.layers.state_holder import StateHolder
from kbackend.ops.keras_tensor import KerasTensor, any_symbolic, infer_spec
from kbackend.ops.operation import Operation
from kbackend.state import dtype_policy
from kbackend.state.scopes import (
    StatelessScope,
    autocast_dtype,
    name_scope,
    pop_autocast,
    push_autocast,
    stateless_scope,
)
from kbackend.state.variable import Variable


class CallContext:
    """What holds during the outermost layer's call, for all layers called within it."""

    __slots__ = ("entry", "training")

    def __init__(self, entry: Layer, training: bool | None) -> None:
        self.entry = entry
        self.training = training


_context: ContextVar[CallContext | None] = ContextVar("kbackend_call", default=None)


def _training_around() -> bool | None:
    """Whether the layer that is being called trains."""
    context = _context.get()
    return None if context is None else context.training


depends_on(_training_around)


class Layer(StateHolder, Operation):
    """A computation with state.

    A subclass makes its weights in `build(input_shape)` with `add_weight`, and computes in
    `call(inputs)`, which may also take `training` and `mask`.

    Args:
        activity_regularizer: regularizer of the output.
        trainable: whether the weights are to be trained.
        dtype: dtype, or policy, of weights and computation; the global policy by default.
        autocast: whether floating inputs are cast to the compute dtype.
        name: name, made up from the class by default.

    Example:
        >>> import kbackend as keras
        >>> class Scale(keras.layers.Layer):
        ...     def build(self, input_shape):
        ...         self.factor = self.add_weight(shape=(input_shape[-1],), initializer="ones")
        ...     def call(self, x):
        ...         return x * self.factor
        >>> Scale()(keras.ops.ones((2, 3))).shape
        (2, 3)
    """

    _call_signature: CallSignature
    _build_signature: BuildSignature

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._call_signature = read_call(cls.call)
        if "build" in cls.__dict__:
            cls._build_signature = read_build(cls.__dict__["build"])
            cls.build = _remembering_shapes(cls.__dict__["build"])  # type: ignore[method-assign]

    def __init__(
        self,
        *,
        activity_regularizer: Any = None,
        trainable: bool = True,
        dtype: Any = None,
        autocast: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        Operation.__init__(self, name=name)
        self._make_tracker()
        self._given_shape = pop_input_shape(kwargs)
        if kwargs:
            raise ValueError(
                f"[{type(self).__name__}] unknown keyword arguments: {', '.join(kwargs)}."
            )
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.dtype_policy = dtype_policy.get(dtype)
        self.autocast = autocast
        self.input_spec: Any = None
        self.supports_masking = False
        self.built = False
        self._trainable = bool(trainable)
        self._losses: list[Any] = []
        self._build_shapes: dict[str, Any] | None = None
        self._remat = current_remat_scope()
        self._output_size: int | None = None
        # Set by layers that take plain Python values as positional arguments.
        self._allow_non_tensor_positional_args = False

    # ----- weights -----

    def add_weight(
        self,
        shape: Any = None,
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        aggregation: str = "none",
        overwrite_with_gradient: bool = False,
        name: str | None = None,
    ) -> Variable:
        """A weight of the layer.

        Args:
            shape: shape; a scalar by default.
            initializer: initializer or its name; Glorot uniform for floats, zeros for others.
            dtype: dtype; the layer's variable dtype by default.
            trainable: whether it is to be trained.
            autocast: whether it is read in the compute dtype.
            regularizer: regularizer, or its name.
            constraint: constraint, or its name.
            aggregation: how replicas' updates are combined.
            overwrite_with_gradient: whether the optimizer replaces it by its gradient.
            name: name.

        Returns:
            The variable.
        """
        shape = () if shape is None else shape
        dtype = self.variable_dtype if dtype is None else dtype
        if initializer is None:
            initializer = "glorot_uniform" if "float" in str(dtype) else "zeros"
        with name_scope(self.name, caller=self):
            variable = Variable(
                initializers.get(initializer), shape=shape, dtype=dtype, trainable=trainable,
                autocast=autocast, aggregation=aggregation, name=name,
            )  # fmt: skip
        variable.regularizer = regularizers.get(regularizer)
        variable.constraint = constraints.get(constraint)
        variable.overwrite_with_gradient = overwrite_with_gradient
        self._tracker.track(variable)
        if trainable and not self._trainable:
            variable.trainable = False
        return variable

    # ----- dtypes -----

    @property
    def dtype(self) -> str:
        """Dtype of the weights."""
        return self.variable_dtype

    @property
    def variable_dtype(self) -> str:
        """Dtype of the weights."""
        return self.dtype_policy.variable_dtype

    @property
    def compute_dtype(self) -> str:
        """Dtype of the computation."""
        return self.dtype_policy.compute_dtype

    @property
    def input_dtype(self) -> str:
        """Dtype that inputs are cast to."""
        return self.dtype_policy.compute_dtype

    # ----- building -----

    def build(self, *args: Any, **kwargs: Any) -> None:
        """Makes the weights for an input of the given shape. Nothing to make here."""
        self.built = True

    build._inherited = True  # type: ignore[attr-defined]

    def _build_for(self, bound: dict[str, Any]) -> None:
        """Builds from the tensors of the first call."""
        shapes_of = {f"{name}_shape": shape_of(x) for name, x in tensor_arguments(bound).items()}
        build = type(self).build
        if shapes_of and not getattr(build, "_inherited", False):
            signature = self._build_signature
            named = {
                name: shape
                for name, shape in shapes_of.items()
                if signature.variadic or name in signature.names
            }
            if named and (signature.variadic or len(signature.names) > 1):
                self.build(**named)
            else:
                self.build(next(iter(shapes_of.values())))
        elif self._layers and self._build_shapes is None:
            # The layers inside are built when they are called: from these shapes, when loaded.
            self._build_shapes = shapes_of or None
        self.built = True

    def _build_by_call(self, *shapes: Any, **named: Any) -> None:
        """Builds the layers inside by a call on symbolic inputs of the given shapes."""
        made = [symbols_of(tree.lists_to_tuples(s), self.input_dtype) for s in shapes]
        keywords = {
            name.removesuffix("_shape"): symbols_of(tree.lists_to_tuples(s), self.input_dtype)
            for name, s in named.items()
        }
        self.built = True
        try:
            infer_spec(self, *made, **keywords)
        except Exception as error:
            self.built = False
            raise ValueError(
                f"[{self.name}] call() can't be run on inputs of the shape(s) "
                f"{shapes or named}: {error} Call it on data instead, or define build()."
            ) from error
        self._build_shapes = named or {"input_shape": shapes[0]}

    def get_build_config(self) -> dict[str, Any] | None:
        """The shapes that the layer was built with, or `None`."""
        shapes_ = self._build_shapes
        if shapes_ is None:
            return None
        if len(shapes_) == 1:
            return {"input_shape": next(iter(shapes_.values()))}
        return {"shapes_dict": shapes_}

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Builds from `get_build_config`'s answer."""
        if not config:
            return
        if getattr(type(self).build, "_inherited", False) and self._layers:
            if "input_shape" in config:
                self._build_by_call(config["input_shape"])
            elif "shapes_dict" in config:
                self._build_by_call(**config["shapes_dict"])
        elif "input_shape" in config:
            self.build(tree.lists_to_tuples(config["input_shape"]))
        elif "shapes_dict" in config:
            self.build(**{k: tree.lists_to_tuples(v) for k, v in config["shapes_dict"].items()})

    # ----- calling -----

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        signature = self._call_signature
        symbolic = False
        # One tensor of the right dtype, the usual call within a model, needs no conversion.
        if (
            len(args) == 1
            and not kwargs
            and args[0].__class__ is Tensor
            and (args[0].dtype == self.dtype_policy.compute_dtype)
            and args[0].engine is current_engine()
        ):
            inputs: Any = args[0]
            previous_mask = get_keras_mask(inputs)
        else:
            given_args, given_kwargs = args, kwargs
            args, kwargs = self._convert(args, kwargs)
            symbolic = abstract_maker() is None and any_symbolic((args, kwargs))
            inputs = args[0] if args else next(iter(kwargs.values()), None)
            previous_mask = masks_of(inputs)
        if not self.built:
            self._build_for(bind_arguments(signature, args, kwargs))
        if self.input_spec is not None:
            check_input(self.input_spec, inputs, self.name)
        context = _context.get()
        explicit = training = kwargs.pop("training", None)
        if training is None:
            training = context.training if context is not None else None
            if training is None:
                training = signature.training_default
        if signature.has_training or signature.any_keyword and training is not None:
            if "training" not in signature.names[: len(args)]:
                kwargs["training"] = training
        if previous_mask is not None or signature.mask_names:
            self._pass_masks(signature, args, kwargs, previous_mask)
        if kwargs and kwargs.get("mask") is not None:
            previous_mask = kwargs["mask"]  # one given to the call counts like one on the inputs
        token = None
        if context is None:
            self._clear_losses()
            token = _context.set(CallContext(self, training))
        elif explicit is not None and explicit != context.training:
            token = _context.set(CallContext(context.entry, explicit))
        wanted = self.dtype_policy.compute_dtype if self.autocast else None
        cast_token = push_autocast(wanted) if autocast_dtype() != wanted else None
        layer_token = None if current_trace() is None else push_layer(self.name)
        try:
            if symbolic:
                # What a model replays is what was asked for: casts, training and masks come anew.
                outputs = self._connect(
                    given_args, given_kwargs, self.compute_output_spec(*args, **kwargs)
                )
                with abstract_values(KerasTensor.of):
                    self._attach_masks(inputs, outputs, previous_mask)
                return outputs
            if self._remat is None:
                outputs = self.call(*args, **kwargs)
            else:
                outputs = self._call_again_for_gradient(*args, **kwargs)
            if previous_mask is not None or self._makes_masks:
                self._attach_masks(inputs, outputs, previous_mask)
            if self.activity_regularizer is not None:
                self._penalize(outputs)
        finally:
            if cast_token is not None:
                pop_autocast(cast_token)
            if token is not None:
                _context.reset(token)
            if layer_token is not None:
                pop_layer(layer_token)
        return outputs

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """The layer's computation."""
        raise NotImplementedError(f"[{type(self).__name__}] a subclass must implement call().")

    def _call_again_for_gradient(self, *args: Any, **kwargs: Any) -> Any:
        """`call`, keeping no intermediate values where the RematScope says so."""
        scope = self._remat
        covered = scope is not None and scope.covers(
            self.name, getattr(self, "activation", None) is not None, self._output_size
        )
        outputs = (remat(self.call) if covered else self.call)(*args, **kwargs)
        self._output_size = sum(x.size for x in tree.flatten(outputs) if is_tensor(x))
        return outputs

    def _convert(self, args: Any, kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Arrays as tensors on the current engine, floating ones in the compute dtype."""
        policy, autocast, dtype = self.dtype_policy, self.autocast, self.input_dtype

        def convert(x: Any) -> Any:
            if is_tensor(x) or isinstance(x, Variable) or hasattr(x, "__array__"):
                out = policy.convert_input(x, autocast, dtype)
                mask = get_keras_mask(x)
                if mask is not None and out is not x:
                    set_keras_mask(out, mask)
                return out
            return x

        args = tuple(tree.map_structure(convert, arg) for arg in args)
        if not self._allow_non_tensor_positional_args:
            for arg in tree.flatten(args):
                if arg is not None and not is_tensor(arg):
                    raise ValueError(
                        f"[{self.name}] only tensors may be positional arguments. Received: "
                        f"{arg!r} of type {type(arg).__name__}. Pass it by keyword, or convert it "
                        "with ops.convert_to_tensor."
                    )
        return args, {key: tree.map_structure(convert, value) for key, value in kwargs.items()}

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Structure of KerasTensors with the shapes and dtypes of the outputs.

        Found by running `call` on KerasTensors; where that fails, by the layer's own
        `compute_output_shape` if it defines one.
        """
        try:
            return infer_spec(self.call, *args, **kwargs)
        except Exception:
            if type(self).compute_output_shape is Layer.compute_output_shape:
                raise
            shapes = tree.map_structure(lambda x: getattr(x, "shape", None), args)
            return symbols_of(self.compute_output_shape(*shapes), self.compute_dtype)

    def compute_output_shape(self, *args: Any, **kwargs: Any) -> Any:
        """Shape of the output for the given input shape(s).

        Args:
            *args: one shape, or a structure of shapes, per argument of `call`.
            **kwargs: the same by name (`<argument>_shape`).
        """
        made = [symbols_of(arg, self.input_dtype) for arg in args]
        named = {
            key.removesuffix("_shape"): symbols_of(value, self.input_dtype)
            for key, value in kwargs.items()
        }
        if not self.built:
            self._build_for(bind_arguments(self._call_signature, tuple(made), named))
        spec = infer_spec(self.call, *made, **named)
        return tree.map_structure(lambda x: x.shape if isinstance(x, KerasTensor) else None, spec)

    # ----- masks -----

    @property
    def _makes_masks(self) -> bool:
        return type(self).compute_mask is not Layer.compute_mask

    def _pass_masks(
        self, signature: CallSignature, args: Any, kwargs: dict[str, Any], first_mask: Any
    ) -> None:
        """Hands the inputs' masks to the parameters of `call` that take them."""
        given = signature.names[: len(args)]
        if signature.has_mask and kwargs.get("mask") is None and "mask" not in given:
            if first_mask is not None:
                kwargs["mask"] = first_mask
        for name, mask_name in signature.mask_names.items():
            if kwargs.get(mask_name) is not None or mask_name in given:
                continue
            value = args[given.index(name)] if name in given else kwargs.get(name)
            mask = None if value is None else masks_of(value)
            if mask is not None:
                kwargs[mask_name] = mask

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """The output's mask, given the input's. The same, for a layer that supports masking."""
        return previous_mask

    def _attach_masks(self, inputs: Any, outputs: Any, previous_mask: Any) -> None:
        flat = [x for x in tree.flatten(outputs) if is_tensor(x)]
        if flat and all(get_keras_mask(x) is not None for x in flat):
            return
        if previous_mask is None and not self._makes_masks:
            return
        if not self.supports_masking and not self._makes_masks:
            warnings.warn(
                f"Layer '{self.name}' (of type {type(self).__name__}) was passed an input with a "
                "mask attached to it. It does not support masking and destroys the mask, so that "
                "layers after it will not see it.",
                stacklevel=3,
            )
            return
        masks = self.compute_mask(inputs, previous_mask)
        if masks is None:
            return
        for x, mask in zip(flat, flat_masks(masks, len(flat)), strict=False):
            if mask is not None and get_keras_mask(x) is None:
                set_keras_mask(x, mask)

    # ----- losses -----

    def add_loss(self, loss: Any) -> None:
        """Adds scalar loss(es) that depend on the current call's data.

        Args:
            loss: a scalar tensor or a list of them.
        """
        for one in tree.flatten(loss):
            if isinstance(one, KerasTensor):
                continue  # shapes are being inferred; the real call adds the loss
            scope = stateless_scope()
            if scope is not None and scope.collect_losses:
                scope.add_loss(one)
            else:
                self._losses.append(one)

    @property
    def losses(self) -> list[Any]:
        """Losses added in the last call, and the weights' regularization, of all layers inside."""
        found = []
        for layer in self._flatten_layers():
            found.extend(layer._losses)
        for variable in self.trainable_weights:
            if variable.regularizer is not None:
                found.append(variable.regularizer(variable))
        return found

    def _penalize(self, outputs: Any) -> None:
        """Adds the activity regularizer's loss, per sample of the batch."""
        for output in tree.flatten(outputs):
            # Shapes are being inferred where there are KerasTensors.
            if is_tensor(output) and not isinstance(output, KerasTensor):
                loss = self.activity_regularizer(output)
                self.add_loss(loss / max(output.shape[0], 1) if output.shape else loss)

    def _clear_losses(self) -> None:
        if self._losses:
            self._losses.clear()
        for layer in self._layers:
            layer._clear_losses()

    # ----- stateless use -----

    def stateless_call(
        self,
        trainable_variables: Any,
        non_trainable_variables: Any,
        *args: Any,
        return_losses: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Calls the layer with other values for its variables, changing none.

        Args:
            trainable_variables: values for `self.trainable_variables`.
            non_trainable_variables: values for `self.non_trainable_variables`.
            *args: positional arguments of `call`.
            return_losses: whether to return the losses as well.
            **kwargs: keyword arguments of `call`.

        Returns:
            `(outputs, non_trainable_variables)`, or `(outputs, non_trainable_variables, losses)`.

        Raises:
            ValueError: the layer is not built, or a list has a wrong length.
        """
        own, others = self.trainable_variables, self.non_trainable_variables
        if not self.built:
            raise ValueError(f"[{self.name}] must be built before stateless_call().")
        if len(own) != len(trainable_variables) or len(others) != len(non_trainable_variables):
            raise ValueError(
                f"[{self.name}] stateless_call() needs {len(own)} trainable and {len(others)} "
                f"other values. Received: {len(trainable_variables)} and "
                f"{len(non_trainable_variables)}."
            )
        pairs = [
            *zip(own, trainable_variables, strict=True),
            *zip(others, non_trainable_variables, strict=True),
        ]
        with StatelessScope(pairs, collect_losses=return_losses) as scope:
            outputs = self(*args, **kwargs)
            losses = [*scope.losses, *self.losses] if return_losses else []
        after = [scope.get_current_value(v) for v in others]
        return (outputs, after, losses) if return_losses else (outputs, after)

    # ----- saving and configuration -----

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, from which `from_config` makes an equal layer."""
        config: dict[str, Any] = {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": {
                "module": "keras",
                "class_name": type(self.dtype_policy).__name__,
                "config": self.dtype_policy.get_config(),
                "registered_name": None,
            },
        }
        if self.activity_regularizer is not None:
            config["activity_regularizer"] = regularizers.serialize(self.activity_regularizer)
        inherited = getattr(type(self).get_config, "_inherited", False)
        if inherited and type(self).__init__ is not Layer.__init__:
            # A layer that does not say how it is configured: by its constructor's arguments.
            automatic = Operation.get_config(self)
            accepted = keyword_names(type(self))
            kept = {k: v for k, v in config.items() if accepted is None or k in accepted}
            return {**automatic, **kept}
        return config

    get_config._inherited = True  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


def _remembering_shapes(build: Callable[..., Any]) -> Callable[..., Any]:
    """A `build` that notes the shapes it was called with, and that it was called."""

    @functools.wraps(build)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        with name_scope(self.name, caller=self):
            result = build(self, *args, **kwargs)
        self._build_shapes = {
            **dict(zip(self._build_signature.names, args, strict=False)),
            **kwargs,
        }
        self.built = True
        return result

    return wrapped
