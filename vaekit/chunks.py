"""Rows in chunks of one fixed size, so that the number of rows changes no result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor


def in_chunks(parts: Iterable[Tensor], size: int) -> Iterator[Tensor]:
    """Regroup parts of any size into parts of one size, the last one smaller.

    Streams then give `encode` and `decode` the same chunks as one large array would, to the bit.

    >>> [len(part) for part in in_chunks([torch.zeros(100, 2), torch.zeros(30, 2)], 64)]
    [64, 64, 2]
    """
    waiting: list[Tensor] = []
    for part in parts:
        waiting.append(part)
        while sum(map(len, waiting)) >= size:
            whole = torch.cat(waiting)
            yield whole[:size]
            waiting = [whole[size:]]
    rest = torch.cat(waiting) if waiting else None
    if rest is not None and len(rest):
        yield rest


def pad_rows(rows: Tensor, size: int) -> Tensor:
    """Exactly `size` rows, filled up with zeros, in one memory layout.

    Images are channels last: networks round differently in another layout.
    """
    if len(rows) < size:
        rows = torch.cat([rows, rows.new_zeros(size - len(rows), *rows.shape[1:])])
    if rows.ndim != 4:
        return rows.contiguous()
    batch, channels, height, width = rows.shape
    flat = rows.permute(0, 2, 3, 1).reshape(-1)
    return flat.view(batch, height, width, channels).permute(0, 3, 1, 2)
