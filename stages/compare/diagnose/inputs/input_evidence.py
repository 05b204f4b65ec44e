"""Evidence of how the network is fed: what batch norms and labels make of pictures that are fed one way or another."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.compare.diagnose.inputs.input_fit import (
    MIN_PICTURES,
    Array,
    Moments,
    StandardizedChannels,
    misfit,
    picture_moments,
)
from stages.compare.diagnose.inputs.labelled_pictures import Labelled
from stages.compare.diagnose.inputs.preprocessing_variants import PreprocessingVariant
from stages.core.base.threads import in_order
from stages.core.graph.session import Runner, with_outputs

__all__ = ["InputEvidence"]

GLANCE_PICTURES = 8
"""On which a variant is looked at first. One that is so far from fitting better there does not see the others."""
GLANCE_STANDARD_ERRORS = (2.0, 1.0)
"""By which labels must be less likely on half of the pictures that are looked at first, and on all of them."""


@dataclass
class InputEvidence:
    """Says of a variant how the first batch norms' channels and the labels take it; runs each variant once.

    Attributes:
        network: the float network.
        norms: what export noted, tensor, mean and deviation; may be empty.
        samples: calibration pictures, uint8 [H, W, C] in the configured colour.
        labelled: gives pictures with labels, or None; asked once, where batch norms cannot tell.
    """

    network: onnx.ModelProto
    norms: Sequence[Mapping[str, Any]]
    samples: Sequence[NDArray[np.uint8]]
    labelled: Callable[[], Labelled | None]
    _moments: dict[PreprocessingVariant, list[list[Moments]]] = field(default_factory=dict, init=False)
    _likelihoods: dict[PreprocessingVariant, Array] = field(default_factory=dict, init=False)
    _glances: dict[PreprocessingVariant, list[Array]] = field(default_factory=dict, init=False)

    @property
    def exists(self) -> bool:
        """Whether there is anything to go by."""
        return bool(self._first_layers or self._labels)

    @cached_property
    def _first_layers(self) -> Runner | None:
        """The network up to the norms; None without norms, or pictures to look at them with."""
        if not self.norms or len(self.samples) < MIN_PICTURES:
            return None
        return Runner(with_outputs(self.network, [norm["tensor"] for norm in self.norms]))

    @cached_property
    def _ordered_samples(self) -> list[NDArray[np.uint8]]:
        """The samples, those of the first glance, evenly over all, before the others."""
        stride = max(len(self.samples) // GLANCE_PICTURES, 1)
        return [sample for start in range(stride) for sample in self.samples[start::stride]]

    @cached_property
    def _labels(self) -> Labelled | None:
        labelled = self.labelled()
        return labelled if labelled and len(labelled.samples) >= MIN_PICTURES else None

    @cached_property
    def _whole(self) -> Runner:
        return Runner(self.network)

    def standardized(self, variant: PreprocessingVariant, count: int | None = None) -> list[StandardizedChannels]:
        """The norms' channels of the pictures fed that way, of the first `count` if given; none without norms."""
        if not self._first_layers:
            return []
        pictures = self._moments.setdefault(variant, [])
        network = self._first_layers

        def moments(sample: NDArray[np.uint8]) -> list[Moments]:
            outputs = network.run(variant.feed(sample))
            return [picture_moments(outputs[norm["tensor"]], norm) for norm in self.norms]

        pictures.extend(in_order(moments, self._ordered_samples[len(pictures) : count]))
        return StandardizedChannels.of_pictures(pictures[:count])

    def hopeless(self, now: PreprocessingVariant, other: PreprocessingVariant, least: float) -> bool:
        """Whether another variant does not even fit `least` times as well at first glance; never without norms."""
        before, after = (self.standardized(variant, GLANCE_PICTURES) for variant in (now, other))
        return bool(before) and misfit(before) < least * misfit(after)

    def likelihoods(self, variant: PreprocessingVariant) -> Array:
        """Log-likelihood of each picture's label: float64 [P]; empty without labels."""
        if self._labels and variant not in self._likelihoods:
            self._likelihoods[variant] = self._likelihoods_of(self._labels, variant)
        return self._likelihoods.get(variant, np.zeros(0))

    def unlikely(self, now: PreprocessingVariant, other: PreprocessingVariant) -> bool:
        """Whether another variant makes labels less likely at a first glance, or surely so at a fleeting one."""
        glances = self._labels.glances() if self._labels else []
        for index, (labelled, errors) in enumerate(zip(glances, GLANCE_STANDARD_ERRORS, strict=False), 1):
            for variant in (now, other):
                seen = self._glances.setdefault(variant, [])
                if len(seen) < index:
                    seen.append(self._likelihoods_of(labelled, variant))
            loss = np.concatenate(self._glances[now][:index]) - np.concatenate(self._glances[other][:index])
            if loss.mean() > errors * loss.std(ddof=1) / np.sqrt(len(loss)):
                return True
        return False

    def _likelihoods_of(self, labelled: Labelled, variant: PreprocessingVariant) -> Array:
        network = self._whole
        return labelled.likelihoods(in_order(lambda sample: network.run(variant.feed(sample)), labelled.samples))

    @property
    def chance(self) -> float:
        """The mean log-likelihood that a network reaches without looking at the pictures; 0 without labels."""
        if not self._labels:
            return 0.0
        return self._labels.chance(int(np.prod([int(size) for size in next(iter(self._whole.outputs.values()))])))

    def tried(self) -> list[dict[str, Any]]:
        """Every variant with its measures, in the order of trying, in plain form."""
        variants = dict.fromkeys([*self._moments, *self._likelihoods, *self._glances])
        return [self._measures(variant) for variant in variants]

    def _measures(self, variant: PreprocessingVariant) -> dict[str, Any]:
        moments = self._moments.get(variant, [])
        likelihoods = self._likelihoods.get(variant)
        if likelihoods is None and variant in self._glances:
            likelihoods = np.concatenate(self._glances[variant])
        return {
            "color": variant.network_input.color.value,
            "mean": list(variant.network_input.mean),
            "normal": list(variant.network_input.normal),
            "pictures": len(moments),
            "misfit": misfit(StandardizedChannels.of_pictures(moments)) if moments else None,
            "log_likelihood": float(likelihoods.mean()) if likelihoods is not None else None,
        }
