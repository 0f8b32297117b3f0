"""Images on their way to a model: from files, folders, archives, arrays, pipes and data sets.

They come as chunks in the model's shape, in the order they were named in, each with its name and
its label. Decoding runs in threads a few batches ahead, so memory does not grow with the number of
images; and what is a stream is used as it arrives.

A bad image is left out, and named when all good ones have come; if there are too many of them, or
if an archive or a pipe ends in damage, the error too comes then.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, nullcontext
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

from vaekit.data.imageset import ImageSet
from vaekit.data.load_for_model import load_fitted
from vaekit.data.once import Once
from vaekit.data.source import Shape
from vaekit.data.streams import named_inputs as named
from vaekit.data.streams.file_list import open_list
from vaekit.data.streams.image_stream import IMAGE_CHUNK, Chunk, ImageStream
from vaekit.data.streams.named_inputs import Input, PixelBlock
from vaekit.data.streams.pipe_input import PipeInput
from vaekit.errors import DataError, UsageError
from vaekit.reporting import SILENT, Reporter
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
    chunk: int = IMAGE_CHUNK,
    reporter: Reporter = SILENT,
) -> ImageStream:
    """The images that are named: by `inputs`, then by the list `files_from`; `-` is stdin.

    Folders and archives are listed here and now, so that a wrong name is refused at once; images
    are read as the stream is.

    Example:
        with stream_images(["photos/", "more.zip"], shape=(32, 32, 3)) as stream:
            for chunk in stream:
                z = model.embed(chunk.images)
    """
    _check(inputs, files_from, null_separated=null_separated)
    reporter = Once(reporter)
    alone = len(inputs) == 1 and files_from is None
    with ExitStack() as resources:
        opened: list[Input] = []
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
            strict=strict,
            reporter=reporter,
            resources=resources.pop_all(),
        )


def stream_dataset(
    dataset: str,
    split: str = "test",
    *,
    shape: Shape,
    limit: int | None = None,
    seed: int = 0,
    val_split: float = 0.1,
    data_dir: str | os.PathLike[str] | None = None,
    strict: bool = False,
    chunk: int = IMAGE_CHUNK,
    reporter: Reporter = SILENT,
) -> ImageStream:
    """One split of a data set in the model's shape, by way of the cache of decoded images.

    Images of another shape are converted, and it is said; an array must have the model's shape.
    """
    data = load_fitted(
        dataset,
        split,
        shape=shape,
        brought=True,
        limit=limit,
        seed=seed,
        val_split=val_split,
        data_dir=data_dir,
        strict=strict,
        reporter=reporter,
    )
    blocks = _blocks(data)
    found = Input(
        one_line(data.name), lambda: nullcontext(blocks), len(data), data.classes, certain=True
    )
    return ImageStream(
        [found], shape, chunk=chunk, strict=strict, reporter=reporter, skipped=data.skipped
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
        raise UsageError("-0 says how the list of --files-from is parted: there is none")


def _open(
    given: str,
    shape: Shape,
    reporter: Reporter,
    resources: ExitStack,
    *,
    stdin: BinaryIO | None,
    alone: bool,
) -> Input:
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
