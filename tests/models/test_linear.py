"""Both ways to a product give what arithmetic says, forwards and backwards."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vaekit.models import linear
from vaekit.models.linear import LARGE_PRODUCT, Linear
from vaekit.torch_internals import has_onednn_linear

needs_onednn = pytest.mark.skipif(
    not has_onednn_linear(),
    reason="this build of torch has no oneDNN",
)


@pytest.fixture(params=[False, pytest.param(True, marks=needs_onednn)], ids=["MKL", "oneDNN"])
def by_onednn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(linear, "_on_amd", lambda: request.param)
    return bool(request.param)


@pytest.fixture
def products(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes that went to oneDNN."""
    seen: list[tuple[int, ...]] = []
    plain = linear._product

    def watched(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        seen.append(tuple(x.shape))
        return plain(x, weight, bias)

    monkeypatch.setattr(linear, "_product", watched)
    return seen


def exact(layer: nn.Linear, x: Tensor, grad: Tensor) -> tuple[Tensor, ...]:
    """The result and the three gradients, in float64, from the formulas."""
    x, w, g = x.detach().double(), layer.weight.detach().double(), grad.double()
    return x @ w.T + layer.bias.detach().double(), g @ w, g.T @ x, g.sum(0)


@pytest.mark.parametrize(
    ("n", "inputs", "outputs"), [(128, 784, 400), (64, 300, 301), (5000, 30, 40)]
)
def test_the_result_and_its_gradients(
    n: int, inputs: int, outputs: int, by_onednn: bool, products: list[tuple[int, ...]]
) -> None:
    assert n * inputs * outputs >= LARGE_PRODUCT
    torch.manual_seed(0)
    layer, x = Linear(inputs, outputs), torch.randn(n, inputs, requires_grad=True)
    grad = torch.randn(n, outputs)
    y = layer(x)
    y.backward(grad)
    found = (y.detach(), x.grad, layer.weight.grad, layer.bias.grad)
    for mine, right in zip(found, exact(layer, x, grad), strict=True):
        assert mine is not None
        assert float((mine - right).abs().max()) < 1e-5 * float(right.abs().max()) * inputs**0.5
    assert len(products) == (3 if by_onednn else 0)


def test_rows_and_gradients_may_have_any_memory_layout(by_onednn: bool) -> None:
    """A transposed input, and a gradient that is one number seen everywhere."""
    torch.manual_seed(0)
    layer, x = Linear(256, 256), torch.randn(256, 256).t()
    layer(x).sum().backward()
    _, _, to_weight, to_bias = exact(layer, x, torch.ones(256, 256))
    assert layer.weight.grad is not None
    assert torch.allclose(layer.weight.grad.double(), to_weight, atol=1e-3)
    assert torch.allclose(layer.bias.grad.double(), to_bias)


@needs_onednn
def test_no_gradient_of_images_is_computed_where_none_is_required(
    monkeypatch: pytest.MonkeyPatch, products: list[tuple[int, ...]]
) -> None:
    monkeypatch.setattr(linear, "_on_amd", lambda: True)
    Linear(784, 400)(torch.randn(128, 784)).sum().backward()
    assert products == [(128, 784), (400, 128)], "forwards, and to the weights"


@pytest.mark.parametrize("n", [1, 13])
def test_small_products_are_those_of_torch(
    n: int, by_onednn: bool, products: list[tuple[int, ...]]
) -> None:
    layer, x = Linear(784, 400), torch.randn(n, 784)
    assert torch.equal(layer(x), nn.functional.linear(x, layer.weight, layer.bias))
    assert not products


def test_bfloat16_stays_with_torch(by_onednn: bool, products: list[tuple[int, ...]]) -> None:
    layer, x = Linear(784, 400), torch.randn(128, 784)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    assert layer.double()(x.double()).dtype == torch.float64
    assert not products


def test_a_product_repeats_to_the_bit(by_onednn: bool) -> None:
    layer, x = Linear(784, 400), torch.randn(128, 784)
    first, second = layer(x), layer(x)
    assert torch.equal(first, second)
