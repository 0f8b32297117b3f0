"""Stream images to a model: from files, folders, archives, arrays, pipes and data sets.

They come in chunks of the model's shape, in the order in which they were named, with names and
labels. Threads decode a few batches ahead, so memory does not grow with the number of images, and
a pipe is used as it arrives.

A bad image is skipped, and named after all good ones. So is the error for too many of them, or
for an archive or a pipe that turns out to be damaged.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, nullcontext
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

from vaekit.data.imageset import ImageSet
from vaekit.data.load import load_for_model
from vaekit.data.source import USUAL_SHARE, Request, Shape
from vaekit.data.streams import named_inputs as named
from vaekit.data.streams.file_list import open_list
from vaekit.data.streams.image_stream import IMAGE_CHUNK, Chunk, ImageStream
from vaekit.data.streams.named_inputs import OpenedInput, PixelBlock
from vaekit.data.streams.pipe_input import PipeInput
from vaekit.errors import DataError, UsageError
from vaekit.reporting import SILENT, Reporter, ToldOnce
from vaekit.wording import one_line, shown, unreadable

__all__ = ["IMAGE_CHUNK", "Chunk", "ImageStream", "stream_dataset", "stream_images"]


def stream_images(
    inputs: Sequence[str],
    *,
    shape: Shape,
    files_from: str | None = None,
    null_separated: bool = False,
    stdin: BinaryIO | None = None,
    strict: bool = False,
    max_bad: float = USUAL_SHARE,
    chunk: int = IMAGE_CHUNK,
    at_once: int = 1,
    reporter: Reporter = SILENT,
) -> ImageStream:
    """The images named by `inputs`, then by the list `files_from`; `-` is stdin.

    Folders and archives are listed at once, so that a wrong name is refused early; images are
    read on demand.

    Example:
        with stream_images(["photos/", "more.zip"], shape=(32, 32, 3)) as stream:
            for chunk in stream:
                z = model.embed(chunk.images)
    """
    _check(inputs, files_from, null_separated=null_separated)
    reporter = ToldOnce(reporter)
    alone = len(inputs) == 1 and files_from is None
    with ExitStack() as resources:
        opened: list[OpenedInput] = []
        for single, group in groupby(inputs, lambda given: _kind(given) == "image"):
            if single:
                opened.append(named.image_files([*group]))
                continue
            opened += (
                _open(given, shape, reporter, resources, stdin=stdin, alone=alone)
                for given in group
            )
        if files_from is not None:
            where = f"{shown(files_from)} (--files-from)"
            file = _list_file(files_from, where, stdin, resources)
            opened.append(open_list(file, where, reporter, null=null_separated))
        return ImageStream(
            opened,
            shape,
            chunk=chunk,
            at_once=at_once,
            strict=strict,
            max_bad=max_bad,
            reporter=reporter,
            resources=resources.pop_all(),
        )


def stream_dataset(
    dataset: str,
    split: str,
    shape: Shape,
    request: Request,
    *,
    chunk: int = IMAGE_CHUNK,
    at_once: int = 1,
) -> ImageStream:
    """One split of the data set in the model's shape, through the cache of decoded images.

    Image files and named data sets are converted, with a note; an array must have the shape.
    """
    data = load_for_model(dataset, split, shape, request, is_own=True)
    blocks, where = _blocks(data), one_line(data.name)
    opened = OpenedInput(where, lambda: nullcontext(blocks), len(data), data.classes, certain=True)
    return ImageStream(
        [opened],
        shape,
        chunk=chunk,
        at_once=at_once,
        strict=request.strict,
        reporter=request.reporter,
        skipped=data.skipped,
    )


def _blocks(data: ImageSet) -> Iterator[PixelBlock]:
    for start in range(0, len(data), named.BLOCK_ROWS):
        part = slice(start, start + named.BLOCK_ROWS)
        labels = None if data.labels is None else data.labels[part]
        yield PixelBlock(data.names[part], labels, data.images[part])


def _check(inputs: Sequence[str], files_from: str | None, *, null_separated: bool) -> None:
    if not inputs and files_from is None:
        raise UsageError("no images: name files, folders or archives, or - for stdin")
    if [*inputs, files_from].count("-") > 1:
        raise UsageError("- (stdin) can be read once: among the images, or by --files-from")
    if null_separated and files_from is None:
        raise UsageError("-0 is for --files-from, which is not given")


def _open(
    given: str,
    shape: Shape,
    reporter: Reporter,
    resources: ExitStack,
    *,
    stdin: BinaryIO | None,
    alone: bool,
) -> OpenedInput:
    if given == "-":
        pipe = PipeInput(_stdin(stdin), given, shown(given), "" if alone else "-/")
    elif _kind(given) == "pipe":  # as `<(command)` in a shell gives
        file = resources.enter_context(_opened(given))
        pipe = PipeInput(file, given, one_line(given), "" if alone else f"{given}/")
    else:
        return named.open_input(given, shape, reporter, alone=alone)
    return pipe.open(shape, reporter, resources)


def _kind(given: str) -> str:
    return "pipe" if given == "-" else named.input_kind(given)


def _list_file(
    files_from: str, where: str, stdin: BinaryIO | None, resources: ExitStack
) -> BinaryIO:
    if files_from == "-":
        return _stdin(stdin)
    return resources.enter_context(_opened(files_from, where))


def _opened(path: str, where: str | None = None) -> BinaryIO:
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise DataError(f"{where or one_line(path)}: {unreadable(error)}") from None


def _stdin(given: BinaryIO | None) -> BinaryIO:
    if given is None and sys.stdin is None:
        raise DataError("standard input: is closed")
    file = given or sys.stdin.buffer
    if file.isatty():
        raise UsageError("- reads standard input, which is a terminal: pipe or redirect into it")
    return file
