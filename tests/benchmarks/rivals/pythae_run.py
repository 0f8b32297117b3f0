"""pythae's VAE with the same layers, trained on an array by its own pipeline, as documented."""

from __future__ import annotations

import importlib.util
import tempfile
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tests.benchmarks.process import contend, limit_threads
from tests.benchmarks.rivals.networks import Parts, parts
from tests.benchmarks.rivals.steady import Epochs
from tests.benchmarks.works import WORKS, Work


def installed() -> bool:
    """Whether pythae is installed."""
    return importlib.util.find_spec("pythae") is not None


def model(work: Work) -> Any:
    """pythae's VAE with our layers."""
    from pythae.models import VAE, VAEConfig

    height, width, channels = work.image
    made = parts(work)
    config = VAEConfig((channels, height, width), work.latent_dim, reconstruction_loss="bce")
    return VAE(config, encoder=_encoder(made, work.latent_dim), decoder=_decoder(made))


def _encoder(made: Parts, latent_dim: int) -> nn.Module:
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseEncoder

    class Encoder(BaseEncoder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layers = made.encoder
            self.mean = nn.Linear(made.features, latent_dim)
            self.logvar = nn.Linear(made.features, latent_dim)

        def forward(self, x: Tensor) -> Any:
            h = self.layers(x)
            return ModelOutput(embedding=self.mean(h), log_covariance=self.logvar(h))

    return Encoder()


def _decoder(made: Parts) -> nn.Module:
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder

    class Decoder(BaseDecoder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layers = made.decoder

        def forward(self, z: Tensor) -> Any:
            return ModelOutput(reconstruction=self.layers(z))

    return Decoder()


def _watcher(marks: Epochs) -> Any:
    from pythae.trainers.training_callbacks import TrainingCallback

    class Watcher(TrainingCallback):  # type: ignore[misc]
        def on_epoch_end(self, *_: Any, **__: Any) -> None:
            marks.ended()

    return Watcher()


def _pipeline(vae: Any, epochs: int, batch: int, folder: str) -> Any:
    from pythae.pipelines import TrainingPipeline
    from pythae.trainers import BaseTrainerConfig

    config = BaseTrainerConfig(
        output_dir=folder,
        num_epochs=epochs,
        learning_rate=1e-3,
        per_device_train_batch_size=batch,
        optimizer_cls="Adam",
        no_cuda=not torch.cuda.is_available(),
    )
    return TrainingPipeline(model=vae, training_config=config)


def measure(
    work: str, train: str, epochs: int, batch: int, threads: int | None = None, **_: Any
) -> dict[str, float]:
    """Throughput."""
    limit_threads(threads)
    torch.manual_seed(0)
    images = (np.load(train).transpose(0, 3, 1, 2) / 255).astype(np.float32)
    marks = Epochs()
    with tempfile.TemporaryDirectory() as folder:
        pipeline = _pipeline(model(WORKS[work]), epochs, batch, folder)
        pipeline(train_data=images, callbacks=[_watcher(marks)])
    return marks.measured(len(images))


if __name__ == "__main__":
    contend(measure)
