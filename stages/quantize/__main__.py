"""Reads out/export, out/calibset, out/calibrate, quant, soc; writes out/quantize.

It writes the integer, the QDQ and the prepared float network, their parameters, the node bits and notes.
"""

from collections import Counter
from collections.abc import Sequence

from stages.core.base.artifacts import remove_leftovers, save_model, stage_output, write_json
from stages.core.base.console import counted, output
from stages.core.base.paths import (
    INTEGER_MODEL,
    NODE_BITS,
    NOTES,
    PREPARED_MODEL,
    QPARAMS,
    QUANTIZE,
    QUANTIZED_MODEL,
    STRUCTURED_MODEL,
)
from stages.core.command import run_stage
from stages.core.config.schema import Config
from stages.core.integer.network_params import FeatureParams, WeightParams, save_qparams
from stages.quantize.emit.prepared import prepared_model
from stages.quantize.emit.qdq import insert_quantizers
from stages.quantize.parameters.choose import symmetric_features
from stages.quantize.pipeline import SCRATCH_PREFIX, Pipeline
from stages.quantize.quantizers.node_bits import node_bits
from stages.quantize.quantizers.notes import folded


def quantize(config: Config) -> None:
    pipeline = Pipeline.open(config, QUANTIZE.parent)
    QUANTIZE.parent.mkdir(exist_ok=True)
    remove_leftovers(QUANTIZE.parent, SCRATCH_PREFIX)
    candidate, notes = pipeline.quantize()
    params, prepared = candidate.params(), candidate.model()
    integer, lowering_notes = candidate.lowered()
    notes += candidate.setup.notes + lowering_notes
    with stage_output(QUANTIZE) as folder:
        save_model(folder / QUANTIZED_MODEL.name, insert_quantizers(prepared, params, candidate.codes))
        save_model(folder / INTEGER_MODEL.name, integer)
        if config.soc.follows_converter:
            save_model(folder / STRUCTURED_MODEL.name, pipeline.network.graph.model)
        save_model(folder / PREPARED_MODEL.name, prepared_model(prepared, params, candidate.codes))
        save_qparams(folder / QPARAMS.name, params, config)
        bits = node_bits(params, config.quant.weight_bits, symmetric_features(config.soc), pipeline.by_node)
        write_json(folder / NODE_BITS.name, bits)
        write_json(folder / NOTES.name, notes)
    for line in folded(notes):
        output.print(f"note: {line}")
    if not params.features and not params.weights:
        output.print(f"nothing is quantized for the {config.soc.name}: the network stays in float")
        return
    output.print(
        f"quantized for the {config.soc.name}: {_bit_widths('feature', params.features)} "
        f"({config.quant.feature_method.name}), {_bit_widths('weight', params.weights)} "
        f"({config.quant.weight_method.name}, {candidate.rounding.name})"
    )


def _bit_widths(what: str, params: Sequence[FeatureParams | WeightParams]) -> str:
    counts = sorted(Counter(each.bits for each in params).items())
    return ", ".join(f"{counted(count, what)} at {bits} bits" for bits, count in counts) or f"no {what}s"


if __name__ == "__main__":
    run_stage(quantize, __doc__ or "")
