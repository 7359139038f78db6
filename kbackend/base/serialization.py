"""Objects as plain data that JSON can hold, and back: the form that Keras writes.

An object is `{"module": "keras.layers", "class_name": "Dense", "config": {...}, "registered_name":
None}`; functions, tensors, tuples and the like have forms of their own. `module` is the public
Keras module of a class of ours, derived from its package (`kbackend.layers.core` is
`keras.layers`) unless the class sets `_keras_module`.
"""

from __future__ import annotations

import base64
import importlib
import inspect
import marshal
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from kbackend.base import flags
from kbackend.base.dtypes import NUMPY_DTYPES, name_of, standardize_dtype
from kbackend.base.registry import (
    custom_object_scope,
    get_registered_name,
    get_registered_object,
)

_PLAIN = (str, int, float, bool, type(None))

# Packages whose public Keras module is not `keras.<package>`. The longest prefix decides.
_HOMES = {
    "kbackend.models": "keras",
    "kbackend.ops.operation": "keras",
    "kbackend.optimizers.schedules": "keras.optimizers.schedules",
    "kbackend.state": "keras",
    "kbackend.state.seed": "keras.random",
}
# Namespaces in which a function that is known by its name only is looked for, in this order.
_FUNCTION_HOMES = ("activations", "losses", "metrics", "initializers", "ops", "ops.nn", "ops.image")

# Values that are not objects with a config: class_name -> what reads them, imported when met.
_TENSOR_READERS = {
    "__tensor__": "kbackend.core.convert:to_tensor",
    "__keras_tensor__": "kbackend.ops.keras_tensor:KerasTensor",
}

# ----- safe mode -----

_safe: ContextVar[bool | None] = ContextVar("kbackend_safe_mode", default=None)


def in_safe_mode() -> bool:
    """Whether code in a config (a lambda) is refused: yes, unless it was switched off."""
    safe = _safe.get()
    return not flags.is_unsafe_deserialization_enabled() if safe is None else safe


@contextmanager
def safe_mode_scope(safe_mode: bool | None) -> Iterator[None]:
    """Sets the safe mode inside; `None` leaves it as it is."""
    token = _safe.set(_safe.get() if safe_mode is None else safe_mode)
    try:
        yield
    finally:
        _safe.reset(token)


# ----- sharing: one object that appears twice in a config is one object again -----

_shared: ContextVar[dict[int, Any] | None] = ContextVar("kbackend_shared", default=None)


@contextmanager
def object_sharing_scope() -> Iterator[None]:
    """Keeps the identity of objects that are met more than once inside."""
    token = _shared.set({})
    try:
        yield
    finally:
        _shared.reset(token)


# ----- writing -----


def public_module(cls: type) -> str | None:
    """The public Keras module of a class of kbackend; `None` for other classes.

    Example:
        >>> public_module(type("Dense", (), {"__module__": "kbackend.layers.core.dense"}))
        'keras.layers'
    """
    own = vars(cls).get("_keras_module")
    if own is not None:
        return str(own)
    module = cls.__module__
    if not module.startswith("kbackend."):
        return None
    homes = [prefix for prefix in _HOMES if f"{module}.".startswith(f"{prefix}.")]
    if homes:
        return _HOMES[max(homes, key=len)]
    return f"keras.{module.split('.')[1]}"


def serialize(obj: Any) -> Any:
    """`obj` as nested dicts, lists and plain values, from which `deserialize` makes an equal one.

    Args:
        obj: a plain value, list, tuple, dict, array, tensor, function, or an object with
            `get_config`.

    Returns:
        The plain data, as Keras writes it.

    Raises:
        TypeError: the object is none of these.

    Example:
        >>> serialize({"size": (2, 3), "where": slice(1, None)})["where"]["class_name"]
        '__slice__'
    """
    if isinstance(obj, np.generic):
        return obj.item()
    if isinstance(obj, _PLAIN):
        return obj
    if isinstance(obj, (list, tuple)):
        items = [serialize(item) for item in obj]
        return tuple(items) if isinstance(obj, tuple) else items
    if isinstance(obj, Mapping) and not hasattr(obj, "get_config"):
        return {key: serialize(value) for key, value in obj.items()}
    if inspect.isclass(obj):
        return _named("type", _type_name(obj))
    special = _serialize_value(obj)
    if special is not None:
        return special
    if hasattr(obj, "get_config"):
        return _serialize_object(obj)
    if callable(obj) and hasattr(obj, "__name__"):
        if obj.__name__ == "<lambda>":
            return {"class_name": "__lambda__", "config": {"value": _dump_lambda(obj)}}
        return _named("function", get_registered_name(obj))
    raise TypeError(
        f"{obj!r} of type {type(obj).__name__} can't be serialized. Its class must define "
        "get_config()."
    )


