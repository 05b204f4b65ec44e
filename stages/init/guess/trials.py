"""Running the float network on pictures that are fed one way and another: what its answers say of each way."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from stages.compare.diagnose.inputs.input_evidence import InputEvidence
from stages.compare.diagnose.inputs.input_fit import clearly_better, misfit
from stages.compare.diagnose.inputs.labelled_pictures import Labelled
from stages.compare.diagnose.inputs.preprocessing_variants import PreprocessingVariant
from stages.core.base.threads import in_order
from stages.core.config.schema import Color
from stages.core.graph.onnx_graph import WEIGHTED, Graph
from stages.core.graph.session import Runner
from stages.core.heads.detections import Detections, Floats
from stages.core.heads.detector import Detector
from stages.core.outputs.states import answering_outputs
from stages.init.guess.answers import are_values, box_information, information, shifted, thinned, thinning_stride
from stages.init.guess.normalizations import Normalization, applied
from stages.init.guess.picture_outputs import likeness, picture_output
from stages.init.network.read_network import ReadNetwork

__all__ = ["SHOWN_SCORE", "Trials", "is_large"]

SHOWN_SCORE = 0.25
"""Boxes from this score on count."""
SUPPRESSION = 0.6
"""Intersection over union from which the worse of two boxes goes."""
TRIED_PICTURES = 12
"""On which answers are looked at; a large network sees half as many."""
LEAST_RATIO = 1.5
"""So many times as well batch norms must fit the other order of colours."""
LARGE = 5 * 10**8
"""Multiplications of a large network."""


@dataclass
class Trials:
    """What a network makes of pictures, by preprocessing variant; runs each variant once.

    Attributes:
        network: as exported; a picture is its only input.
        samples: uint8 [H, W, C], RGB, or grey where the input is.
        labelled: samples with labels, in RGB too; None without.
    """

    network: ReadNetwork
    samples: Sequence[NDArray[np.uint8]]
    labelled: Labelled | None = None
    _answers: dict[PreprocessingVariant, float] = field(default_factory=dict, init=False)
    _likeness: dict[PreprocessingVariant, float] = field(default_factory=dict, init=False)
    _largest: dict[PreprocessingVariant, float] = field(default_factory=dict, init=False)
    _are_values: dict[PreprocessingVariant, bool] = field(default_factory=dict, init=False)

    def variant(self, normalization: Normalization, color: Color) -> PreprocessingVariant:
        """Give the variant of a normalization and a colour order."""
        network_input = applied(normalization, self.network.inputs[0], color)
        return PreprocessingVariant(network_input, flipped=color is Color.BGR)

    @property
    def colors(self) -> tuple[Color, ...]:
        """The colour orders that the input can have."""
        return (Color.RGB, Color.BGR) if self.network.inputs[0].channels > 1 else (Color.GRAY,)

    def answers(self, normalization: Normalization, color: Color) -> float:
        """How much of what the network says survives a shift, as of `answers.information` or `box_information`."""
        variant = self.variant(normalization, color)
        if variant not in self._answers:
            with np.errstate(all="ignore"):  # a range that is wrong makes numbers of any size
                self._answers[variant] = self._boxes_kept(variant) if self.detector else self._information(variant)
        return self._answers[variant]

    def largest(self, normalization: Normalization, color: Color) -> float:
        """The largest size of a value that the network answers with; 0 of a detector, whose boxes are looked at."""
        self.answers(normalization, color)
        return self._largest.get(self.variant(normalization, color), 0.0)

    def are_values(self, normalization: Normalization, color: Color) -> bool:
        """Whether the network answers with values, see `answers.are_values`; False of a detector."""
        self.answers(normalization, color)
        return self._are_values.get(self.variant(normalization, color), False)

    def likeness(self, normalization: Normalization, color: Color) -> float | None:
        """How like the picture its answer is, as of `picture_outputs.likeness`; None of other networks."""
        name = picture_output(self.network.inputs[0].shape, self._runner.outputs)
        if name is None:
            return None
        variant = self.variant(normalization, color)
        if variant not in self._likeness:
            with np.errstate(all="ignore"):
                found = [self._likeness_of(sample, variant, name) for sample in self._tried]
            self._likeness[variant] = float(np.mean(found))
        return self._likeness[variant]

    def _likeness_of(self, sample: NDArray[np.uint8], variant: PreprocessingVariant, name: str) -> float:
        feeds = variant.feed(sample)
        return likeness(next(iter(feeds.values())), self._runner.run(feeds)[name])

    def misfit(self, normalization: Normalization, color: Color) -> float | None:
        """How far the first batch norms' channels are from training; None without norms or with too few pictures."""
        standardized = self._evidence.standardized(self.variant(normalization, color))
        return misfit(standardized) if standardized else None

    def order_by_norms(self, normalization: Normalization) -> Color | None:
        """The colour order that the first batch norms clearly fit better; None if none do, or there are none."""
        for color, other in ((Color.RGB, Color.BGR), (Color.BGR, Color.RGB)):
            now, instead = (self._evidence.standardized(self.variant(normalization, each)) for each in (other, color))
            if clearly_better(now, instead, LEAST_RATIO):
                return color
        return None

    def likelihoods(self, normalization: Normalization, color: Color) -> NDArray[np.float64]:
        """Log-likelihood of each picture's label, float64 [P]; empty without labels."""
        with np.errstate(all="ignore"):
            return self._evidence.likelihoods(self.variant(normalization, color))

    @property
    def chance(self) -> float:
        """The mean log-likelihood that a network reaches without looking at the pictures."""
        return self._evidence.chance

    @cached_property
    def detector(self) -> Detector | None:
        """The network's decoding; None of a network without a head that is cut."""
        exported = self.network.head
        if exported is None or not exported.cut:
            return None
        head = exported.head
        return Detector(head.decode, head.one_to_one, SHOWN_SCORE, SUPPRESSION, head.name, classes=head.classes)

    @cached_property
    def _evidence(self) -> InputEvidence:
        return InputEvidence(self.network.model, self.network.norms, self.samples, lambda: self.labelled)

    @cached_property
    def _tried(self) -> list[NDArray[np.uint8]]:
        count = min(TRIED_PICTURES // 2 if is_large(self.network) else TRIED_PICTURES, len(self.samples))
        return [self.samples[index * len(self.samples) // count] for index in range(count)]

    @cached_property
    def _runner(self) -> Runner:
        return Runner(self.network.model)

    @cached_property
    def _strides(self) -> dict[str, int]:
        """The outputs that answer, and how far each is thinned."""
        names = answering_outputs(Graph(self.network.model))
        return {name: thinning_stride(self._runner.outputs[name]) for name in names}

    def _information(self, variant: PreprocessingVariant) -> float:
        network, strides = self._runner, self._strides

        def answered(sample: NDArray[np.uint8]) -> dict[str, Floats]:
            outputs = network.run(variant.feed(sample))
            return {name: thinned(outputs[name], stride).copy() for name, stride in strides.items()}

        pairs = list(in_order(lambda sample: (answered(sample), answered(shifted(sample))), self._tried))
        sizes = (float(np.abs(values).max(initial=0.0)) for first, _ in pairs for values in first.values())
        self._largest[variant] = max(sizes, default=0.0)
        side = self.network.inputs[0].height
        sides = {name: side // stride for name, stride in strides.items()}
        self._are_values[variant] = are_values(pairs, sides)
        return information(pairs, sides)

    def _boxes_kept(self, variant: PreprocessingVariant) -> float:
        network, detector = self._runner, self.detector
        assert detector is not None

        def found(sample: NDArray[np.uint8]) -> Detections:
            return detector.detect(network.run(variant.feed(sample)), SHOWN_SCORE)

        return box_information(list(in_order(lambda sample: (found(sample), found(shifted(sample))), self._tried)))


def is_large(network: ReadNetwork) -> bool:
    """Whether a run takes long: by the multiplications of its layers with weights, roughly."""
    graph, total = Graph(network.model), 0
    for node in graph.nodes:
        weight = graph.constants.get(node.input[1]) if node.op_type in WEIGHTED else None
        if weight is not None:
            places = graph.shapes.get(node.output[0], [])[2:] if node.op_type != "Gemm" else []
            total += int(np.prod(weight.dims)) * int(np.prod(places))
    return total > LARGE
