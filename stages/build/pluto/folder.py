"""The folder for the open T41 runtime: network, a picture and what it must give, run script; or why there is none."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.build.pluto.check import check, fed_complement, input_meaning
from stages.build.pluto.convert import convert, unsuited
from stages.build.pluto.edges import Edges
from stages.build.pluto.packing import input_bytes
from stages.build.pluto.refusals import Refusal
from stages.core.base.artifacts import save_model, write_json, write_text
from stages.core.base.console import output, warn
from stages.core.base.paths import BUILD, CALIBSET, QUANTIZED_MODEL, STATISTICS
from stages.core.data.inputs import NetworkInput, feeds
from stages.core.data.sample_store import calibration_samples
from stages.core.graph.onnx_graph import Graph, load_model
from stages.core.graph.session import Runner, with_outputs
from stages.core.integer.qparams import NetworkParams
from stages.core.statistics.tensor_statistics import load_statistics

__all__ = ["CHECK", "report", "write_pluto"]

CHECK = "check.json"
INPUT = "in.bin"


def report(refusals: Sequence[Refusal], notes: Sequence[str] = ()) -> dict[str, Any]:
    """What `check.json` holds."""
    rows = [
        {
            "node": entry.node,
            "op_type": entry.op_type,
            "effect": entry.effect.name,
            "reason": entry.reason,
            "cure": entry.cure,
            "source": entry.source,
        }
        for entry in refusals
    ]
    return {"accepted": not refusals, "refusals": rows, "notes": list(notes)}


def write_pluto(folder: Path, name: str, inputs: Sequence[NetworkInput], params: NetworkParams) -> None:
    """Write the folder; of a network that the runtime does not take, `check.json` alone, and warn."""
    folder.mkdir()
    place = BUILD / folder.parent.name / folder.name
    refusals, notes = unsuited(params), list[str]()
    if not refusals:
        model, notes = convert(load_model(QUANTIZED_MODEL), _ranges())
        refusals = check(model)
    write_json(folder / CHECK, report(refusals, notes))
    if refusals:
        first, more = refusals[0], len(refusals) - 1
        warn(
            f"pluto/ holds no network, {first.effect.value} for {first.node}: {first.reason}"
            f"{f'; {more} more' if more else ''}; all are in {place / CHECK}"
        )
        return
    save_model(folder / f"{name}_int8.onnx", model)
    _write_example(folder, model, inputs)
    write_text(folder / "run.sh", run_script(name, Edges(Graph(model)).classifier))
    output.print(f"open T41 runtime: {place}; github.com/inoop/t41-pluto compiles {name}_int8.onnx (run.sh)")


def _ranges() -> Mapping[str, tuple[float, float]]:
    return {name: (entry.low, entry.high) for name, entry in load_statistics(STATISTICS).items()}


def _write_example(folder: Path, model: onnx.ModelProto, inputs: Sequence[NetworkInput]) -> None:
    """The first calibration picture in the camera's layout, and the outputs that ONNX Runtime gives for it."""
    edges = Edges(Graph(model))
    quantizer = input_meaning(edges)
    meaning = edges.meaning(quantizer) if quantizer is not None else None
    assert meaning is not None  # check refuses a network without
    (fed,) = (calibration := feeds(calibration_samples(CALIBSET)[0], inputs)).values()
    (folder / INPUT).write_bytes(input_bytes(fed, meaning, fed_complement(edges)).tobytes())
    outputs = [_dequantized(edges, name) for name in edges.outputs]
    made = Runner(with_outputs(model, outputs), optimize="none").run(calibration)
    for i, name in enumerate(outputs):
        values: NDArray[np.float32] = made[name]
        (folder / f"expected_{i}.bin").write_bytes(np.ascontiguousarray(values, "<f4").tobytes())


def _dequantized(edges: Edges, name: str) -> str:
    """The tensor of the values that an output's codes stand for."""
    codes = edges.quantizers(name)[0].output[0]
    return str(edges.graph.consumers[codes][0].output[0])


def run_script(name: str, classifier: bool) -> str:
    """A script that compiles the network where the open runtime's repository is at hand, and says how to run it."""
    network, compiled = shlex.quote(f"{name}_int8.onnx"), shlex.quote(f"{name}.pluto")
    shown = "--topk 5" if classifier else "--checksums"
    return f"""\
#!/bin/sh
# Compiles {name}_int8.onnx for the T41. Run: PLUTO=.../t41-pluto sh run.sh
# (a copy of github.com/inoop/t41-pluto; its compiler wants Python with onnx and numpy).
# Then on the camera, with the runtime that its Makefile builds:
#   plt run {name}.pluto --input {INPUT} --profile {shown} --out out.bin
# {INPUT} is the first calibration picture; expected_<i>.bin are the outputs that ONNX Runtime gives for it, float32.
# Of a classifier out.bin has the same form: the logits.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
: "${{PLUTO:?set it to a copy of github.com/inoop/t41-pluto}}"
cd "$PLUTO"
python3 -m compile.cli "$here"/{network} -o "$here"/{compiled}
"""
