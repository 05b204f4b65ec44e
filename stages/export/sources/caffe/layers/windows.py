"""Kernels that slide: sizes, strides, padding and dilations as Caffe writes them."""

from collections.abc import Sequence
from dataclasses import dataclass

from stages.core.base.errors import UserError
from stages.export.sources.caffe.network import Layer
from stages.export.sources.caffe.prototxt import Message

__all__ = ["Windows", "windows_of"]


@dataclass(frozen=True)
class Windows:
    """How a kernel slides, each a value an axis; rows first.

    Attributes:
        kernel: size.
        strides: steps.
        pads: zeros on either side.
        dilations: distance of the kernel's elements.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    dilations: tuple[int, ...]


def windows_of(parameters: Message, layer: Layer, kernel: Sequence[int] = ()) -> Windows:
    """Read a layer's windows.

    Args:
        parameters: of the convolution or the pooling.
        layer: for errors.
        kernel: the kernel's size, where the weight has it.

    Raises:
        UserError: if the file does not say the size.
    """
    axes = len(kernel) or 2
    sizes = tuple(kernel) or _values(parameters, "kernel_size", "kernel", axes, 0)
    if 0 in sizes:
        raise UserError(f"{layer.where} has no kernel_size")
    return Windows(
        sizes,
        _values(parameters, "stride", "stride", axes, 1),
        _values(parameters, "pad", "pad", axes, 0),
        _values(parameters, "dilation", "dilation", axes, 1),
    )


def _values(parameters: Message, name: str, stem: str, axes: int, default: int) -> tuple[int, ...]:
    """One value for all axes, one an axis, or those that end in _h and _w."""
    values = parameters.integers(name)
    if len(values) == axes:
        return tuple(values)
    value = values[-1] if values else default
    if axes == 2:
        return parameters.integer(f"{stem}_h", value), parameters.integer(f"{stem}_w", value)
    return (value,) * axes
