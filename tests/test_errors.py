"""A Python caller reads of keywords, and whoever types a command reads of flags."""

from __future__ import annotations

from typing import Any

import pytest

import vaekit as package
from vaekit.errors import STOP_ERRORS, UsageError


def test_python_callers_read_of_keywords_and_the_command_line_of_flags(cli: Any) -> None:
    with pytest.raises(UsageError, match=r"^image_size 0: write a number of pixels"):
        package.load_dataset("digits", image_size=0)
    with pytest.raises(UsageError, match=r"^val_split = 2: "):
        package.train(val_split=2)
    with pytest.raises(UsageError, match=r"^hidden is for model mlp, not for model conv"):
        package.train(limit=40, model="conv", hidden=[4])
    done = cli("train", "--limit", "40", "--model", "conv", "--hidden", "4")
    assert done.stderr.startswith("vaekit: --hidden is for --model mlp")


def test_a_signal_has_the_exit_code_that_shells_give_it() -> None:
    for number, error in STOP_ERRORS.items():
        assert error.exit_code == 128 + number
