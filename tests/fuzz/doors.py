"""Every way a file comes in, called as the commands call it.

Each door takes a path and either returns or raises; what it may raise is the judge's matter.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path

from tests.fuzz.kept_doors import KEPT_DOORS, one_step
from vaekit.errors import ModelFileError, VaekitError

SHAPE = (8, 8, 1)
WIDTH = 2
"""Latent numbers of the models here."""

TOO_MANY = 50


def model(path: Path) -> None:
    """`vaekit sample m`, also without a digest, which would refuse other weights at once."""
    with suppress(VaekitError):
        _sample(path)
    with suppress(ModelFileError, KeyError, TypeError, ValueError, RecursionError):
        _remove_digest(path)
    _sample(path)


def _remove_digest(path: Path) -> None:
    from vaekit.model_file.tensor_file import read_layout

    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    metadata = dict(read_layout(path).metadata)
    metadata["vaekit"] = json.dumps({**json.loads(metadata["vaekit"]), "digest": None})
    path.write_bytes(
        _joined({**json.loads(content[8:end]), "__metadata__": metadata}, content, end)
    )


def _joined(header: dict[str, object], content: bytes, end: int) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[end:]


def _sample(path: Path) -> None:
    """The header, the weights, and a picture drawn with them."""
    import vaekit
    from vaekit.model_file.header import read_model_file

    read_model_file(path)
    loaded = vaekit.load(path, device="cpu")
    if max(loaded.network.image) <= TOO_MANY:
        loaded.sample(1)


def info(path: Path) -> None:
    """`vaekit info m` and `--json`: all that a header says of itself, shown."""
    from vaekit.cli import run

    for options in ([], ["--json"]):
        err = io.StringIO()
        with redirect_stdout(io.StringIO()), redirect_stderr(err):
            code = run(["info", str(path), *options])
        if code not in (0, 3):
            raise AssertionError(f"vaekit info ended with {code}: {err.getvalue()}")


def resume(path: Path) -> None:
    """`vaekit train --resume DIR`, as far as the first step of the run taken up."""
    from vaekit.training import run

    folder = path.parent / "run"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "checkpoint").mkdir(parents=True)
    checkpoint = folder / "checkpoint" / "step-00000001.safetensors"
    shutil.copy(path, checkpoint)
    with suppress(ModelFileError):  # which has no place for a checksum
        give_right_checksum(checkpoint)
    run.resume_training(folder, {"device": "cpu"}, one_step())


def give_right_checksum(path: Path) -> None:
    """Else the checksum alone would be tested, and not what a stranger's checkpoint says."""
    from vaekit.model_file.tensor_file import file_digest, read_layout
    from vaekit.training.run_files.checkpoint import DIGEST_KEY, checkpoint_digest

    layout = read_layout(path)
    metadata = dict(layout.metadata)
    metadata.pop(DIGEST_KEY, None)
    metadata[DIGEST_KEY] = json.dumps(
        checkpoint_digest(metadata, file_digest(path, layout.tensors, layout.size))
    )
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    path.write_bytes(
        _joined({**json.loads(content[8:end]), "__metadata__": metadata}, content, end)
    )


def config(path: Path) -> None:
    """`vaekit train --config`: the file, and the config written out again."""
    from vaekit.configuration.config import as_yaml
    from vaekit.configuration.config_sources import resolve_config

    as_yaml(resolve_config({}, environ={}, config=path), "again")


def dataset(path: Path) -> None:
    """`vaekit train --dataset`: all images, with labels and factors."""
    import vaekit

    images = vaekit.load_dataset(path, "all")
    images.fingerprint  # noqa: B018
    len(images.names)


def embed(path: Path) -> None:
    """`vaekit embed m PATH`: the images in the model's shape, one chunk after another."""
    from vaekit.data.streams.mixed_inputs import stream_images

    with stream_images([str(path)], shape=SHAPE) as stream:
        for chunk in stream:
            chunk.words(stream.classes)


def pipe(path: Path) -> None:
    """`vaekit embed m -`: the same bytes down a pipe."""
    from vaekit.data.streams.mixed_inputs import stream_images

    with path.open("rb") as file, stream_images(["-"], shape=SHAPE, stdin=file) as stream:
        for chunk in stream:
            chunk.words(stream.classes)


def latents(path: Path) -> None:
    """`vaekit decode m PATH`: the latents, one chunk after another."""
    from vaekit.latents.reading import read_latents

    with read_latents(path, widths=[WIDTH]) as stream:
        for _ in stream:
            pass


DOORS: dict[str, Callable[[Path], None]] = {
    door.__name__: door for door in (model, info, resume, config, dataset, embed, pipe, latents)
} | KEPT_DOORS


def refusal(error: BaseException) -> str | None:
    """The message of the project's own error; None for any other."""
    return str(error) if isinstance(error, VaekitError) else None
