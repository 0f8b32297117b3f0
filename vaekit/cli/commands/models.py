"""`vaekit models`: the networks."""

from __future__ import annotations

import json

from vaekit.cli.options import Debug, Json
from vaekit.cli.terminal.tables import print_table

MODEL_SUMMARIES = {
    "mlp": ("--hidden, --activation", "fully connected; small images, and the linear VAE"),
    "conv": (
        "--channels, --activation, --norm, --upsampling",
        "strided convolutions, and a decoder that doubles the sides as often",
    ),
    "resnet": (
        "--channels, --depth, --activation, --norm",
        "residual blocks with group norm: the quality choice",
    ),
    "ladder": (
        "--channels, --depth, --latent-groups, --latent-channels, --activation",
        "groups of latents, coarse to fine: sharp pictures, slow steps",
    ),
}


def command(
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """List the networks and the options of each."""
    if as_json:
        print(json.dumps({name: {"options": options, "what": what}
                          for name, (options, what) in MODEL_SUMMARIES.items()}))  # fmt: skip
    else:
        print_table(
            ("model", "options", "what it is"),
            [(name, *row) for name, row in MODEL_SUMMARIES.items()],
        )
