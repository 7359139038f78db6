"""Configs of objects: the forms that real Keras writes, read back, and what is refused."""

import json
import subprocess
import sys

import numpy as np
import pytest

from kbackend import config, initializers
from kbackend.base.registry import custom_object_scope, register_keras_serializable
from kbackend.base.serialization import (
    deserialize,
    object_sharing_scope,
    public_module,
    resolve,
    safe_mode_scope,
    serialize,
)
from kbackend.core.convert import to_tensor
from kbackend.core.tensor import Tensor
from kbackend.ops.keras_tensor import KerasTensor
from kbackend.state.dtype_policy import DTypePolicy
from kbackend.state.seed import SeedGenerator
from kbackend.state.variable import Variable

keras = pytest.importorskip("keras")


class Mine:
    def __init__(self, size=1):
        self.size = size

    def get_config(self):
        return {"size": self.size}

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def __eq__(self, other):
        return type(other) is Mine and other.size == self.size


def helper(x):
    return x


VALUES = {
    "int": 1,
    "float": 2.5,
    "none": None,
    "text": "a",
    "flag": True,
    "bytes": b"ab",
    "tuple": (1, (2, "b")),
    "list": [1, (2,)],
    "dict": {"a": (1,), "b": {"c": slice(1, None, 2)}},
    "slice": slice(1, 2, None),
    "ellipsis": ...,
    "numpy scalar": np.float32(3),
    "numpy float64": np.float64(3),
    "numpy bool": np.bool_(True),
    "array": np.array([[1.0, 2.0]], "float32"),
    "dtype": np.float32,
    "function": helper,
}


@pytest.mark.parametrize("kind", VALUES)
def test_values_have_the_forms_of_keras(kind):
    ours, theirs = (s(VALUES[kind]) for s in (serialize, keras.saving.serialize_keras_object))
    assert ours == theirs
    # Keras leaves np.float64 as it is; it is a Python float, too.
    assert isinstance(theirs, type(ours))


@pytest.mark.parametrize("kind", sorted(set(VALUES) - {"function"}))
def test_values_come_back(kind):
    value = VALUES[kind]
    found = deserialize(serialize(value))
    np.testing.assert_equal(found, value)
    # Through JSON tuples become lists, as in Keras.
    again = deserialize(json.loads(json.dumps(serialize(value))))
    if kind not in ("tuple", "list", "dict"):
        np.testing.assert_equal(again, value)


def test_tuples_of_older_files():
    assert deserialize({"class_name": "__tuple__", "items": [1, [2]]}) == (1, [2])
    assert deserialize({"class_name": "__tuple__", "config": {"value": [1]}}) == (1,)


def test_tensors():
    x = to_tensor([1.0, 2.0], "bfloat16")
    stored = serialize(x)
    theirs = keras.saving.serialize_keras_object(keras.ops.array([1.0, 2.0], "bfloat16"))
    assert stored == theirs
    found = deserialize(stored)
    assert isinstance(found, Tensor) and found.dtype == "bfloat16" and found.tolist() == [1.0, 2.0]
    stored = serialize(KerasTensor((None, 3)))
    assert stored == keras.saving.serialize_keras_object(keras.KerasTensor((None, 3)))
    assert deserialize(json.loads(json.dumps(stored))).shape == (None, 3)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (initializers.HeNormal(seed=3), keras.initializers.HeNormal(seed=3)),
        (DTypePolicy("mixed_float16"), keras.DTypePolicy("mixed_float16")),
    ],
)
def test_objects_have_the_forms_of_keras(ours, theirs):
    assert serialize(ours) == keras.saving.serialize_keras_object(theirs)


def test_modules():
    def made(module, **attributes):
        return public_module(type("X", (), {"__module__": module, **attributes}))

    assert made("kbackend.layers.core.dense") == "keras.layers"
    assert made("kbackend.models.sequential") == "keras"
    assert made("kbackend.modelsize.x") == "keras.modelsize"
    assert made("kbackend.optimizers.adam") == "keras.optimizers"
    assert made("kbackend.optimizers.schedules.cosine") == "keras.optimizers.schedules"
    assert made("kbackend.state.seed") == "keras.random"
    assert made("kbackend.m", _keras_module="keras.src.models.functional").endswith("functional")
    assert made("elsewhere") is None

    class Private(Mine):
        _keras_module = "keras.src.models.functional"

    assert serialize(Private())["registered_name"] == "Private"
    # A subclass is not in its parent's module.
    assert public_module(type("Y", (Private,), {"__module__": "user"})) is None
    assert serialize(SeedGenerator(3))["module"] == "keras.random"


def test_custom_classes():
    stored = serialize(Mine(4))
    assert stored["registered_name"] == "Mine" and stored["module"] == Mine.__module__
    with pytest.raises(TypeError, match="no class called 'Mine'"):
        deserialize(stored)
    assert deserialize(stored, {"Mine": Mine}) == Mine(4)
    with custom_object_scope({"Mine": Mine}):
        assert deserialize({"nested": [stored]}) == {"nested": [Mine(4)]}
    assert (
        deserialize({"class_name": "Mine", "config": {"size": 2}}, None, {"Mine": Mine}).size == 2
    )

    @register_keras_serializable("ser")
    class Known(Mine):
        pass

    stored = serialize(Known(5))
    assert stored["registered_name"] == "ser>Known"
    assert type(deserialize(stored)) is Known


