"""Convolutions and their gradients against PyTorch's own."""

import pytest
import torch
from torch.nn import functional

from stages.quantize.operators.torch_call import TorchWindow
from stages.quantize.operators.torch_convolution import conv2d

SETTINGS = {
    "1 x 1": ((8, 6, 1, 1), [1, 1], [0, 0], [1, 1], 1),
    "1 x 1, strided, padded": ((8, 6, 1, 1), [2, 3], [1, 2], [1, 1], 1),
    "1 x 1, groups": ((8, 3, 1, 1), [1, 1], [0, 0], [1, 1], 2),
    "3 x 3": ((8, 6, 3, 3), [2, 1], [1, 0], [1, 2], 1),
    "depthwise 3 x 3": ((6, 1, 3, 3), [1, 1], [1, 1], [1, 1], 6),
    "depthwise 5 x 5": ((6, 1, 5, 5), [1, 1], [2, 2], [1, 1], 6),
    "depthwise 5 x 5, strided": ((6, 1, 5, 5), [2, 2], [2, 2], [1, 1], 6),
    "depthwise 5 x 5, dilated": ((6, 1, 5, 5), [1, 1], [4, 3], [3, 2], 6),
    "depthwise 2 x 7, all uneven": ((6, 1, 2, 7), [2, 3], [1, 4], [3, 2], 6),
    "depthwise 4 x 6, two outputs a channel": ((12, 1, 4, 6), [3, 2], [0, 1], [1, 1], 6),
}


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("setting", SETTINGS)
def test_output_and_gradients_are_those_of_pytorch(setting, layout, biased):
    shape, *window = SETTINGS[setting]
    random = torch.Generator().manual_seed(0)
    values = torch.randn((3, 6, 16, 19), generator=random).contiguous(memory_format=layout)
    leaves = [values, torch.randn(shape, generator=random), torch.randn(shape[0], generator=random)]
    leaves = [leaf.requires_grad_() for leaf in leaves[: 2 + biased]]
    inputs = [*leaves, *([] if biased else [None])]
    expected, actual = functional.conv2d(*inputs, *window), conv2d(*inputs, TorchWindow(*window))
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)
    incoming = torch.randn(expected.shape, generator=random)
    for ours, wanted in zip(
        torch.autograd.grad(actual, leaves, incoming), torch.autograd.grad(expected, leaves, incoming), strict=True
    ):
        torch.testing.assert_close(ours, wanted, rtol=1e-4, atol=1e-4)


def test_gradients_that_nobody_wants_are_left_out():
    values, weight = torch.randn(1, 2, 8, 8), torch.randn(2, 1, 5, 5, requires_grad=True)
    conv2d(values, weight, None, TorchWindow([1, 1], [2, 2], [1, 1], 2)).sum().backward()
    assert weight.grad is not None
    assert values.grad is None
