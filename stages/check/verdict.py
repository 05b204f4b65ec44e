"""The walk through the layers in graph order: which are equal, which begin to differ, and which only follow."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from stages.check.folders import Dump, Pairs, fed_picture, is_picture
from stages.check.knowledge import guesses
from stages.check.layers import Form, Layer
from stages.check.readings import Match, best_match
from stages.check.steps import Array
from stages.check.values import Cause, Difference, difference, find_cause
from stages.core.base.console import counted, track

__all__ = ["Found", "State", "compare_input", "compare_layers", "headline"]


class State(StrEnum):
    """What became of a layer."""

    EQUAL = "equal"
    LAYOUT = "layout"
    """The same values, written another way."""
    DIFFERS = "differs"
    """It differs although what it takes does not."""
    FOLLOWS = "follows"
    """It differs, and so does a layer that it takes."""
    MISSING = "missing"


@dataclass(frozen=True)
class Found:
    """A layer's result.

    Attributes:
        layer: it.
        state: what became of it.
        board: the board's file; empty: missing.
        match: how the files were read; None for equal, missing and unreadable ones. Of what only follows no reading is
            claimed that leaves values different.
        difference: of the values, where some differ.
        cause: what is wrong or otherwise written, and what to do; None where nothing is, or for what only follows.
    """

    layer: Layer
    state: State
    board: str = ""
    match: Match | None = None
    difference: Difference | None = None
    cause: Cause | None = None


def compare_layers(
    pc: Dump,
    board: Dump,
    pairs: Pairs,
    layers: Sequence[Layer],
    others: Callable[[str, bytes], str | None],
    mistakes: Callable[[Layer, Array], Cause | None],
    input_differs: bool = False,
) -> list[Found]:
    """Compare every layer.

    Args:
        pc: the PC's dump.
        board: the board's.
        pairs: which file belongs to which.
        layers: in graph order.
        others: name of a PC file, bytes of the board's -> whose bytes they are instead ("the input dog"); None:
            nobody's.
        mistakes: a layer next to the input, the board's values -> how the board was fed; None: not known.
        input_differs: whether the board was given another input, so that layers next to it only follow.
    """
    digests = {_digest(pc.read(layer.file)): layer.name for layer in layers}
    spoiled: dict[str, bool] = {}
    found: list[Found] = []
    for layer in track(layers, "layers"):
        near = _near_input(layer, layers, pairs)
        before = _spoiled_before(layer, spoiled, found) or (near and input_differs)
        result = _compared(layer, pc, board, pairs)
        if result.state is State.DIFFERS and before:
            sure = result.match if result.match and result.match.equal else None
            result = replace(result, state=State.FOLLOWS, match=sure, cause=None)
        elif result.state is State.DIFFERS:
            content = board.read(result.board)
            swapped = digests.get(_digest(content))
            if (foreign := others(layer.file, content)) is not None:
                result = replace(result, cause=_foreign(foreign))
            elif swapped is not None and swapped != layer.name:
                result = replace(result, cause=_exchanged(swapped))
            elif near:
                fed = mistakes(layer, result.match.found) if result.match else None
                result = replace(
                    result, cause=fed or _of_input(result.cause, fed_picture(pc), "; this is the first layer, so ")
                )
        spoiled[layer.name] = result.state in (State.DIFFERS, State.FOLLOWS) or (
            result.state is State.MISSING and before
        )
        found.append(result)
    return found


def compare_input(pc: Dump, board: Dump, files: tuple[str, str], form: Form | None) -> Found:
    """Compare the input as it was fed.

    Args:
        pc: the PC's dump.
        board: the board's.
        files: of the input, on the PC and the board.
        form: what the PC's holds; None: not known.
    """
    layer = Layer("input", files[0], form, (), True)
    pairs = Pairs({files[0]: files[1]}, (), (), ())
    found = _compared(layer, pc, board, pairs)
    return replace(found, cause=_of_input(found.cause, is_picture(files[0]), ": "))


def _compared(layer: Layer, pc: Dump, board: Dump, pairs: Pairs) -> Found:
    if layer.file not in pairs.board:
        return Found(layer, State.MISSING)
    name = pairs.board[layer.file]
    expected, found = pc.read(layer.file), board.read(name)
    if _digest(expected) == _digest(found):
        return Found(layer, State.EQUAL, name)
    forms = [layer.form] if layer.form else list(guesses(layer, len(expected), pc.inputs))
    matches = _matches(expected, found, forms)
    match = next((each for each in matches if each.equal), None) if layer.form is None else next(iter(matches), None)
    if match is None and layer.form is None:
        match = next(iter(_matches(expected, found, forms)), None)
    uneven = len(found) != len(expected) and (found.startswith(expected) or expected.startswith(found))
    if match is None or (uneven and not match.equal):
        return Found(layer, State.DIFFERS, name, cause=_unreadable(expected, found, layer.form))
    steps = match.board.steps + match.pc.steps
    if match.equal:
        cause = Cause("layout" if match.harmless else match.board.steps[-1].name, _said(match), _cured(match))
        lossy = match.board.storage.keeps is not None
        state = State.LAYOUT if match.harmless or lossy else State.DIFFERS
        return Found(layer, state, name, match, _of_meaning(match), cause)
    cause = find_cause(match.expected, match.found, layer.form.bits if layer.form else _bits(match))
    if (
        steps and cause.kind == "unrelated" and len(found) != len(expected)
    ):  # its size was all that spoke for this reading
        return Found(layer, State.DIFFERS, name, cause=_unreadable(expected, found, layer.form))
    if steps:
        cause = replace(
            cause, sentence=f"{_said(match)}; then {cause.sentence}", cure=f"{_cured(match)}; then {cause.cure}"
        )
    return Found(layer, State.DIFFERS, name, match, difference(match.expected, match.found), cause)


def _matches(expected: bytes, found: bytes, forms: Sequence[Form]) -> Iterator[Match]:
    return (match for form in forms if (match := best_match(expected, found, form)) is not None)


def _of_meaning(match: Match) -> Difference | None:
    """The difference that a step which is no matter of layout makes."""
    if match.harmless:
        return None
    changed = match.found[..., ::-1]
    return None if np.array_equal(match.expected, changed) else difference(match.expected, changed)


def _bits(match: Match) -> int | None:
    if match.expected.dtype.kind == "f":
        return None
    return 8 if match.expected.dtype == np.uint8 else 16


def _said(match: Match) -> str:
    steps = [f"the board's file {' and '.join(step.says for step in match.board.steps)}"] if match.board.steps else []
    steps += [f"the PC's file {' and '.join(step.says for step in match.pc.steps)}"] if match.pc.steps else []
    return "; ".join(steps)


def _cured(match: Match) -> str:
    return "; ".join(dict.fromkeys(step.cure for step in match.board.steps + match.pc.steps))


def _unreadable(expected: bytes, found: bytes, form: Form | None) -> Cause:
    """No reading fits the board's size."""
    if expected.startswith(found):
        return Cause(
            "cut off",
            f"the board's file ends after {len(found)} of {len(expected)} bytes, equal until there: it was cut off",
            "free room where the board writes (df), dump and copy again",
        )
    if found.startswith(expected):
        return Cause(
            "too long",
            f"the board's file begins with the PC's {len(expected)} bytes and goes on to {len(found)}",
            "remove the board's old dumps before it writes new ones; or the board's tensor is of a larger batch",
        )
    if len(expected) == 4 * len(found) and form is None:
        return Cause(
            "float32",
            "the PC's file has four bytes for each of the board's: floats against codes, whose scale is not known",
            "call this where the experiment's out/quantize lies, which has the scales, or dump codes on the PC",
        )
    shape = f" ({'x'.join(map(str, form.shape))}, {f'{form.bits} bits' if form.bits else 'float32'})" if form else ""
    return Cause(
        "size",
        f"the board's file has {len(found)} bytes, the PC's {len(expected)}{shape}: another shape or width",
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


def _near_input(layer: Layer, layers: Sequence[Layer], pairs: Pairs) -> bool:
    """Whether no compared layer lies between the network's input and this one."""
    there = {each.name for each in layers if each.file in pairs.board}
    if layer.takes is None:
        return bool(layers) and layer.name == next((each.name for each in layers if each.name in there), None)
    known = {each.name: each for each in layers}
    return all(name not in there and name in known and _near_input(known[name], layers, pairs) for name in layer.takes)


def _spoiled_before(layer: Layer, spoiled: dict[str, bool], before: Sequence[Found]) -> bool:
    if layer.takes is None:
        return any(spoiled[found.layer.name] for found in before)
    return any(spoiled.get(name, False) for name in layer.takes)


def _digest(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def stopped_after(found: Sequence[Found]) -> tuple[str, int] | None:
    """The last layer before an end that is missing altogether, and how many are missing; None: the last is there."""
    there = [index for index, entry in enumerate(found) if entry.state is not State.MISSING]
    if not there or there[-1] == len(found) - 1:
        return None
    return found[there[-1]].layer.name, len(found) - 1 - there[-1]


def headline(found: Sequence[Found], fed: Found | None = None) -> str:
    """The first sentence: of the first layer that really differs, else of the first that is missing, else of all.

    Args:
        found: the layers in graph order.
        fed: the input, if both folders hold it.
    """
    follows = any(entry.state is State.FOLLOWS for entry in found)
    if fed is not None and fed.state is State.DIFFERS and fed.cause is not None and follows:
        return f"the input differs: {fed.cause.sentence}"
    guilty = next((entry for entry in found if entry.state is State.DIFFERS), None)
    if guilty is not None and guilty.cause is not None:
        return f"{guilty.layer.name} is the first layer that differs: {guilty.cause.sentence}"
    end, missing = stopped_after(found), [entry.layer.name for entry in found if entry.state is State.MISSING]
    if end:
        return f"the board stopped after {end[0]}: {counted(end[1], 'layer')} missing from {missing[-end[1]]} on"
    if missing:
        return f"{counted(len(missing), 'layer')} missing on the board, first {missing[0]}; what is there is equal"
    layout = sum(entry.state is State.LAYOUT for entry in found)
    if layout:
        return f"all {counted(len(found), 'layer')} have the same values; {layout} of them written another way"
    return f"all {counted(len(found), 'layer')} are equal"
