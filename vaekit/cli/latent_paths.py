"""Write paths through the latent space, for `interpolate` and `traverse`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vaekit.output.formats import ANIMATIONS, PICTURES, Target

if TYPE_CHECKING:
    from torch import Tensor

    from vaekit.reporting import Reporter


def write_paths(
    target: Target,
    paths: Sequence[Tensor],
    labels: Sequence[str] | None,
    shape: tuple[int, int, int],
    *,
    as_bytes: bool,
    reporter: Reporter,
) -> None:
    """Write one row per path, an animation with one frame per step, or all images in order."""
    from vaekit.output.image_writer import open_image_writer, refuse_many

    count = sum(map(len, paths))
    if target.form in (*PICTURES, *ANIMATIONS):
        refuse_many(count, shape)
    if target.form in ANIMATIONS:
        from vaekit.output.animation import encode_animation, frames
        from vaekit.output.byte_streams import write_output

        shown = frames(paths, labels)
        write_output(target, encode_animation(shown, target.form, there_and_back=True))
    elif target.form in PICTURES:
        from vaekit.output.byte_streams import write_output
        from vaekit.output.pictures import encode_picture, strip

        write_output(target, encode_picture(strip(paths, labels), target.form))
    else:
        with open_image_writer(
            target, shape, count=count, as_bytes=as_bytes, reporter=reporter
        ) as out:
            for path in paths:
                out.write(path)
