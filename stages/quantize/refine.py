"""Making a draft better with pictures: better rounding, corrected biases, piece after piece, judged at the end."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.config import QuantConfig, Rounding
from stages.core.console import track
from stages.core.errors import UserError
from stages.core.inputs import NetworkInput, normalize
from stages.core.integer.simulator import simulator_model
from stages.core.samples import SampleReader
from stages.core.session import Runner
from stages.quantize.augment import variants
from stages.quantize.compensate import compensable, compensate
from stages.quantize.correct import correct_bias, corrigible
from stages.quantize.draft import Draft
from stages.quantize.pieces import Piece, find_blocks, find_pieces, piece_model, taken
from stages.quantize.replay import Replay

__all__ = ["Judge", "refine", "refines"]

Improve = Callable[[Draft, Piece, Replay, int], str | None]
"""Changes a draft's part that belongs to a piece; gives the reason where that cannot be done."""


def refines(quant: QuantConfig) -> bool:
    """Whether the settings ask for anything that `refine` does."""
    return quant.rounding is not Rounding.nearest or quant.weight_correction or quant.feature_correction


def steps(quant: QuantConfig) -> int:
    """Steps a block of reconstruction: fewer where little is lost to rounding."""
    narrow = min(quant.feature_bits, quant.weight_bits) < 8
    return quant.steps or (200 if narrow else 100)


def refine(
    draft: Draft, quant: QuantConfig, samples: SampleReader, network_input: NetworkInput, scratch: Path
) -> list[str]:
    """Change a draft's codes, biases and scales by `quant.rounding` and the bias corrections.

    Args:
        draft: what to change.
        quant: the settings.
        samples: the pictures to fit on.
        network_input: what they are for.
        scratch: an empty folder for what is passed between pieces.

    Returns:
        A line for each piece that was left as it was.
    """
    find = find_blocks if quant.rounding is Rounding.reconstruct else find_pieces
    pieces = find(draft.graph, draft.placement.layers)
    improve = _improvement(quant)
    feeds = (
        {network_input.name: normalize(variant, network_input)}
        for index, sample in enumerate(samples)
        for variant in variants(sample, quant.variants if quant.rounding is Rounding.reconstruct else 1, index)
    )
    draft.rounding = quant.rounding
    replay = Replay(scratch / "replay", feeds, draft.features)
    notes = []
    for index, piece in enumerate(track(pieces, str(quant.rounding.value))):
        if not piece.outputs:  # nobody takes what it makes
            continue
        replay.advance_float(piece, piece_model(draft.graph, piece))
        reason = improve(draft, piece, replay, index)
        if reason is not None:
            names = ", ".join(node.name for node in piece.nodes if node.name in draft.weights)
            notes.append(f"{names} ({quant.rounding.value}): left as rounded to the nearest: {reason}")
        replay.advance_quantized(piece, draft.piece(piece), draft.made(piece))
        replay.keep(taken(pieces[index + 1 :]))
    return notes


def _improvement(quant: QuantConfig) -> Improve:
    """What is done to each piece."""
    if quant.rounding is Rounding.reconstruct:
        try:
            from stages.quantize.reconstruct import learn_block  # noqa: PLC0415  PyTorch is an extra, and slow to load
        except ModuleNotFoundError as error:
            raise UserError('quant.rounding=reconstruct needs PyTorch: pip install -e ".[torch]"') from error
        return lambda draft, piece, replay, index: learn_block(draft, piece, replay, steps(quant), index)

    def improve(draft: Draft, piece: Piece, replay: Replay, index: int) -> str | None:
        del index
        for node in piece.nodes:
            if node.name not in draft.weights or node.input[0] not in piece.inputs:  # a constant, or not kept
                continue
            if quant.rounding is Rounding.compensate and compensable(node):
                compensate(draft, node, replay)
            elif (quant.weight_correction or quant.feature_correction) and corrigible(node):
                correct_bias(draft, node, replay, quant.weight_correction, quant.feature_correction)
        return None

    return improve


class Judge:
    """Compares drafts on the validation pictures, by the exact simulator.

    Attributes:
        notes: a line for each comparison.
    """

    def __init__(self, reference: onnx.ModelProto, network_input: NetworkInput, samples: SampleReader) -> None:
        self.notes: list[str] = []
        self._reference, self._input, self._samples = reference, network_input, samples

    def better(self, draft: Draft, candidate: Draft, what: str) -> Draft:
        """Give the candidate if its outputs are nearer to the float network's, else the draft; `what` names it."""
        before, after = self.error(draft), self.error(candidate)
        taken = after < before
        change = f"error of the outputs on {len(self._samples)} validation pictures {before:.4g} -> {after:.4g}"
        self.notes.append(f"{what}: {change}" + ("" if taken else ": refused, it does not improve"))
        return candidate if taken else draft

    def error(self, draft: Draft) -> float:
        """The squared error of a draft's outputs relative to the float outputs' variance: the mean over pictures."""
        outputs = [entry.name for entry in self._reference.graph.output]
        sides = Runner(self._reference), Runner(simulator_model(draft.lowered()[0], outputs), optimize="safe")
        errors: list[float] = []
        for sample in self._samples:
            feeds = {self._input.name: normalize(sample, self._input)}
            expected, actual = (side.run(feeds) for side in sides)
            errors += [
                _relative(expected[name], actual[name]) for name in outputs if expected[name].dtype == np.float32
            ]
        return float(np.mean(errors)) if errors else 0.0  # outputs of whole numbers only: nothing to compare


def _relative(expected: NDArray[np.float32], actual: NDArray[np.float32]) -> float:
    wide = expected.astype(np.float64)
    return float(((actual - wide) ** 2).mean() / max(wide.var(), 1e-30))
