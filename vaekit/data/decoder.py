"""A process that decodes: orders come on stdin, a line each; answers and pixels go to stdout.

`vaekit.data.crew` starts it and is the other end. It ends when its stdin does, so it outlives
nobody; it leaves nothing behind, since it writes to no file.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from functools import cache, partial
from typing import IO, Any

import numpy as np

from vaekit.data.apart import Read, opened
from vaekit.data.attempt import Form, Outcome, attempt
from vaekit.data.decode import quietly
from vaekit.data.imageset import Pixels

READY = b"ready\n"


def main() -> None:
    """Answer orders until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever ordered decides when it ends
    answers = _answers()
    answers.write(READY)
    answers.flush()
    with ExitStack() as stack, quietly():

        @cache
        def reader(kind: str, path: str) -> Read:
            return stack.enter_context(opened(kind, path))

        for line in sys.stdin.buffer:
            _answer(json.loads(line), reader, answers)


def _answers() -> IO[bytes]:
    """Stdout for answers alone: a library that prints must not come between them."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _answer(order: Mapping[str, Any], reader: Any, answers: IO[bytes]) -> None:
    height, width = order["form"]["size"]
    form = Form(**{**order["form"], "size": (height, width)})
    spots = order["spots"]
    images = np.zeros((len(spots), height, width, form.channels), np.uint8)
    try:
        read = reader(order["kind"], order["path"])
        loads = (partial(read, *spot) for spot in spots)
        tried, strict = len(spots), order["strict"]
        outcome = attempt(images, enumerate(loads), form, tried=tried, strict=strict)
        told = as_told(outcome)
    except OSError as error:  # the whole cannot be opened
        told = {"errno": error.errno, "strerror": error.strerror}
    _send(told, images, answers)


def _send(told: Mapping[str, Any], images: Pixels, answers: IO[bytes]) -> None:
    answers.write(json.dumps(told).encode() + b"\n")
    answers.write(images.data)
    answers.flush()


def as_told(outcome: Outcome) -> dict[str, Any]:
    """An outcome as it goes from process to process."""
    return {
        "tried": outcome.tried,
        "bad": outcome.bad,
        "lasting": outcome.lasting,
        "seen": [[*key, count] for key, count in outcome.seen.items()],
        "differs": outcome.differs and asdict(outcome.differs),
    }
