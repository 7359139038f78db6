"""Damaged, foreign and malicious files are refused, and change nothing; writes are atomic."""

import io
import json
import os
import zipfile

import numpy as np
import pytest

import kbackend as keras
from kbackend import layers, saving

h5py = pytest.importorskip("h5py")


@pytest.fixture
def model():
    return keras.Sequential([keras.Input((3,)), layers.Dense(4), layers.Dense(2)])


@pytest.fixture
def path(model, tmp_path):
    model.save(tmp_path / "model.keras")
    return tmp_path / "model.keras"


def rewrite(path, members, extra=()):
    """The archive with some members replaced, and others added."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    content.update(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            if data is not None:
                archive.writestr(name, data)
        for name, data in extra:
            archive.writestr(name, data)


def config_of(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("config.json"))


def test_a_truncated_archive_is_refused(path):
    data = path.read_bytes()
    for part in (0, 10, len(data) // 2, len(data) - 5):
        path.write_bytes(data[:part])
        with pytest.raises(ValueError, match=r"model\.keras can't be read: it is not a complete"):
            saving.load_model(path)


def test_a_flipped_byte_is_found(path):
    data = bytearray(path.read_bytes())
    place = data.index(b"glorot_uniform" if b"glorot_uniform" in data else b"GlorotUniform")
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"config\.json is damaged"):
        saving.load_model(path)


def test_a_foreign_archive_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.keras", "w") as archive:
        archive.writestr("hello.txt", "hello")
    with pytest.raises(ValueError, match=r"a\.keras can't be read: it has no metadata\.json"):
        saving.load_model(tmp_path / "a.keras")


@pytest.mark.parametrize("name", ["../evil.txt", "/evil.txt", "assets/../../evil", "assets\\..\\e"])
def test_members_that_lead_out_are_refused(path, name):
    rewrite(path, {}, [(name, b"evil")])
    with pytest.raises(ValueError, match="leads out of the archive"):
        saving.load_model(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_twice_is_refused(path):
    rewrite(path, {}, [("config.json", b"{}")])
    with pytest.raises(ValueError, match="appears twice"):
        saving.load_model(path)


def test_a_bomb_is_refused(path):
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("assets/big", bytes(2**22))
    with pytest.raises(ValueError, match="claims to unpack"):
        saving.load_model(path)


@pytest.mark.parametrize("text", [b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_config_that_is_no_json_object_is_refused(path, text):
    rewrite(path, {"config.json": text})
    with pytest.raises(ValueError, match=r"config\.json"):
        saving.load_model(path)


@pytest.mark.parametrize(
    "form",
    [
        {"module": "os", "class_name": "system", "config": {}},
        {"module": "subprocess", "class_name": "Popen", "config": {"args": ["true"]}},
        {"module": "kbackend.saving.paths", "class_name": "Path", "config": {}},
        {
            "module": "builtins",
            "class_name": "function",
            "config": "eval",
            "registered_name": "function",
        },
        {"module": "keras.src.ops.numpy", "class_name": "__import__", "config": {}},
    ],
    ids=lambda form: form["class_name"],
)
def test_a_config_reaches_no_other_code(path, form):
    config = config_of(path)
    config["config"]["layers"][1] = form
    rewrite(path, {"config.json": json.dumps(config)})
    with pytest.raises((TypeError, ValueError), match=r"model\.keras can't be made"):
        saving.load_model(path)


def test_lambdas_need_consent(tmp_path):
    model = keras.Sequential([keras.Input((3,)), layers.Lambda(lambda x: x * 2)])
    model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="safe_mode=False"):
        saving.load_model(tmp_path / "model.keras")
    loaded = saving.load_model(tmp_path / "model.keras", safe_mode=False)
    assert loaded(np.ones((1, 3))).tolist() == [[2.0, 2.0, 2.0]]


def weights_path(model, tmp_path):
    model.save_weights(tmp_path / "model.weights.h5")
    return tmp_path / "model.weights.h5"


def assert_refused(model, path, match):
    before = model.get_weights()
    with pytest.raises(ValueError, match=match):
        model.load_weights(path)
    for x, y in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(x, y)


def test_weights_of_another_shape_change_nothing(model, tmp_path):
    other = keras.Sequential([keras.Input((3,)), layers.Dense(4), layers.Dense(5)])
    path = weights_path(other, tmp_path)
    # The first layer fits, the second does not.
    assert_refused(model, path, r"model\.weights\.h5 does not fit 'sequential'.*\n.*layers/dense_1")
    with pytest.warns(UserWarning, match="layers/dense_1"):
        model.load_weights(path, skip_mismatch=True)
    np.testing.assert_array_equal(model.get_weights()[0], other.get_weights()[0])


def test_missing_and_foreign_weights_are_refused(model, tmp_path):
    path = tmp_path / "model.weights.h5"
    with pytest.raises(FileNotFoundError, match="there is no file"):
        model.load_weights(path)
    path.write_bytes(b"not HDF5 at all")
    assert_refused(model, path, "it is not a complete HDF5 file")
    weights_path(model, tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    assert_refused(model, path, "it is not a complete HDF5 file")
    with h5py.File(path, "w") as file:
        file["other"] = 1
    assert_refused(model, path, "expects 2 variables. The file has 0")


def test_links_out_of_the_file_are_refused(model, tmp_path):
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["vars/0"] = np.zeros((3, 4), "float32")
        file["vars/1"] = np.zeros(4, "float32")
    path = weights_path(model, tmp_path)
    with h5py.File(path, "a") as file:
        del file["layers/dense"]
        file["layers/dense"] = h5py.ExternalLink(str(secret), "/")
    assert_refused(model, path, "is a link to another place")
    path = weights_path(model, tmp_path)
    with h5py.File(path, "a") as file:
        del file["layers/dense/vars/0"]
        file["layers/dense/vars"].create_dataset(
            "0", (3, 4), "float32", external=[(str(secret), 0, 48)]
        )
    assert_refused(model, path, "is not data of this file")


def test_claimed_sizes_are_checked(model, tmp_path):
    path = weights_path(model, tmp_path)
    with h5py.File(path, "a") as file:
        group = file["layers/dense/vars"]
        del group["0"]
        group.create_dataset("0", (2**20, 2**20), "float32", chunks=(1024, 1024))
    assert_refused(model, path, "claims the shape")


def test_a_failed_write_leaves_the_old_file(model, path, monkeypatch):
    before = path.read_bytes()

    class Failing(layers.Dense):
        def save_own_variables(self, store):
            raise OSError("no space left")

    broken = keras.Sequential([keras.Input((3,)), Failing(1)])
    with pytest.raises(OSError, match="no space"):
        broken.save(path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["model.keras"]


def test_overwriting_and_paths(model, path, tmp_path):
    with pytest.raises(FileExistsError, match="overwrite=True"):
        model.save(path, overwrite=False)
    with pytest.raises(ValueError, match=r"must end in '\.keras'"):
        model.save(tmp_path / "model.zip")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        model.save(tmp_path / "missing" / "model.keras")
    with pytest.raises(ValueError, match="no weights yet"):
        keras.Sequential([layers.Dense(1)]).save_weights(tmp_path / "a.weights.h5")
    with pytest.raises(ValueError, match="by its path"):
        saving.load_model(io.BytesIO())
