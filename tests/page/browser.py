"""Drives a headless Chromium over the pipe of its DevTools protocol."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def find_browser() -> str | None:
    """The path of a Chromium, if there is one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


LAUNCHER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Starts the browser with the protocol on descriptors 3 and 4, where it looks for it."""


def _above_nine(descriptor: int) -> int:
    """The same under a number that is none of 3 and 4."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return moved


class Tab:
    """One page. `problems` are the errors and warnings of its console, and failed requests."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session
        self.problems: list[str] = []
        self.requests: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """Call one method of the protocol, and note what came in between."""
        return self._browser.call(method, parameters, self._session, self._note)

    def _note(self, event: dict[str, Any]) -> None:
        method, facts = event["method"], event["params"]
        if method == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(facts["exceptionDetails"])[:800])
        if method == "Runtime.consoleAPICalled" and facts["type"] in ("error", "warning"):
            self.problems.append(str(facts["args"]))
        if method == "Log.entryAdded" and facts["entry"]["level"] in ("error", "warning"):
            self.problems.append(facts["entry"]["text"])
        if method == "Network.requestWillBeSent":
            self.requests.append(facts["request"]["url"][:80])

    def evaluate(self, script: str) -> Any:
        """The value of an expression, awaited where it is a promise."""
        done = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def until(self, condition: str, seconds: float = 30) -> bool:
        """Wait until an expression is true."""
        deadline = time.monotonic() + seconds
        while not self.evaluate(condition):
            assert time.monotonic() < deadline, (condition, self.problems)
            time.sleep(0.02)
        return True

    def open(self, path: Path) -> None:
        """Open a page from disk, and wait until it has drawn itself."""
        self.visit(path.resolve().as_uri())

    def visit(self, url: str) -> None:
        """Open an address, and wait until the page has drawn itself."""
        self.call("Page.navigate", url=url)
        self.until("document.documentElement?.dataset.ready === 'yes'")

    def screen(self, width: int, height: int, *, dark: bool = False) -> None:
        """Set the size of the screen and the system's theme."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self, path: Path) -> None:
        """Save what the screen shows."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def place(self, selector: str) -> tuple[float, float, float, float]:
        """Scroll to an element: its left, top, width and height on the screen."""
        found = self.evaluate(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'center', behavior: 'instant'});"
            "const r = e.getBoundingClientRect(); return [r.left, r.top, r.width, r.height]; })()"
        )
        left, top, width, height = found
        return left, top, width, height

    def mouse(self, kind: str, x: float, y: float, *, held: bool = False) -> None:
        """One movement or button of the mouse."""
        self.call(
            "Input.dispatchMouseEvent", type=kind, x=x, y=y,
            button="left" if held or kind != "mouseMoved" else "none",
            buttons=1 if held else 0, clickCount=1 if kind != "mouseMoved" else 0,
        )  # fmt: skip

    def click(self, selector: str) -> None:
        """Click the middle of an element."""
        left, top, width, height = self.place(selector)
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.mouse(kind, left + width / 2, top + height / 2)

    def drag(self, *places: tuple[float, float]) -> None:
        """Press at the first place, move over the others, release at the last."""
        self.mouse("mouseMoved", *places[0])
        self.mouse("mousePressed", *places[0], held=True)
        for place in places[1:]:
            self.mouse("mouseMoved", *place, held=True)
        self.mouse("mouseReleased", *places[-1])

    def key(self, key: str) -> None:
        """Press and release one key."""
        text = {"text": key} if len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key)


class Browser:
    """The process, and its pipe of messages, each ended by NUL."""

    def __init__(self, process: subprocess.Popen[bytes], to: int, back: int) -> None:
        self._process, self._to, self._back = process, to, back
        self._number, self._rest = 0, b""

    def tab(self) -> Tab:
        """A new, empty page."""
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        attached = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})
        return Tab(self, attached["sessionId"])

    def call(
        self, method: str, parameters: dict[str, Any], session: str = "", note: Any = None
    ) -> Any:
        """Send one message and wait for its answer; events go to `note`."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        message |= {"sessionId": session} if session else {}
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._message()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            if note is not None and answer.get("sessionId") == session and "method" in answer:
                note(answer)

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = os.read(self._back, 1 << 16)
            assert part, "the browser ended"
            self._rest += part
        text, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        return message


@contextlib.contextmanager
def open_browser(path: str, profile: Path) -> Iterator[Browser]:
    """Start a browser with a profile of its own, and end it."""
    theirs, to = map(_above_nine, os.pipe())
    back, their_end = map(_above_nine, os.pipe())
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(theirs), str(their_end), path, "--headless=new",
         "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe",
         "--disable-dev-shm-usage", "--no-first-run", f"--user-data-dir={profile}", "about:blank"],
        pass_fds=(theirs, their_end),
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(theirs)
    os.close(their_end)
    try:
        yield Browser(process, to, back)
    finally:
        process.terminate()
        process.wait(20)
        os.close(to)
        os.close(back)