def _serialize_value(obj: Any) -> Any:
    """The form of a value that is not an object with a config; `None` for other things."""
    if isinstance(obj, bytes):
        return {"class_name": "__bytes__", "config": {"value": obj.decode("utf-8")}}
    if isinstance(obj, slice):
        config = {"start": obj.start, "stop": obj.stop, "step": obj.step}
        return {"class_name": "__slice__", "config": serialize(config)}
    if obj is Ellipsis:
        return {"class_name": "__ellipsis__", "config": {}}
    if isinstance(obj, np.ndarray):
        config = {"value": obj.tolist(), "dtype": name_of(obj.dtype)}
        return {"class_name": "__numpy__", "config": config}
    if hasattr(obj, "record_history"):
        return {"class_name": "__keras_tensor__", "config": _keras_tensor_config(obj)}
    if hasattr(obj, "__array__") and hasattr(obj, "dtype") and not hasattr(obj, "assign"):
        host = np.asarray(obj)
        config = {"value": host.tolist(), "dtype": name_of(host.dtype)}
        return {"class_name": "__tensor__", "config": config}
    return None


def _keras_tensor_config(obj: Any) -> dict[str, Any]:
    history = getattr(obj, "_keras_history", None)
    if history is not None:
        operation, *position = history
        history = [operation.name, *position]
    return {"shape": tuple(obj.shape), "dtype": obj.dtype, "keras_history": history}


def _named(kind: str, name: str) -> dict[str, Any]:
    """The form of a function or class that is known by its name."""
    return {"module": "builtins", "class_name": kind, "config": name, "registered_name": kind}


def _type_name(cls: type) -> str:
    return cls.__name__ if issubclass(cls, np.generic) else get_registered_name(cls)


def _serialize_object(obj: Any) -> dict[str, Any]:
    cls = type(obj)
    module = public_module(cls)
    registered: str | None = None
    if module is None:
        module = None if cls.__module__ in ("__main__", "builtins") else cls.__module__
        registered = get_registered_name(cls)
    elif ".src." in module:
        # Keras keeps the class private, and then writes its name here as well.
        registered = cls.__name__
    form = {
        "module": module,
        "class_name": cls.__name__,
        "config": serialize(obj.get_config()),
        "registered_name": registered,
    }
    for key in ("build_config", "compile_config"):
        getter = getattr(obj, f"get_{key}", None)
        extra = getter() if getter is not None else None
        if extra is not None:
            form[key] = serialize(extra)
    shared = _shared.get()
    if shared is not None:
        # The first form is marked once the object is met again.
        first, _ = shared.setdefault(id(obj), (form, obj))
        if first is not form:
            first["shared_object_id"] = form["shared_object_id"] = id(obj)
    return form


def _dump_lambda(fn: Any) -> Any:
    code = base64.b64encode(marshal.dumps(fn.__code__)).decode("ascii")
    cells = tuple(serialize(cell.cell_contents) for cell in fn.__closure__ or ()) or None
    return code, serialize(fn.__defaults__), cells


# ----- reading -----


def deserialize(
    config: Any,
    custom_objects: Mapping[str, Any] | None = None,
    module_objects: Mapping[str, Any] | None = None,
    safe_mode: bool | None = None,
) -> Any:
    """The object that a config describes.

    Args:
        config: what `serialize` returned, possibly after a way through JSON.
        custom_objects: name -> class or function, in addition to the registered ones.
        module_objects: name -> class or function of one family; lets configs name its members
            without a module.
        safe_mode: whether code in the config is refused; by default it is, unless
            `config.enable_unsafe_deserialization` was called.

    Returns:
        The object.

    Raises:
        TypeError: a class or function is not known, or the config is malformed.
        ValueError: the config holds code and the safe mode is on.

    Example:
        >>> deserialize({"class_name": "__bytes__", "config": {"value": "ab"}})
        b'ab'
    """
    if config is None or isinstance(config, (int, float)):
        return config
    if isinstance(config, str):
        found = get_registered_object(
            config, dict(custom_objects or {}), dict(module_objects or {})
        )
        return config if found is None else found
    with custom_object_scope(dict(custom_objects or {})), safe_mode_scope(safe_mode):
        return _read(config, module_objects or {})


