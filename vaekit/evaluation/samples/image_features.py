"""The features that sample metrics compare images by: uint8 (N, H, W, C) to (N, D).

inception   2048 features of the standard Inception network of FID, from torch-fidelity
pixels      the pixels themselves, averaged over squares until there are 1024 at most
model       the evaluated model's own posterior means
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vaekit import files, inference
from vaekit.array_types import Float32s
from vaekit.data.imageset import Pixels
from vaekit.errors import InputError, UsageError, VaekitError
from vaekit.image_arguments import as_floats
from vaekit.models.vae import VAE

Extractor = Callable[[Pixels], Float32s]

FEATURES = ("inception", "pixels", "model")
WIDEST_FEATURES = 1024
INCEPTION_BATCH = 32

WEIGHTS = "weights-inception-2015-12-05-6726825d.pth"
WEIGHTS_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{WEIGHTS}"
WEIGHTS_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"


class FeaturesMissing(VaekitError):
    """The features need a package or a file that is missing; other metrics do not."""


def extractor(name: str, network: VAE, weights: Path | None = None) -> Extractor:
    """The function from images to features of this name."""
    if name not in FEATURES:
        raise UsageError(f"--features {name}: choose from {', '.join(FEATURES)}")
    if name == "pixels":
        return pixels
    if name == "model":
        return lambda images: inference.encode(network, as_floats(images)).mean.numpy()
    return inception(weights, next(network.parameters()).device)


def pixels(images: Pixels) -> Float32s:
    """The values themselves, in [0, 1]; a large image is averaged over squares first."""
    x = as_floats(images)
    squares = 1
    while x[0, :, ::squares, ::squares].numel() > WIDEST_FEATURES:
        squares += 1
    if squares > 1:
        height, width = (-(-side // squares) for side in x.shape[2:])
        x = torch.nn.functional.adaptive_avg_pool2d(x, (height, width))
    return x.flatten(1).numpy()


def inception(weights: Path | None, device: torch.device) -> Extractor:
    """The 2048 features of the literature's FID, from weights with the standard checksum."""
    state = read_weights(weights)
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError:
        raise FeaturesMissing(
            "--features inception needs torch-fidelity: pip install 'vaekit[fid]'"
        ) from None
    network = FeatureExtractorInceptionV3("inception", ["2048"], state).to(device)

    @torch.no_grad()
    def features(images: Pixels) -> Float32s:
        found = []
        for start in range(0, len(images), INCEPTION_BATCH):
            part = torch.from_numpy(np.array(images[start : start + INCEPTION_BATCH]))
            x = part.permute(0, 3, 1, 2).expand(-1, 3, -1, -1).to(device)
            found.append(network(x)[0].cpu().numpy())
        return np.concatenate(found)

    return features


def read_weights(path: Path | None) -> io.BytesIO:
    """The standard Inception weights, as a stream that is safe for torch-fidelity to unpickle.

    The file is a pickle. It is read only if its SHA-256 is the known one, and then only as
    tensors; torch-fidelity, which unpickles without a check, gets a copy of those.
    """
    home = files.cache_dir() / "weights" / WEIGHTS
    where = path or home
    try:
        content = where.read_bytes()
    except FileNotFoundError:
        if path is not None:
            raise InputError(f"{path}: no such file (--inception-weights)") from None
        raise FeaturesMissing(
            f"--features inception needs its weights: fetch {WEIGHTS_URL} and put it at {home}, "
            "or give it with --inception-weights FILE"
        ) from None
    except OSError as error:
        why = (error.strerror or "cannot be read").lower()
        raise InputError(f"{where}: {why} (--inception-weights)") from None
    found = hashlib.sha256(content).hexdigest()
    if found != WEIGHTS_SHA256:
        raise InputError(
            f"{where}: not the standard Inception weights: its SHA-256 begins with {found[:8]}, "
            f"not {WEIGHTS_SHA256[:8]}; fetch {WEIGHTS_URL}"
        )
    return _tensors_only(content)


def _tensors_only(content: bytes) -> io.BytesIO:
    state: Any = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    copy = io.BytesIO()
    torch.save(state, copy)
    copy.seek(0)
    return copy
