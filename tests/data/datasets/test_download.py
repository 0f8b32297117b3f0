from __future__ import annotations

import contextlib
import hashlib
import http.server
import multiprocessing
import socket
import threading
import time

import pytest

from vaekit.data.datasets import download
from vaekit.data.datasets.download import Remote, fetch
from vaekit.errors import DataError, DownloadError

CONTENT = bytes(range(256)) * 3000


class Server(http.server.ThreadingHTTPServer):
    """Serves `pages` on the loopback address, and counts what it is asked for."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages, self.asked, self.cut, self.kind = {}, [], False, "application/gzip"
        self.resumes, self.begins, self.lengths, self.drips = True, [], True, False

    def url(self, name):
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        content = self.server.pages.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start = int(self.headers.get("Range", "bytes=0-")[6:-1]) if self.server.resumes else 0
        self.server.begins.append(start)
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", self.server.kind)
        if self.server.lengths:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = len(content) // 2 if self.server.cut else len(content)
        if self.server.drips:
            self.drip()
        else:
            self.wfile.write(content[start:end])

    def drip(self):
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(b".")
                time.sleep(0.02)

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
    return Remote(urls, hashlib.md5(CONTENT).hexdigest(), megabytes=1)


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


@pytest.mark.parametrize("resumes", [True, False])
def test_fault_21_a_download_cut_off_goes_on_at_the_next_run(tmp_path, server, heard, resumes):
    server.cut, server.resumes = True, resumes
    remote, target = remote_at(server.url("file.bin")), tmp_path / "file.bin"
    with pytest.raises(DownloadError, match=r"cut off after 384,000 of 768,000 bytes.*run again"):
        fetch(remote, target, heard)
    assert left(tmp_path) == [".file.bin.part"]
    server.cut = False
    assert fetch(remote, target, heard).read_bytes() == CONTENT
    assert server.begins == [0, 384_000 if resumes else 0]
    assert left(tmp_path) == ["file.bin"]


@pytest.mark.parametrize("size", [len(CONTENT), len(CONTENT) + 5])
def test_fault_21_what_a_killed_process_left_is_used_or_cleared_away(tmp_path, server, heard, size):
    (tmp_path / ".file.bin.part").write_bytes(bytes(size))
    fetch(remote_at(server.url("file.bin")), tmp_path / "file.bin", heard)
    assert left(tmp_path) == ["file.bin"]


def test_a_part_of_another_file_is_removed_once_the_checksum_is_wrong(tmp_path, server, heard):
    (tmp_path / ".file.bin.part").write_bytes(bytes(1000))
    remote, target = remote_at(server.url("file.bin")), tmp_path / "file.bin"
    with pytest.raises(DataError, match=r"file\.bin: is not the file that .* is removed"):
        fetch(remote, target, heard)
    assert fetch(remote, target, heard).read_bytes() == CONTENT


@pytest.mark.parametrize("lengths", [True, False])
def test_fault_80_a_download_larger_than_its_data_set_is_refused(tmp_path, server, heard, lengths):
    server.pages["/file.bin"], server.lengths = bytes(5_000_000), lengths
    with pytest.raises(DownloadError, match="it is larger than 1 MB: refused"):
        fetch(remote_at(server.url("file.bin")), tmp_path / "file.bin", heard)
    assert left(tmp_path) == []


def test_fault_80_a_server_that_drips_is_given_up(tmp_path, server, heard, monkeypatch):
    monkeypatch.setattr(download, "DRIP_SECONDS", 0.3)
    server.drips = True
    with pytest.raises(DownloadError, match=r"only \d+ bytes in 0\.3 seconds"):
        fetch(remote_at(server.url("file.bin")), tmp_path / "file.bin", heard)


def test_fault_80_a_server_that_drips_its_headers_is_given_up(tmp_path, heard, monkeypatch):
    """Each byte starts a socket's timeout again, so that one alone would wait without end."""
    monkeypatch.setattr(download, "ANSWER_SECONDS", 0.3)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    done = threading.Event()

    def drip(listener):
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not done.wait(0.02):
                connection.sendall(b".")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=drip, args=(listener,))
        server.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/file.bin"
        began = time.monotonic()
        with pytest.raises(DownloadError, match=r"no complete answer within 0\.3 seconds"):
            fetch(remote_at(url), tmp_path / "file.bin", heard)
        took = time.monotonic() - began
        done.set()
        server.join()
    assert 0.3 <= took < 10
    assert left(tmp_path) == []


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
