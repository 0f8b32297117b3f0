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


def mse(a: Tensor, b: Tensor) -> Tensor:
    """The mean squared difference of each image's values: (N, C, H, W) twice to float64 (N,)."""
    return (_shown(a) - _shown(b)).square().flatten(1).mean(1)


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """The peak signal-to-noise ratio of each image, 10 log10(1 / mse), in decibels.

    Infinite where the two are equal. Its mean over images is not that of the images' mean error.
    """
    return 10 * torch.log10(1 / mse(a, b))


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """The structural similarity of each image: 1 where the two are equal.

        ((2 μa μb + c1)(2 σab + c2)) / ((μa² + μb² + c1)(σa² + σb² + c2))

    averaged over every place where the window fits, and over channels. Wang et al. 2004
    (doi:10.1109/TIP.2003.819861): a Gaussian window of 11 x 11 with sigma 1.5, c1 = 0.01²,
    c2 = 0.03², values in [0, 1]; no downsampling beforehand. An image with a side under 11 gets
    the largest odd window that fits it, with the same sigma.
    """
    a, b = _shown(a), _shown(b)
    window = _window(min(WINDOW, *(side - (side + 1) % 2 for side in a.shape[2:])))
    mean_a, mean_b = _blurred(a, window), _blurred(b, window)
    variance_a = _blurred(a * a, window) - mean_a.square()
    variance_b = _blurred(b * b, window) - mean_b.square()
    covariance = _blurred(a * b, window) - mean_a * mean_b
    c1, c2 = K1**2, K2**2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a.square() + mean_b.square() + c1)
    structure = (2 * covariance + c2) / (variance_a + variance_b + c2)
    return (luminance * structure).flatten(1).mean(1)


def _shown(x: Tensor) -> Tensor:
    """As a picture shows it: a mean that leaves [0, 1] is clamped."""
    return x.cpu().double().clamp(0, 1)


def _window(size: int) -> Tensor:
    """A Gaussian of `size` values that sum to one."""
    place = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    bell = torch.exp(-place.square() / (2 * SIGMA**2))
    return bell / bell.sum()


def _blurred(x: Tensor, window: Tensor) -> Tensor:
    """Each channel under the window, at every place where it fits: one axis after the other."""
    channels = x.shape[1]
    down = window[None, None, :, None].expand(channels, -1, -1, -1)
    across = window[None, None, None, :].expand(channels, -1, -1, -1)
    return F.conv2d(F.conv2d(x, down, groups=channels), across, groups=channels)
