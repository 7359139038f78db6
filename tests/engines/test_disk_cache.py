"""The kernels that engines keep on disk: what is damaged is never used, nothing is half written."""

import json
import os

import pytest

from kbackend import cli
from kbackend.engine import disk_cache
from kbackend.engine.disk_cache import DiskCache


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("KBACKEND_CACHE_DIR", str(tmp_path))
    return tmp_path


def test_reads_what_was_written():
    cache = DiskCache("one")
    assert cache.read("a") is None
    cache.write("a", b"code")
    assert cache.read("a") == b"code"
    assert DiskCache("two").read("a") is None
    assert DiskCache("one").info()[2:4] == (1, os.path.getsize(cache.folder / "a.kernel"))
    assert cache.clear() == 1
    assert cache.read("a") is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:-1],
        lambda content: content + b"more",
        lambda content: content[:20],
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
        lambda content: b"x" + content[1:],
    ],
)
def test_damaged_files_are_not_used(damage):
    cache = DiskCache("one")
    cache.write("a", b"some code")
    path = cache.folder / "a.kernel"
    path.write_bytes(damage(path.read_bytes()))
    assert cache.read("a") is None
    cache.write("a", b"new code")
    assert cache.read("a") == b"new code"


def test_a_file_under_another_name_is_not_used():
    cache = DiskCache("one")
    cache.write("a", b"code")
    (cache.folder / "a.kernel").rename(cache.folder / "b.kernel")
    assert cache.read("b") is None


def test_nothing_half_written_is_left(monkeypatch):
    cache = DiskCache("one")

    def fail(source, target):
        raise OSError("full")

    monkeypatch.setattr(disk_cache.os, "replace", fail)
    cache.write("a", b"code")
    assert list(cache.folder.iterdir()) == []


def test_a_folder_that_cannot_be_made(folder):
    (folder / "one").write_text("a file")
    cache = DiskCache("one")
    cache.write("a", b"code")
    assert cache.read("a") is None


def test_the_oldest_go_when_it_is_full():
    cache = DiskCache("one")
    for number, name in enumerate("abc"):
        cache.write(name, bytes(1000))
        os.utime(cache.folder / f"{name}.kernel", (number, number))
    cache.read("a")
    DiskCache("one", limit=2500).write("d", bytes(1000))
    assert sorted(path.stem for path in cache.folder.iterdir()) == ["a", "d"]


def test_command_line(capsys):
    assert cli.main(["cache", "info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["caches"] == []
    DiskCache("one").write("a", b"code")
    assert cli.main(["cache", "info"]) == 0
    assert "one" in capsys.readouterr().out
    assert cli.main(["cache", "clear", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"deleted": 1}
    assert DiskCache("one").read("a") is None
