"""Progress in a log: plain lines, not too many, each with the speed and the time that is left."""

from __future__ import annotations

import pytest

from vaekit.cli import console


@pytest.mark.parametrize(
    ("total", "line"),
    [(1000, "likelihood: 300/1,000 images, 50 images/s, 14 s left"),
     (None, "likelihood: 300 images, 50 images/s")],
)  # fmt: skip
def test_a_log_says_how_fast_and_how_long_yet(
    total: int | None,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seconds = iter([0.0, 1.0, 6.0, 7.0])
    monkeypatch.setattr(console.time, "monotonic", lambda: next(seconds))
    with console.Terminal().task("likelihood", total) as task:
        for _ in range(3):
            task.advance(150)
    assert capsys.readouterr().err.splitlines() == [line]
