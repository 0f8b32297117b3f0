"""What the commands that use a model have in common: open it, feed it, say where things went."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from vaekit import registry
from vaekit.cli.console import Terminal
from vaekit.cli.options import ImageOptions, UseOptions
from vaekit.errors import ImageError, UsageError
from vaekit.header import read_model_file

if TYPE_CHECKING:
    from vaekit.data.streams.mixed_inputs import Chunk, ImageStream
    from vaekit.inference import Model
    from vaekit.output.formats import Target


class Parted(Protocol):
    """Something that says which part of a data set is wanted."""

    @property
    def split(self) -> str:
        """train, val, test or all."""
        ...


def begin(model: Path, target: Target, use: UseOptions) -> Terminal:
    """Refuse what cannot be meant, before anything heavy is imported; gives the terminal."""
    if use.as_json and target.path is None:
        raise UsageError("--json and -o - exclude each other: both want stdout")
    if target.path is not None and _same_file(target.path, model):
        raise UsageError(f"-o {target.path}: is the model itself, which would be lost")
    terminal = Terminal(quiet=use.quiet)
    if target.path is None and sys.stdout is not None and sys.stdout.isatty():
        terminal.live = False  # a bar would be drawn through the data
    return terminal


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def open_model(path: Path, use: UseOptions, terminal: Terminal) -> Model:
    """The model, on the device that was asked for; one that was chosen by itself is named."""
    read_model_file(path)  # a bad file is refused before torch is imported
    from vaekit import inference
    from vaekit.data.decoding import thread_pool

    thread_pool.ALLOWED.set(use.threads)
    if use.threads is not None:
        import torch

        torch.set_num_threads(use.threads)
    model = inference.load(path, use.device, allow_nonfinite=use.allow_nonfinite)
    if use.device == "auto" and model.device.type != "cpu":
        terminal.note(f"on {model.device}")
    return model


def open_input_images(
    source: ImageOptions, model: Model, use: UseOptions, terminal: Terminal
) -> ImageStream:
    """The images, in the model's shape; without any, a named set that it was trained on."""
    from vaekit.data.source import Request
    from vaekit.data.streams import mixed_inputs

    if source.null and not source.files_from:
        raise UsageError("-0 is for --files-from, which is not given")
    if source.listed and source.dataset:
        raise UsageError("--dataset and images exclude each other")
    if source.listed:
        refuse_parts(source)
        return mixed_inputs.stream_images(
            source.images or [],
            shape=model.header.image,
            files_from=source.files_from,
            null_separated=source.null,
            stdin=None if sys.stdin is None else sys.stdin.buffer,
            strict=source.strict,
            chunk=model.chunk,
            reporter=terminal,
        )
    request = Request(
        limit=source.limit,
        seed=use.seed,
        val_split=val_split_of(model),
        data_dir=source.data_dir,
        strict=source.strict,
        reporter=terminal,
    )
    dataset = source.dataset or own_dataset(model, source, terminal)
    shape, chunk = model.header.image, model.chunk
    return mixed_inputs.stream_dataset(dataset, source.split, shape, request, chunk=chunk)


def refuse_parts(source: ImageOptions) -> None:
    """What says which part of a data set is taken has no meaning where there is none."""
    for flag, given in (("--limit", source.limit), ("--split", source.split != "test")):
        if given:
            raise UsageError(f"{flag} is for --dataset, which is not given")


def own_dataset(model: Model, source: Parted, terminal: Terminal) -> str:
    """The named set that the model was trained on, where the user named none."""
    name = str(model.header.training.get("dataset"))
    if name not in registry.names("dataset"):
        raise UsageError("no images: name some, or - for stdin, or --dataset")
    terminal.note(f"images: {name} ({source.split}), the data set of the model")
    return name


def val_split_of(model: Model) -> float:
    """The validation part that training kept, so that `--split val` is that part."""
    config = model.header.training.get("config")
    value = config.get("val_split") if isinstance(config, dict) else None
    return float(value) if isinstance(value, int | float) and 0 <= value < 1 else 0.1


@contextmanager
def counted(
    stream: ImageStream, terminal: Terminal, label: str, most: int | None = None
) -> Iterator[Iterator[Chunk]]:
    """The stream's chunks, at most so many images of them, with progress."""
    total = stream.expected if most is None else min(most, stream.expected or most)
    with stream, terminal.task(label, total) as task:

        def chunks() -> Iterator[Chunk]:
            left = most
            for chunk in stream:
                taken = chunk if left is None else chunk[:left]
                if len(taken):
                    yield taken
                task.advance(len(taken))
                left = None if left is None else left - len(taken)
                if left == 0:
                    return

        yield chunks()


def known_count(stream: ImageStream, most: int | None) -> int | None:
    """How many images there will be, where that is certain beforehand."""
    return stream.count if most is None or stream.count is None else min(most, stream.count)


def say_written(target: Target, count: int, use: UseOptions, **more: Path) -> None:
    """A line on stdout for each thing: where it went. Data on stdout is not followed by a word."""
    if target.path is None:
        return
    if use.as_json:
        others = {name: str(path) for name, path in more.items()}
        print(json.dumps({"path": str(target.path), "n": count, **others}))
    else:
        print(target.path, *more.values(), sep="\n")


def require_positive(name: str, value: int) -> int:
    """A count that is at least 1."""
    if value < 1:
        raise UsageError(f"{name} {value}: at least 1")
    return value


@contextmanager
def required() -> Iterator[None]:
    """Where each image matters, a bad one is an error though nobody gave --strict."""
    try:
        yield
    except ImageError as error:
        raise ImageError(str(error).removesuffix(" (--strict)")) from None


def require_finite(name: str, value: float) -> float:
    """A number; infinity would only come out as images of nothing."""
    if not math.isfinite(value):
        raise UsageError(f"{name} {value}: a finite number is needed")
    return value
