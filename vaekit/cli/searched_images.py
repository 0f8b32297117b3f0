"""The latents that `nearest` searches and `edit` averages: of images, or in files of latents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaekit.cli.model_commands import (
    chunks_with_progress,
    every_image_required,
    open_input_images,
)
from vaekit.cli.options import ImageOptions, UseOptions
from vaekit.cli.terminal.console import Terminal
from vaekit.errors import DataError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from vaekit.inference import Model


@dataclass(frozen=True)
class SearchedPart:
    """Some latents, with the names, labels and images that are known of them."""

    z: Tensor
    names: Sequence[str]
    labels: Sequence[str | int | None]
    images: np.ndarray[Any, Any] | None
    """None where a file holds the latents alone."""


def searched_parts(
    model: Model, paths: Sequence[str], source: ImageOptions, use: UseOptions, terminal: Terminal
) -> Iterator[SearchedPart]:
    """The latents of images and in files, in the order of the paths; without any, of a data set."""
    from vaekit.latents.names import holds_latents

    if not paths:
        yield from _of_images(model, replace(source, images=None), use, terminal)
    for in_file, group in groupby(paths, holds_latents):
        if in_file:
            for path in group:
                yield _in_file(model, path, use)
        else:
            named = ImageOptions(images=[*group], strict=source.strict, max_bad=source.max_bad)
            yield from _of_images(model, named, use, terminal)


def _of_images(
    model: Model, source: ImageOptions, use: UseOptions, terminal: Terminal
) -> Iterator[SearchedPart]:
    stream = open_input_images(source, model, use, terminal)
    with chunks_with_progress(stream, terminal, "searching") as chunks:
        for chunk in chunks:
            labels = chunk.words(stream.classes)
            yield SearchedPart(model.embed(chunk.images), chunk.names, labels, chunk.images)


def _in_file(model: Model, path: str, use: UseOptions) -> SearchedPart:
    import torch

    from vaekit.latents.names import latent_names
    from vaekit.latents.reading import read_latents

    with read_latents(
        Path(path), widths=(model.latent_dim,), allow_nonfinite=use.allow_nonfinite
    ) as stream:
        z = torch.cat([torch.from_numpy(part) for part in stream])
    return SearchedPart(z, latent_names(path, len(z)), [None] * len(z), None)


def named_images(
    model: Model, source: ImageOptions, use: UseOptions, terminal: Terminal, command: str
) -> SearchedPart:
    """The images that the user named, all in memory; a bad one is an error."""
    import numpy as np
    import torch

    if not source.has_images:
        raise UsageError(f"no image: vaekit {command} MODEL IMAGE, or - for stdin")
    alone = ImageOptions(
        images=source.images, files_from=source.files_from, null=source.null, strict=True
    )
    with every_image_required():
        parts = list(_of_images(model, alone, use, terminal))
    if not parts:
        raise DataError("there are no images")
    return SearchedPart(
        torch.cat([part.z for part in parts]),
        [name for part in parts for name in part.names],
        [label for part in parts for label in part.labels],
        np.concatenate([part.images for part in parts if part.images is not None]),
    )
