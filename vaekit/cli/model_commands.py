"""What the commands that use a model share: check the output, open model and images."""

from __future__ import annotations

import json
import math
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from vaekit import registry
from vaekit.cli.options import DatasetOptions, ImageOptions, OutputOptions, UseOptions
from vaekit.cli.terminal.console import Terminal, warn_of_unknown_variables
from vaekit.errors import ImageError, UsageError
from vaekit.machine.ranks import place
from vaekit.model_file.header import model_path, read_model_file
from vaekit.model_file.tensor_file import is_tensor_file
from vaekit.output.formats import PICTURES, Target, choose_format
from vaekit.wording import one_line

if TYPE_CHECKING:
    from vaekit.cli.trained_count import TrainedCount
    from vaekit.data.source import Request
    from vaekit.data.streams.mixed_inputs import Chunk, ImageStream
    from vaekit.inference import Model


def choose_target(
    model: Path,
    where: OutputOptions,
    use: UseOptions,
    *,
    takes: tuple[str, ...],
    on_stdout: str,
    default: str,
) -> Target:
    """Where the result goes; an output that cannot be meant is refused before torch is imported.

    `on_stdout` is the format on stdout, `default` the file to write without `-o`.
    """
    target = choose_format(where.output, where.form, takes, on_stdout, default)
    if use.as_json and target.path is None:
        raise UsageError("--json and -o - exclude each other: both write to stdout")
    if target.path is not None:
        _refuse_replacing_model(target.path, model_path(model), force=where.force)
    return target


def _refuse_replacing_model(path: Path, model: Path, *, force: bool) -> None:
    """A model may have taken hours to train; any other file is replaced as asked."""
    if _same_file(path, model):
        raise UsageError(f"-o {path}: is the model itself, which would be lost")
    if not force and is_tensor_file(path):
        raise UsageError(f"-o {path}: is a model file; --force replaces it")


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def open_terminal(use: UseOptions, target: Target | None = None) -> Terminal:
    """The terminal on stderr, with a live bar unless stdout carries data to the same screen.

    A pipe counts as the same screen: `| jq` prints there, and `| vaekit decode` has its own bar.
    """
    terminal = Terminal(quiet=use.quiet or place().rank > 0)
    warn_of_unknown_variables(terminal)
    if target is not None and target.path is None and not _is_file(sys.stdout):
        terminal.live = False
    return terminal


def _is_file(stream: IO[str] | None) -> bool:
    try:
        return stream is not None and stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):
        return False


def open_model(path: Path, use: UseOptions, terminal: Terminal) -> Model:
    """Load the model onto its device; an accelerator that `auto` chose is printed."""
    read_model_file(path)  # a bad file is refused before torch is imported
    from vaekit import inference
    from vaekit.data.decoding import thread_pool

    thread_pool.ALLOWED.set(use.threads)
    if use.threads is not None:
        import torch

        torch.set_num_threads(use.threads)
    model = inference.load(path, _device(use), allow_nonfinite=use.allow_nonfinite)
    if use.device == "auto" and model.device.type != "cpu":
        terminal.note(f"on {model.device}")
    return model


def _device(use: UseOptions) -> str:
    """The device by name; several ranks of a host have one each."""
    here = place()
    if here.world == 1:
        return use.device
    from vaekit.machine.devices import device_of_rank

    return str(device_of_rank(use.device, here.local))


def open_input_images(
    source: ImageOptions, model: Model, use: UseOptions, terminal: Terminal
) -> ImageStream:
    """The images in the model's shape; by default the named data set it was trained on."""
    from vaekit.data.streams import mixed_inputs

    if source.null and not source.files_from:
        raise UsageError("-0 needs --files-from: it says how the paths there are separated")
    if source.has_images and source.dataset:
        raise UsageError("--dataset and images exclude each other")
    if place().world > 1 and "-" in (*(source.images or ()), source.files_from):
        raise UsageError("images from stdin reach one process: run this without torchrun")
    if source.has_images:
        refuse_dataset_flags(source)
        stream = mixed_inputs.stream_images(
            source.images or [],
            shape=model.header.image,
            files_from=source.files_from,
            null_separated=source.null,
            stdin=None if sys.stdin is None else sys.stdin.buffer,
            strict=source.strict,
            max_bad=source.max_bad,
            chunk=model.chunk,
            at_once=_most_at_once(model),
            reporter=terminal,
        )
        _note_whole(source.images or [], stream, terminal)
        return stream
    request = request_for(model, source, use, terminal)
    dataset = source.dataset or dataset_of_model(model, source)
    stream = mixed_inputs.stream_dataset(
        dataset,
        source.split,
        model.header.image,
        request,
        chunk=model.chunk,
        at_once=_most_at_once(model),
    )
    note_part(source, stream.expected or 0, dataset, terminal)
    return stream


VALUES_AT_ONCE = 1 << 20
"""Values of images in memory at once, as far as whole chunks allow: what a cache holds."""


