"""`vaekit edit`: an image, changed along an attribute of its latents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from vaekit.cli.latent_paths import PathOptions, Still, write_paths
from vaekit.cli.model_commands import (
    choose_target,
    open_model,
    open_terminal,
    print_output_path,
    require_finite,
)
from vaekit.cli.options import (
    ImageOptions,
    ModelArgument,
    OutputOptions,
    UseOptions,
    value_option,
    with_option_groups,
)
from vaekit.cli.searched_images import named_images, searched_parts
from vaekit.cli.terminal.console import Terminal
from vaekit.errors import UsageError
from vaekit.output.formats import ANIMATIONS, ARRAYS, FOLDER

if TYPE_CHECKING:
    from torch import Tensor

    from vaekit.inference import Model

TAKES = ("png", "jpeg", *ANIMATIONS, FOLDER, *ARRAYS)


@with_option_groups
def command(
    model: ModelArgument,
    source: ImageOptions,
    where: OutputOptions,
    towards: Annotated[
        str | None,
        value_option("--towards", metavar="LABEL", help="a class of --dataset to move towards"),
    ] = None,
    add: Annotated[
        str | None,
        value_option(
            "--add", metavar="A-B", help="add mean A minus mean B: latents or images; or A alone"
        ),
    ] = None,
    strength: Annotated[
        float, value_option("--strength", metavar="S", help="how far to go; may be negative")
    ] = 1.0,
    steps: Annotated[
        int, value_option("--steps", metavar="N", min=2, help="images on the way")
    ] = 9,
    how: PathOptions = PathOptions(),  # noqa: B008 (frozen)
    use: UseOptions = UseOptions(),  # noqa: B008 (frozen)
) -> None:
    """Change an image along an attribute, such as from one class to another.

    [dim]vaekit edit m.safetensors me.jpg --add smiling.npz-neutral.npz[/dim]
    [dim]vaekit edit runs/digits-mlp 7.png --towards 9 -o seven-to-nine.gif[/dim]

    --towards moves by the mean latent of a class minus that of all other
    images of the data set. A row per image goes from the image itself to the
    whole strength.
    """
    require_finite("--strength", strength)
    if (towards is None) == (add is None):
        raise UsageError("edit needs one of --towards LABEL and --add A-B")
    target = choose_target(model, where, use, takes=TAKES, on_stdout="png", default="edited.png")
    terminal = open_terminal(use, target)
    opened = open_model(model, use, terminal)
    from vaekit.image_arguments import as_floats
    from vaekit.latents.search import along_vector

    images = named_images(opened, source, use, terminal, "edit")
    if towards is not None:
        vector = _towards(opened, towards, source, use, terminal)
    else:
        vector = _difference(opened, str(add), source, use, terminal)
    paths = [opened.decode(along_vector(z, vector, strength, steps)) for z in images.z]
    labels = [str(name).rsplit("/", 1)[-1][-24:] for name in images.names]
    assert images.images is not None
    originals = [as_floats(image[None]) for image in images.images]
    headings = ["original", *(f"{strength * step / (steps - 1):.2g}" for step in range(steps))]
    still = Still(before=originals, headings=headings)
    write_paths(target, paths, labels, opened.header.image, how, terminal, still=still)
    print_output_path(target, sum(map(len, paths)), use)


def _towards(
    model: Model, label: str, source: ImageOptions, use: UseOptions, terminal: Terminal
) -> Tensor:
    """The mean latent of a class minus that of all other images of the data set."""
    import torch

    from vaekit.latents.search import attribute_vector

    latents, labels = [], list[str]()
    for part in searched_parts(model, [], source, use, terminal):
        latents.append(part.z)
        labels += ["" if one is None else str(one) for one in part.labels]
    if label not in labels:
        found = ", ".join(sorted({one for one in labels if one})[:12])
        raise UsageError(f"--towards {label}: no image has this label; labels: {found or 'none'}")
    return attribute_vector(torch.cat(latents), torch.tensor([one == label for one in labels]))


def _difference(
    model: Model, given: str, source: ImageOptions, use: UseOptions, terminal: Terminal
) -> Tensor:
    """The mean of one set of latents, minus that of another where one is named."""
    means = [_mean(model, path, source, use, terminal) for path in split_difference(given)]
    return means[0] - means[1] if len(means) == 2 else means[0]


def split_difference(given: str) -> Sequence[str]:
    """The paths in `A-B`, which may have hyphens themselves; or the path alone."""
    if Path(given).exists():
        return [given]
    for at, character in enumerate(given):
        both = given[:at], given[at + 1 :]
        if character == "-" and all(path and Path(path).exists() for path in both):
            return both
    raise UsageError(f"--add {given}: two existing paths with a hyphen between, as in a.npz-b.npz")


def _mean(
    model: Model, path: str, source: ImageOptions, use: UseOptions, terminal: Terminal
) -> Tensor:
    import torch

    parts = searched_parts(model, [path], source, use, terminal)
    z = torch.cat([part.z for part in parts])
    if not len(z):
        raise UsageError(f"--add {path}: holds no latents")
    return z.double().mean(0).to(z.dtype)
