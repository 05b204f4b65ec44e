"""Two-dimensional convolution, computed as is fast in PyTorch on one thread."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional, grad

from stages.quantize.operators.torch_call import TorchWindow

__all__ = ["conv2d"]

MAX_KERNEL_COLUMNS = 3
"""Of wider kernels oneDNN computes a depthwise weight's gradient ten times as slowly."""


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None, window: TorchWindow) -> Tensor:
    """Convolve as `torch.nn.functional.conv2d` does, with the same gradients.

    Args:
        x: [B, C, H, W].
        weight: [outputs, C / groups, kernel height, kernel width].
        bias: [outputs] or None.
        window: of both axes.
    """
    dilations = window.dilations
    if weight.shape[2:] == (1, 1):
        # nothing lies between the taps of such a kernel; of one that counts as dilated PyTorch leaves the work to
        # oneDNN on one thread too, which needs half the time
        dilations = [2, 2]
    elif window.groups == x.shape[1] and weight.shape[3] > MAX_KERNEL_COLUMNS:
        y: Tensor = _WideDepthwise.apply(x, weight, bias, window)
        return y
    return functional.conv2d(x, weight, bias, window.strides, window.pads, dilations, window.groups)


class _WideDepthwise(torch.autograd.Function):
    """A depthwise convolution whose weight's gradient is put together from a few columns of the kernel at a time."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, window: TorchWindow) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.window = window
        return functional.conv2d(x, weight, bias, window.strides, window.pads, window.dilations, x.shape[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Give the gradients of x, weight and bias."""
        x, weight = ctx.saved_tensors
        strides, pads, dilations = ctx.window.strides, ctx.window.pads, ctx.window.dilations
        incoming, groups = gradients[0], x.shape[1]
        of_x = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            of_x = grad.conv2d_input(x.shape, weight, incoming, strides, pads, dilations, groups)
        if ctx.needs_input_grad[1]:
            padded = functional.pad(x, (pads[1], pads[1], 0, 0))
            swept = (incoming.shape[3] - 1) * strides[1] + 1
            gradients_of_columns = []
            for first in range(0, weight.shape[3], MAX_KERNEL_COLUMNS):
                columns = weight[..., first : first + MAX_KERNEL_COLUMNS]
                start, span = first * dilations[1], (columns.shape[3] - 1) * dilations[1] + swept
                covered = padded[..., start : start + span]
                gradients_of_columns.append(
                    grad.conv2d_weight(covered, columns.shape, incoming, strides, [pads[0], 0], dilations, groups)
                )
            of_weight = torch.cat(gradients_of_columns, dim=3)
        if ctx.needs_input_grad[2]:
            of_bias = incoming.sum((0, 2, 3))
        return of_x, of_weight, of_bias, None
