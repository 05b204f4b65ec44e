"""Writes the folder for the open T41 runtime: network, a picture, its expected outputs, run script; or the refusals."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.build.kept_results import RESULTS_OF_SCRIPT
from stages.build.pluto.boxes import Decoding, write_boxes
from stages.build.pluto.compatibility import find_refusals, operator_refusals
from stages.build.pluto.compiler_form import settings_refusals, to_compiler_form
from stages.build.pluto.convolution_geometry import unproven
from stages.build.pluto.network_input import input_bytes, input_is_twos_complement, input_quantizer
from stages.build.pluto.qdq_graph import QdqGraph
from stages.build.pluto.refusals import Effect, Refusal
from stages.build.pluto.unweighted_rules import ties
from stages.core.base.artifacts import save_model, write_json, write_text
from stages.core.base.console import output, warn
from stages.core.base.paths import BUILD, CALIBSET, QUANTIZED_MODEL, STATISTICS
from stages.core.data.inputs import NetworkInput, feeds
from stages.core.data.sample_store import calibration_samples
from stages.core.graph.onnx_graph import Graph, load_model
from stages.core.graph.session import Runner, with_outputs
from stages.core.heads.families.cells import CellHead
from stages.core.heads.head import Head, Kind
from stages.core.integer.network_params import NetworkParams
from stages.core.statistics.tensor_statistics import load_statistics

__all__ = ["REFUSALS_FILE", "compiled_form", "refusals_report", "result_option", "write_pluto"]

REFUSALS_FILE = "check.json"
CONSEQUENCES = {
    Effect.compile: "its compiler would stop",
    Effect.load: "the camera would refuse to load it",
    Effect.wrong: "the camera would compute something else",
}
INPUT_FILE = "in.bin"
BOXES_FOLDER = "boxes"
PLT_STRIDES, PLT_CLASSES = (8, 16, 32), 80
"""Of the only head that `plt` decodes (runtime/tools/plt.c, runtime/io/plt_detect.c)."""


def refusals_report(refusals: Sequence[Refusal], notes: Sequence[str] = ()) -> dict[str, Any]:
    """The content of `check.json`."""
    rows = [
        {
            "node": each.node,
            "op_type": each.op_type,
            "effect": each.effect.name,
            "concern": each.concern.name,
            "reason": each.reason,
            "cure": each.cure,
            "source": each.source,
        }
        for each in refusals
    ]
    return {"accepted": not refusals, "refusals": rows, "notes": list(notes)}


def write_pluto(
    folder: Path, name: str, inputs: Sequence[NetworkInput], params: NetworkParams, decoding: Decoding | None = None
) -> None:
    """Write the folder; for a network that the runtime refuses write `check.json` alone, and warn.

    Args:
        folder: created here.
        name: of the network.
        inputs: the network's inputs.
        params: of the quantized network.
        decoding: of a detector's outputs to boxes; None: of another network.
    """
    folder.mkdir()
    final_folder = BUILD / folder.parent.name / folder.name
    model, refusals, notes = compiled_form(params, load_model(QUANTIZED_MODEL), _calibrated_ranges())
    write_json(folder / REFUSALS_FILE, refusals_report(refusals, notes))
    if refusals:
        first, more = refusals[0], len(refusals) - 1
        warn(
            f"pluto/ holds no network: {first.node}: {first.reason}; {CONSEQUENCES[first.effect]}; the cure is "
            f"{first.cure}; {f'with {more} more reasons' if more else 'it is'} in {final_folder / REFUSALS_FILE}"
        )
        return
    assert model is not None  # nothing is refused
    save_model(folder / f"{name}_int8.onnx", model)
    qdq = QdqGraph(Graph(model))
    outputs = [_dequantized(qdq, output_name) for output_name in qdq.outputs]
    _write_example(folder, model, inputs, outputs)
    boxes = decoding is not None and decoding.fits(outputs)
    if decoding is not None and boxes:
        write_boxes(folder / BOXES_FOLDER, decoding, outputs)
    elif decoding is not None:
        output.print(f"no {BOXES_FOLDER}/ is written: the network has outputs that end at no convolution")
    shown = result_option(qdq.classifier, decoding.board.head if decoding else None)
    write_text(folder / "run.sh", run_script(name, shown, boxes))
    output.print(f"open T41 runtime: {final_folder}; github.com/inoop/t41-pluto compiles {name}_int8.onnx (run.sh)")


def compiled_form(
    params: NetworkParams, quantized: onnx.ModelProto, ranges: Mapping[str, tuple[float, float]]
) -> tuple[onnx.ModelProto | None, list[Refusal], list[str]]:
    """Bring a quantized network into the compiler's form, and check it.

    Args:
        params: of the quantized network.
        quantized: quantize's network in QDQ form.
        ranges: smallest and largest value seen of each float tensor.

    Returns:
        The network, None where the settings are refused; the refusals; notes on what changed and what is unproven.
    """
    refusals = settings_refusals(params)
    if refusals:  # what no setting cures comes first
        return None, [*operator_refusals(quantized), *refusals], []
    model, notes = to_compiler_form(quantized, ranges)
    refusals = find_refusals(model)
    if not refusals:
        qdq = QdqGraph(Graph(model))
        notes += unproven(qdq) + ties(qdq)
    return model, refusals, notes


def _calibrated_ranges() -> Mapping[str, tuple[float, float]]:
    return {name: (tensor.low, tensor.high) for name, tensor in load_statistics(STATISTICS).items()}


def _write_example(folder: Path, model: onnx.ModelProto, inputs: Sequence[NetworkInput], names: Sequence[str]) -> None:
    """Write the first calibration picture in the camera's layout, and ONNX Runtime's values of `names` for it."""
    qdq = QdqGraph(Graph(model))
    quantizer = input_quantizer(qdq)
    qparams = qdq.qparams(quantizer) if quantizer is not None else None
    assert qparams is not None  # a network without is refused
    picture = feeds(calibration_samples(CALIBSET)[0], inputs)
    (values,) = picture.values()
    (folder / INPUT_FILE).write_bytes(input_bytes(values, qparams, input_is_twos_complement(qdq)).tobytes())
    outputs = Runner(with_outputs(model, names), optimize="none").run(picture)
    for i, name in enumerate(names):
        output_values: NDArray[np.float32] = outputs[name]
        (folder / f"expected_{i}.bin").write_bytes(np.ascontiguousarray(output_values, "<f4").tobytes())


def _dequantized(qdq: QdqGraph, name: str) -> str:
    """The tensor of the dequantized codes of an output."""
    codes = qdq.quantizers(name)[0].output[0]
    return str(qdq.graph.consumers[codes][0].output[0])


def result_option(classifier: bool, head: Head | None) -> str:
    """The option of `plt run` that prints the network's result, or the outputs' checksums where it knows none."""
    if classifier:
        return "--topk 5"
    if not isinstance(head, CellHead) or Kind.keypoints in head.kinds:
        return "--checksums"
    apart = len(head.tensors) == len(head.levels) * len(head.kinds)
    square = all(level.rows == level.columns for level in head.levels)
    strides = tuple(level.stride for level in head.levels)
    decoded = apart and square and strides == PLT_STRIDES and head.classes == PLT_CLASSES
    return "--yolox" if decoded else "--checksums"


def run_script(name: str, shown: str, boxes: bool = False) -> str:
    """A script that compiles the network where there is a copy of the open runtime's repository.

    Args:
        name: of the network.
        shown: option of `plt run` that prints the result.
        boxes: whether the folder has the program that prints boxes.
    """
    program = f"""\
