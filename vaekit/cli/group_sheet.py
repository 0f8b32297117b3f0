"""The picture of `reconstruct --groups all`: what an image is after each group of latents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vaekit.errors import UsageError
from vaekit.latents.groups import LatentGroup, latents_in
from vaekit.output.formats import PICTURES, Target

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from vaekit.data.streams.mixed_inputs import Chunk
    from vaekit.inference import Model


ACROSS = 20
"""Images side by side; more continue in another block of rows."""


@dataclass(frozen=True)
class Drawing:
    """How latents are drawn: those of images from their posteriors, the others from the prior."""

    sample: bool
    """Draw from the posterior, else take its mean."""
    temperature: list[float]
    seed: int


def check_group_sheet(target: Target, model: Model) -> None:
    """Refuse a sheet of a model without groups, or in a format that is no picture."""
    latents_in(model.groups, 1)
    if target.form not in PICTURES:
        raise UsageError("--groups all is a picture, such as -o levels.png; else give a number")


def write_group_sheet(target: Target, model: Model, chunks: Iterator[Chunk], drawn: Drawing) -> int:
    """Write rows of originals and of each number of groups; returns how many images.

    The groups that a row leaves out come from the prior.
    """
    import torch

    from vaekit.output.byte_streams import write_output
    from vaekit.output.image_writer import refuse_many
    from vaekit.output.pictures import encode_picture, strip, to_uint8

    originals: list[Tensor] = []
    latents: list[Tensor] = []
    count = 0
    for chunk in chunks:
        latents.append(model.embed(chunk.images, sample=drawn.sample, seed=drawn.seed, start=count))
        originals.append(torch.from_numpy(to_uint8(chunk.images)))
        count += len(chunk)
        refuse_many(count * (len(model.groups) + 1), model.header.image)
    z = torch.cat(latents)
    rows = [
        to_uint8(model.decode(z[:, : group.stop], temperature=drawn.temperature, seed=drawn.seed))
        for group in model.groups
    ]
    stacks = [torch.cat(originals), *map(torch.from_numpy, rows)]
    labels = ["original", *(_label(group) for group in model.groups)]
    picture = strip(*_in_blocks(stacks, labels))
    write_output(target, encode_picture(picture, target.form))
    return count


def _in_blocks(
    stacks: list[Tensor], labels: list[str]
) -> tuple[list[np.ndarray[Any, Any]], list[str]]:
    """The rows and labels of blocks of `ACROSS` images; the last is filled up with white."""
    import torch

    short = -len(stacks[0]) % ACROSS if len(stacks[0]) > ACROSS else 0
    white = stacks[0].new_full((short, *stacks[0].shape[1:]), 255)
    parts = (torch.cat([stack, white]).split(ACROSS) for stack in stacks)
    rows = [images.numpy() for block in zip(*parts, strict=True) for images in block]
    return rows, labels * (len(rows) // len(labels))


def _label(group: LatentGroup) -> str:
    return f"{group.number}  {group.grid}  {group.nats:.0f} nats"
