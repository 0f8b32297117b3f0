"""Every way to give images to a command, for tests that try them all."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from types import SimpleNamespace

import numpy as np

from vaekit.data.streams.mixed_inputs import IMAGE_CHUNK, stream_images

SHAPE = (12, 12, 3)


def taken(*inputs, shape=SHAPE, **options):
    """All that a stream gives, and what is left on it."""
    with stream_images([os.fspath(given) for given in inputs], shape=shape, **options) as stream:
        return gathered(stream)


def gathered(stream):
    chunks = list(stream)
    assert all(len(chunk) == IMAGE_CHUNK for chunk in chunks[:-1])
    return SimpleNamespace(
        images=np.concatenate([chunk.images for chunk in chunks]),
        names=[name for chunk in chunks for name in chunk.names],
        words=[word for chunk in chunks for word in chunk.words(stream.classes)],
        classes=stream.classes,
        skipped=stream.skipped,
    )


def tarred(files, mode="w"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def as_folder(files, root, **options):
    return taken(root, **options)


def as_arguments(files, root, **options):
    return taken(*(root / name for name in files), **options)


def as_list(files, root, **options):
    listing = b"\0".join(os.fsencode(root / name) for name in files)
    options |= {"files_from": "-", "null_separated": True, "stdin": io.BytesIO(listing)}
    return taken(**options)


def as_tar_on_stdin(files, root, **options):
    return taken("-", stdin=Unseekable(tarred(files)), **options)


def as_packed_tar_on_stdin(files, root, **options):
    return taken("-", stdin=Unseekable(tarred(files, "w:gz")), **options)


def as_zip_on_stdin(files, root, **options):
    return taken("-", stdin=Unseekable(zipped(files)), **options)


class Unseekable(io.RawIOBase):
    """A pipe that gives a few bytes at a time, once."""

    def __init__(self, data):
        self.buffer = io.BytesIO(data)

    def readable(self):
        return True

    def read(self, size=-1):
        return self.buffer.read(min(size, 1000) if size > 0 else size)

    def seek(self, *_):
        raise OSError(29, "Illegal seek")


WAYS = [
    *(as_folder, as_arguments, as_list),
    *(as_tar_on_stdin, as_packed_tar_on_stdin, as_zip_on_stdin),
]
