"""The walk through the layers in graph order: which are equal, which begin to differ, and which only follow."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from stages.check.causes import Cause, Difference, difference, find_cause
from stages.check.checked_layer import CheckedLayer, TensorForm
from stages.check.dump_folders import DumpPair, fed_picture, is_picture
from stages.check.known_layers import guesses
from stages.check.readings import Match, best_match
from stages.check.steps import Array
from stages.core.base.console import track

__all__ = ["LayerResult", "State", "compare_input", "compare_layers"]


class State(StrEnum):
    """What became of a layer."""

    EQUAL = "equal"
    LAYOUT = "layout"
    """The same values, written another way."""
    DIFFERS = "differs"
    """It differs although its inputs do not."""
    FOLLOWS = "follows"
    """It differs, and so does one of its inputs."""
    MISSING = "missing"


@dataclass(frozen=True)
class LayerResult:
    """What the comparison of a layer found.

    Attributes:
        layer: the layer.
        state: what became of it.
        board: the board's file; empty: missing.
        match: how the files were read; None for equal, missing and unreadable ones. Of what only follows no reading is
            claimed that leaves values different.
        difference: of the values, where some differ.
        cause: what is wrong or written another way, and what to do; None where nothing is, or for what only follows.
    """

    layer: CheckedLayer
    state: State
    board: str = ""
    match: Match | None = None
    difference: Difference | None = None
    cause: Cause | None = None


def compare_layers(
    pair: DumpPair,
    layers: Sequence[CheckedLayer],
    others: Callable[[str, bytes], str | None],
    mistakes: Callable[[CheckedLayer, Array], Cause | None],
    input_differs: bool = False,
) -> list[LayerResult]:
    """Compare every layer.

    Args:
        pair: the dumps.
        layers: in graph order.
        others: name of a PC file, bytes of the board's -> whose bytes they are instead ("the input dog"); None:
            nobody's.
        mistakes: a layer next to the input, the board's values -> how the board was fed; None: not known.
        input_differs: whether the board was given another input, so that layers next to it only follow.
    """
    digests = {_digest(pair.pc.read(layer.file)): layer.name for layer in layers}
    spoiled: dict[str, bool] = {}
    results: list[LayerResult] = []
    for layer in track(layers, "layers"):
        near = _near_input(layer, layers, pair)
        before = _spoiled_before(layer, spoiled, results) or (near and input_differs)
        result = _compared(layer, pair)
        if result.state is State.DIFFERS and before:
            sure = result.match if result.match and result.match.equal else None
            result = replace(result, state=State.FOLLOWS, match=sure, cause=None)
        elif result.state is State.DIFFERS:
            content = pair.board.read(result.board)
            swapped = digests.get(_digest(content))
            if (foreign := others(layer.file, content)) is not None:
                result = replace(result, cause=_foreign(foreign))
            elif swapped is not None and swapped != layer.name:
                result = replace(result, cause=_exchanged(swapped))
            elif near:
                mistake = mistakes(layer, result.match.actual) if result.match else None
                other = _of_input(result.cause, fed_picture(pair.pc), "; this is the first layer, so ")
                result = replace(result, cause=mistake or other)
        spoiled[layer.name] = result.state in (State.DIFFERS, State.FOLLOWS) or (
            result.state is State.MISSING and before
        )
        results.append(result)
    return results


def compare_input(pair: DumpPair, files: tuple[str, str], form: TensorForm | None) -> LayerResult:
    """Compare the input as it was fed.

    Args:
        pair: the dumps.
        files: of the input, on the PC and the board.
        form: what the PC's holds; None: not known.
    """
    layer = CheckedLayer("input", files[0], form, (), True)
    result = _compared(layer, replace(pair, board_files={files[0]: files[1]}))
    return replace(result, cause=_of_input(result.cause, is_picture(files[0]), ": "))


def _compared(layer: CheckedLayer, pair: DumpPair) -> LayerResult:
    if layer.file not in pair.board_files:
        return LayerResult(layer, State.MISSING)
    name = pair.board_files[layer.file]
    expected, actual = pair.pc.read(layer.file), pair.board.read(name)
    if _digest(expected) == _digest(actual):
        return LayerResult(layer, State.EQUAL, name)
    match = _best(layer, pair, expected, actual)
    uneven = len(actual) != len(expected) and (actual.startswith(expected) or expected.startswith(actual))
    unreadable = LayerResult(layer, State.DIFFERS, name, cause=_unreadable(expected, actual, layer.form))
    if match is None or (uneven and not match.equal):
        return unreadable
    steps = match.board.steps + match.pc.steps
    if match.equal:
        cause = Cause(
            "layout" if match.harmless else match.board.steps[-1].name, _steps_said(match), _steps_cure(match)
        )
        lossy = match.board.storage.keeps is not None
        state = State.LAYOUT if match.harmless or lossy else State.DIFFERS
        return LayerResult(layer, state, name, match, _difference_of_steps(match), cause)
    cause = find_cause(match.expected, match.actual, layer.form.bits if layer.form else _bits(match))
    if steps and cause.kind == "unrelated" and len(actual) != len(expected):  # only its size spoke for this reading
        return unreadable
    if steps:
        sentence = f"{_steps_said(match)}; then {cause.sentence}"
        cause = replace(cause, sentence=sentence, cure=f"{_steps_cure(match)}; then {cause.cure}")
    return LayerResult(layer, State.DIFFERS, name, match, difference(match.expected, match.actual), cause)


def _best(layer: CheckedLayer, pair: DumpPair, expected: bytes, actual: bytes) -> Match | None:
    """How to read a layer's files; of a form that is not known, the first guess that makes them equal."""
    if layer.form is not None:
        return best_match(expected, actual, layer.form)
    first: Match | None = None
    for form in guesses(layer, len(expected), pair.pc.inputs):
        match = best_match(expected, actual, form)
        if match is not None and match.equal:
            return match
        first = first or match
    return first