def _read(config: Any, family: Mapping[str, Any]) -> Any:
    if isinstance(config, _PLAIN):
        return config
    if isinstance(config, (list, tuple)):
        items = [_read(item, {}) for item in config]
        return tuple(items) if isinstance(config, tuple) else items
    if not isinstance(config, Mapping):
        raise TypeError(f"A config must be made of plain data. Received: {config!r}.")
    kind = config.get("class_name")
    if kind == "__tuple__":
        return tuple(_read(item, {}) for item in _items(config))
    if kind is None or "config" not in config:
        return {key: _read(value, {}) for key, value in config.items()}
    if isinstance(kind, str) and kind.startswith("__") and kind.endswith("__"):
        return _read_value(kind, config)
    if config.get("registered_name") in ("function", "type") or kind in ("function", "type"):
        return _read_named(config, family)
    return _read_object(config, family)


def _items(config: Mapping[str, Any]) -> Any:
    """What a `__tuple__` holds, in either of the two forms that occur."""
    inner = config["items"] if "items" in config else config.get("config")
    inner = inner.get("value") if isinstance(inner, Mapping) else inner
    if not isinstance(inner, (list, tuple)):
        raise TypeError(f"[__tuple__] has no items. Received: config={dict(config)!r}.")
    return inner


def _value(config: Mapping[str, Any]) -> Any:
    inner = config["config"]
    if "value" not in inner:
        raise TypeError(f"[{config['class_name']}] has no value. Received: config={config!r}.")
    return inner["value"]


def _read_value(kind: str, config: Mapping[str, Any]) -> Any:
    inner = config["config"]
    if not isinstance(inner, Mapping):
        raise TypeError(f"[{kind}] 'config' must be a dict. Received: config={inner!r}.")
    if kind == "__ellipsis__":
        return Ellipsis
    if kind == "__bytes__":
        return str(_value(config)).encode("utf-8")
    if kind == "__numpy__":
        return np.asarray(_value(config), dtype=NUMPY_DTYPES[standardize_dtype(inner.get("dtype"))])
    if kind == "__slice__":
        return slice(*(_read(inner.get(key), {}) for key in ("start", "stop", "step")))
    if kind == "__lambda__":
        return _load_lambda(_value(config))
    reader = _TENSOR_READERS.get(kind)
    if reader is None:
        raise TypeError(f"There is no form called {kind!r}. Received: config={config!r}.")
    module, _, attribute = reader.partition(":")
    make = getattr(importlib.import_module(module), attribute)
    if kind == "__tensor__":
        return make(_value(config), inner.get("dtype"))
    return make(inner.get("shape"), dtype=inner.get("dtype"))


def _load_lambda(value: Any) -> Any:
    if in_safe_mode():
        raise ValueError(
            "The config holds a Python lambda, that is, code which would run here. Pass "
            "safe_mode=False, or call config.enable_unsafe_deserialization(), if you trust where "
            "it comes from."
        )
    code_text, defaults, cells = (value, None, None) if isinstance(value, str) else value
    try:
        code = marshal.loads(base64.b64decode(code_text))
    except (ValueError, EOFError, TypeError) as error:
        raise ValueError(
            f"The lambda in the config can't be read: {error}. Lambdas are stored as bytecode, "
            "which only the Python version that wrote it can read. Use a registered function."
        ) from error
    closure = tuple(types.CellType(_read(cell, {})) for cell in cells or ()) or None
    defaults = None if defaults is None else tuple(_read(item, {}) for item in defaults)
    return types.FunctionType(code, {"__builtins__": __builtins__}, code.co_name, defaults, closure)


