"""The loop of most VAE scripts: a DataLoader over single images, eager, float32."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import ToTensor

from tests.benchmarks.process import contend, limit_threads
from tests.benchmarks.rivals.networks import parts
from tests.benchmarks.rivals.steady import Epochs
from tests.benchmarks.works import WORKS, Work


class Images(Dataset[Tensor]):
    """Images through Pillow and ToTensor, as torchvision's data sets return them."""

    def __init__(self, path: str) -> None:
        pixels = np.load(path)
        self.pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
        self.transform = ToTensor()

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> Tensor:
        image: Tensor = self.transform(Image.fromarray(self.pixels[index]))
        return image


class PlainVAE(nn.Module):
    """Encoder, two linear maps, decoder."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.encoder, features, self.decoder = parts(work)
        self.mean = nn.Linear(features, work.latent_dim)
        self.logvar = nn.Linear(features, work.latent_dim)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction, mean and log-variance."""
        h = self.encoder(x)
        mean, logvar = self.mean(h), self.logvar(h)
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * logvar)
        return self.decoder(z), mean, logvar


def loss(model: PlainVAE, x: Tensor) -> Tensor:
    """−ELBO, summed over the batch."""
    reconstruction, mean, logvar = model(x)
    cross_entropy = F.binary_cross_entropy(reconstruction, x, reduction="sum")
    return cross_entropy - 0.5 * torch.sum(1 + logvar - mean.pow(2) - logvar.exp())


def device() -> str:
    """The accelerator if there is one, as vaekit chooses."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def train_epoch(model: PlainVAE, adam: torch.optim.Optimizer, batches: Iterable[Tensor]) -> float:
    """Train for one epoch; return the summed loss, which scripts print."""
    model.train()
    total = 0.0
    for batch in batches:
        adam.zero_grad()
        found = loss(model, batch.to(device()))
        found.backward()
        adam.step()
        total += found.item()
    return total


@torch.no_grad()
def test_loss(model: PlainVAE, path: str) -> float:
    """−ELBO of the test images, in nats per image."""
    model.eval()
    batches = DataLoader(Images(path), 500)
    return sum(loss(model, batch.to(device())).item() for batch in batches) / len(batches.dataset)  # type: ignore[arg-type]


def measure(
    work: str, train: str, epochs: int, batch: int, workers: int, began: float,
    test: str | None = None, threads: int | None = None, **_: Any,
) -> dict[str, float]:  # fmt: skip
    """Throughput; with `test`, also the seconds since the process started and the test loss."""
    limit_threads(threads)
    torch.manual_seed(0)
    model = PlainVAE(WORKS[work]).to(device())
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)
    batches = DataLoader(Images(train), batch, shuffle=True, num_workers=workers)
    marks = Epochs()
    for _epoch in range(epochs):
        train_epoch(model, adam, batches)
        marks.ended()
    if test is None:
        return marks.measured(len(Images(train)))
    return {"value": time.time() - began, "neg_elbo": test_loss(model, test)}


if __name__ == "__main__":
    contend(measure)
