"""`get_file`: cache, hashes, resumption, and archives that nobody should trust."""

import hashlib
import http.server
import io
import os
import stat
import tarfile
import threading
import zipfile

import pytest

from kbackend.base import flags
from kbackend.utils import cached_files, download
from kbackend.utils.archives import extract_archive
from kbackend.utils.cached_files import get_file

CONTENT = bytes(range(256)) * 2000  # two chunks
SHA = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def do_GET(self):
        server = self.server
        server.requests.append(dict(self.headers))
        if self.path.startswith("/missing"):
            self.send_error(404)
            return
        if self.path.startswith("/broken") and len(server.requests) < 3:
            self.send_error(503)
            return
        body, status, start = server.content, 200, 0
        wanted = self.headers.get("Range")
        fresh = self.headers.get("If-Range") in (None, server.etag)
        if wanted and fresh and not self.path.startswith("/norange"):
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                self.send_error(416)
                return
            status = 206
        self.send_response(status)
        if not self.path.startswith("/notag"):
            self.send_header("ETag", server.etag)
        self.send_header("Content-Length", str(len(body) - start))
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.end_headers()
        stop = len(body)
        if server.cuts:
            stop = start + server.cuts.pop(0)
        self.wfile.write(body[start:stop])

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "_PAUSE", 0.001)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.content, server.etag, server.cuts, server.requests = CONTENT, '"v1"', [], []
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KERAS_CACHE", raising=False)
    flags.disable_interactive_logging()
    yield tmp_path / "home"
    flags.enable_interactive_logging()


def read(path):
    with open(path, "rb") as file:
        return file.read()


def leftovers(path):
    folder = os.path.dirname(path)
    return sorted(set(os.listdir(folder)) - {os.path.basename(path)})


def test_fetches_once_and_then_uses_the_cache(server, home):
    path = get_file("a.bin", f"{server.url}/a.bin", file_hash=SHA)
    assert path == str(home / "datasets" / "a.bin")
    assert read(path) == CONTENT
    assert leftovers(path) == []
    assert get_file("a.bin", f"{server.url}/a.bin", file_hash=SHA) == path
    assert len(server.requests) == 1


def test_name_comes_from_the_address(server):
    path = get_file(origin=f"{server.url}/deep/b%20c.bin?x=1")
    assert os.path.basename(path) == "b c.bin"


@pytest.mark.parametrize(
    ("given", "algorithm"), [(SHA, "auto"), (MD5, "auto"), (MD5, "md5"), (SHA.upper(), "sha256")]
)
def test_hash_kinds(server, given, algorithm):
    path = get_file("a", f"{server.url}/a", file_hash=given, hash_algorithm=algorithm)
    assert read(path) == CONTENT


def test_md5_hash_argument(server):
    assert read(get_file("a", f"{server.url}/a", md5_hash=MD5)) == CONTENT


def test_wrong_hash_leaves_nothing(server, home):
    with pytest.raises(ValueError, match=r"not the expected.*0000"):
        get_file("a", f"{server.url}/a", file_hash="0" * 64)
    assert os.listdir(home / "datasets") == []


def test_wrong_hash_keeps_the_old_file(server, home):
    path = get_file("a", f"{server.url}/a")
    with pytest.raises(ValueError, match="not the expected"):
        get_file("a", f"{server.url}/a", file_hash="0" * 64)
    assert read(path) == CONTENT


def test_stale_cache_is_fetched_again(server, home):
    (home / "datasets").mkdir(parents=True)
    (home / "datasets" / "a").write_bytes(b"old")
    assert read(get_file("a", f"{server.url}/a", file_hash=SHA)) == CONTENT


def test_force_download(server):
    path = get_file("a", f"{server.url}/a")
    server.content = b"new"
    assert read(get_file("a", f"{server.url}/a")) == CONTENT
    assert read(get_file("a", f"{server.url}/a", force_download=True)) == b"new"
    assert leftovers(path) == []


def test_broken_connection_resumes_within_the_call(server):
    server.cuts = [100_000, 200_000]
    path = get_file("a", f"{server.url}/a", file_hash=SHA)
    assert read(path) == CONTENT
    assert [r.get("Range") for r in server.requests] == [None, "bytes=100000-", "bytes=300000-"]
    assert leftovers(path) == []