def _most_at_once(model: Model) -> int:
    """Several chunks of small images at once: passing them on takes time as well."""
    return min(model.images_at_once(), VALUES_AT_ONCE // math.prod(model.header.image))


def _note_whole(given: Sequence[str], stream: ImageStream, terminal: Terminal) -> None:
    """Say that folders and archives are taken whole: of a data set it would be a part."""
    from vaekit.data.streams.named_inputs import input_kind

    whole = [path for path in given if path != "-" and input_kind(path) in ("folder", "zip", "tar")]
    if whole and stream.expected is not None:
        names = ", ".join(map(one_line, given[:3])) + (", …" if len(given) > 3 else "")
        terminal.note(f"images: all {stream.expected:,} of {names}")


def note_part(by: DatasetOptions, count: int, dataset: str, terminal: Terminal) -> None:
    """Say which part of a data set is taken, and how many images it has."""
    own = "" if by.dataset else ", the model's own data set"
    terminal.note(f"images: {count:,} of {one_line(dataset)} ({by.split}){own}")


def request_for(model: Model, by: DatasetOptions, use: UseOptions, terminal: Terminal) -> Request:
    """What to take of a data set, with validation images cut as in the model's training."""
    from vaekit.data.source import Request

    return Request(
        limit=by.limit,
        seed=use.seed,
        val_split=model.header.val_split,
        data_dir=by.data_dir,
        strict=by.strict,
        max_bad=by.max_bad,
        refresh=by.refresh,
        reporter=terminal,
    )


def refuse_dataset_flags(source: ImageOptions) -> None:
    """Refuse flags that choose part of a data set where no data set is read."""
    flags = {
        "--limit": source.limit,
        "--split": source.split != "test",
        "--refresh": source.refresh,
    }
    for flag, given in flags.items():
        if given and not source.dataset:
            raise UsageError(f"{flag} needs --dataset")


def dataset_of_model(model: Model, by: DatasetOptions) -> str:
    """The data set that the model was trained on: its name, or its path if it is still the same.

    Where it cannot be found, the error names the ways in which this command takes images.
    """
    name = str(model.header.training.get("dataset"))
    if name in registry.names("dataset"):
        return name
    from vaekit.cli.own_images import path_of_training_images

    takes_images = isinstance(by, ImageOptions)
    ways = "give paths, - for stdin, or --dataset" if takes_images else "name some with --dataset"
    return path_of_training_images(model, ways)


@contextmanager
def chunks_with_progress(
    stream: ImageStream,
    terminal: Terminal,
    label: str,
    most: int | None = None,
    seen: TrainedCount | None = None,
) -> Iterator[Iterator[Chunk]]:
    """The stream's chunks, up to `most` images, with a progress bar; `seen` counts them."""
    total = stream.expected if most is None else min(most, stream.expected or most)
    with stream, terminal.task(label, total) as task:

        def chunks() -> Iterator[Chunk]:
            left = most
            for chunk in stream:
                taken = chunk if left is None else chunk[:left]
                if len(taken):
                    yield taken
                if seen is not None:
                    seen.add(taken.images)
                task.advance(len(taken))
                left = None if left is None else left - len(taken)
                if left == 0:
                    return

        yield chunks()


def numbered(chunks: Iterable[Chunk]) -> Iterator[tuple[int, Chunk]]:
    """Each chunk with the number of its first image, which keys its draws."""
    start = 0
    for chunk in chunks:
        yield start, chunk
        start += len(chunk)


def known_count(stream: ImageStream, most: int | None) -> int | None:
    """How many images will come, up to `most`; None where the stream does not know."""
    return stream.count if most is None or stream.count is None else min(most, stream.count)


MOST_IN_SHEET = 200
"""Images that a picture shows of a stream, unless the user asks for a number."""


def sheet_size(
    target: Target, n: int | None, stream: ImageStream, terminal: Terminal
) -> int | None:
    """The number of images that a picture takes of a long stream, with a note; else `n`."""
    expected = stream.expected
    if n is not None or target.form not in PICTURES or (expected or 0) <= MOST_IN_SHEET:
        return n
    terminal.note(
        f"the picture shows the first {MOST_IN_SHEET} of {expected:,} images; -n takes another "
        "number, and a folder (-o NAME/) or an array (-o NAME.npy) takes all"
    )
    return MOST_IN_SHEET


def print_output_path(
    target: Target, count: int, use: UseOptions, *, skipped: int | None = None, **more: Path
) -> None:
    """Print where the result is, or a JSON object; nothing where stdout carries the data.

    `skipped` counts the bad images, in commands that read many.
    """
    if target.path is None:
        return
    if use.as_json:
        others = {name: str(path) for name, path in more.items()}
        bad = {} if skipped is None else {"skipped": skipped}
        print(json.dumps({"path": str(target.path), "n": count, **bad, **others}))
    else:
        print(target.path, *more.values(), sep="\n")


@contextmanager
def every_image_required() -> Iterator[None]:
    """Make a bad image an error whose message does not mention --strict, which was not given."""
    try:
        yield
    except ImageError as error:
        raise ImageError(str(error).removesuffix(" (--strict)")) from None


def require_positive(name: str, value: int) -> None:
    """Refuse a count below 1."""
    if value < 1:
        raise UsageError(f"{name} {value}: at least 1")


def require_finite(name: str, value: float) -> None:
    """Refuse infinity and NaN, which would give images of nothing."""
    if not math.isfinite(value):
        raise UsageError(f"{name} {value}: must be a finite number")
