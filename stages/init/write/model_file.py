"""The text of conf/model/NAME.yaml."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from stages.core.config.overrides import numbers
from stages.core.config.schema import Fit, PreprocessConfig
from stages.init.guess.guess import Guess

__all__ = ["ModelFile", "commented", "in_one_line", "model_text"]

WIDTH = 118


@dataclass(frozen=True)
class ModelFile:
    """What conf/model/NAME.yaml says.

    Attributes:
        name: of the model.
        source: as `model.source` has it; None of a module whose code gives its weights.
        read: a line on the file that was read.
        inputs: `model.inputs`, keys that are left out not among them.
        preprocess: how pictures are fitted; None where no input takes one.
        thresholds: of scores and of suppression; None of networks that are no detectors.
        guesses: by key, written beside what they are of.
        head: a line on the detector's head; empty of other networks.
        asked: further keys, as the user gave them.
    """

    name: str
    source: str | None
    read: str
    inputs: Sequence[Mapping[str, Any]]
    preprocess: PreprocessConfig | None
    thresholds: tuple[float, float] | None
    guesses: Sequence[Guess]
    head: str = ""
    asked: Mapping[str, Any] = field(default_factory=dict)


def model_text(file: ModelFile) -> str:
    """Give the YAML text."""
    of_inputs = [guess for guess in file.guesses if guess.key in ("shape", "mean, normal", "color")]
    others = {guess.key: guess for guess in file.guesses if guess not in of_inputs}
    lines = [
        *commented(f"{file.read}, read by `python -m stages.init`."),
        *commented("A guess says how sure it is. Mend what is wrong here, then: python -m stages.compose --keep"),
        f"name: {in_one_line(file.name)}",
        *([f"source: {in_one_line(file.source)}"] if file.source else []),
        *(
            line
            for key, value in file.asked.items()
            for line in (*_beside(others, key), f"{key}: {in_one_line(value)}")
        ),
        "inputs:",
        *(line for guess in of_inputs for line in commented(_said(guess), "  ")),
        *(f"  - {_input(one)}" for one in file.inputs),
    ]
    if file.preprocess is not None:
        lines += [*_beside(others, "fit"), f"preprocess: {_preprocess(file.preprocess)}"]
    lines += commented(file.head) if file.head else []
    if file.thresholds is not None:
        score, suppression = file.thresholds
        lines += _beside(others, "thresholds")
        lines.append(f"detector: {{score_threshold: {score:g}, nms_threshold: {suppression:g}}}")
    return "\n".join(lines) + "\n"


def commented(text: str, indent: str = "") -> list[str]:
    """A comment in lines of the usual width."""
    prefix = f"{indent}# "
    return textwrap.wrap(
        " ".join(text.split()),
        WIDTH,
        initial_indent=prefix,
        subsequent_indent=f"{prefix}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def in_one_line(value: Any) -> str:
    """A value as YAML in one line."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6, allow_unicode=True)
    return str(text).removesuffix("...\n").strip()


def _said(guess: Guess) -> str:
    return f"{guess.key} ({guess.sure}): {guess.evidence}"


def _beside(guesses: Mapping[str, Guess], key: str) -> list[str]:
    return commented(_said(guesses[key])) if key in guesses else []


def _input(values: Mapping[str, Any]) -> str:
    parts = []
    for key, value in values.items():
        shown = numbers(value) if key in ("mean", "normal") else in_one_line(value)
        parts.append(f"{key}: {shown}")
    return f"{{{', '.join(parts)}}}"


def _preprocess(config: PreprocessConfig) -> str:
    values: dict[str, Any] = {"fit": config.fit.value}
    if config.fit is Fit.letterbox:
        values |= {"anchor": config.anchor.value, "pad": config.pad}
    if config.fit is Fit.crop:
        values["shorter_side"] = config.shorter_side
    return in_one_line(values)
