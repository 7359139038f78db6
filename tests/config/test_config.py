"""keras.json, the environment and the setters of `kbackend.config`."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kbackend import config as public
from kbackend.base import config, flags
from kbackend.base.errors import ConfigError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KBACKEND_FLOAT32_MATMUL_PRECISION", raising=False)
    config.reset()
    return tmp_path


def write(home: Path, content: object) -> Path:
    path = home / "keras.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=4))
    config.reset()
    return path


def test_defaults_without_a_file(home: Path) -> None:
    assert config.floatx() == "float32"
    assert config.epsilon() == 1e-7
    assert config.image_data_format() == "channels_last"
    assert {setting.source for setting in config.settings()} == {"default"}


def test_file_gives_values_and_their_lines(home: Path) -> None:
    path = write(
        home, {"floatx": "float64", "epsilon": 1e-3, "image_data_format": "channels_first"}
    )
    assert (config.floatx(), config.epsilon()) == ("float64", 1e-3)
    assert config.image_data_format() == "channels_first"
    assert [setting.source for setting in config.settings()] == [
        *[f"{path}, line {line}" for line in (2, 3, 4)],
        "default",
        "default",
    ]


@pytest.mark.parametrize(
    ("given", "found"),
    [(0.25, 0.25), ("0.25", 0.25), ("25%", 0.25), (1.0, 1.0), (None, 1.0), (1 << 30, 1 << 30),
     ("1 GiB", 1 << 30), ("1.5gib", 3 << 29), ("2 MB", 2_000_000), ("1048576", 1 << 20)],
)  # fmt: skip
def test_memory_limits(home: Path, given: object, found: object) -> None:
    config.set_memory_limit(given)  # type: ignore[arg-type]
    assert config.memory_limit() == found and type(config.memory_limit()) is type(found)


def test_sources_of_the_memory_limit(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(home, {"memory_limit": "4 GiB"})
    assert config.memory_limit() == 4 << 30
    assert ("memory_limit", 4 << 30, f"{path}, line 2") in config.settings()
    monkeypatch.setenv("KBACKEND_MEMORY_LIMIT", "50%")
    config.reset()
    assert config.memory_limit() == 0.5
    monkeypatch.setenv("KBACKEND_MEMORY_LIMIT", "half")
    config.reset()
    with pytest.raises(ConfigError, match=r"KBACKEND_MEMORY_LIMIT: 'memory_limit' must be a numb"):
        config.memory_limit()


def test_precision_of_products(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert config.float32_matmul_precision() == "highest"
    path = write(home, {"float32_matmul_precision": "high"})
    assert config.float32_matmul_precision() == "high"
    assert config.settings()[-1] == ("float32_matmul_precision", "high", f"{path}, line 2")
    # The variable goes before the file, the setter before both.
    variable = "KBACKEND_FLOAT32_MATMUL_PRECISION"
    monkeypatch.setenv(variable, "Highest")
    config.reset()
    assert config.float32_matmul_precision() == "highest"
    assert config.settings()[-1].source == f"environment variable {variable}"
    config.set_float32_matmul_precision("high")
    assert config.float32_matmul_precision() == "high"
    monkeypatch.setenv(variable, "medium")
    config.reset()
    with pytest.raises(ConfigError, match=rf"variable {variable}: .* must be one of .*'medium'"):
        config.float32_matmul_precision()


def test_keys_of_keras_and_strangers_are_left_alone(home: Path) -> None:
    path = write(home, {"backend": "tensorflow", "nnx_enabled": True, "anything": [1]})
    before = path.read_bytes()
    assert config.floatx() == "float32"
    assert path.read_bytes() == before


def test_file_with_byte_order_mark(home: Path) -> None:
    (home / "keras.json").write_bytes(b'\xef\xbb\xbf{"floatx": "float16"}')
    assert config.floatx() == "float16"


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ('{\n  "floatx": "float32",\n  "epsilon": 1e-7,\n}', 4, 1),
        ("{\n  'floatx': 'float32'\n}", 2, 3),
        ('{\n  "floatx": "float32"\n  "epsilon": 1e-7\n}', 3, 3),
        ("", 1, 1),
        ('{"floatx": ', 1, 12),
    ],
)
def test_malformed_file_names_file_line_column_and_mend(
    home: Path, text: str, line: int, column: int
) -> None:
    path = write(home, text)
    with pytest.raises(ConfigError) as caught:
        config.floatx()
    message = str(caught.value)
    # Where exactly a trailing comma is reported differs between versions of Python by one line.
    assert str(path) in message and "Mend that line" in message
    assert f"line {line}, column {column}" in message or "trailing comma" in message
    assert isinstance(caught.value, ValueError)


def test_file_that_is_no_object(home: Path) -> None:
    write(home, "[1, 2]")
    with pytest.raises(ConfigError, match=r"must hold one JSON object.*Received: list"):
        config.epsilon()


def test_file_that_is_not_utf8(home: Path) -> None:
    (home / "keras.json").write_bytes(b'{"floatx": "\xff\xfe"}')
    with pytest.raises(ConfigError, match=r"keras\.json is not UTF-8 text.*Save it as UTF-8"):
        config.floatx()


def test_endless_nesting_is_an_error_not_a_crash(home: Path) -> None:
    write(home, "[" * 200_000)
    with pytest.raises(ConfigError, match="nested too deeply"):
        config.floatx()


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("floatx", "float8", "'bfloat16', 'float16', 'float32', 'float64'"),
        ("floatx", 32, "one of 'bfloat16'"),
        ("floatx", None, "one of 'bfloat16'"),
        ("epsilon", "small", "a positive finite number"),
        ("epsilon", -1e-7, "a positive finite number"),
        ("epsilon", 0, "a positive finite number"),
        ("epsilon", True, "a positive finite number"),
        ("epsilon", float("nan"), "a positive finite number"),
        ("epsilon", 10**400, "a positive finite number"),
        ("image_data_format", "NHWC", "'channels_last', 'channels_first'"),
        ("image_data_format", ["channels_last"], "'channels_last', 'channels_first'"),
    ],
)
def test_wrong_value_names_key_value_place_and_allowed(
    home: Path, key: str, value: object, allowed: str
) -> None:
    path = write(home, {"other": 1, key: value})
    with pytest.raises(ConfigError) as caught:
        config.settings()
    message = str(caught.value)
    assert f"{path}, line 3: '{key}' must be" in message
    assert allowed in message and f"Received: {value!r}" in message


@pytest.mark.parametrize("key", ["kbackend", "backend"])
@pytest.mark.parametrize("value", [3, "", None, ["numpy"]])
def test_engine_key_must_be_a_name(home: Path, key: str, value: object) -> None:
    write(home, {key: value})
    with pytest.raises(ConfigError, match=f"'{key}' must be the name of an engine"):
        config.engine_candidates()


def test_mended_file_is_read_again(home: Path) -> None:
    path = write(home, "{")
    with pytest.raises(ConfigError):
        config.floatx()
    path.write_text('{"floatx": "float64"}')
    assert config.floatx() == "float64"


def test_file_is_read_once(home: Path) -> None:
    path = write(home, {"floatx": "float64"})
    assert config.floatx() == "float64"
    path.write_text('{"floatx": "float16"}')
    assert config.floatx() == "float64"
    config.reset()
    assert config.floatx() == "float16"


def test_missing_home_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "not" / "there"))
    config.reset()
    assert config.floatx() == "float32"
    assert not (tmp_path / "not").exists()


def test_home_that_is_a_file_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").write_text("")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    config.reset()
    assert config.floatx() == "float32"


def test_file_that_is_a_directory_is_an_error(home: Path) -> None:
    (home / "keras.json").mkdir()
    with pytest.raises(ConfigError, match=r"keras\.json can't be read.*set KERAS_HOME"):
        config.floatx()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_unreadable_file_is_an_error(home: Path) -> None:
    path = write(home, {})
    path.chmod(0)
    with pytest.raises(ConfigError, match="can't be read: Permission denied"):
        config.floatx()


def test_refused_permission_is_an_error(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(ConfigError, match="can't be read: Permission denied"):
        config.floatx()


def test_nothing_is_written(home: Path) -> None:
    config.set_floatx("float64")
    config.settings()
    assert list(home.iterdir()) == []


def test_path_without_keras_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KERAS_HOME")
    # The first is what POSIX reads, the second what Windows does.
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert Path(config.config_path()) == tmp_path / ".keras" / "keras.json"


def test_keras_home_with_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("KERAS_HOME", os.path.join("~", "settings"))
    assert Path(config.config_path()) == tmp_path / "settings" / "keras.json"


def test_setters_win_over_the_file_and_say_so(home: Path) -> None:
    write(home, {"floatx": "float64", "epsilon": 1e-3})
    config.set_floatx("bfloat16")
    config.set_epsilon(1)
    config.set_image_data_format("Channels_First")
    config.set_memory_limit("50%")
    config.set_float32_matmul_precision("high")
    assert (config.floatx(), config.epsilon()) == ("bfloat16", 1.0)
    assert config.image_data_format() == "channels_first"
    assert {setting.source for setting in config.settings()} == {"set at run time"}


def test_setter_before_the_first_reading_is_kept(home: Path) -> None:
    write(home, {"floatx": "float64", "epsilon": 1e-3})
    config.set_floatx("float16")
    assert config.epsilon() == 1e-3
    assert config.floatx() == "float16"


@pytest.mark.parametrize(
    ("setter", "value", "message"),
    [
        (config.set_floatx, "float8", r"\[set_floatx\] 'value' must be one of .*value='float8'"),
        (config.set_floatx, None, r"Received: value=None"),
        (config.set_epsilon, "1e-7", r"\[set_epsilon\] 'value' must be a positive finite number"),
        (config.set_epsilon, [1e-7], r"Received: value=\[1e-07\]"),
        (config.set_float32_matmul_precision, "low", r"'value' must be one of 'highest', 'high'"),
        (config.set_memory_limit, 0, r"\[set_memory_limit\] 'limit' must be a number of bytes"),
        (config.set_memory_limit, 1.5, r"Received: limit=1.5"),
        (config.set_memory_limit, "much", r"a text such as '8 GiB'\. Received: limit='much'"),
        (config.set_memory_limit, True, r"Received: limit=True"),
        (config.set_image_data_format, "NHWC", r"'data_format' must be one of 'channels_last'"),
        (config.set_image_data_format, 3, r"Received: data_format=3"),
    ],
)
def test_setters_refuse_and_change_nothing(
    home: Path, setter: object, value: object, message: str
) -> None:
    before = config.settings()
    with pytest.raises(ValueError, match=message):
        setter(value)  # type: ignore[operator]
    assert config.settings() == before


def test_standardize_data_format(home: Path) -> None:
    assert config.standardize_data_format("CHANNELS_FIRST") == "channels_first"
    config.set_image_data_format("channels_first")
    assert config.standardize_data_format(None) == "channels_first"
    with pytest.raises(ValueError, match="'data_format' must be one of.*data_format='NCHW'"):
        config.standardize_data_format("NCHW")


def test_engine_candidates_by_precedence(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home, {"backend": "jax", "kbackend": "Toy"})
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    assert [(c.engine, c.binding) for c in config.engine_candidates()] == [
        ("toy", True),
        ("jax", False),
    ]
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert [c.engine for c in config.engine_candidates()] == ["torch", "toy", "jax"]
    monkeypatch.setenv("KBACKEND", " other ")
    found = config.engine_candidates()
    assert [(c.engine, c.binding) for c in found[:1]] == [("other", True)]
    assert found[0].source == "environment variable KBACKEND"


def test_many_threads_read_one_file(home: Path) -> None:
    write(home, {"floatx": "float64"})
    barrier = threading.Barrier(8)
    seen: list[str] = []

    def read() -> None:
        barrier.wait()
        seen.append(config.floatx())

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == ["float64"] * 8


def test_limits_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert flags.max_epochs() is None
    monkeypatch.setenv("KERAS_MAX_EPOCHS", "3")
    assert flags.max_epochs() == 3
    assert flags.limits()[0].source == "environment variable KERAS_MAX_EPOCHS"
    flags.set_max_epochs(5)
    assert flags.max_epochs() == 5
    flags.set_max_epochs(None)
    assert flags.max_epochs() is None
    monkeypatch.setenv("KERAS_MAX_STEPS_PER_EPOCH", "many")
    with pytest.raises(ConfigError, match="KERAS_MAX_STEPS_PER_EPOCH.*Received: 'many'"):
        flags.max_steps_per_epoch()


@pytest.mark.parametrize("value", [-1, 1.5, "3", True])
def test_limits_refuse_other_values(value: object) -> None:
    with pytest.raises(ConfigError, match="'max_epochs' must be a non-negative integer"):
        flags.set_max_epochs(value)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="'max_steps_per_epoch' must be a non-negative"):
        flags.set_max_steps_per_epoch(value)  # type: ignore[arg-type]


def test_switches_have_the_defaults_of_keras() -> None:
    keras = pytest.importorskip("keras")
    for name in (
        "is_flash_attention_enabled",
        "is_interactive_logging_enabled",
        "is_nnx_enabled",
        "is_traceback_filtering_enabled",
        "max_epochs",
        "max_steps_per_epoch",
    ):
        ours, theirs = getattr(public, name)(), getattr(keras.config, name)()
        # Keras answers None until flash attention was switched either way: "if it is available".
        assert bool(ours) == (theirs is None and "flash" in name or bool(theirs)), name


def test_namespace_has_every_name_of_keras() -> None:
    keras = pytest.importorskip("keras")
    theirs = {name for name in dir(keras.config) if not name.startswith("_")}
    assert theirs <= set(dir(public))


def test_reading_needs_no_engine_and_no_metadata() -> None:
    code = (
        "import sys, kbackend.config as c; c.floatx(); c.settings();"
        "print([m for m in sys.modules if m.startswith(('kbackend_', 'importlib.metadata'))])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout.strip() == "[]"
