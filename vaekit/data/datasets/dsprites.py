"""dSprites, white shapes from known factors, from the publisher's .npz.

torchvision does not have this data set, so its address and MD5 are here.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vaekit.data.datasets.catalogue import CATALOGUE
from vaekit.data.datasets.download import Remote, datasets_dir, downloaded
from vaekit.data.datasets.unpack import damaged_file
from vaekit.data.source import Request, Source, file_identity
from vaekit.data.sources import array_files
from vaekit.wording import one_line

_NAME = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
DSPRITES = Remote(
    (f"https://github.com/google-deepmind/dsprites-dataset/raw/master/{_NAME}",),
    "7da33b31b13a06f4b04a70402ce90c2e",
    CATALOGUE["dsprites"].megabytes,
)


def open_dsprites(request: Request) -> Source:
    """White shapes; the constant factor, colour, is left out.

    Of the members of the .npz only the images and the factors are read; one other is a pickle.
    """
    path = downloaded(datasets_dir(request) / _NAME, lambda: DSPRITES, request.reporter)
    found = array_files.read_members(path, one_line(str(path)), ("imgs", "latents_classes"))
    if "latents_classes" not in found:
        raise damaged_file(path, "it has no latents_classes")
    factors = found["latents_classes"].whole().astype(np.int64)[:, 1:]
    rows = array_files.image_rows(found["imgs"], factors[:, 0], factors)
    whitened = replace(rows, blocks=lambda at: (b * np.uint8(255) for b in rows.blocks(at)))
    return Source(
        "dsprites",
        {"train": whitened},
        f"dsprites\n{file_identity(path)}",
        ("square", "ellipse", "heart"),
        ("shape", "scale", "orientation", "x", "y"),
    )
