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

from vaekit.models.linear import linear

WINDOW, SIGMA = 11, 1.5
K1, K2 = 0.01, 0.03
BANDED = 128
"""The longest side, in pixels, that is blurred by matrices."""


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
    difference = (a - b).double()
    squares = difference.square()
    error = _mean(squares)
    psnr = 10 * torch.log10(1 / error)
    return {"mse": error, "psnr": psnr, "ssim": _ssim(a, b, difference, squares)}


def _mean(values: Tensor) -> Tensor:
    """The mean of each image, summed in float64."""
    return values.flatten(1).sum(1, dtype=torch.float64) / values[0].numel()


def _ssim(a: Tensor, b: Tensor, difference: Tensor, squares: Tensor) -> Tensor:
    """SSIM by the difference d = a − b, the only part that needs float64.

        (1 − μd² / (μa² + μb² + c1)) (1 − σd² / (σa² + σb² + c2))

    is the same number. σd² may be a small difference of large numbers; a rounding error in the
    denominators counts only in proportion to it. Values are shifted by 1/2 to halve their size.
    """
    a, b = a - 0.5, b - 0.5
    mean_d, squares_d = _blurred(torch.stack([difference, squares]))
    mean_a, squares_ab = _blurred(torch.stack([a, a.square().addcmul_(b, b)]))
    mean_b = mean_a - mean_d.float()
    variances = squares_ab.addcmul_(mean_a, mean_a, value=-1).addcmul_(mean_b, mean_b, value=-1)
    of_means = (mean_a + 0.5).square_().add_(mean_b.add_(0.5).square_())
    means_d = mean_d.square_()
    unlike = squares_d.sub_(means_d).div_(variances.add_(K2**2))
    return _mean((1 - unlike).mul_(1 - means_d.div_(of_means.add_(K1**2))))


def _clamped(x: Tensor) -> Tensor:
    """On the CPU, clamped to [0, 1]: a decoder's mean may leave that range."""
    return x.cpu().float().contiguous().clamp(0, 1)


def _blurred(maps: Tensor) -> Tensor:
    """The last two axes convolved with the window, wherever it fits, one axis after the other.

    Small images use products with banded matrices: faster, though most of a band is zero.
    """
    height, width = maps.shape[-2:]
    size = min(WINDOW, *(side - (side + 1) % 2 for side in (height, width)))
    if max(height, width) <= BANDED:
        return _banded(_banded(maps, size), size)
    window, channels = _window(size).to(maps.dtype), maps.shape[-3]
    down = window[None, None, :, None].expand(channels, -1, -1, -1)
    along = window[None, None, None, :].expand(channels, -1, -1, -1)
    blurred = F.conv2d(F.conv2d(maps.flatten(0, -4), down, groups=channels), along, groups=channels)
    return blurred.reshape(*maps.shape[:-2], *blurred.shape[-2:])


def _banded(maps: Tensor, size: int) -> Tensor:
    """The last axis convolved with the window, and the last two axes swapped."""
    side = maps.shape[-1]
    rows = maps.reshape(-1, side)
    return (
        linear(rows, _band(size, side).to(maps.dtype)).view(*maps.shape[:-1], -1).transpose(-1, -2)
    )


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
