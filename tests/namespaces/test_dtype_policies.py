"""`kbackend.dtype_policies` and `kbackend.mixed_precision`."""

import json

import pytest

import kbackend
from kbackend import dtype_policies, mixed_precision
from kbackend.dtype_policies import DTypePolicy, DTypePolicyMap

keras = pytest.importorskip("keras")


@pytest.mark.parametrize("name", ["float32", "bfloat16", "mixed_float16", "mixed_bfloat16"])
def test_policies_serialize_as_in_keras(name):
    ours, theirs = DTypePolicy(name), keras.DTypePolicy(name)
    assert (ours.compute_dtype, ours.variable_dtype) == (
        theirs.compute_dtype,
        theirs.variable_dtype,
    )
    data = dtype_policies.serialize(ours)
    assert data == keras.dtype_policies.serialize(theirs)
    assert dtype_policies.deserialize(json.loads(json.dumps(data))) == ours
    assert dtype_policies.get(data) == dtype_policies.get(name) == dtype_policies.get(ours) == ours


@pytest.mark.parametrize("wrong", ["foo", {"class_name": "Dense", "config": {}}, object()])
def test_get_refuses(wrong):
    with pytest.raises((TypeError, ValueError)):
        dtype_policies.get(wrong)


@pytest.fixture
def policies():
    return DTypePolicyMap("float32", {"a/dense": "mixed_bfloat16", "b/.*": DTypePolicy("float16")})


def test_map_looks_up(policies):
    assert policies["a/dense"].name == "mixed_bfloat16"
    assert policies["b/anything"].name == "float16"
    assert policies["c"].name == "float32"
    assert len(policies) == 2 and list(policies) == ["a/dense", "b/.*"]
    assert "a/dense" in policies and "c" not in policies
    del policies["a/dense"]
    assert policies["a/dense"].name == "float32"


def test_map_is_a_policy(policies):
    assert isinstance(policies, DTypePolicy)
    assert (policies.compute_dtype, policies.variable_dtype) == ("float32", "float32")
    assert policies.name == "map_float32" and policies.quantization_mode is None
    assert (
        kbackend.layers.Dense(2, dtype=DTypePolicyMap("mixed_bfloat16")).compute_dtype == "bfloat16"
    )
    dtype_policies_default = DTypePolicyMap()
    kbackend.config.set_dtype_policy("mixed_float16")
    assert dtype_policies_default.default_policy.name == "mixed_float16"


def test_map_refuses(policies):
    with pytest.raises(ValueError, match="an entry for 'a/dense' already"):
        policies["a/dense"] = "float16"
    with pytest.raises(ValueError, match="expected a dtype policy or its name. Received: 'foo'"):
        policies["x"] = "foo"
    with pytest.raises(TypeError, match="must be a dict"):
        DTypePolicyMap("float32", ["a"])
    with pytest.raises(ValueError, match="can't be a DTypePolicyMap"):
        DTypePolicyMap(policies)
    policies["b/c.*"] = "float64"
    with pytest.raises(ValueError, match="'b/cd' matches several entries"):
        policies["b/cd"]
    assert len(policies) == 3


def test_map_comes_back(policies):
    data = dtype_policies.serialize(policies)
    assert data["module"] == "keras.dtype_policies" and data["class_name"] == "DTypePolicyMap"
    again = dtype_policies.get(json.loads(json.dumps(data)))
    assert again == policies and hash(again) == hash(policies)
    assert again != DTypePolicyMap("float32")
    assert "a/dense" in repr(again)


def test_map_is_read_by_keras(policies):
    theirs = keras.dtype_policies.DTypePolicyMap(
        "float32", {"a/dense": keras.DTypePolicy("mixed_bfloat16")}
    )
    ours = dtype_policies.get(keras.dtype_policies.serialize(theirs))
    assert isinstance(ours, DTypePolicyMap) and list(ours) == ["a/dense"]
    read = keras.dtype_policies.get(dtype_policies.serialize(policies))
    assert read["a/dense"].name == "mixed_bfloat16" and read["b/x"].name == "float16"


def test_mixed_precision():
    assert mixed_precision.Policy is mixed_precision.DTypePolicy is DTypePolicy
    assert mixed_precision.LossScaleOptimizer is kbackend.optimizers.LossScaleOptimizer
    mixed_precision.set_global_policy("mixed_bfloat16")
    assert mixed_precision.global_policy().name == "mixed_bfloat16"
    assert kbackend.config.dtype_policy().name == "mixed_bfloat16"
    assert {n for n in dir(keras.mixed_precision) if n[0] != "_"} <= set(mixed_precision.__all__)
