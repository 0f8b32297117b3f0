"""Places to write to."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from vaekit.output.formats import Target


@pytest.fixture
def piped(monkeypatch) -> Callable:
    """`with piped(form) as (target, taken)`: stdout is a real pipe, and `taken` what came out."""

    @contextmanager
    def run(form: str) -> Iterator[tuple[Target, io.BytesIO]]:
        reading, writing = os.pipe()
        taken = io.BytesIO()

        def drain() -> None:
            with os.fdopen(reading, "rb") as file:
                while some := file.read1(1 << 16):
                    taken.write(some)

        thread = threading.Thread(target=drain)
        thread.start()
        with os.fdopen(writing, "w") as stdout, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", stdout)
            yield Target(None, form), taken
        thread.join()
        taken.seek(0)

    return run