def test_a_later_call_resumes(server, home):
    server.cuts = [1000, 0, 0, 0]
    with pytest.raises(OSError, match=r"connection ended after 1000.*kept"):
        get_file("a", f"{server.url}/a")
    assert (home / "datasets" / "a.part").stat().st_size == 1000
    path = get_file("a", f"{server.url}/a")
    assert read(path) == CONTENT
    assert server.requests[-1]["Range"] == "bytes=1000-"
    assert leftovers(path) == []


def test_changed_file_is_not_glued_to_the_old_beginning(server):
    server.cuts = [1000, 0, 0, 0]
    with pytest.raises(OSError, match="ended"):
        get_file("a", f"{server.url}/a")
    server.content, server.etag = b"x" * 5000, '"v2"'
    assert read(get_file("a", f"{server.url}/a")) == b"x" * 5000


def test_foreign_beginning_is_found_out_by_the_hash(server, home):
    (home / "datasets").mkdir(parents=True)
    (home / "datasets" / "a.part").write_bytes(b"z" * 1000)
    path = get_file("a", f"{server.url}/a", file_hash=SHA)
    assert read(path) == CONTENT
    assert [r.get("Range") for r in server.requests] == ["bytes=1000-", None]


@pytest.mark.parametrize("address", ["/norange", "/notag"])
def test_servers_that_cannot_resume(server, address):
    server.cuts = [1000]
    assert read(get_file("a", server.url + address)) == CONTENT


def test_beginning_as_long_as_the_file(server, home):
    (home / "datasets").mkdir(parents=True)
    (home / "datasets" / "a.part").write_bytes(b"z" * len(CONTENT))
    assert read(get_file("a", f"{server.url}/a", file_hash=SHA)) == CONTENT


def test_server_errors(server):
    with pytest.raises(OSError, match="404"):
        get_file("a", f"{server.url}/missing")
    assert len(server.requests) == 1
    assert read(get_file("a", f"{server.url}/broken")) == CONTENT


def test_nobody_listens(server, home, monkeypatch):
    monkeypatch.setattr(download, "_ATTEMPTS", 1)
    with pytest.raises(OSError, match="can't be fetched"):
        get_file("a", "http://127.0.0.1:1/a")
    assert os.listdir(home / "datasets") == []


def test_two_threads_fetch_once_each_whole(server):
    paths = []
    threads = [
        threading.Thread(target=lambda: paths.append(get_file("a", f"{server.url}/a")))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [read(path) for path in paths] == [CONTENT] * 4
    assert leftovers(paths[0]) == []


def test_file_addresses(tmp_path):
    source = tmp_path / "s.bin"
    source.write_bytes(CONTENT)
    assert read(get_file("t.bin", source.as_uri(), file_hash=SHA)) == CONTENT
    with pytest.raises(OSError, match="can't be fetched"):
        get_file("u.bin", (tmp_path / "none").as_uri())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "'origin' is missing"),
        ({"origin": "http://127.0.0.1/"}, "Give 'fname'"),
        ({"origin": "gopher://x/y"}, "must be a http"),
        ({"origin": "data.bin"}, "must be a http"),
        ({"fname": "../x", "origin": "file:///y"}, "without a path"),
        ({"fname": "..", "origin": "file:///y"}, "without a path"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        get_file(**arguments)


def test_unknown_hash_algorithm(tmp_path):
    (tmp_path / "s").write_bytes(b"x")
    with pytest.raises(ValueError, match="'hash_algorithm'.*crc1"):
        get_file("a", (tmp_path / "s").as_uri(), file_hash="12", hash_algorithm="crc1")


def test_cache_places(tmp_path, monkeypatch, home):
    (tmp_path / "s").write_bytes(b"x")
    origin = (tmp_path / "s").as_uri()
    assert get_file("a", origin, cache_dir=tmp_path / "c", cache_subdir="d") == str(
        tmp_path / "c" / "d" / "a"
    )
    monkeypatch.setenv("KERAS_CACHE", str(tmp_path / "k"))
    assert get_file("a", origin) == str(tmp_path / "k" / "datasets" / "a")


def test_unusable_cache(tmp_path, monkeypatch):
    (tmp_path / "s").write_bytes(b"x")
    (tmp_path / "blocked").write_bytes(b"a file where a directory should be")
    origin = (tmp_path / "s").as_uri()
    with pytest.raises(OSError, match="cache directory.*blocked"):
        get_file("a", origin, cache_dir=tmp_path / "blocked")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "blocked"))
    monkeypatch.setattr(cached_files.tempfile, "gettempdir", lambda: str(tmp_path / "t"))
    path = get_file("a", origin)
    assert path.startswith(str(tmp_path / "t"))
    assert stat.S_IMODE(os.stat(os.path.dirname(os.path.dirname(path))).st_mode) == 0o700


