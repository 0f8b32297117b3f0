"""Patterns mean what they mean in a shell."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaekit.data.sources import patterns
from vaekit.data.sources.patterns import expand, with_braces
from vaekit.errors import DataError


@pytest.mark.parametrize(
    "text",
    ["{000..012}.tar", "{9..11}", "{01..3}", "{3..1}", "a{b,c}d{1..2}", "{a,{b,c}}", "{a}", "{}",
     "{a,}", "x{,y}", "{1..}", "a..b", "{0..0}"],
)  # fmt: skip
def test_braces_mean_what_they_mean_in_bash(text):
    done = subprocess.run(
        ["bash", "-c", f"echo {text}"], capture_output=True, text=True, check=True
    )
    found = filter(None, dict.fromkeys(with_braces(text)))  # each once, which bash leaves to us
    assert [*found] == [*dict.fromkeys(done.stdout.split())]


@given(st.text("a{},.0", max_size=8))
def test_no_text_is_too_odd(text):
    assert all(isinstance(found, str) for found in with_braces(text))


def test_paths_come_in_natural_order_and_once():
    for number in (10, 2, 1):
        Path(f"s-{number}.tar").touch()
    assert expand("s-*.tar") == ["s-1.tar", "s-2.tar", "s-10.tar"]
    assert expand("{s-2,s-*}.tar") == ["s-1.tar", "s-2.tar", "s-10.tar"]


def test_what_lies_in_a_matched_folder_is_not_taken_twice():
    Path("a/b").mkdir(parents=True)
    Path("a/b/1.png").touch()
    Path("c.png").touch()
    assert [path.rstrip("/") for path in expand("**")] == ["a", "c.png"]
    assert expand("**/*.png") == ["a/b/1.png", "c.png"]


def test_an_alternative_that_is_missing_is_named():
    Path("a.tar").touch()
    with pytest.raises(DataError, match=r"b\.tar: no such file or folder \(of --dataset \{a,b\}"):
        expand("{a,b}.tar")
    with pytest.raises(
        DataError, match=r"b-\*\.tar \(of \{a,b-\*\}\.tar\): the pattern matches no"
    ):
        expand("{a,b-*}.tar")


def test_braces_without_end_are_refused():
    with pytest.raises(DataError, match=f"over {patterns.MOST_ALTERNATIVES:,} paths"):
        expand("{0..999999999}{0..999999999}.tar")
