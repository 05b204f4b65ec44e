"""Fitting a candidate to pictures: better rounding, corrected biases, subgraph after subgraph."""

from collections.abc import Callable, Sequence
from pathlib import Path

from stages.core.base.console import track
from stages.core.base.errors import UserError
from stages.core.config.schema import QuantConfig, Rounding
from stages.core.data.inputs import NetworkInput, feeds
from stages.core.data.sample_store import SampleReader
from stages.quantize.candidate import Candidate
from stages.quantize.partition.subgraphs import Subgraph, find_blocks, inputs_of, layer_subgraphs, subgraph_model
from stages.quantize.rounding.augment import variants
from stages.quantize.rounding.bias_correction import can_have_bias, correct_bias
from stages.quantize.rounding.gptq import can_compensate, compensate
from stages.quantize.rounding.replay import Replay

__all__ = ["refine", "refines"]

Improve = Callable[[Candidate, Subgraph, Replay, int], str | None]
"""Changes what belongs to a subgraph in a candidate; gives the reason where that cannot be done."""


def refines(quant: QuantConfig) -> bool:
    """Whether the settings ask for anything that `refine` does."""
    return quant.rounding is not Rounding.nearest or quant.weight_correction or quant.feature_correction


def reconstruction_steps(quant: QuantConfig) -> int:
    """Optimizer steps a block: fewer where little is lost to rounding."""
    narrow = min(quant.feature_bits, quant.weight_bits) < 8
    return quant.steps or (200 if narrow else 125)


def refine(
    candidate: Candidate, quant: QuantConfig, samples: SampleReader, inputs: Sequence[NetworkInput], scratch: Path
) -> list[str]:
    """Change a candidate's codes, biases and scales by `quant.rounding` and the bias corrections.

    Args:
        candidate: what to change.
        quant: the settings.
        samples: pictures to fit on.
        inputs: the network's inputs.
        scratch: an empty folder for the tensors between subgraphs.

    Returns:
        A line for each subgraph that was left as it was.
    """
    improve, reconstructs = _improvement(quant), quant.rounding is Rounding.reconstruct
    count = quant.variants if reconstructs else 1
    pictures = [network_input.name for network_input in inputs if network_input.takes_picture]
    varied = (
        feeds(variant, inputs)
        for index, sample in enumerate(samples)
        for variant in variants(sample, pictures, count, index)
    )
    subgraphs = (find_blocks if reconstructs else layer_subgraphs)(candidate.graph, candidate.setup.layers)
    candidate.rounding = quant.rounding
    replay = Replay(scratch / "replay", varied, candidate.features)
    notes = []
    for index, subgraph in enumerate(track(subgraphs, str(quant.rounding.value))):
        if not subgraph.outputs:  # nothing consumes its results
            continue
        replay.advance_float(subgraph, subgraph_model(candidate.graph, subgraph))
        reason = improve(candidate, subgraph, replay, index)
        if reason is not None:
            names = ", ".join(node.name for node in subgraph.nodes if node.name in candidate.weights)
            notes.append(f"{names} ({quant.rounding.value}): left as rounded to the nearest: {reason}")
        replay.advance_quantized(subgraph, candidate.subgraph(subgraph), candidate.features_of(subgraph))
        replay.keep(inputs_of(subgraphs[index + 1 :]))
    return notes


def _improvement(quant: QuantConfig) -> Improve:
    """What is done to each subgraph."""
    if quant.rounding is Rounding.reconstruct:
        try:
            from stages.quantize.rounding.reconstruct import learn_block  # noqa: PLC0415  PyTorch is an extra, and slow to load
        except ModuleNotFoundError as error:
            raise UserError('quant.rounding=reconstruct needs PyTorch: pip install -e ".[torch]"') from error
        return lambda candidate, subgraph, replay, index: learn_block(
            candidate, subgraph, replay, reconstruction_steps(quant), index
        )

    def improve(candidate: Candidate, subgraph: Subgraph, replay: Replay, index: int) -> str | None:
        del index
        for node in subgraph.nodes:
            if node.name not in candidate.weights or node.input[0] not in subgraph.inputs:  # a constant, or not kept
                continue
            if quant.rounding is Rounding.compensate and can_compensate(node):
                compensate(candidate, node, replay)
            elif (quant.weight_correction or quant.feature_correction) and can_have_bias(node):
                correct_bias(candidate, node, replay, quant.weight_correction, quant.feature_correction)
        return None

    return improve
