"""Files as the publishers of data sets make them."""

from __future__ import annotations

import hashlib
import io
import tarfile

import pytest

NOWHERE = "http://127.0.0.1:9/"
"""A place where nobody answers."""


def md5(data):
    return hashlib.md5(data).hexdigest()


def tar_of(files):
    """A .tar.gz of the files {name: bytes}."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


class Bomb:
    """Fails the test that unpickles it."""

    def __reduce__(self):
        return (pytest.fail, ("unpickled",))
