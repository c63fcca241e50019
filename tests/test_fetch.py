"""Downloads against a server of our own that breaks, lies and forgets; zip files that want out of their folder."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import random
import stat
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ites_core import cli
from ites_core.data import catalogue
from ites_core.data import fetch as module
from ites_core.data.catalogue import CATALOGUE, DataSet, RemoteFile
from ites_core.data.fetch import fetch, unpack
from ites_core.errors import ItesError

BODY = random.Random(0).randbytes(300_000)
SHA = hashlib.sha256(BODY).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves ``body`` at every path; the other attributes say how badly."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/file.bin"
        self.reset()

    def reset(self) -> None:
        self.body, self.etag, self.ranges, self.heeds_if_range, self.says_length = BODY, '"one"', True, True, True
        self.breaks: list[int] = []  # after so many bytes of each answer in turn
        self.status, self.location = 200, ""
        self.asked: list[str | None] = []  # the Range headers
        self.sent = 0


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers.get("Range")
        server.asked.append(wanted)
        if server.status != 200:
            self.send_response(server.status)
            if server.location:
                self.send_header("Location", server.location)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        same = self.headers.get("If-Range") == server.etag or not server.heeds_if_range
        start = int(wanted[6:-1]) if wanted and server.ranges and same else 0
        rest = server.body[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.body) - 1}/{len(server.body)}")
        if server.says_length:
            self.send_header("Content-Length", str(len(rest)))
        if server.etag:
            self.send_header("ETag", server.etag)
        self.end_headers()
        data = rest[: server.breaks.pop(0)] if server.breaks else rest
        server.sent += len(data)
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing: the tests' output is no log."""


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSES", (0.0, 0.0))
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server(running: Server) -> Server:
    running.reset()
    return running


def refused(server: Server, target: Path, says: str, **expected: str | int) -> str:
    with pytest.raises(ItesError, match=says) as error:
        fetch(server.url, target, progress=False, **expected)  # type: ignore[arg-type]
    assert "\n" not in str(error.value) and not target.exists()
    return str(error.value)


