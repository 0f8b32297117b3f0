"""Write paths through the latent space, for `interpolate`, `traverse` and `edit`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from vaekit.cli.options import AsBytes, value_option
from vaekit.output.formats import ANIMATIONS, PICTURES, Target

if TYPE_CHECKING:
    from torch import Tensor

    from vaekit.reporting import Reporter

HOLD = 0.6
"""Seconds for which an animation shows each end of a path."""


@dataclass(frozen=True)
class PathOptions:
    """How paths are written: the speed and size of an animation, the type of an array."""

    fps: Annotated[
        float | None,
        value_option(
            "--fps", metavar="N", min=0.1, max=50, help="animation: frames per second [12]"
        ),
    ] = None
    scale: Annotated[
        int | None,
        value_option(
            "--scale", metavar="N", min=1, max=64, help="animation: enlarge N times [to 256 pixels]"
        ),
    ] = None
    as_bytes: AsBytes = False


@dataclass(frozen=True)
class Still:
    """What a picture shows beside the paths themselves."""

    before: Sequence[Tensor] | None = None
    """An image (1, C, H, W) at the beginning of each row."""
    after: Sequence[Tensor] | None = None
    """An image at the end of each row."""
    headings: Sequence[str] | None = None
    """Above the columns."""

    def rows(self, paths: Sequence[Tensor]) -> list[Tensor]:
        """The paths with the images around them."""
        import torch

        ends = [self.before or [], self.after or []]
        return [
            torch.cat([*ends[0][row : row + 1], path, *ends[1][row : row + 1]])
            for row, path in enumerate(paths)
        ]


def write_paths(
    target: Target,
    paths: Sequence[Tensor],
    labels: Sequence[str] | None,
    shape: tuple[int, int, int],
    how: PathOptions,
    reporter: Reporter,
    *,
    still: Still = Still(),
    closed: bool = False,
) -> None:
    """Write one row per path, an animation with one frame per step, or all images in order.

    A `closed` path ends with the image that it begins with: its animation goes round.
    """
    from vaekit.output.image_writer import open_image_writer, refuse_many

    count = sum(map(len, paths))
    if target.form in (*PICTURES, *ANIMATIONS):
        refuse_many(count, shape)
    if target.form in ANIMATIONS:
        from vaekit.output.animation import FPS, encode_animation, frames
        from vaekit.output.byte_streams import write_output

        shown = frames(paths, labels, scale=how.scale)
        fps = how.fps or FPS
        content = encode_animation(
            shown[:-1] if closed else shown,
            target.form,
            fps=fps,
            hold=0.0 if closed else HOLD,
            there_and_back=not closed,
        )
        write_output(target, content)
    elif target.form in PICTURES:
        from vaekit.output.byte_streams import write_output
        from vaekit.output.pictures import encode_picture, strip

        picture = strip(still.rows(paths), labels, headings=still.headings)
        write_output(target, encode_picture(picture, target.form))
    else:
        with open_image_writer(
            target, shape, count=count, as_bytes=how.as_bytes, reporter=reporter
        ) as out:
            for path in paths:
                out.write(path)
