"""The lazy public names: each resolves, and none of Keras's is missing."""

import importlib
import importlib.util

import pytest

import kbackend
from kbackend import _api

# Of Keras's top level, what is not taken over, with the reason.
LEFT_OUT: dict[str, str] = {}


def _exists(module: str) -> bool:
    try:
        spec = importlib.util.find_spec(module)
        # A folder without an __init__.py is a namespace package, not yet a module of ours.
        return spec is not None and spec.origin is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize("name", sorted(_api.PUBLIC))
def test_name_resolves(name: str) -> None:
    module, _, attribute = _api.PUBLIC[name].partition(":")
    if not _exists(module):
        pytest.skip(f"needs {module}")
    value = getattr(kbackend, name)
    assert value is (
        getattr(importlib.import_module(module), attribute)
        if attribute
        else importlib.import_module(module)
    )
    assert name in dir(kbackend)


def test_every_name_of_keras_is_there() -> None:
    keras = pytest.importorskip("keras")
    theirs = {name for name in dir(keras) if not name.startswith("_")} | {"__version__"}
    assert theirs - set(dir(kbackend)) - {"src", "api"} == set(LEFT_OUT)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'kbackend' has no attribute 'Modle'"):
        kbackend.Modle  # noqa: B018
    assert not hasattr(kbackend, "_no_such_name")


def test_ways_to_import() -> None:
    import kbackend.config as other
    from kbackend import config

    assert config is other is kbackend.config


def test_version_is_the_one_of_the_distribution() -> None:
    assert kbackend.version() == kbackend.__version__
    parts = kbackend.__version__.split(".")
    assert len(parts) == 3 and all(part.isdecimal() for part in parts)
