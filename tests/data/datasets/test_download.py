from __future__ import annotations

import gzip
import hashlib
import http.server
import io
import multiprocessing
import socket
import tarfile
import threading

import pytest

from vaekit.data.datasets.download import Remote, fetch, unpack_gz, unpack_tar
from vaekit.errors import DataError, DownloadError

CONTENT = bytes(range(256)) * 3000


class Server(http.server.ThreadingHTTPServer):
    """Serves `pages` on the loopback address, and counts what it is asked for."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages, self.asked, self.cut, self.kind = {}, [], False, "application/gzip"

    def url(self, name):
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        content = self.server.pages.get(self.path)
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", self.server.kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if self.server.cut else content)

    def log_message(self, *_): ...


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as server:
        server.pages["/file.bin"] = CONTENT
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def remote_at(*urls):
    return Remote(urls, hashlib.md5(CONTENT).hexdigest())


def left(folder):
    """What stands in the folder, the lock aside."""
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_a_file_arrives_whole_with_progress_and_once(tmp_path, server, heard):
    for _ in range(2):
        path = fetch(remote_at(server.url("file.bin")), tmp_path / "file.bin", heard)
        assert path.read_bytes() == CONTENT
    assert server.asked == ["/file.bin"]
    assert heard.tasks == [("Downloading file.bin", len(CONTENT), "bytes")]
    assert left(tmp_path) == ["file.bin"]


def test_fault_19_offline_says_which_file_to_put_where(tmp_path, heard):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/file.bin"
        with pytest.raises(DownloadError) as caught:
            fetch(remote_at(url), tmp_path / "deep" / "file.bin", heard)
    message = str(caught.value)
    assert url in message
    assert f"put it at {tmp_path / 'deep' / 'file.bin'}" in message
    assert "--data-dir" in message
    assert "\n" not in message
    assert left(tmp_path / "deep") == []


def test_fault_20_a_checksum_mismatch_removes_and_names_the_file(tmp_path, server, heard):
    server.pages["/file.bin"] = CONTENT[:-1] + b"!"
    with pytest.raises(DataError, match=r"file\.bin: is not the file that .* is removed"):
        fetch(remote_at(server.url("file.bin")), tmp_path / "file.bin", heard)
    assert left(tmp_path) == []


def test_fault_20_a_damaged_file_that_is_there_is_removed_and_named(tmp_path, server, heard):
    (tmp_path / "file.bin").write_bytes(b"half a file")
    remote = remote_at(server.url("file.bin"))
    with pytest.raises(DataError, match=r"file\.bin: is not the file .*run again to download it"):
        fetch(remote, tmp_path / "file.bin", heard)
    assert fetch(remote, tmp_path / "file.bin", heard).read_bytes() == CONTENT


def test_fault_21_a_download_cut_off_leaves_nothing_and_the_next_is_clean(tmp_path, server, heard):
    server.cut = True
    remote = remote_at(server.url("file.bin"))
    with pytest.raises(DownloadError, match="cut off after 384,000 of 768,000 bytes"):
        fetch(remote, tmp_path / "file.bin", heard)
    assert left(tmp_path) == []
    server.cut = False
    assert fetch(remote, tmp_path / "file.bin", heard).read_bytes() == CONTENT


def test_fault_21_what_a_killed_process_left_is_cleared_away(tmp_path, server, heard):
    (tmp_path / ".file.bin.abc123.part").write_bytes(b"half")
    fetch(remote_at(server.url("file.bin")), tmp_path / "file.bin", heard)
    assert left(tmp_path) == ["file.bin"]


def test_mirrors_are_tried_in_turn(tmp_path, server, heard):
    server.pages["/bad/file.bin"] = b"not this"
    urls = [server.url(name) for name in ("gone.bin", "bad/file.bin", "file.bin")]
    assert fetch(remote_at(*urls), tmp_path / "file.bin", heard).read_bytes() == CONTENT
    assert server.asked == ["/gone.bin", "/bad/file.bin", "/file.bin"]


def test_a_missing_page_is_a_download_error(tmp_path, server, heard):
    with pytest.raises(DownloadError, match="Not Found"):
        fetch(remote_at(server.url("gone.bin")), tmp_path / "file.bin", heard)


def test_a_web_page_instead_of_the_file_says_so(tmp_path, server, heard):
    server.kind = "text/html; charset=utf-8"
    with pytest.raises(DownloadError, match="a web page came instead"):
        fetch(remote_at(server.url("file.bin")), tmp_path / "file.bin", heard)
    assert left(tmp_path) == []


def test_a_silent_server_is_given_up(tmp_path, heard, monkeypatch):
    monkeypatch.setattr("vaekit.data.datasets.download.TIMEOUT", 0.2)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/file.bin"
        with pytest.raises(DownloadError, match="timed out"):
            fetch(remote_at(url), tmp_path / "file.bin", heard)


def test_a_folder_that_cannot_be_written_names_the_flag(tmp_path, server, heard):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DownloadError, match=r"cannot write .*put http.* there, .* with --data-dir"):
        fetch(remote_at(server.url("file.bin")), tmp_path / "file" / "file.bin", heard)


def fetch_at_once(url, folder, barrier, results):
    from vaekit.reporting import SILENT

    barrier.wait(30)
    results.put(fetch(remote_at(url), folder / "file.bin", SILENT).read_bytes() == CONTENT)


def test_fault_23_two_processes_at_once_download_once(tmp_path, server):
    spawn = multiprocessing.get_context("spawn")
    barrier, results = spawn.Barrier(2), spawn.Queue()
    arguments = (server.url("file.bin"), tmp_path, barrier, results)
    processes = [spawn.Process(target=fetch_at_once, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    assert [results.get(timeout=60) for _ in processes] == [True, True]
    for process in processes:
        process.join(30)
    assert server.asked == ["/file.bin"]


def test_gz_is_unpacked_whole_or_not_at_all(tmp_path):
    packed, target = tmp_path / "a.gz", tmp_path / "a"
    packed.write_bytes(gzip.compress(CONTENT))
    assert unpack_gz(packed, target).read_bytes() == CONTENT
    target.unlink()
    packed.write_bytes(gzip.compress(CONTENT)[:-20])
    with pytest.raises(DataError, match=r"a\.gz: is damaged"):
        unpack_gz(packed, target)
    assert left(tmp_path) == ["a.gz"]


def tar_of(path, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def test_of_a_tar_only_the_wanted_files_are_unpacked_and_only_here(tmp_path):
    files = {"set/a.bin": b"a", "../../b.bin": b"b", "/c.bin": b"c", "set/other": b"x"}
    packed = tar_of(tmp_path / "set.tar.gz", files)
    folder = unpack_tar(packed, tmp_path / "set", {"a.bin", "b.bin", "c.bin"})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "a.bin": b"a",
        "b.bin": b"b",
        "c.bin": b"c",
    }
    assert left(tmp_path) == ["set", "set.tar.gz"]
    assert not (tmp_path.parent / "b.bin").exists()


def test_a_tar_that_lacks_a_file_leaves_nothing(tmp_path):
    packed = tar_of(tmp_path / "set.tar.gz", {"set/a.bin": b"a"})
    with pytest.raises(DataError, match=r"set\.tar\.gz: lacks b\.bin"):
        unpack_tar(packed, tmp_path / "set", {"a.bin", "b.bin"})
    assert left(tmp_path) == ["set.tar.gz"]


def test_a_damaged_tar_leaves_nothing(tmp_path):
    packed = tar_of(tmp_path / "set.tar.gz", {"set/a.bin": CONTENT})
    packed.write_bytes(packed.read_bytes()[:500])
    with pytest.raises(DataError, match="is damaged"):
        unpack_tar(packed, tmp_path / "set", {"a.bin"})
    assert left(tmp_path) == ["set.tar.gz"]
