"""A process that decodes: orders come on stdin, a line each; answers and pixels go to stdout.

`vaekit.data.decoding.process_pool` starts it and is the other end. It ends when its stdin does, so
it never outlives its parent, and it writes no file, so it leaves nothing behind.
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

from vaekit.data.decoding.decode_batch import BatchOutcome, TargetForm, decode_batch
from vaekit.data.decoding.decode_image import quiet_pillow
from vaekit.data.imageset import Pixels
from vaekit.data.random_access import Read
from vaekit.data.sources.folder import open_folder_reader
from vaekit.data.sources.tar_files import open_tar_reader
from vaekit.data.sources.zip_files import open_zip_reader

READY = b"ready\n"

READERS = {
    reader.__name__: reader for reader in (open_folder_reader, open_zip_reader, open_tar_reader)
}
"""The readers of sources whose images can be read in any order, by the names orders use."""


def serve() -> None:
    """Answer orders until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever ordered decides when it ends
    answers = _answers()
    answers.write(READY)
    answers.flush()
    with ExitStack() as stack, quiet_pillow():

        @cache
        def read(reader: str, path: str) -> Read:
            return stack.enter_context(READERS[reader](path))

        for line in sys.stdin.buffer:
            _answer(json.loads(line), read, answers)


def _answers() -> IO[bytes]:
    """Stdout for answers alone: a library that prints must not come between them."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _answer(order: Mapping[str, Any], opened: Any, answers: IO[bytes]) -> None:
    height, width = order["form"]["size"]
    form = TargetForm(**{**order["form"], "size": (height, width)})
    spots = order["spots"]
    images = np.zeros((len(spots), height, width, form.channels), np.uint8)
    try:
        read = opened(order["reader"], order["path"])
        loads = (partial(read, *spot) for spot in spots)
        tried, strict = len(spots), order["strict"]
        outcome = decode_batch(images, enumerate(loads), form, tried=tried, strict=strict)
        told = as_told(outcome)
    except OSError as error:  # the whole cannot be opened
        told = {"errno": error.errno, "strerror": error.strerror}
    _send(told, images, answers)


def _send(told: Mapping[str, Any], images: Pixels, answers: IO[bytes]) -> None:
    answers.write(json.dumps(told).encode() + b"\n")
    answers.write(images.data)
    answers.flush()


def as_told(outcome: BatchOutcome) -> dict[str, Any]:
    """An outcome as it goes from process to process."""
    return {
        "tried": outcome.tried,
        "bad": outcome.bad,
        "lasting": outcome.lasting,
        "seen": [[*key, count] for key, count in outcome.seen.items()],
        "differs": outcome.differs and asdict(outcome.differs),
    }
