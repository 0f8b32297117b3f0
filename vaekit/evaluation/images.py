"""How near a reconstruction is to its original, image by image, as both are shown: in [0, 1].

>>> black, white = torch.zeros(1, 1, 16, 16), torch.ones(1, 1, 16, 16)
>>> mse(black, white).item(), psnr(black, white).item(), round(ssim(black, white).item(), 4)
(1.0, 0.0, 0.0001)
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

WINDOW, SIGMA = 11, 1.5
K1, K2 = 0.01, 0.03
BANDED = 128
"""Pixels of the longest side that is blurred by matrices."""


def mse(a: Tensor, b: Tensor) -> Tensor:
    """The mean squared difference of each image's values: (N, C, H, W) twice to float64 (N,)."""
    return _mse(_shown(a), _shown(b))


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """The peak signal-to-noise ratio of each image, 10 log10(1 / mse), in decibels.

    Infinite where the two are equal. Its mean over images is not that of the images' mean error.
    """
    return _psnr(mse(a, b))


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """The structural similarity of each image: 1 where the two are equal.

        ((2 μa μb + c1)(2 σab + c2)) / ((μa² + μb² + c1)(σa² + σb² + c2))

    averaged over every place where the window fits, and over channels. Wang et al. 2004
    (doi:10.1109/TIP.2003.819861): a Gaussian window of 11 x 11 with sigma 1.5, c1 = 0.01²,
    c2 = 0.03², values in [0, 1]; no downsampling beforehand. An image with a side under 11 gets
    the largest odd window that fits it, with the same sigma.
    """
    return _ssim(_shown(a), _shown(b))


def measured(a: Tensor, b: Tensor) -> dict[str, Tensor]:
    """All three by name, for less than one by one: images are made float64 once."""
    a, b = _shown(a), _shown(b)
    error = _mse(a, b)
    return {"mse": error, "psnr": _psnr(error), "ssim": _ssim(a, b)}


def _mse(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).square_().flatten(1).mean(1)


def _psnr(error: Tensor) -> Tensor:
    return 10 * torch.log10(1 / error)


def _ssim(a: Tensor, b: Tensor) -> Tensor:
    """Of the variances only the sum is needed, so that four images are blurred and not five."""
    together = torch.stack([a, b, torch.addcmul(a * a, b, b), a * b])
    mean_a, mean_b, squares, product = _blurred(together)
    of_means = mean_a * mean_b
    of_squares = mean_a.square_().add_(mean_b.square_())
    covariance, variances = product.sub_(of_means), squares.sub_(of_squares)
    c1, c2 = K1**2, K2**2
    above = of_means.mul_(2).add_(c1).mul_(covariance.mul_(2).add_(c2))
    below = of_squares.add_(c1).mul_(variances.add_(c2))
    likeness: Tensor = above.div_(below).flatten(1).mean(1)
    return likeness


def _shown(x: Tensor) -> Tensor:
    """As a picture shows it: a mean that leaves [0, 1] is clamped."""
    return x.cpu().contiguous().double().clamp(0, 1)


def _window(size: int) -> Tensor:
    """A Gaussian of `size` values that sum to one."""
    place = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    bell = torch.exp(-place.square() / (2 * SIGMA**2))
    return bell / bell.sum()


def _blurred(x: Tensor) -> Tensor:
    """The last two axes under the window, at every place where it fits: one after the other.

    Small images by products with banded matrices, which is faster though most of a band is zero.
    """
    height, width = x.shape[-2:]
    window = _window(min(WINDOW, *(side - (side + 1) % 2 for side in (height, width))))
    if max(height, width) <= BANDED:
        across: Tensor = x @ _band(window, width)
        return _band(window, height).T @ across
    images, channels = x.flatten(0, -4), x.shape[-3]
    down = window[None, None, :, None].expand(channels, -1, -1, -1)
    along = window[None, None, None, :].expand(channels, -1, -1, -1)
    blurred = F.conv2d(F.conv2d(images, down, groups=channels), along, groups=channels)
    return blurred.reshape(*x.shape[:-2], *blurred.shape[-2:])


def _band(window: Tensor, side: int) -> Tensor:
    """The window at every place where it fits, a column each: (side, places)."""
    places = side - len(window) + 1
    band = window.new_zeros(places, side)
    for place in range(places):
        band[place, place : place + len(window)] = window
    return band.T
