"""`Config`: attributes and items of one set of settings."""

import copy
import pickle

import pytest

from kbackend.utils import Config


def test_attributes_and_items_are_the_same():
    config = Config(a=1)
    config.b = 2
    config["c"] = 3
    assert (config["b"], config.c, "a" in config, len(config)) == (2, 3, True, 3)
    assert list(config) == ["a", "b", "c"]
    assert config.as_dict() == dict(config.items()) == {"a": 1, "b": 2, "c": 3}
    assert config.to_json() == '{"a": 1, "b": 2, "c": 3}'
    assert repr(config) == "<Config {'a': 1, 'b': 2, 'c': 3}>"
    del config.a
    del config["b"]
    assert (config.pop("c"), list(config.keys()), config.get("c", 9)) == (3, [], 9)
    config.update({"d": 4}, e=5)
    assert list(config.values()) == [4, 5]


def test_frozen_refuses_every_change():
    config = Config(a=1)
    config.freeze()
    for change in (
        lambda: setattr(config, "a", 2),
        lambda: config.__setitem__("b", 2),
        lambda: config.pop("a"),
        lambda: config.update(a=2),
        lambda: delattr(config, "a"),
        lambda: config.__delitem__("a"),
    ):
        with pytest.raises(ValueError, match="is frozen"):
            change()
    assert config.frozen
    assert config.as_dict() == {"a": 1}
    config.unfreeze()
    config.a = 2
    assert config.a == 2


def test_unknown_setting():
    with pytest.raises(AttributeError, match=r"no setting 'b'.*\['a'\]"):
        _ = Config(a=1).b
    with pytest.raises(AttributeError, match="no setting 'b'"):
        del Config(a=1).b


def test_copies():
    config = Config(a=[1])
    config.freeze()
    for clone in (copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert clone == config
        assert clone.frozen
        assert clone.a is not config.a
