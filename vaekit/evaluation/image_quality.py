"""SSIM, PSNR and squared error of each reconstruction, in [0, 1] as pictures show them.

>>> black, white = torch.zeros(1, 1, 16, 16), torch.ones(1, 1, 16, 16)
>>> {name: round(value.item(), 4) for name, value in image_quality(black, white).items()}
{'mse': 1.0, 'psnr': 0.0, 'ssim': 0.0001}
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from torch.nn import functional as F

WINDOW, SIGMA = 11, 1.5
K1, K2 = 0.01, 0.03
BANDED = 128
"""The longest side, in pixels, that is blurred by matrices."""
LARGE_RATIO = 4.0
"""Squared differences this many times the variances, on average, need float64: see `_ssim`."""


def image_quality(a: Tensor, b: Tensor) -> dict[str, Tensor]:
    """`mse`, `psnr` and `ssim` of each pair of images (N, C, H, W), as float64 (N,).

    mse    the mean squared difference of the values
    psnr   10 log10(1 / mse), in decibels; infinite where the two are equal
    ssim   ((2 μa μb + c1)(2 σab + c2)) / ((μa² + μb² + c1)(σa² + σb² + c2)), 1 where they are equal

    SSIM is averaged over every place where the window fits, and over channels. Wang et al. 2004
    (doi:10.1109/TIP.2003.819861): a Gaussian window of 11 x 11 with sigma 1.5, c1 = 0.01²,
    c2 = 0.03², values in [0, 1]; no downsampling beforehand. An image with a side under 11 gets
    the largest odd window that fits it, with the same sigma.
    """
    a, b = _clamped(a), _clamped(b)
    error = (a - b).double().square_().flatten(1).mean(1)
    ssim, ratio = _ssim(a, b)
    rough = ratio > LARGE_RATIO
    if bool(rough.any()):
        ssim[rough] = _ssim(a[rough].double(), b[rough].double())[0]
    return {"mse": error, "psnr": 10 * torch.log10(1 / error), "ssim": ssim}


def _ssim(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """SSIM of each pair by the difference d = a − b, and how large d is for this precision.

        (1 − μd² / (μa² + μb² + c1)) (1 − σd² / (σa² + σb² + c2)),   σd² = blur(d²) − μd²

    is the same number. Values are shifted by 1/2 to halve their size. A rounding error of σd²
    counts by the ratio of blur(d²) to σa² + σb² + c2, of which the second result is the mean: up
    to 4, the error of float32 stays below 1e-6. Trained models have ratios under 1.
    """
    count, channels = a.shape[:2]
    a, b = _images_last(a), _images_last(b)
    maps = torch.stack([a - 0.5, a - b, (a - 0.5).square_().addcmul_(b - 0.5, b - 0.5), a - b])
    maps[3].square_()
    mean_a, mean_d, squares_ab, squares_d = _blurred(maps)
    mean_b = mean_a - mean_d
    variances = squares_ab.addcmul_(mean_a, mean_a, value=-1).addcmul_(mean_b, mean_b, value=-1)
    variances.add_(K2**2)
    of_means = mean_a.add_(0.5).square_().add_(mean_b.add_(0.5).square_()).add_(K1**2)
    ratio = _mean(squares_d / variances)
    means_d = mean_d.square_()
    unlike = squares_d.sub_(means_d).div_(variances)
    ssim = _mean((1 - unlike).mul_(1 - means_d.div_(of_means)))
    return ssim.view(count, channels).mean(1), ratio.view(count, channels).amax(1)


def _clamped(x: Tensor) -> Tensor:
    """On the CPU, clamped to [0, 1]: a decoder's mean may leave that range."""
    return x.cpu().float().contiguous().clamp(0, 1)


def _images_last(x: Tensor) -> Tensor:
    """(N, C, H, W) as (H, W, N · C): products with small matrices are efficient in this order."""
    count, channels, height, width = x.shape
    flat = x.reshape(count * channels, height * width).T.contiguous()
    return flat.view(height, width, count * channels)


def _mean(values: Tensor) -> Tensor:
    """The mean of each image of (H, W, N), summed in float64."""
    height, width, _ = values.shape
    return values.flatten(0, 1).sum(0, dtype=torch.float64) / (height * width)


def _blurred(maps: Tensor) -> Tensor:
    """Maps (M, H, W, N), H and W convolved with the window, wherever it fits, one after the other.

    Small images use products with banded matrices: faster, though most of a band is zero.
    """
    many, height, width, count = maps.shape
    size = min(WINDOW, *(side - (side + 1) % 2 for side in (height, width)))
    if max(height, width) > BANDED:
        return _convolved(maps, size)
    down, along = (_band(size, side).to(maps.dtype) for side in (height, width))
    rows = torch.matmul(down, maps.view(many, height, width * count))
    blurred = torch.matmul(along, rows.view(-1, width, count))
    return blurred.view(many, len(down), len(along), count)


def _convolved(maps: Tensor, size: int) -> Tensor:
    window, (many, height, width, count) = _window(size).to(maps.dtype), maps.shape
    images = maps.permute(0, 3, 1, 2).reshape(many * count, 1, height, width)
    blurred = F.conv2d(F.conv2d(images, window[None, None, :, None]), window[None, None, None])
    return blurred.view(many, count, *blurred.shape[-2:]).permute(0, 2, 3, 1)


def _window(size: int) -> Tensor:
    """A Gaussian of `size` values that sum to one."""
    place = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    bell = torch.exp(-place.square() / (2 * SIGMA**2))
    return bell / bell.sum()


@functools.cache
def _band(size: int, side: int) -> Tensor:
    """One row for each place where the window fits: (places, side)."""
    window, places = _window(size), side - size + 1
    band = window.new_zeros(places, side)
    for place in range(places):
        band[place, place : place + size] = window
    return band