def _read_named(config: Mapping[str, Any], family: Mapping[str, Any]) -> Any:
    """A function or class that is known by its name."""
    name = config["config"]
    if not isinstance(name, str):
        raise TypeError(f"The name of a function must be a string. Received: config={config!r}.")
    found = get_registered_object(name, None, dict(family))
    if found is None and name in NUMPY_DTYPES and config["class_name"] == "type":
        return NUMPY_DTYPES[name].type
    if found is None and config["class_name"] != "type":
        found = next(filter(None, (_public_function(home, name) for home in _FUNCTION_HOMES)), None)
    if found is None:
        raise _unknown("function", name, config)
    return found


def _public_function(home: str, name: str) -> Callable[..., Any] | None:
    found = _attribute(f"kbackend.{home}", name)
    return found if inspect.isfunction(found) else None


def _read_object(config: Mapping[str, Any], family: Mapping[str, Any]) -> Any:
    inner, name = config["config"], config["class_name"]
    if not isinstance(inner, Mapping):
        raise TypeError(
            f"[{name}] 'config' must be a dict. Received: config={inner!r} in {config!r}."
        )
    shared, number = _shared.get(), config.get("shared_object_id")
    if shared is not None and number in shared:
        return shared[number]
    cls = _find_class(config, family)
    made = cls.from_config(dict(inner))
    if config.get("build_config") and not getattr(made, "built", False):
        made.build_from_config(_read(config["build_config"], {}))
        made.built = True
    if config.get("compile_config"):
        made.compile_from_config(config["compile_config"])
        made.compiled = True
    if shared is not None and number is not None:
        shared[number] = made
    return made


def _find_class(config: Mapping[str, Any], family: Mapping[str, Any]) -> Any:
    name, module = config["class_name"], config.get("module")
    found = None
    for key in (config.get("registered_name"), name):
        if isinstance(key, str) and found is None:
            found = get_registered_object(key)
    if found is None and isinstance(module, str):
        found = _class_in(module, name)
    if found is None:
        found = family.get(name)
    if found is None:
        raise _unknown("class", name, config)
    if not hasattr(found, "from_config"):
        raise TypeError(f"[{name}] has no from_config(). Received: config={dict(config)!r}.")
    return found


def _class_in(module: str, name: str) -> Any:
    parts = module.split(".")
    if parts[0] not in ("keras", "kbackend"):
        # The modules of other packages are only imported for those who vouch for the config.
        found = None if in_safe_mode() else _attribute(module, name)
    else:
        if parts[1:2] == ["src"]:
            parts = ["kbackend", *parts[2:3]]
        found = _attribute(".".join(["kbackend", *parts[1:]]), name)
    return found if inspect.isclass(found) else None


def _attribute(module: str, name: str) -> Any:
    """A public attribute of a module, or `None`."""
    if name.startswith("_") or "._" in module:
        return None
    try:
        return getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            return None
        raise


def _unknown(kind: str, name: str, config: Mapping[str, Any]) -> TypeError:
    return TypeError(
        f"There is no {kind} called {name!r}. Decorate classes and functions of your own with "
        "@saving.register_keras_serializable() and import them before loading, or pass them in "
        f"custom_objects. Received: config={dict(config)!r}."
    )


# ----- families -----


def resolve(
    family: str,
    identifier: Any,
    objects: Mapping[str, Any],
    custom_objects: Mapping[str, Any] | None = None,
) -> Any:
    """What `get(identifier)` of a family of classes returns.

    Args:
        family: what a member is called in errors ("initializer").
        identifier: `None`, a name, a config, a class (an instance of which is made), or an
            instance or function, which is returned as it is.
        objects: name -> class or function of the family.
        custom_objects: name -> class or function of the user's.

    Raises:
        ValueError: the identifier is none of these.
    """
    found = identifier
    if isinstance(identifier, Mapping):
        found = deserialize(identifier, custom_objects, objects)
    elif isinstance(identifier, str):
        found = get_registered_object(identifier, dict(custom_objects or {}), dict(objects))
    if inspect.isclass(found):
        found = found()
    if found is None and identifier is None:
        return None
    if callable(found):
        return found
    names = ", ".join(sorted(objects))
    raise ValueError(f"There is no {family} {identifier!r}. Known names: {names}.")
