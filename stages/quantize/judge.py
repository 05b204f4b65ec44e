"""Comparing drafts on pictures that none of them has seen."""

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

__all__ = ["Judge", "relative_error"]


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
        errors: list[float] = []
        for sample in self._samples:
            feeds = {self._input.name: normalize(sample, self._input)}
            expected, actual = (side.run(feeds) for side in sides)
            errors += [
                relative_error(expected[name], actual[name]) for name in outputs if expected[name].dtype == np.float32
            ]
        return float(np.mean(errors)) if errors else 0.0  # outputs of whole numbers only: nothing to compare


def relative_error(expected: NDArray[np.float32], actual: NDArray[np.float32]) -> float:
    """The mean squared error of a tensor relative to the variance of its float values."""
    wide = expected.astype(np.float64)
    return float(((actual - wide) ** 2).mean() / max(wide.var(), 1e-30))