# Boxes of this head, with the thresholds of model.detector: `make -C {BOXES_FOLDER} PLUTO=... CROSS=...` builds
# {BOXES_FOLDER}/boxes; on the camera: boxes {name}.pluto {INPUT_FILE}
"""
    network, compiled = shlex.quote(f"{name}_int8.onnx"), shlex.quote(f"{name}.pluto")
    return f"""\
#!/bin/sh
# Compiles {name}_int8.onnx for the T41. Run: PLUTO=.../t41-pluto sh run.sh
# (a copy of github.com/inoop/t41-pluto; its compiler wants Python with onnx and numpy).
# Then on the camera, with the runtime that its Makefile builds:
#   plt run {name}.pluto --input {INPUT_FILE} --profile {shown} --out out.bin
# {INPUT_FILE} is the first calibration picture; expected_<i>.bin are ONNX Runtime's outputs for it, float32.
# Of a classifier out.bin has the same form: the logits.
{program if boxes else ""}set -eu
here=$(cd "$(dirname "$0")" && pwd)
{RESULTS_OF_SCRIPT}mkdir -p "$results"
: "${{PLUTO:?set it to a copy of github.com/inoop/t41-pluto}}"
cd "$PLUTO"
python3 -m compile.cli "$here"/{network} -o "$results"/{compiled}
echo "results: $results"
"""