def _difference_of_steps(match: Match) -> Difference | None:
    """The difference that a step which is no matter of layout makes."""
    if match.harmless:
        return None
    changed = match.actual[..., ::-1]
    return None if np.array_equal(match.expected, changed) else difference(match.expected, changed)


def _bits(match: Match) -> int | None:
    if match.expected.dtype.kind == "f":
        return None
    return 8 if match.expected.dtype == np.uint8 else 16


def _steps_said(match: Match) -> str:
    steps = [f"the board's file {' and '.join(step.says for step in match.board.steps)}"] if match.board.steps else []
    steps += [f"the PC's file {' and '.join(step.says for step in match.pc.steps)}"] if match.pc.steps else []
    return "; ".join(steps)


def _steps_cure(match: Match) -> str:
    return "; ".join(dict.fromkeys(step.cure for step in match.board.steps + match.pc.steps))


def _unreadable(expected: bytes, actual: bytes, form: TensorForm | None) -> Cause:
    """No reading fits the board's size."""
    if expected.startswith(actual):
        return Cause(
            "cut off",
            f"the board's file ends after {len(actual)} of {len(expected)} bytes, equal until there: it was cut off",
            "free room where the board writes (df), dump and copy again",
        )
    if actual.startswith(expected):
        return Cause(
            "too long",
            f"the board's file begins with the PC's {len(expected)} bytes and goes on to {len(actual)}",
            "remove the board's old dumps before it writes new ones; or the board's tensor is of a larger batch",
        )
    if len(expected) == 4 * len(actual) and form is None:
        return Cause(
            "float32",
            "the PC's file has four bytes for each of the board's: floats against codes, whose scale is not known",
            "call this where the experiment's out/quantize lies, which has the scales, or dump codes on the PC",
        )
    shape = f" ({'x'.join(map(str, form.shape))}, {f'{form.bits} bits' if form.bits else 'float32'})" if form else ""
    return Cause(
        "size",
        f"the board's file has {len(actual)} bytes, the PC's {len(expected)}{shape}: another shape or bit width",
        "see that the board runs the model of this out/quantize: input size, bits of this layer",
    )


def _foreign(whose: str) -> Cause:
    return Cause(
        "other input",
        f"the board's values are those of {whose}: another input",
        "give both sides the same input, then dump again",
    )


def _exchanged(name: str) -> Cause:
    return Cause(
        "other layer",
        f"the board's file is what the PC has for {name}",
        "see how the board names its files: two are exchanged, or one was copied over another",
    )


def _of_input(cause: Cause | None, picture: bool, so: str) -> Cause | None:
    """The cause of a difference of the input, or next to it: nothing in particular is another input."""
    if cause is None or cause.kind not in ("unrelated", "values"):
        return cause
    pixels = " (a picture in its colour order; of 4 channels, channel 3 zero)" if picture else ""
    return Cause(
        "other input",
        f"{cause.sentence}{so}another input",
        f"run the board on the PC's *_data_shape_*.bin{pixels}, mean and normal applied once",
    )


def _near_input(layer: CheckedLayer, layers: Sequence[CheckedLayer], pair: DumpPair) -> bool:
    """Whether no compared layer lies between the network's input and this one."""
    compared = {each.name for each in layers if each.file in pair.board_files}
    if layer.inputs is None:
        return bool(layers) and layer.name == next((each.name for each in layers if each.name in compared), None)
    known = {each.name: each for each in layers}
    return all(
        name not in compared and name in known and _near_input(known[name], layers, pair) for name in layer.inputs
    )


def _spoiled_before(layer: CheckedLayer, spoiled: dict[str, bool], before: Sequence[LayerResult]) -> bool:
    if layer.inputs is None:
        return any(spoiled[result.layer.name] for result in before)
    return any(spoiled.get(name, False) for name in layer.inputs)


def _digest(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
