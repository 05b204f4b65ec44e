"""Comparing drafts on pictures that none of them has seen."""

from collections.abc import Iterable, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.console import counted
from stages.core.inputs import NetworkInput, normalize
from stages.core.integer.simulator import simulator_model
from stages.core.qparams import QuantParams
from stages.core.samples import SampleReader
from stages.core.session import Runner
from stages.quantize.draft import Draft
from stages.quantize.qdq import insert_quantizers

__all__ = ["Judge", "mean_error", "relative_error"]

Array = NDArray[np.float32]


class Judge:
    """Compares drafts on the validation pictures.

    Attributes:
        notes: a line for each comparison.
    """

    def __init__(self, reference: onnx.ModelProto, network_input: NetworkInput, samples: SampleReader) -> None:
        self.notes: list[str] = []
        self._reference, self._input, self._samples = reference, network_input, samples

    def better(self, draft: Draft, candidate: Draft, what: str, features_only: bool = False) -> Draft:
        """Give the candidate if its outputs are nearer to the float network's, else the draft; `what` names it.

        With `features_only` both have their weights in float: before weights are learned, what rounding them costs
        hides what features cost.
        """
        before, after = (self.error(each, features_only) for each in (draft, candidate))
        taken = after < before
        pictures = counted(len(self._samples), "validation picture")
        change = f"error of the outputs on {pictures} {before:.4g} -> {after:.4g}"
        without = " with weights in float" if features_only else ""
        self.notes.append(f"{what}: {change}{without}" + ("" if taken else ": refused, it does not improve"))
        return candidate if taken else draft

    def error(self, draft: Draft, features_only: bool = False) -> float:
        """The squared error of a draft's outputs relative to the float outputs' variance: the mean over pictures.

        Whole drafts run in the exact simulator, those with weights in float as fake-quantized networks.
        """
        outputs = [entry.name for entry in self._reference.graph.output]
        if features_only:
            features = QuantParams(list(draft.features.values()), [])
            quantized = Runner(insert_quantizers(draft.graph.model, features, {}), optimize="none")
        else:
            quantized = Runner(simulator_model(draft.lowered()[0], outputs), optimize="safe")
        sides = Runner(self._reference), quantized
        feeds = ({self._input.name: normalize(sample, self._input)} for sample in self._samples)
        return mean_error((sides[0].run(fed), sides[1].run(fed)) for fed in feeds)


def mean_error(pairs: Iterable[tuple[Mapping[str, Array], Mapping[str, Array]]]) -> float:
    """The mean `relative_error` over pictures and float outputs; `pairs` are each picture's outputs, float ones first.

    0 where all outputs are of whole numbers: there is nothing to compare.
    """
    errors = [
        relative_error(wanted, actual[name])
        for expected, actual in pairs
        for name, wanted in expected.items()
        if wanted.dtype == np.float32
    ]
    return float(np.mean(errors)) if errors else 0.0


def relative_error(expected: Array, actual: Array) -> float:
    """The mean squared error of a tensor relative to the variance of its float values."""
    wide = expected.astype(np.float64)
    return float(((actual - wide) ** 2).mean() / max(wide.var(), 1e-30))
