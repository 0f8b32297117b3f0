"""The worker process: reads tasks on stdin, decodes, writes pixels to stdout.

`vaekit.data.decoding.process_pool` starts it and is the other end. It ends when its stdin does, so
it never outlives its parent, and it writes no files, so it leaves nothing behind.
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
from vaekit.data.random_access import Read
from vaekit.data.sources.folder import open_folder_reader
from vaekit.data.sources.joined_reading import open_joined_reader
from vaekit.data.sources.tar_files import open_tar_reader
from vaekit.data.sources.zip_files import open_zip_reader

READY = b"ready\n"

READERS = {
    reader.__name__: reader
    for reader in (open_folder_reader, open_zip_reader, open_tar_reader, open_joined_reader)
}
"""The readers of sources whose images can be read in any order, by the names tasks use."""


def serve() -> None:
    """Answer tasks until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when it ends
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
    """Stdout for answers alone: a library that prints must not mix with them."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _answer(task: Mapping[str, Any], opened: Any, answers: IO[bytes]) -> None:
    height, width = task["form"]["size"]
    form = TargetForm(**{**task["form"], "size": (height, width)})
    locations = task["locations"]
    images = np.zeros((len(locations), height, width, form.channels), np.uint8)
    try:
        read = opened(task["reader"], task["path"])
        loaders = enumerate(partial(read, *location) for location in locations)
        outcome = decode_batch(images, loaders, form, tried=len(locations), strict=task["strict"])
        answer = _as_json(outcome)
    except OSError as error:  # the archive as a whole cannot be opened
        answer = {"errno": error.errno, "strerror": error.strerror}
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.write(images.data)
    answers.flush()


def _as_json(outcome: BatchOutcome) -> dict[str, Any]:
    return {
        "tried": outcome.tried,
        "bad": outcome.bad,
        "lasting": outcome.lasting,
        "seen": [[*key, count] for key, count in outcome.seen.items()],
        "refuted": outcome.refuted and asdict(outcome.refuted),
    }