def make_tar(path, entries, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for name, data in entries:
            info = tarfile.TarInfo(name)
            if isinstance(data, str):
                info.type, info.linkname = tarfile.SYMTYPE, data
                archive.addfile(info)
            else:
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))


def make_zip(path, entries):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries:
            archive.writestr(name, data)


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_archives_are_unpacked_once(tmp_path, kind):
    source = tmp_path / "data.archive"
    make = make_tar if kind == "tar" else make_zip
    make(source, [("inner/a.txt", b"hello")])
    path = get_file("data", source.as_uri(), extract=True)
    assert path.endswith("data")
    assert read(os.path.join(path, "inner", "a.txt")) == b"hello"
    assert sorted(os.listdir(os.path.dirname(path))) == ["data", "data_archive"]
    os.remove(os.path.join(path, "inner", "a.txt"))
    assert get_file("data", source.as_uri(), extract=True) == path
    assert os.listdir(os.path.join(path, "inner")) == []
    make(source, [("inner/b.txt", b"again")])
    get_file("data", source.as_uri(), extract=True, force_download=True)
    assert os.listdir(os.path.join(path, "inner")) == ["b.txt"]


def test_archive_names_as_keras_has_them(tmp_path):
    source = tmp_path / "flowers.tar.gz"
    make_tar(source, [("a", b"x")])
    path = get_file("flowers.tar.gz", source.as_uri(), extract=True)
    assert os.path.basename(path) == "flowers_extracted"
    with pytest.raises(ValueError, match="is a file"):
        get_file(origin=source.as_uri(), untar=True)
    path = get_file(origin=source.as_uri(), untar=True, cache_subdir="other")
    assert os.path.basename(path) == "flowers.tar.gz"
    assert os.listdir(path) == ["a"]


@pytest.mark.parametrize(
    "entries",
    [
        [("../evil", b"x")],
        [("ok", b"x"), ("a/../../evil", b"x")],
        [("link", "/etc"), ("link/evil", b"x")],
        [("link", "../../outside")],
    ],
)
def test_hostile_tar_is_refused_whole(tmp_path, entries):
    source = tmp_path / "evil.tar"
    make_tar(source, entries, "w")
    target = tmp_path / "cache" / "target"
    with pytest.raises(ValueError, match="unsafe entry"):
        extract_archive(str(source), str(target))
    assert os.listdir(tmp_path / "cache") == []
    assert not (tmp_path / "evil").exists()


def test_hostile_zip_is_refused_whole(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    for entries in ([("../evil", "x")], [("/abs/../../evil", "x")], [(link, "/etc")]):
        source = tmp_path / "evil.zip"
        make_zip(source, entries)
        with pytest.raises(ValueError, match="unsafe entry"):
            extract_archive(str(source), str(tmp_path / "cache" / "target"))
        assert os.listdir(tmp_path / "cache") == []
    assert not (tmp_path / "evil").exists()


def test_damaged_archive_keeps_the_old_content(tmp_path):
    source, target = tmp_path / "a.tar.gz", tmp_path / "cache" / "t"
    make_tar(source, [("a", os.urandom(100_000))])
    assert extract_archive(str(source), str(target))
    source.write_bytes(source.read_bytes()[:50_000])
    with pytest.raises(ValueError, match="damaged"):
        extract_archive(str(source), str(target))
    assert os.listdir(target) == ["a"]
    assert os.listdir(tmp_path / "cache") == ["t"]


def test_what_is_no_archive_is_said(tmp_path):
    (tmp_path / "s").write_bytes(b"plain")
    with pytest.warns(UserWarning, match="no archive"):
        get_file("a", (tmp_path / "s").as_uri(), extract=True)
    with pytest.raises(ValueError, match="'archive_format'.*rar"):
        extract_archive(str(tmp_path / "s"), str(tmp_path / "t"), "rar")
