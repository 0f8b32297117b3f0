"""The 1,797 handwritten digits of scikit-learn: 8x8, ten classes, no download."""

from __future__ import annotations

import numpy as np

from vaekit.data.source import NumberedNames, Request, Rows, Source, array_blocks


def open_digits(request: Request) -> Source:
    """Grey levels 0 to 16 become bytes as round(255 v / 16)."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    rows = Rows(
        names=NumberedNames(len(images)),
        shape=(8, 8, 1),
        blocks=array_blocks(images),
        labels=bunch.target.astype(np.int64),
    )
    classes = tuple(str(digit) for digit in range(10))
    return Source("digits", {"train": rows}, identity="digits/1", classes=classes)
