"""What is known of a layer whose dumps are compared."""

from dataclasses import dataclass
from math import prod

from stages.check.steps import Shape
from stages.core.integer.quant_params import QuantParams

__all__ = ["CheckedLayer", "TensorForm", "as_picture"]


@dataclass(frozen=True)
class TensorForm:
    """What a file holds.

    Attributes:
        shape: NHWC; a tensor of fewer axes has ones in front.
        bits: of a code; None: float32.
        qparams: of the codes, where known.
    """

    shape: Shape
    bits: int | None
    qparams: QuantParams | None = None

    @property
    def count(self) -> int:
        """Values."""
        return prod(self.shape)


@dataclass(frozen=True)
class CheckedLayer:
    """A layer that both sides may have dumped.

    Attributes:
        name: in tables.
        file: of its PC dump.
        form: what it holds; None: to be guessed.
        inputs: names of the layers that it is computed from; None: not known.
        is_input: whether it is the picture as it was fed, or its codes.
        listed: whether a list of the network's layers has it, where there is one.
    """

    name: str
    file: str
    form: TensorForm | None = None
    inputs: tuple[str, ...] | None = None
    is_input: bool = False
    listed: bool = True


def as_picture(shape: tuple[int, ...]) -> Shape:
    """A shape of any rank as NHWC: ones in front, or the first axes as one."""
    padded = (1,) * (4 - len(shape)) + tuple(shape)
    n, h, w, c = (prod(padded[:-3]), *padded[-3:])
    return n, h, w, c
