"""Why the open runtime's compiler or the runtime itself refuses a network."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

import onnx

__all__ = ["ONNX_IMPORT", "Concern", "Effect", "Refusal", "refusal", "with_recipe"]

ONNX_IMPORT = "compile/onnx_import.py"
"""The source that most refusals follow: the compiler's reader of ONNX files."""
RECIPE = "python -m stages.compose --keep soc=t41 quant=int8 && dvc repro writes it to out/build/t41/pluto"
"""What quantizes a network into a file of the right form, if the network itself is accepted."""


class Effect(Enum):
    """What would happen. The public compiler reports few of these: most end in a traceback, or in no message at all."""

    compile = "the compiler stops"
    load = "the camera refuses to load it"
    wrong = "it runs and computes something else"


class Concern(Enum):
    """What a refusal is about, and so what can cure it."""

    form = "how the file is quantized: `RECIPE` gives the right form"
    settings = "the quantization settings: the cure names another one"
    network = "the network itself: no quantization cures it"


@dataclass(frozen=True)
class Refusal:
    """One reason why the camera cannot run a network.

    Attributes:
        node: its name; for a network input or the file as a whole that name.
        op_type: ONNX's type, empty where it is no node.
        effect: what would happen.
        reason: what is wrong.
        cure: what to do.
        source: the file of github.com/inoop/t41-pluto (8f374b6) that the rule follows.
        concern: what the refusal is about.
    """

    node: str
    op_type: str
    effect: Effect
    reason: str
    cure: str
    source: str
    concern: Concern = Concern.network


def refusal(
    node: onnx.NodeProto, effect: Effect, reason: str, cure: str, source: str, concern: Concern = Concern.network
) -> Refusal:
    """A refusal of a node; a node without a name goes by its output."""
    return Refusal(node.name or node.output[0], node.op_type, effect, reason, cure, source, concern)


def with_recipe(refusals: Sequence[Refusal]) -> list[Refusal]:
    """Append the recipe to the cures of the file's form, unless the network itself is refused: no recipe helps then."""
    if any(each.concern is Concern.network for each in refusals):
        return list(refusals)
    return [replace(each, cure=f"{each.cure}: {RECIPE}") if each.concern is Concern.form else each for each in refusals]