def test_a_file_arrives_whole_and_is_not_fetched_twice(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "new" / "file.bin"
    assert fetch(server.url, target, sha256=SHA.upper(), size=len(BODY)) == SHA
    assert target.read_bytes() == BODY and [p.name for p in target.parent.iterdir()] == ["file.bin"]
    assert fetch(server.url, target, sha256=SHA, size=len(BODY)) == SHA and len(server.asked) == 1


def test_a_broken_line_is_taken_up_where_it_broke(server: Server, tmp_path: Path) -> None:
    server.breaks = [100_000, 50_000]
    assert fetch(server.url, tmp_path / "f", sha256=SHA, progress=False) == SHA
    assert server.asked == [None, "bytes=100000-", "bytes=150000-"] and server.sent == len(BODY)


@given(breaks=st.lists(st.integers(0, len(BODY)), max_size=6), ranges=st.booleans(), etag=st.sampled_from(['"a"', ""]))
@settings(max_examples=30)
def test_wherever_it_breaks_the_bytes_are_the_same(running: Server, breaks: list[int], ranges: bool, etag: str) -> None:
    running.reset()
    running.breaks, running.ranges, running.etag = breaks, ranges, etag
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "f"
        for _ in range(4):  # as a user who runs the command again
            try:
                fetch(running.url, target, sha256=SHA, progress=False)
                break
            except ItesError:
                assert not target.exists()
        assert target.read_bytes() == BODY and os.listdir(folder) == ["f"]


def test_a_server_without_ranges_starts_anew(server: Server, tmp_path: Path) -> None:
    server.breaks, server.ranges = [100_000], False
    assert fetch(server.url, tmp_path / "f", sha256=SHA, progress=False) == SHA
    assert server.sent == 100_000 + len(BODY)


@pytest.mark.parametrize("heeds_if_range", [True, False])
def test_a_file_that_changed_meanwhile_is_not_glued_together(
    server: Server, tmp_path: Path, heeds_if_range: bool
) -> None:
    server.breaks = [100_000, 0, 0]
    refused(server, tmp_path / "f", "3 times at the same place.*same command again")
    server.body, server.etag, server.heeds_if_range = BODY[::-1], '"two"', heeds_if_range
    fetch(server.url, tmp_path / "f", progress=False)
    assert server.asked[-2 if not heeds_if_range else -1] == "bytes=100000-"
    assert (tmp_path / "f").read_bytes() == BODY[::-1]


def test_a_wrong_checksum_is_kept_aside(server: Server, tmp_path: Path) -> None:
    message = refused(server, tmp_path / "f", "found SHA-256", sha256="0" * 64)
    assert server.url in message and SHA in message and "0" * 64 in message and "fetch it again" in message
    assert (tmp_path / "f.wrong").read_bytes() == BODY and len(list(tmp_path.iterdir())) == 1


def test_without_a_published_checksum_the_first_is_remembered(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "f"
    fetch(server.url, target, progress=False)
    assert f"SHA-256 {SHA}, unverified" in capsys.readouterr().out
    assert (tmp_path / "f.sha256").read_text() == f"{SHA}  f\n"
    target.unlink()
    server.body = BODY[::-1]
    assert "delete f.sha256" in refused(server, target, "f.sha256 remembers")
    (tmp_path / "f.sha256").write_text("nothing")
    refused(server, target, "64 hexadecimal digits")


def test_another_file_in_the_way_is_left_alone(server: Server, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("mine")
    with pytest.raises(ItesError, match=r"4 bytes.*move it away"):
        fetch(server.url, tmp_path / "f", size=len(BODY))
    with pytest.raises(ItesError, match="found a folder"):
        fetch(server.url, tmp_path)
    assert (tmp_path / "f").read_text() == "mine" and not server.asked


def test_a_wrong_length_is_refused_before_or_while_it_is_read(server: Server, tmp_path: Path) -> None:
    refused(server, tmp_path / "f", "found a file of 300000 bytes, expected 5", size=5)
    assert not list(tmp_path.iterdir())
    server.says_length = False
    refused(server, tmp_path / "f", "found more than the 299999 bytes", size=len(BODY) - 1)
    refused(server, tmp_path / "g", "found a file of 300000 bytes, expected 300007", size=len(BODY) + 7)
    assert fetch(server.url, tmp_path / "h", sha256=SHA, size=len(BODY), progress=False) == SHA


def test_404_at_once_and_503_after_some_attempts(server: Server, tmp_path: Path) -> None:
    for status, attempts in ((404, 1), (503, 3)):
        server.reset()
        server.status = status
        refused(server, tmp_path / "f", f"answer {status}")
        assert len(server.asked) == attempts


def test_nobody_answers(tmp_path: Path) -> None:
    with pytest.raises(ItesError, match=r"no connection \(.*refused.*\) after 0 bytes"):
        fetch("http://127.0.0.1:9/file", tmp_path / "f", progress=False)


def test_only_the_web_is_asked(server: Server, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    for url in (secret.as_uri(), "ftp://127.0.0.1/f", "data:,f", "f", "http:///f"):
        with pytest.raises(ItesError, match="refused"):
            fetch(url, tmp_path / "f")
    server.status, server.location = 302, secret.as_uri()
    refused(server, tmp_path / "f", "redirects to file://.*refused")


def test_an_interruption_keeps_what_has_arrived(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, read, calls = tmp_path / "f", module._read, iter(range(1_000_000))

    def interrupted(response: object) -> bytes:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return read(response)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "BLOCK", 10_000)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_read", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch(server.url, target, sha256=SHA, progress=False)
    have = (tmp_path / "f.part").stat().st_size
    assert 0 < have <= 20_000 and not target.exists()
    assert fetch(server.url, target, sha256=SHA, progress=False) == SHA
    assert server.asked == [None, f"bytes={have}-"]


def test_an_interruption_after_the_last_byte_asks_for_nothing(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(module, "_digest", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            fetch(server.url, tmp_path / "f", progress=False)
    assert fetch(server.url, tmp_path / "f", progress=False) == SHA and len(server.asked) == 1


def test_a_full_disk_loses_nothing(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.FileIO):
        def write(self, data: Any) -> int:
            if self.tell() >= 100_000:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(bytes(data)[: 100_000 - self.tell()])

    with monkeypatch.context() as patch:
        patch.setattr(module, "open", lambda path, mode, buffering: Full(path, mode), raising=False)
        assert "the same command continues" in refused(server, tmp_path / "f", "No space left", sha256=SHA)
    assert (tmp_path / "f.part").read_bytes() == BODY[:100_000]
    assert fetch(server.url, tmp_path / "f", sha256=SHA, progress=False) == SHA
    assert server.asked[-1] == "bytes=100000-"


def packed(path: Path, *members: tuple[str, bytes], mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.external_attr, info.compress_type = mode << 16, zipfile.ZIP_DEFLATED
            file.writestr(info, content)
    return path


def test_a_zip_is_unpacked_and_kept_files_are_not_written_again(tmp_path: Path) -> None:
    archive = packed(tmp_path / "a.zip", ("a/", b""), ("a/one.txt", b"1"), ("two.txt", b"22"))
    first = unpack(archive, tmp_path / "out")
    assert [p.read_bytes() for p in first] == [b"1", b"22"]
    first[0].write_bytes(b"!")
    assert unpack(archive, tmp_path / "out") == first and first[0].read_bytes() == b"!"


@pytest.mark.parametrize(
    "name", ["../out.txt", "/etc/out.txt", "a/../../out.txt", "C:/out.txt", "..\\out.txt", "away/f"]
)
def test_a_zip_stays_in_its_folder(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "away").symlink_to(tmp_path)
    archive = packed(tmp_path / "a.zip", ("good.txt", b"good"), (name, b"bad"))
    with pytest.raises(ItesError, match="expected a path inside the folder"):
        unpack(archive, folder)
    assert {p.name for p in tmp_path.rglob("*")} == {"in", "away", "a.zip"}


def test_a_zip_with_a_member_without_a_name_is_refused(tmp_path: Path) -> None:
    archive = packed(tmp_path / "a.zip", ("name.txt", b"1"))
    archive.write_bytes(archive.read_bytes().replace(b"name.txt", b"\0ame.txt"))  # found by the fuzzing campaign
    with pytest.raises(ItesError, match="member '': expected a path inside the folder"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_bombs_links_and_damage_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = packed(tmp_path / "link.zip", ("link", b"/etc/passwd"), mode=stat.S_IFLNK | 0o777)
    bomb = packed(tmp_path / "bomb.zip", ("zeros", bytes(20_000_000)))
    damaged = packed(tmp_path / "damaged.zip", ("f", BODY))
    damaged.write_bytes(damaged.read_bytes().replace(BODY[1000:1010], bytes(10)))
    truncated = tmp_path / "truncated.zip"
    truncated.write_bytes(bomb.read_bytes()[:1000])
    for path, says in (
        (link, "symlink"),
        (bomb, "times its size"),
        (damaged, "fetch it again"),
        (truncated, "zip file"),
    ):
        with pytest.raises(ItesError, match=says):
            unpack(path, tmp_path / "out")
        assert not [p for p in (tmp_path / "out").rglob("*") if p.is_file()]
    monkeypatch.setattr(module, "MAX_MEMBERS", 1)
    with pytest.raises(ItesError, match="2 members"):
        unpack(packed(tmp_path / "many.zip", ("a", b""), ("b", b"")), tmp_path / "out")


def ites(*arguments: object, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["ites", *map(str, arguments)])
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_list_and_fetch_on_the_command_line(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.body = packed(tmp_path / "z.zip", ("walk.amc", b"walk")).read_bytes()
    url = server.url.replace("file.bin", "walks.zip")
    common: dict[str, Any] = {
        "title": "Walks",
        "purpose": "tests",
        "terms": "CC0",
        "size": "1 kB",
        "page": "http://walks",
    }
    walks = DataSet("walks", marks=("walks/walks.zip",), next="look into {folder}", files=(RemoteFile(url),), **common)
    secret = DataSet("secret", marks=("s.npz",), next="", steps=("sign", "put it into {home}"), **common)
    monkeypatch.setattr(catalogue, "CATALOGUE", (walks, secret))
    monkeypatch.setenv("ITES_DATA", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    assert ites("data", "list", monkeypatch=monkeypatch) == 0
    listed = capsys.readouterr().out
    assert "ites data fetch walks" in listed and "1. sign" in listed and f"2. put it into {tmp_path}" in listed
    assert ites("data", "fetch", "walks", monkeypatch=monkeypatch) == 0
    printed = capsys.readouterr().out
    assert "unverified" in printed and "1 files unpacked" in printed and f"look into {tmp_path / 'walks'}" in printed
    assert (tmp_path / "walks" / "walk.amc").read_bytes() == b"walk" and "ITES_DATA" not in printed
    assert ites("data", "list", monkeypatch=monkeypatch) == 0
    listed = capsys.readouterr().out
    assert "walks.zip" in listed and "ites data fetch walks" not in listed
    assert ites("data", "fetch", "walks", "--folder", tmp_path / "b", monkeypatch=monkeypatch) == 0
    assert f"ITES_DATA={tmp_path / 'b'}" in capsys.readouterr().out
    assert ites("data", "fetch", "secret", monkeypatch=monkeypatch) == 2
    assert "1. sign" in capsys.readouterr().out
    assert ites("data", "fetch", "nothing", monkeypatch=monkeypatch) == 2
    assert "expected one of walks, secret" in capsys.readouterr().err
    monkeypatch.setattr(module, "_read", lambda response: (_ for _ in ()).throw(KeyboardInterrupt))
    assert ites("data", "fetch", "walks", "--folder", tmp_path / "c", monkeypatch=monkeypatch) == 130


@pytest.mark.parametrize("known", CATALOGUE, ids=lambda known: known.name)
def test_the_catalogue_is_well_formed(known: DataSet) -> None:
    assert bool(known.files) != bool(known.steps), "either fetched or got by hand"
    assert known.terms and known.page.startswith("http") and known.marks
    assert "{" not in known.next.format(folder="f", home="h") + "".join(s.format(home="h") for s in known.steps)
    for file in known.files:
        assert file.name and file.url.startswith("http")
        assert file.sha256 is None or (len(file.sha256) == 64 and file.size)


@pytest.mark.data
def test_the_sample_is_what_the_readers_are_tested_with(data_dir: Path) -> None:
    for file in catalogue.data_set("cmu-sample").files:
        content = (data_dir / "raw" / "cmu" / file.name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file.size, file.sha256)
