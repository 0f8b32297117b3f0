"""Image quality against direct computation, written out place by place."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from vaekit.evaluation.image_quality import image_quality


def ssim(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return image_quality(a, b)["ssim"]


def pair(side: int = 16, channels: int = 1, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    a = torch.rand(3, channels, side, side + 3, generator=generator)
    return a, (a + 0.2 * torch.randn(a.shape, generator=generator)).clamp(0, 1)


def direct_ssim(a: np.ndarray, b: np.ndarray, size: int) -> float:
    """One channel: the formula of the paper at each place, with weights that sum to one."""
    offsets = np.arange(size) - size // 2
    weights = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    found = []
    for i in range(a.shape[0] - size + 1):
        for j in range(a.shape[1] - size + 1):
            x, y = (image[i : i + size, j : j + size] for image in (a, b))
            mx, my = (weights * x).sum(), (weights * y).sum()
            vx, vy = (weights * (x - mx) ** 2).sum(), (weights * (y - my) ** 2).sum()
            vxy = (weights * (x - mx) * (y - my)).sum()
            top = (2 * mx * my + 1e-4) * (2 * vxy + 9e-4)
            found.append(top / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4)))
    return float(np.mean(found))


@pytest.mark.parametrize(("side", "window"), [(16, 11), (11, 11), (10, 9), (8, 7), (2, 1), (1, 1)])
@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_is_the_formula_of_the_paper(side: int, window: int, channels: int) -> None:
    a, b = pair(side, channels)
    x, y = a.double().numpy(), b.double().numpy()
    direct = [
        np.mean([direct_ssim(x[n, c], y[n, c], window) for c in range(channels)]) for n in range(3)
    ]
    assert ssim(a, b).numpy() == pytest.approx(np.array(direct), abs=1e-6)


def test_ssim_of_equals_is_one_and_of_opposites_below_zero() -> None:
    a, _ = pair()
    assert ssim(a, a).numpy() == pytest.approx(np.ones(3))
    assert float(ssim(a, 1 - a).max()) < 0


@pytest.mark.parametrize("paper", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("ink", [0.001, 0.02, 0.05])
def test_ssim_of_faint_marks_on_plain_paper_is_exact(paper: float, ink: float) -> None:
    """Where variances are small beside what they are the difference of, float32 loses most."""
    generator = torch.Generator().manual_seed(1)
    a, b = ((paper + ink * torch.randn(1, 1, 24, 24, generator=generator)) for _ in range(2))
    a, b = a.clamp(0, 1), b.clamp(0, 1)
    direct = direct_ssim(a[0, 0].double().numpy(), b[0, 0].double().numpy(), 11)
    assert float(ssim(a, b)) == pytest.approx(direct, abs=1e-5)


@pytest.mark.parametrize(
    ("paper", "other"), [(0.36, 1.0), (0.0, 1.0), (0.3, 0.7), (0.5, 0.51), (0.5, 0.559)]
)
@pytest.mark.parametrize("rows", [40, 64])
def test_ssim_of_plain_papers_of_different_grey_is_exact(
    paper: float, other: float, rows: int
) -> None:
    """No variance at all, which is the difference of two large numbers."""
    a, b = torch.full((1, 1, 64, 64), paper), torch.full((1, 1, 64, 64), paper)
    b[:, :, :rows] = other
    direct = direct_ssim(a[0, 0].double().numpy(), b[0, 0].double().numpy(), 11)
    assert float(ssim(a, b)) == pytest.approx(direct, abs=1e-6)


def test_an_image_that_needs_float64_changes_no_other() -> None:
    (a, b), papers = pair(), torch.full((1, 1, 16, 19), 0.36)
    together = ssim(torch.cat([a, papers, a]), torch.cat([b, papers + 0.5, b]))
    direct = direct_ssim(papers[0, 0].double().numpy(), papers[0, 0].double().numpy() + 0.5, 11)
    assert float(together[3]) == pytest.approx(direct, abs=1e-6)
    assert together[:3].numpy() == pytest.approx(ssim(a, b).numpy(), abs=1e-7)
    assert together[4:].numpy() == pytest.approx(ssim(a, b).numpy(), abs=1e-7)


def test_ssim_of_large_images_is_that_of_small_ones() -> None:
    """Over 128 pixels another way to blur is taken."""
    a, b = pair(side=126)
    direct = [direct_ssim(x[0].numpy(), y[0].numpy(), 11) for x, y in zip(a, b, strict=True)]
    assert a.shape[-1] == 129
    assert ssim(a, b).numpy() == pytest.approx(np.array(direct), abs=1e-6)


def test_mse_and_psnr_are_per_image() -> None:
    a, b = pair(channels=3)
    errors = ((a.double() - b.double()) ** 2).mean((1, 2, 3))
    found = image_quality(a, b)
    assert found["mse"].numpy() == pytest.approx(errors.numpy())
    assert found["psnr"].numpy() == pytest.approx(10 * np.log10(1 / errors.numpy()))
    assert math.isinf(float(image_quality(a, a)["psnr"][0]))


def test_what_leaves_the_range_is_clamped_as_it_is_shown() -> None:
    white = torch.ones(1, 1, 12, 12)
    assert float(image_quality(white, 3 * white)["mse"]) == 0
    assert float(image_quality(white, -white)["mse"]) == 1
