"""The compiled network's layers against the float network's, and against this project's simulator."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.graph.session import Runner
from stages.core.integer.model import tensor_quant_params
from stages.core.integer.simulator import simulator_model
from stages.core.statistics.metrics import distance
from stages.core.tpu_mlir.tables import Layer

__all__ = ["Arrays", "layer_rows"]

Arrays = Mapping[str, NDArray[Any]]


def layer_rows(
    layers: Sequence[Layer],
    lowered: Sequence[Layer],
    arrays: tuple[Arrays, Arrays],
    sources: Mapping[str, Sequence[str]],
    integer: onnx.ModelProto,
    feeds: Arrays,
) -> list[dict[str, Any]]:
    """Measure every layer on one input.

    Args:
        layers: of the float network, as the compiler has it.
        lowered: of the network before compiling: types and scales.
        arrays: the tensors of both, by name.
        sources: layer -> the tensor and the node of the exported network that it is; merged ones have none.
        integer: this project's integer model.
        feeds: the input.

    Returns:
        A dict a layer, in the compiler's order. `codes_apart` counts the codes that this project's simulator has
        otherwise, `largest_apart` is the largest such difference; None where either side has no codes of 8 bits.
    """
    top, simulated = arrays
    by_name = {name: layer for layer in lowered for name in layer.outputs}
    params = tensor_quant_params(integer.graph.node)
    compared = {
        layer.name: sources[layer.name][0]
        for layer in layers
        if layer.name in sources and sources[layer.name][0] in params and _coded(by_name.get(layer.name))
    }
    tensors = list(dict.fromkeys(compared.values()))
    ours = Runner(simulator_model(integer, tensors, codes=True), optimize="safe").run(feeds) if tensors else {}
    rows = []
    for layer in layers:
        if layer.kind == "Input" or layer.name not in top or layer.name not in simulated:
            continue
        expected, actual = (side[layer.name].astype(np.float32).reshape(-1) for side in (top, simulated))
        if expected.size != actual.size:
            continue
        measured = distance(expected, actual)
        apart: dict[str, int | None] = {"codes": None, "codes_apart": None, "largest_apart": None}
        if tensor := compared.get(layer.name):
            codes = np.rint(actual / by_name[layer.name].scale).astype(np.int64)
            apart |= _apart(codes, ours[tensor].reshape(-1).astype(np.int64) - params[tensor].zero_point)
        rows.append(
            {
                "layer": layer.name,
                "node": sources.get(layer.name, ["", ""])[1],
                "op_type": layer.kind,
                "type": by_name[layer.name].type if layer.name in by_name else "",
                "cosine": measured.cosine,
                "euclidean_similarity": measured.euclidean_similarity,
                "sqnr": measured.sqnr,
                "max_absolute": measured.max_absolute,
                **apart,
            }
        )
    return rows


def _apart(codes: NDArray[np.int64], own: NDArray[np.int64]) -> dict[str, int]:
    """How many codes there are, how many of this project's simulator differ, and by how much at most."""
    difference = np.abs(codes - own)
    return {
        "codes": codes.size,
        "codes_apart": int(np.count_nonzero(difference)),
        "largest_apart": int(difference.max(initial=0)),
    }


def _coded(layer: Layer | None) -> bool:
    return layer is not None and layer.type in ("i8", "u8")
