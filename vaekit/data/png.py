"""PNG files, as far as decoding one image safely needs to know them."""

from __future__ import annotations

import struct

SIGNATURE = b"\x89PNG\r\n\x1a\n"
TEXTS = (b"tEXt", b"zTXt", b"iTXt")
MOST_TEXTS = 8
"""Of texts, orientation may be among the first; all others would be unpacked for nothing."""


def without_texts(data: bytes) -> bytes:
    """The same image with its first few texts only: some KiB of them may unpack to hundreds of MiB.

    A file that is damaged, or no PNG, is given as it is.
    """
    if not data.startswith(SIGNATURE) or sum(map(data.count, TEXTS)) <= MOST_TEXTS:
        return data
    kept, at, texts = [SIGNATURE], len(SIGNATURE), 0
    while at + 12 <= len(data):
        end = at + 12 + int(struct.unpack(">I", data[at : at + 4])[0])
        texts += data[at + 4 : at + 8] in TEXTS
        if data[at + 4 : at + 8] not in TEXTS or texts <= MOST_TEXTS:
            kept.append(data[at:end])
        at = end
    return b"".join([*kept, data[at:]])