def test_functions():
    stored = serialize(helper)
    with pytest.raises(TypeError, match="no function called 'helper'"):
        deserialize(stored)
    assert deserialize(stored, {"helper": helper}) is helper


def test_build_and_compile_configs():
    class Built(Mine):
        built = compiled = False

        def get_build_config(self):
            return {"input_shape": (None, 3)}

        def build_from_config(self, config):
            self.shape = config["input_shape"]

        def get_compile_config(self):
            return {"optimizer": "sgd"}

        def compile_from_config(self, config):
            self.optimizer = config["optimizer"]

    stored = serialize(Built())
    assert stored["build_config"] == {"input_shape": (None, 3)}
    found = deserialize(stored, {"Built": Built})
    assert found.built and found.compiled
    assert (found.shape, found.optimizer) == ((None, 3), "sgd")


def test_sharing():
    one, other = Mine(1), Mine(1)
    with object_sharing_scope():
        stored = serialize([one, other, one])
    assert "shared_object_id" not in stored[1]
    with object_sharing_scope(), custom_object_scope({"Mine": Mine}):
        a, b, c = deserialize(stored)
    assert a is c and a is not b
    assert "shared_object_id" not in serialize([one, one])[0]


def test_lambdas_are_refused_unless_trusted():
    offset = 10
    stored = serialize(lambda x, y=2: x + y + offset)
    json.dumps(stored)
    with pytest.raises(ValueError, match="holds a Python lambda"):
        deserialize(stored)
    assert deserialize(stored, safe_mode=False)(1) == 13
    with safe_mode_scope(False):
        assert deserialize({"f": stored})["f"](1) == 13
    config.enable_unsafe_deserialization()
    assert deserialize(stored)(1, y=0) == 11
    with pytest.raises(ValueError, match="holds a Python lambda"):
        deserialize(stored, safe_mode=True)
    broken = {"class_name": "__lambda__", "config": {"value": ["AAAA", None, None]}}
    with pytest.raises(ValueError, match="can't be read"):
        deserialize(broken)


HOSTILE = {"module": "os", "class_name": "system", "config": "ls", "registered_name": "function"}


@pytest.mark.parametrize(
    "form",
    [
        HOSTILE,
        {**HOSTILE, "module": "builtins", "class_name": "function", "config": "eval"},
        {"module": "subprocess", "class_name": "Popen", "config": {}, "registered_name": None},
        {"module": "keras.utils", "class_name": "get_file", "config": {}, "registered_name": None},
        {"module": "keras.base.registry", "class_name": "_names", "config": {}},
        {"module": "kbackend.cli", "class_name": "main", "config": {}},
        {"class_name": "__import__", "config": {"value": "os"}},
        {"module": "keras.nowhere", "class_name": "Dense", "config": {}, "registered_name": None},
        {"module": "keras.initializers", "class_name": "Nope", "config": {}},
        {"module": "keras.initializers", "class_name": "Zeros", "config": "text"},
        {"module": "keras.initializers", "class_name": "Zeros", "config": [1]},
        {"module": "builtins", "class_name": "function", "config": ["relu"]},
        {"class_name": "__numpy__", "config": {}},
        {"class_name": "__slice__", "config": 3},
        {"class_name": "__tuple__", "config": 3},
    ],
)
def test_foreign_and_malformed_configs(form):
    with pytest.raises(TypeError):
        deserialize(form)


def test_a_foreign_module_is_not_imported():
    code = (
        "import sys\n"
        "from kbackend.base.serialization import deserialize\n"
        "try:\n"
        "    deserialize({'module': 'this', 'class_name': 'X', 'config': {}})\n"
        "except TypeError: pass\n"
        "sys.exit('this' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


@pytest.mark.parametrize("value", [{1}, object(), Variable(1.0), 1 + 2j, range(3)])
def test_what_cannot_be_serialized(value):
    with pytest.raises(TypeError, match="can't be serialized"):
        serialize(value)


def test_resolve():
    table = {"mine": Mine, "helper": helper}
    assert resolve("thing", None, table) is None
    assert resolve("thing", "helper", table) is helper
    assert resolve("thing", helper, {}) is helper
    with pytest.raises(ValueError, match=r"no thing 'x'. Known names: helper, mine"):
        resolve("thing", "x", table)
    with pytest.raises(ValueError, match="no thing 3"):
        resolve("thing", 3, table)


def test_keras_reads_what_we_write_and_the_other_way_round():
    for name in ("GlorotUniform", "Zeros", "VarianceScaling", "RandomNormal", "Orthogonal"):
        ours = getattr(initializers, name)()
        theirs = keras.saving.deserialize_keras_object(serialize(ours))
        assert type(theirs).__name__ == name
        back = deserialize(keras.saving.serialize_keras_object(theirs))
        assert type(back) is type(ours) and back.get_config() == ours.get_config()
