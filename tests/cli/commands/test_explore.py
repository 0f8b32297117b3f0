"""`vaekit explore`: prints its address, serves the page, stops on Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest


def test_the_page_is_served_until_ctrl_c(tiny_run: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "vaekit", "explore", tiny_run, "--limit", "20", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": ""},
    ) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        with urllib.request.urlopen(url, timeout=30) as answer:
            page = answer.read().decode("ascii")
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(url.partition("?")[0], timeout=30)
        process.send_signal(signal.SIGINT)
        rest, err = process.communicate(timeout=30)
    assert 'id="report-data"' in page
    assert f"vaekit explore {tiny_run} --limit 20" in page
    assert (process.returncode, rest) == (130, b"")
    assert err.decode().splitlines()[-1] == "vaekit: interrupted"


def test_a_port_in_use_is_an_error_in_one_line(cli: Any, tiny_model: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = cli("explore", tiny_model, "--limit", "4", "-q", "--port", port)
    assert (done.code, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert f"--port {port}: address already in use" in done.stderr
