"""Two-dimensional convolution, by the ways through PyTorch that are fast on one thread."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional, grad

__all__ = ["conv2d"]

MAX_KERNEL_COLUMNS = 3
"""Of wider kernels oneDNN computes a depthwise weight's gradient ten times as slowly."""


def conv2d(
    values: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    strides: list[int],
    pads: list[int],
    dilations: list[int],
    groups: int,
) -> Tensor:
    """Convolve as `torch.nn.functional.conv2d` does, with the same gradients.

    Args:
        values: [B, C, H, W].
        weight: [outputs, C / groups, kernel height, kernel width].
        bias: [outputs] or None.
        strides: of both axes, as all that follows.
        pads: at both ends.
        dilations: distances of the kernel's taps.
        groups: how many groups of channels are convolved by themselves.
    """
    if weight.shape[2:] == (1, 1):
        # nothing lies between the taps of such a kernel; of one that counts as dilated PyTorch leaves the work to
        # oneDNN on one thread too, which takes half the time
        dilations = [2, 2]
    elif groups == values.shape[1] and weight.shape[3] > MAX_KERNEL_COLUMNS:
        convolved: Tensor = _WideDepthwise.apply(values, weight, bias, strides, pads, dilations)
        return convolved
    return functional.conv2d(values, weight, bias, strides, pads, dilations, groups)


class _WideDepthwise(torch.autograd.Function):
    """A depthwise convolution whose weight's gradient is put together from columns of the kernel, `MAX_KERNEL_COLUMNS` at a time."""

    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        strides: list[int],
        pads: list[int],
        dilations: list[int],
    ) -> Tensor:
        ctx.save_for_backward(values, weight)
        ctx.settings = strides, pads, dilations
        return functional.conv2d(values, weight, bias, strides, pads, dilations, values.shape[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Give the gradients of values, weight and bias."""
        values, weight = ctx.saved_tensors
        strides, pads, dilations = ctx.settings
        incoming, groups = gradients[0], values.shape[1]
        of_values = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            of_values = grad.conv2d_input(values.shape, weight, incoming, strides, pads, dilations, groups)
        if ctx.needs_input_grad[1]:
            padded = functional.pad(values, (pads[1], pads[1], 0, 0))
            reach = (incoming.shape[3] - 1) * strides[1] + 1
            columns = []
            for first in range(0, weight.shape[3], MAX_KERNEL_COLUMNS):
                taken = weight[..., first : first + MAX_KERNEL_COLUMNS]
                start, span = first * dilations[1], (taken.shape[3] - 1) * dilations[1] + reach
                seen = padded[..., start : start + span]
                columns.append(
                    grad.conv2d_weight(seen, taken.shape, incoming, strides, [pads[0], 0], dilations, groups)
                )
            of_weight = torch.cat(columns, dim=3)
        if ctx.needs_input_grad[2]:
            of_bias = incoming.sum((0, 2, 3))
        return of_values, of_weight, of_bias, None, None, None
