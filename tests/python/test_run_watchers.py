"""Progress for Python callers: on a terminal, in a notebook's cell, and through their own code."""

from __future__ import annotations

import io
import sys
import types
from typing import Any

import pytest

import vaekit
from vaekit.configuration.config import RunConfig
from vaekit.errors import UsageError
from vaekit.python.run_watchers import ScreenWatcher, choose_watcher
from vaekit.python.screens import NotebookScreen, TerminalScreen, find_screen
from vaekit.training.watcher import RunFacts, StepFacts, Watcher

FACTS = RunFacts(
    config=RunConfig(dataset="digits", epochs=2, model="mlp", latent_dim=2, likelihood="bce"),
    image=(8, 8, 1), n_train=10, n_val=2, parameters=1234, device="cpu", threads=1,
    steps_per_epoch=1, folder="x",
)  # fmt: skip
RECORD = {"epoch": 1, "train_neg_elbo": 3.0, "train_reconstruction": 2.0, "train_kl": 1.0,
          "active_units": 2, "images_per_second": 5.0}  # fmt: skip


def follow(watcher: Watcher) -> None:
    """What a short run reports."""
    with watcher.task("decoding", 3) as task:
        task.advance(3)
    watcher.started(FACTS)
    watcher.stepped(StepFacts(1, 1, 5, 3.0, 2.0, 1.0))
    watcher.epoch_ended(RECORD)
    watcher.warn("--lr is high")
    watcher.ended()


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_the_facts_a_bar_and_a_line_per_epoch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("vaekit.python.screens.PAUSES", {"terminal": 0.0, "notebook": 0.0})
    stream = Tty()
    follow(ScreenWatcher(TerminalScreen(stream)))
    text = stream.getvalue()
    assert "digits: 10 + 2 validation images, 8x8 grey" in text
    assert "epoch 1/2 ━━━━━───────────────  25%  3.00 = 2.00 + 1.00" in text
    assert "decoding: 3/3 images" in text
    assert "warning: lr is high" in text
    lines = [line.rpartition("\x1b[K")[2] for line in text.split("\n")]
    assert lines[-1] == "", "the moving line is gone at the end"
    assert any(line.split()[:3] == ["1", "3.00", "2.00"] for line in lines)


def test_a_moving_line_never_wraps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    stream = Tty()
    TerminalScreen(stream).move("x" * 50)
    assert stream.getvalue() == "\r\x1b[K" + "x" * 19


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A stand-in for IPython in a kernel: what it displays, each update replacing the last."""
    shown: list[str] = []

    class Handle:
        def update(self, html: Any) -> None:
            shown[-1] = html

    def display(html: str, *, display_id: bool) -> Handle:
        assert display_id
        shown.append(html)
        return Handle()

    ipython, module = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    module.display, module.HTML = display, str  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    return shown


def test_a_notebook_shows_one_output_that_is_updated(notebook: list[str]) -> None:
    screen = find_screen()
    assert isinstance(screen, NotebookScreen)
    follow(ScreenWatcher(screen))
    (html,) = notebook
    assert html.startswith("<pre")
    assert "digits: 10 + 2 validation images" in html
    assert "━" not in html, "the moving line is gone at the end"


def test_a_script_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert find_screen() is None
    monkeypatch.setattr(sys, "stderr", Tty())
    assert isinstance(find_screen(), TerminalScreen)


def test_quiet_shows_nothing_and_still_calls_the_watcher(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Tty()
    monkeypatch.setattr(sys, "stderr", stream)
    seen: list[dict[str, float]] = []
    follow(choose_watcher(seen.append, quiet=True))
    assert seen == [RECORD]
    assert stream.getvalue() == ""
    follow(choose_watcher(seen.append, quiet=False))
    assert (len(seen), "10 + 2 validation" in stream.getvalue()) == (2, True)


def test_a_watcher_derived_from_the_public_class_gets_every_step() -> None:
    class Steps(vaekit.Watcher):
        seen = 0

        def stepped(self, facts: StepFacts) -> None:
            self.seen = facts.step

    watcher = Steps()
    follow(choose_watcher(watcher, quiet=True))
    assert watcher.seen == 1
    with pytest.raises(UsageError, match="watcher of type int"):
        choose_watcher(3, quiet=True)  # type: ignore[arg-type]
