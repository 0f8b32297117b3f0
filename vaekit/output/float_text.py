"""32-bit floats as the shortest decimals that give the same bits back.

Readers parse decimals into 64-bit floats and round those to 32 bits. For one float, with either
sign, rounding twice fails: its shortest decimal, as a 64-bit float, is the exact middle between two
32-bit floats. It gets one more digit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

ROUNDED_TWICE = np.float32(7.03853069e-26)
LONGER = "7.0385307e-26"


def shortest(rows: NDArray[Any]) -> list[list[str]]:
    """Rows of 32-bit floats as text.

    >>> shortest(np.array([[0.1, -0.0], [1e-45, 3.4e38]], np.float32))
    [['0.1', '-0.0'], ['1e-45', '3.4e+38']]
    """
    values = np.asarray(rows, np.float32)
    texts = values.astype(str)
    texts[values == ROUNDED_TWICE] = LONGER
    texts[values == -ROUNDED_TWICE] = f"-{LONGER}"
    listed: list[list[str]] = texts.tolist()
    return listed
