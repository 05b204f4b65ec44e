"""The quantizer that learning differentiates through, against numpy and against PyTorch's own operators."""

import math

import numpy as np
import pytest
import torch

from stages.quantize.rounding.reconstruct.fake_quant import FakeQuantize, FakeQuantParams

INF = math.inf
FREE = (-INF, INF)


def laid_out(values):
    return values.contiguous(memory_format=torch.channels_last) if values.ndim == 4 else values.contiguous()


def drawn(*shape, seed=0, deviation=2.0):
    values = np.random.default_rng(seed).normal(0, deviation, shape).astype(np.float32)
    return laid_out(torch.from_numpy(values))


def along(scales, values):
    return scales.reshape([1, -1, *[1] * (values.ndim - 2)]) if scales.size > 1 else scales


def by_numpy(values, scales, zero_point, qmax, bounds=FREE):
    """Clamp, then quantize and dequantize as docs/arithmetic.md has it, in float64."""
    clamped, scale = np.clip(values.astype(np.float64), *bounds), along(scales.astype(np.float64), values)
    codes = np.clip(np.rint(clamped / scale) + zero_point, 0, qmax)
    return (codes - zero_point) * scale


def straight_through(values, scales, zero_point, qmax, bounds, mask):
    """The same in PyTorch's operators: rounding has gradient 1; where the mask is false the clamp alone."""
    clamped = values.clamp(*bounds)
    scale = scales.reshape([1, -1, *[1] * (values.ndim - 2)]) if len(scales) > 1 else scales
    scaled = clamped / scale
    rounded = scaled + (scaled.round() - scaled).detach()
    actual = torch.where(mask, rounded.clamp(-zero_point, qmax - zero_point) * scale, clamped)
    return actual.reshape(values.shape)


def gradients(function, values, scales, incoming):
    leaves = values.detach().clone().requires_grad_(), scales.detach().clone().requires_grad_()
    return torch.autograd.grad(function(*leaves), leaves, incoming)


ONE, EACH = torch.tensor([0.25]), torch.tensor([0.125, 0.25, 0.5, 1.0, 0.0625])
SETTINGS = [
    pytest.param((3, 5, 4, 6), ONE, 7, 15, FREE, id="one scale"),
    pytest.param((3, 5, 4, 6), torch.tensor([0.3]), 128, 255, FREE, id="8 bits"),
    pytest.param((3, 5, 4, 6), EACH, 7, 15, FREE, id="a scale a channel"),
    pytest.param((3, 5, 4, 6), ONE, 0, 15, (0.0, INF), id="Relu"),
    pytest.param((3, 5, 4, 6), EACH, 0, 15, (0.0, 1.1), id="Clip"),
    pytest.param((3, 5, 1, 1), EACH, 7, 15, FREE, id="one pixel"),
    pytest.param((1, 1, 4, 6), ONE, 7, 15, FREE, id="one channel"),
    pytest.param((3, 20), ONE, 7, 15, FREE, id="vectors"),
    pytest.param((2, 3, 7), ONE, 7, 15, (-1.0, 1.0), id="rows"),
    pytest.param((11,), ONE, 7, 15, FREE, id="one axis"),
    pytest.param((), ONE, 7, 15, FREE, id="no axis"),
    pytest.param((600, 2), ONE, 7, 15, FREE, id="more rows than are summed up at once"),
]


@pytest.mark.parametrize(("shape", "scales", "zero_point", "qmax", "bounds"), SETTINGS)
def test_forward_equals_numpy(shape, scales, zero_point, qmax, bounds):
    values = drawn(*shape)
    actual = FakeQuantize.apply(values, scales, FakeQuantParams(zero_point, qmax, bounds, 1.0, 0))
    expected = by_numpy(values.numpy(), scales.numpy(), zero_point, qmax, bounds)
    np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("share", [1.0, 0.5])
@pytest.mark.parametrize(("shape", "scales", "zero_point", "qmax", "bounds"), SETTINGS)
def test_gradients_equal_pytorchs(shape, scales, zero_point, qmax, bounds, share):
    values, incoming = drawn(*shape), drawn(*shape, seed=1)

    def fused(values, scales):
        return FakeQuantize.apply(laid_out(values), scales, FakeQuantParams(zero_point, qmax, bounds, share, 3))

    # which values are quantized is seen from outside, where quantizing them changes them
    quantized = torch.from_numpy(by_numpy(values.numpy(), scales.numpy(), zero_point, qmax, bounds).astype(np.float32))
    mask = torch.isclose(fused(values, scales), quantized, rtol=1e-6, atol=0.0)

    def plain(values, scales):
        return straight_through(values, scales, zero_point, qmax, bounds, mask)

    for actual, expected in zip(
        gradients(fused, values, scales, incoming), gradients(plain, values, scales, incoming), strict=True
    ):
        np.testing.assert_allclose(actual.numpy(), expected.numpy(), rtol=1e-4, atol=1e-4)


def test_values_on_and_off_the_ends_by_hand():
    # codes -2 .. 1 of 0.5: real values -1 .. 0.5; the clamp before ends at -0.9
    values = torch.tensor([[-3.0, -0.9, -0.6, 0.1, 0.5, 0.74, 0.76, 9.0]])
    scales = torch.tensor([0.5])

    def function(values, scales):
        return FakeQuantize.apply(values, scales, FakeQuantParams(2, 3, (-0.9, INF), 1.0, 0))

    assert function(values, scales).tolist() == [[-1.0, -1.0, -0.5, 0.0, 0.5, 0.5, 0.5, 0.5]]
    of_values, of_scale = gradients(function, values, scales, torch.ones_like(values))
    # the clamp stops -3; 0.76 / 0.5 rounds to 2, beyond the last code
    assert of_values.tolist() == [[0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0]]
    slopes = [-2 + 1.8, -2 + 1.8, -1 + 1.2, 0 - 0.2, 1 - 1, 1 - 1.48, 1, 1]
    assert of_scale.item() == pytest.approx(sum(slopes), abs=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1])
def test_the_share_that_is_quantized(share, seed):
    values = laid_out(torch.full((4, 10, 40, 40), 0.3))
    actual = FakeQuantize.apply(values, torch.tensor([1.0]), FakeQuantParams(0, 15, FREE, share, seed))
    quantized = float((actual == 0.0).float().mean())
    # 64000 draws: a standard deviation is at most 0.002
    assert quantized == share if share in (0.0, 1.0) else quantized == pytest.approx(share, abs=0.01)


def test_another_seed_quantizes_other_values_and_the_same_seed_the_same():
    values = laid_out(torch.full((2, 4, 20, 20), 0.3))
    first, again, other = (
        FakeQuantize.apply(values, torch.tensor([1.0]), FakeQuantParams(0, 15, FREE, 0.5, seed)).numpy()
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() == pytest.approx(0.5, abs=0.05)  # independent: half of them


def test_neighbours_are_drawn_independently():
    actual = FakeQuantize.apply(
        torch.full((1, 64000), 0.3), torch.tensor([1.0]), FakeQuantParams(0, 15, FREE, 0.5, 5)
    ).numpy()[0]
    quantized = actual == 0.0
    assert (quantized[1:] == quantized[:-1]).mean() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("shape", [(2, 3, 7), (2, 3), (2, 4, 3, 3)])
def test_scales_that_do_not_fit_are_refused(shape):
    with pytest.raises(ValueError, match="3 scales for values of shape"):
        FakeQuantize.apply(drawn(*shape), torch.ones(3), FakeQuantParams(0, 15, FREE, 1.0, 0))
