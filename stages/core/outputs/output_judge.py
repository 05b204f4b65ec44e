"""Whether a quantized network's outputs still do what the float network's do, each judged by what is done with it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.core.base.artifacts import as_number, as_rows, as_text
from stages.core.outputs.answers import AnswerCounter, Answers
from stages.core.outputs.gated_values import Gate, GatedValues, is_row_of_places
from stages.core.outputs.output_error import NetworkError, Outputs, PartError, fidelity, readings_of
from stages.core.outputs.output_kind import OutputKind, ValueSummary, class_axis, kind_of
from stages.core.outputs.output_parts import OutputParts
from stages.core.outputs.reading import Reading
from stages.core.statistics.shares import surely_more

__all__ = ["GOOD_FIDELITY", "Level", "OutputJudge", "OutputJudgement", "fidelity_of"]

Array = NDArray[np.float32]
GOOD_FIDELITY = 0.98
"""The vendor's guide calls what has less a poor layer: an error of a fifth of the output's own variation."""
GOOD_WITH_ANSWERS = 0.94
"""So much will do where answers are read off an output and none changes: a third of the variation."""
BROKEN_FIDELITY = 0.75
"""An error of two thirds of the variation."""
TOLERATED, TOLERATED_PLACES = 0.05, 0.07
"""So many clear changes of answers go with a sound network of 8 bits; of places in a map more, at edges."""
GOOD_WITH_PLACES = 0.96
"""But only where the map itself is as good as this."""
BROKEN_SHARE = 0.5
FEW_ANSWERS = 30
"""Of fewer answers a share is too uncertain to go by alone."""
LEAST_ANSWERS = 5
"""Of fewer a change or two mean nothing."""
CLEAR_PROBABILITY = 0.3
"""Probabilities that stay below find nothing."""
LIKE_A_ROW = (OutputKind.class_scores, OutputKind.embedding, OutputKind.row, OutputKind.waveform)
"""What one row of values may be taken for that has one for each place."""
NO_LOGIT = "no value is above 0 in either network, so nothing is found"
MOST_STORED = 1e150
"""The square of what a file gives must be a number."""
HARMLESS_PROBABILITY = 0.1
"""A probability, or a distribution, that moves by so much of itself is measured by this if it varies less."""


class Level(Enum):
    """How a network, or an output, comes through."""

    good = "good"
    look = "look"
    broken = "broken"
    unjudged = "unjudged"  # the pictures cannot tell

    @property
    def severity(self) -> int:
        """What counts of several."""
        return [Level.unjudged, Level.good, Level.look, Level.broken].index(self)


@dataclass(frozen=True)
class OutputJudgement:
    """What became of an output.

    Attributes:
        output: its name.
        kind: what it is.
        parts: its parts with their errors.
        variances: each part's variance that its error is measured by: its own, or what is harmless where that is more,
            or of what follows an input what the network changes of that.
        answers: that are read off it; None where nothing is.
        silent: why the pictures cannot judge it; empty where they can.
        changes_input: whether it follows an input.
        found: in how many places something is found, where its values count there alone; None where they count
            everywhere.
        span: least and greatest float value; None: not known.
    """

    output: str
    kind: OutputKind
    parts: Sequence[PartError]
    variances: Sequence[float]
    answers: Answers | None = None
    silent: str = ""
    changes_input: bool = False
    found: int | None = None
    span: tuple[float, float] | None = None

    @property
    def errors(self) -> list[float]:
        """Each part's squared error relative to its variance."""
        return [
            PartError(part.output, part.part, part.values, math.sqrt(variance), part.error).relative
            for part, variance in zip(self.parts, self.variances, strict=True)
        ]

    @property
    def worst(self) -> PartError:
        """The part of the largest relative error."""
        return self.parts[int(np.argmax(self.errors))]

    @property
    def fidelity(self) -> float:
        """That of the worst part, on the scale of a cosine, see `fidelity`."""
        return fidelity(max(self.errors))

    @property
    def level(self) -> Level:
        """How it comes through: by its answers if they are many, by its error if there are none, else by both."""
        if self.silent or not _finite(self.parts):
            return Level.unjudged if self.silent else Level.broken
        by_error = _level_of_error(self.fidelity)
        if self.kind is OutputKind.state and by_error is Level.broken:
            return Level.look  # one step does not tell what it does to the answers of later ones
        answers = self.answers
        if self.kind is OutputKind.logits and by_error is Level.broken:
            answers = None  # of lost logits they tell too little
        if answers is None or answers.count < LEAST_ANSWERS or answers.distinct < 2:
            return by_error
        maps = self.kind in (OutputKind.heat_map, OutputKind.segmentation)
        places = maps and self.fidelity >= GOOD_WITH_PLACES
        by_answers = _level_of_answers(answers, TOLERATED_PLACES if places else TOLERATED)
        if answers.count >= FEW_ANSWERS:
            return by_answers
        sound = not answers.changed and self.fidelity >= GOOD_WITH_ANSWERS
        if by_answers is Level.broken or by_error is Level.good or sound:
            return by_answers
        return Level.look if by_answers is Level.good else by_error

    def to_json(self) -> dict[str, Any]:
        """Plain form for JSON."""
        answers = self.answers
        return {
            "output": self.output,
            "kind": self.kind.value,
            "level": self.level.value,
            "fidelity": self.fidelity,
            "silent": self.silent or None,
            "changes_input": self.changes_input,
            "found": self.found,
            "span": list(self.span) if self.span else None,
            "answers": asdict(answers) if answers else None,
            "parts": [
                {
                    "part": part.part,
                    "values": part.values,
                    "deviation": part.deviation,
                    "varies": part.varies,
                    "change": part.change,
                    "variance": variance,
                    "error": part.error,
                    "fidelity": fidelity(error),
                }
                for part, variance, error in zip(self.parts, self.variances, self.errors, strict=True)
            ],
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "OutputJudgement":
        """Read the plain form.

        Raises:
            TypeError, KeyError, ValueError: if it holds another value.
        """
        output, span, found = as_text(content["output"]), content["span"], content["found"]
        parts = as_rows(content["parts"])
        if not parts:
            raise ValueError("an output without a part")
        return cls(
            output,
            OutputKind(content["kind"]),
            [_part_from_json(output, part) for part in parts],
            [_not_negative(part["variance"]) for part in parts],
            None if content["answers"] is None else _answers_from_json(content["answers"]),
            as_text(content["silent"] or ""),
            bool(content["changes_input"]),
            None if found is None else int(as_number(found)),
            None if span is None else (as_number(span[0]), as_number(span[1])),
        )


def _part_from_json(output: str, part: Mapping[str, Any]) -> PartError:
    deviation, change = _not_negative(part["deviation"]), _not_negative(part["change"])
    error = math.inf if part["error"] is None else _not_negative(part["error"])
    values, varies = int(as_number(part["values"])), bool(part["varies"])
    return PartError(output, as_text(part["part"]), values, deviation, error, varies, change)


def _answers_from_json(content: Mapping[str, Any]) -> Answers:
    count, changed, distinct = (int(_not_negative(content[key])) for key in ("count", "changed", "distinct"))
    if changed > count:
        raise ValueError(f"{changed} of {count} answers changed")
    return Answers(count, changed, distinct, as_text(content["noun"]))


def _not_negative(value: Any) -> float:
    number = as_number(value)
    if not 0.0 <= number < MOST_STORED:
        raise ValueError(f"{value} is no size of an error")
    return number


def _finite(parts: Sequence[PartError]) -> bool:
    """Whether all quantized values are numbers."""
    return all(math.isfinite(part.error) for part in parts)


def _level_of_error(value: float) -> Level:
    if value >= GOOD_FIDELITY:
        return Level.good
    return Level.look if value >= BROKEN_FIDELITY else Level.broken


def _level_of_answers(answers: Answers, tolerated: float) -> Level:
    if not surely_more(answers.changed, answers.count, tolerated):
        return Level.good
    return Level.broken if answers.share >= BROKEN_SHARE else Level.look


def fidelity_of(judgements: Sequence[OutputJudgement]) -> float:
    """The fidelity of the worst output that is an answer and that the pictures can judge; 1 where there is none."""
    answers = [judged for judged in judgements if judged.kind is not OutputKind.state] or judgements
    return min((judged.fidelity for judged in answers if not judged.silent), default=1.0)


class OutputJudge:
    """Takes in both networks' float outputs, picture by picture.

    Args:
        parts: of the outputs of known size.
        known: kinds of outputs that are told otherwise than by their values.
        input_side: rows of the network's picture; 0 where it takes none.
    """

    def __init__(
        self,
        parts: Mapping[str, OutputParts],
        known: Mapping[str, OutputKind] | None = None,
        input_side: int = 0,
    ) -> None:
        self._errors, self._parts, self._gated = NetworkError(parts), parts, GatedValues(bool(input_side))
        self._known, self._input_side = known or {}, input_side
        self._seen: dict[str, ValueSummary] = {}
        self._quantized: dict[str, float] = {}
        self._answers: dict[tuple[str, Reading], AnswerCounter] = {}
        self._totals: dict[str, tuple[int, float, float]] = {}
        self._pictures = 0

    def add(self, expected: Outputs, actual: Outputs, fed: Outputs | None = None) -> None:
        """Take in one picture.

        Args:
            expected: the float network's outputs.
            actual: the quantized network's.
            fed: their inputs; None: not known.
        """
        self._errors.add(expected, actual, fed)
        self._gated.add(expected, actual)
        self._pictures += 1
        for name, values in expected.items():
            if not values.size:
                continue
            self._seen.setdefault(name, ValueSummary()).add(values)
            for each in readings_of(self._parts.get(name)):
                counter = self._answers.setdefault((name, each), AnswerCounter())
                counter.add(each.of(values), each.of(actual[name]))
            self._quantized[name] = max(self._quantized.get(name, -math.inf), float(actual[name].max()))
            count, total, squares = self._totals.get(name, (0, 0.0, 0.0))
            f = values.astype(np.float64)
            self._totals[name] = count + f.size, total + float(f.sum()), squares + float((f * f).sum())

    def judgements(self) -> list[OutputJudgement]:
        """What became of each output on the pictures so far, in order."""
        by_output: dict[str, list[PartError]] = {}
        for part in self._errors.parts():
            by_output.setdefault(part.output, []).append(part)
        by_output = {name: parts for name, parts in by_output.items() if name in self._seen}
        kinds = {name: self._kind(name, parts) for name, parts in by_output.items()}
        judged = [
            (_finite(parts) and self._where_found(name, kinds)) or self._judged(name, kinds[name], parts)
            for name, parts in by_output.items()
        ]
        spans = {name: (seen.low, seen.high) for name, seen in self._seen.items()}
        return [replace(each, span=spans[each.output]) for each in judged]

    def _kind(self, name: str, parts: Sequence[PartError]) -> OutputKind:
        kind = self._known.get(name) or kind_of(self._seen[name], self._own(name, parts), self._input_side)
        if kind is OutputKind.logits and self._errors.reading(name) is Reading.values:
            return OutputKind.values  # of an output whose size nobody knows
        return kind

    def _where_found(self, name: str, kinds: Mapping[str, OutputKind]) -> OutputJudgement | None:
        """The judgement of values that count only where another output finds something; None of others."""
        like_a_row = kinds[name] in LIKE_A_ROW and is_row_of_places(self._seen[name].shape)
        if name in self._known or not (kinds[name] is OutputKind.values or like_a_row):
            return None
        gates = [gate for gate in self._gated.gates(name) if self._finds(gate, kinds)]
        told = self._gated.part(name, gates[0]) if len(gates) == 1 else None  # several do not tell which one counts
        if told is None:
            return None
        part, found = told
        return OutputJudgement(name, OutputKind.values, [part], [part.deviation**2], found=found)

    @staticmethod
    def _finds(gate: Gate, kinds: Mapping[str, OutputKind]) -> bool:
        """Whether an output is a probability of each place, read as the gate has it."""
        kind = kinds.get(gate.output)
        if gate.reading is Reading.sigmoid:
            return kind is OutputKind.logits
        return kind is not None and kind.is_share

    def _judged(self, name: str, kind: OutputKind, parts: Sequence[PartError]) -> OutputJudgement:
        seen = self._seen[name]
        floor = _harmless(kind, seen) if len(parts) == 1 else 0.0
        follows = kind is not OutputKind.state and not floor and any(part.change for part in parts)
        variances = [max(((part.change if follows else 0) or part.deviation) ** 2, floor) for part in parts]
        if kind is OutputKind.logits:
            answers = self._answers[name, Reading.sigmoid].answers(kind)
            silent = "" if answers and answers.count else NO_LOGIT
        else:
            answers = self._answers[name, Reading.values].answers(kind) if len(parts) == 1 else None
            silent = self._silent(name, kind, parts, answers)
        return OutputJudgement(name, kind, parts, variances, answers, silent, follows)

    def _own(self, name: str, parts: Sequence[PartError]) -> float:
        """The part of the variance that is from picture to picture."""
        count, total, squares = self._totals[name]
        about_all = squares / count - (total / count) ** 2
        values = sum(part.values for part in parts)
        own = sum(part.deviation**2 * part.values for part in parts) / max(values, 1)
        return own / about_all if about_all else 0.0

    def _silent(self, name: str, kind: OutputKind, parts: Sequence[PartError], answers: Answers | None) -> str:
        """Why the pictures cannot judge an output; empty where they can, and where quantizing alone shows something."""
        seen = self._seen[name]
        if not _finite(parts) or (answers is not None and answers.changed):
            return ""
        if kind.is_share and max(seen.high, self._quantized[name] / 2) < CLEAR_PROBABILITY:
            return f"the float network gives at most {seen.high:.2g}, so it finds nothing"
        if answers is not None and kind is not OutputKind.class_scores and kind.has_classes and not answers.count:
            return "the float network gives the same class throughout, so it finds nothing"
        alike = parts[0].deviation ** 2 < _harmless(kind, seen)
        if answers is not None and kind is OutputKind.class_scores and answers.distinct == 1 and alike:
            return "the float network gives all of them the same class with like scores"
        if self._pictures == 1 and int(np.prod(seen.shape)) == 1:
            return "one number of one picture shows no variation"
        return "" if any(part.varies for part in parts) else "the float network gives the same values for all of them"


def _harmless(kind: OutputKind, seen: ValueSummary) -> float:
    """The mean square by which values may move without harm, whatever they vary by."""
    elements = int(np.prod(seen.shape))
    if kind in (OutputKind.probability, OutputKind.probabilities):
        return HARMLESS_PROBABILITY**2 / elements
    if seen.probabilities_of_classes:
        axis = class_axis(seen.shape)
        return HARMLESS_PROBABILITY**2 / seen.shape[axis] if axis is not None else 0.0
    return 0.0
