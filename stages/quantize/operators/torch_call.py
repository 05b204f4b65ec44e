"""One node in PyTorch, as an operator's function sees it. PyTorch is an extra, and slow to load: its import is late."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.graph.onnx_graph import attribute

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Constants", "TorchCall", "TorchWindow", "torch_window"]

Constants = Mapping[str, NDArray[Any]]


class TorchCall:
    """A node's inputs as tensors, and its attributes.

    Args:
        node: the node.
        values: tensors computed so far; those of 4 dimensions lie channels last.
        constants: the network's.
        weight: of a weighted node: the weight to use, in ONNX's layout, and the bias; None for the node's own.
    """

    def __init__(
        self,
        node: onnx.NodeProto,
        values: Mapping[str, "Tensor"],
        constants: Constants,
        weight: "tuple[Tensor, Tensor | None] | None",
    ) -> None:
        import torch  # noqa: PLC0415

        self.torch, self.functional = torch, torch.nn.functional
        self.node, self._values, self._constants, self._weight = node, values, constants, weight

    @property
    def weight(self) -> "tuple[Tensor, Tensor | None]":
        """Weight and bias: those that were handed in, else the node's own."""
        return self._weight or (self[1], self[2] if len(self) > 2 and self.node.input[2] else None)

    @property
    def learned(self) -> bool:
        """Whether a weight was handed in."""
        return self._weight is not None

    def __getitem__(self, index: int) -> "Tensor":
        name = self.node.input[index]
        if name in self._values:
            return self._values[name]
        if name not in self._constants:
            raise NotImplementedError(f"{self.node.op_type} has the input {name!r}, which is not computed here")
        return self.torch.from_numpy(np.array(self._constants[name]))

    def batched(self, index: int) -> "Tensor":
        """An input, repeated over the batch if it is constant."""
        if self.node.input[index] in self._values:
            return self[index]
        count = max(len(self._values[name]) for name in self.node.input if name in self._values)
        return self[index].expand([count, *self[index].shape[1:]])

    def __len__(self) -> int:
        return len(self.node.input)

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute."""
        return attribute(self.node, name, default)

    def numbers(self, index: int, name: str | None = None) -> list[Any] | None:
        """A constant input, or an attribute, as a list; None if left out."""
        if name is not None and (value := self.get(name)) is not None:
            return list(np.atleast_1d(value).tolist())
        if index >= len(self.node.input) or not self.node.input[index]:
            return None
        if self.node.input[index] not in self._constants:
            raise NotImplementedError(f"{self.node.op_type} is not covered with settings that are computed")
        return list(np.atleast_1d(self._constants[self.node.input[index]]).tolist())

    def not_covered(self) -> NotImplementedError:
        """The error for a form of the operator that is not covered."""
        return NotImplementedError(f"{self.node.op_type} is not covered in this form")


@dataclass(frozen=True)
class TorchWindow:
    """How a window slides over the spatial axes, one number an axis.

    Attributes:
        strides: distances of its positions.
        pads: at both ends of an axis.
        dilations: distances of the kernel's taps.
        groups: groups of channels that are convolved by themselves.
    """

    strides: list[int]
    pads: list[int]
    dilations: list[int]
    groups: int = 1


def torch_window(call: TorchCall, rank: int) -> "tuple[TorchWindow, Callable[[Tensor, float], Tensor]]":
    """Give a node's window with symmetric pads, and a function that pads where they are not symmetric."""
    if call.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise NotImplementedError(f"{call.node.op_type} is not covered with auto_pad")
    pads = list(call.get("pads", [0] * 2 * rank))
    before, after = pads[:rank], pads[rank:]
    strides, dilations = list(call.get("strides", [1] * rank)), list(call.get("dilations", [1] * rank))
    groups = call.get("group", 1)
    if before == after:
        return TorchWindow(strides, before, dilations, groups), lambda x, _: x
    sides = [side for pair in zip(reversed(before), reversed(after), strict=True) for side in pair]
    window = TorchWindow(strides, [0] * rank, dilations, groups)
    return window, lambda x, value: call.functional.pad(x, sides, value=value)
