"""Numbers as text that loses nothing: the shortest decimals that are read back as the same bits.

Readers parse decimals into 64-bit floats and round those to 32 bits. Of all 2^32 patterns one, with
either sign, does not stand being rounded twice: its shortest numeral lies so near the middle
between two 32-bit floats that as a 64-bit float it is the middle. It gets one more digit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MIDDLING = np.float32(7.03853069e-26)
LONGER = "7.0385307e-26"


def shortest(rows: NDArray[Any]) -> list[list[str]]:
    """Rows of 32-bit floats as text.

    >>> shortest(np.array([[0.1, -0.0], [1e-45, 3.4e38]], np.float32))
    [['0.1', '-0.0'], ['1e-45', '3.4e+38']]
    """
    values = np.asarray(rows, np.float32)
    texts = values.astype(str)
    texts[values == MIDDLING] = LONGER
    texts[values == -MIDDLING] = f"-{LONGER}"
    listed: list[list[str]] = texts.tolist()
    return listed
