"""What the runtime's compiler or the runtime does not do with a node."""

from dataclasses import dataclass
from enum import Enum

import onnx

__all__ = ["RECIPE", "Effect", "Refusal", "refusal"]

RECIPE = "python -m stages.compose --keep soc=t41 quant=int8 && dvc repro writes it to out/build/t41/pluto"
"""What gives a file of the right form, if the network itself is not refused."""


class Effect(Enum):
    """What would happen. The public compiler names few of these: most end in a traceback, or in no message at all."""

    compile = "the compiler stops"
    load = "the camera refuses to load it"
    wrong = "it runs and computes something else"


@dataclass(frozen=True)
class Refusal:
    """One thing that keeps a network from the camera.

    Attributes:
        node: its name; of a network input or a file as a whole that name.
        op_type: ONNX's type, empty where it is no node.
        effect: what would happen.
        reason: what is wrong.
        cure: what to do.
        source: the file of github.com/inoop/t41-pluto (8f374b6) that says so.
    """

    node: str
    op_type: str
    effect: Effect
    reason: str
    cure: str
    source: str


def refusal(node: onnx.NodeProto, effect: Effect, reason: str, cure: str, source: str) -> Refusal:
    """A refusal of a node; one without a name goes by its output."""
    return Refusal(node.name or node.output[0], node.op_type, effect, reason, cure, source)
