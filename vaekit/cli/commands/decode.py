"""`vaekit decode`: latents to images, the way back from `embed`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from vaekit.cli.model_commands import begin, open_model, say_written
from vaekit.cli.options import AsBytes, ModelArgument, OutputOptions, UseOptions, flat
from vaekit.errors import DataError, UsageError
from vaekit.output.formats import ARRAYS, FOLDER, PICTURES, choose_format

if TYPE_CHECKING:
    from torch import Tensor

    from vaekit.latents import LatentStream

TAKES = (*PICTURES, FOLDER, *ARRAYS)
Latents = Annotated[
    str,
    typer.Argument(metavar="[LATENTS]", help=".npy, .npz, .csv, .jsonl or .parquet; - is stdin"),
]


@flat
def command(
    model: ModelArgument,
    latents: Latents = "-",
    where: OutputOptions = OutputOptions(),  # noqa: B008 (frozen)
    as_bytes: AsBytes = False,
    use: UseOptions = UseOptions(),  # noqa: B008 (frozen)
) -> None:
    """Decode latents to images; takes all that `embed` gives.

    [dim]vaekit embed m.safetensors photos/ -o - | vaekit decode m.safetensors - -o back.png[/dim]
    """
    target = choose_format(where.output, where.form, TAKES, "png", "decoded.png")
    terminal = begin(model, target, use)
    opened = open_model(model, use, terminal)
    from vaekit.latents import read_latents
    from vaekit.output.image_writer import open_image_writer

    place = _stdin() if latents == "-" else Path(latents)
    count = 0
    with (
        read_latents(place, width=opened.latent_dim, allow_nonfinite=use.allow_nonfinite) as stream,
        open_image_writer(
            target, opened.header.image, count=stream.count, as_bytes=as_bytes, reporter=terminal
        ) as out,
        terminal.task("decoding", stream.count) as task,
    ):
        for z in _chunks(stream, opened.chunk):
            out.write(opened.decode(z))
            count += len(z)
            task.advance(len(z))
    say_written(target, count, use)


def _stdin() -> BinaryIO:
    if sys.stdin is None:
        raise DataError("standard input: is closed")
    if sys.stdin.isatty():
        raise UsageError("no latents: name a file of them, or pipe or redirect one into it")
    return sys.stdin.buffer


def _chunks(stream: LatentStream, size: int) -> Iterator[Tensor]:
    """Latents in the chunks that `embed` had them in, whatever parts they arrive in."""
    import torch

    from vaekit.inference import rechunked

    yield from rechunked((torch.from_numpy(part) for part in stream), size)
