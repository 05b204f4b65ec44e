"""How a network's pictures are preprocessed: mean and normal, colour order, fit, and a detector's thresholds."""

from collections.abc import Sequence
from dataclasses import dataclass

from stages.core.config.schema import Color, Fit, PreprocessConfig
from stages.core.data.inputs import NetworkInput
from stages.init.guess.colors import guess_color
from stages.init.guess.customs import Custom
from stages.init.guess.guess import Guess, Sure
from stages.init.guess.normalizations import Normalization, applied
from stages.init.guess.ranges import Clues, guess_range

__all__ = ["Preprocessing", "custom_of", "fit_of", "guess_preprocessing"]

IMAGENET_CLASSES = (1000, 1001)
IMAGENET_CROP = 0.875
"""What ImageNet's evaluation cuts out of the resized picture, in parts of its shorter side."""


@dataclass(frozen=True)
class Preprocessing:
    """What was guessed.

    Attributes:
        color: channel order.
        mean: a value a channel, in this order.
        normal: likewise.
        guesses: of mean and normal, and of the colour order.
    """

    color: Color
    mean: Sequence[float]
    normal: Sequence[float]
    guesses: Sequence[Guess]


def guess_preprocessing(clues: Clues, network_input: NetworkInput) -> Preprocessing:
    """Guess how a picture is normalized.

    Args:
        clues: what there is to guess by.
        network_input: that takes it.
    """
    known = guess_range(clues)
    color_guess = guess_color(clues, known.normalization, network_input.channels)
    color = Color(color_guess.value)
    fed = applied(known.normalization, network_input, color)
    shown = Normalization(fed.mean, fed.normal, "")
    return Preprocessing(
        color, fed.mean, fed.normal, [Guess("mean, normal", str(shown), known.evidence, known.sure), color_guess]
    )


def custom_of(clues: Clues) -> Custom | None:
    """Whose custom decides on what only custom says: the metadata's, else the head's."""
    return clues.by_metadata or clues.by_head


def fit_of(custom: Custom | None, network_input: NetworkInput, classes: int | None) -> tuple[PreprocessConfig, Guess]:
    """How pictures are fitted into the input.

    Args:
        custom: of the exporter or the family; None where there is none.
        network_input: that takes them.
        classes: of a classifier; None of others.
    """
    if custom is not None:
        config = custom.preprocess
        return config, Guess("fit", _shown(config), f"{custom.whose} own preprocessing", Sure.medium)
    side = min(network_input.height, network_input.width)
    if classes in IMAGENET_CLASSES:
        config = PreprocessConfig(fit=Fit.crop, shorter_side=round(side / IMAGENET_CROP))
        return config, Guess("fit", _shown(config), f"{classes} classes, as ImageNet has: its custom", Sure.medium)
    config = PreprocessConfig()
    return config, Guess("fit", _shown(config), "nothing tells it; the usual one", Sure.low)


def _shown(config: PreprocessConfig) -> str:
    if config.fit is Fit.letterbox:
        return f"letterbox, {config.anchor.value}, grey {config.pad}"
    return f"crop of {config.shorter_side}" if config.fit is Fit.crop else config.fit.value
