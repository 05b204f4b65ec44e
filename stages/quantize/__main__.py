"""Reads out/export, out/calibset, out/calibrate, quant, soc; writes out/quantize.

There: the integer, the QDQ and the prepared float network, their parameters, the node bits, notes.
"""

from collections import Counter
from collections.abc import Sequence

from stages.core.artifacts import output_folder, save_model, write_json
from stages.core.collect import calibration_feeds, collect
from stages.core.command import run_stage
from stages.core.config import FLOAT_BITS, Config, Equalization
from stages.core.console import output
from stages.core.graph import Graph, load_model, output_name
from stages.core.inputs import NetworkInput, load_inputs
from stages.core.paths import (
    CALIBSET,
    FLOAT_MODEL,
    INPUTS,
    INTEGER_MODEL,
    NODE_BITS,
    NOTES,
    PREPARED_MODEL,
    QPARAMS,
    QUANTIZE,
    QUANTIZED_MODEL,
    STATISTICS,
)
from stages.core.preprocess import picture_input
from stages.core.qparams import FeatureParams, WeightParams, save_qparams
from stages.core.samples import SampleReader
from stages.core.statistics import TensorStatistics, load_statistics
from stages.quantize.choose import symmetric_features
from stages.quantize.drafting import Drafter, remove_leftovers
from stages.quantize.equalize import Equalized, equalize
from stages.quantize.node_bits import load_node_bits, node_bits
from stages.quantize.prepared import prepared_model
from stages.quantize.qdq import insert_quantizers


def quantize(config: Config) -> None:
    model, statistics = load_model(FLOAT_MODEL), load_statistics(STATISTICS)
    network_input = picture_input(load_inputs(INPUTS))
    notes: list[str] = []
    factors: dict[str, tuple[float, ...]] = {}
    if config.quant.equalization is Equalization.cross_layer:
        equalized = equalize(model, statistics, *_wanted_widths(config))
        model, statistics = equalized.model, statistics | renewed(equalized, network_input)
        factors = {name: tuple(factor.tolist()) for name, factor in equalized.factors.items()}
        notes.append(equalization_note(equalized))
    graph = Graph(model)
    names = [output_name(node, tensor) for node in graph.nodes for tensor in node.output]
    by_node = load_node_bits(config.quant.node_bits, [*graph.inputs, *names], config.quant.node_ranges)
    QUANTIZE.parent.mkdir(exist_ok=True)
    remove_leftovers(QUANTIZE.parent)
    drafter = Drafter(config, graph, statistics, by_node, network_input, CALIBSET, QUANTIZE.parent)
    draft, verdicts = drafter.best()
    params, prepared = draft.params(factors), draft.model()
    integer, wide = draft.lowered()
    notes += verdicts + draft.placement.notes + wide
    with output_folder(QUANTIZE) as folder:
        save_model(folder / QUANTIZED_MODEL.name, insert_quantizers(prepared, params, draft.codes))
        save_model(folder / INTEGER_MODEL.name, integer)
        save_model(folder / PREPARED_MODEL.name, prepared_model(prepared, params, draft.codes))
        save_qparams(folder / QPARAMS.name, params, config)
        bits = node_bits(params, config.quant.weight_bits, symmetric_features(config.soc), by_node)
        write_json(folder / NODE_BITS.name, bits)
        write_json(folder / NOTES.name, notes)
    for line in notes:
        output.print(f"note: {line}")
    output.print(
        f"quantized for the {config.soc.name}: {_widths('features', params.features)} "
        f"({config.quant.feature_method.name}), {_widths('weights', params.weights)} "
        f"({config.quant.weight_method.name}, {draft.rounding.name})"
    )


def _wanted_widths(config: Config) -> tuple[int, int]:
    """Widths of features and of weights; a side that stays in float has the width that stands for it."""
    quant = config.quant
    return (
        FLOAT_BITS if quant.float_features else quant.feature_bits,
        FLOAT_BITS if quant.float_weights else quant.weight_bits,
    )


def renewed(equalized: Equalized, network_input: NetworkInput) -> dict[str, TensorStatistics]:
    """Collect statistics of the scaled tensors anew, from the calibration set."""
    if not equalized.factors:
        return {}
    feeds = calibration_feeds(SampleReader.open(CALIBSET), network_input, "equalize")
    return collect(equalized.model, feeds, equalized.factors)


def equalization_note(equalized: Equalized) -> str:
    """Say how much was scaled."""
    if not equalized.factors:
        return (
            "quant.equalization: nothing was scaled: no channels between weighted layers, with only operators between "
            "that scale along (Relu, Add, pools, ...), would lose error by it"
        )
    groups = f"{equalized.groups} group{'s' if equalized.groups > 1 else ''}"
    return (
        f"quant.equalization: channels of {len(equalized.factors)} tensors in {groups} scaled; "
        "ranges here are those of the scaled network"
    )


def _widths(what: str, entries: Sequence[FeatureParams | WeightParams]) -> str:
    counts = sorted(Counter(entry.bits for entry in entries).items())
    return ", ".join(f"{count} {what} at {bits} bits" for bits, count in counts) or f"no {what}"


if __name__ == "__main__":
    run_stage(quantize, __doc__ or "")
