"""Dumps of one picture: every tensor, float and quantized, laid out as the vendors' tools lay theirs out.

Ingenic's converter writes `magik_dump_path/` when it debugs (its post-training guide of July 2022: DEBUG_PATH): NHWC,
float32 or codes. TPU-MLIR writes npz files, NCHW, and compares them.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.compare.similarity import Compared
from stages.core.base.artifacts import write_arrays, write_json
from stages.core.base.file_names import file_names, input_stems
from stages.core.config.schema import Vendor
from stages.core.data.inputs import Sample
from stages.core.graph.onnx_graph import output_name
from stages.core.graph.session import Runner
from stages.core.integer.dumps import nhwc
from stages.core.integer.model import inner_tensors, tensor_quant_params
from stages.core.integer.simulator import simulator_model

__all__ = ["magik_dump", "npz_dump", "write_dump"]

MAGIK, TPU_MLIR = "magik_dump_path", "tpu_mlir_dump"


def write_dump(
    folder: Path,
    vendor: Vendor,
    reference: onnx.ModelProto,
    integer: onnx.ModelProto,
    sample: Sample,
    compared: Compared,
) -> None:
    """Dump one picture in the layout of the SOC's vendor, into a folder of its own below `folder`.

    Args:
        folder: of the stage's outputs.
        vendor: who makes the SOC.
        reference: the float network.
        integer: the integer model.
        sample: what each input was fed, before mean and normal.
        compared: its tensors.
    """
    if vendor is Vendor.ingenic:
        magik_dump(folder / MAGIK, reference, integer, sample, compared)
    else:
        npz_dump(folder / TPU_MLIR, reference, integer, compared)


def magik_dump(
    folder: Path, reference: onnx.ModelProto, integer: onnx.ModelProto, sample: Sample, compared: Compared
) -> None:
    """Write `magik_dump_path/` (docs/artifacts.md lists its files); arguments as for `write_dump`.

    Codes are those of the exact simulator. The inside of a fused layer has none, and exists in `float_model` alone.
    """
    producers = {name: node for node in reference.graph.node for name in node.output}
    nodes = {name: output_name(producers[name], name) for name in compared.expected if name in producers}
    files = dict(zip(nodes, file_names(list(nodes.values())), strict=True))
    quant_params = {name: codes for name, codes in tensor_quant_params(integer.graph.node).items() if name in nodes}
    codes = Runner(simulator_model(integer, list(quant_params), codes=True), optimize="safe").run(compared.feeds)
    inside = inner_tensors(integer.graph.node)
    for name in ("float_model", "ptq_model", "ptq_model_dequantize"):
        (folder / name).mkdir(parents=True)
    for stem, values in zip(input_stems(list(sample)), sample.values(), strict=True):
        (folder / f"{stem}.bin").write_bytes(values.astype("<f4").tobytes())
        if values.dtype == np.uint8:
            (folder / f"{stem}_uint8.bin").write_bytes(values.tobytes())
    types: dict[str, list[str]] = {}
    listed: dict[str, Any] = {}
    for name, file in files.items():
        _write(folder / "float_model" / file, compared.expected[name])
        listed[nodes[name]] = {"file": file, "shape": list(nhwc(compared.expected[name]).shape)}
        if name in inside:
            continue
        _write(folder / "ptq_model_dequantize" / file, compared.actual[name])
        if name in quant_params:
            _write(folder / "ptq_model" / file, codes[name])
            qparams = quant_params[name]
            listed[nodes[name]] |= {
                "type": np.dtype(qparams.dtype).name,
                "bits": qparams.bits,
                "scale": qparams.scale,
                "zero_point": qparams.zero_point,
                "channel_scales": list(qparams.channel_scales),
            }
            types.setdefault(producers[name].op_type, []).append(nodes[name])
    content = {"all_type": sorted(types)} | {kind: types[kind] for kind in sorted(types)} | {"files": listed}
    write_json(folder / "model_node_info.json", content)


def npz_dump(folder: Path, reference: onnx.ModelProto, integer: onnx.ModelProto, compared: Compared) -> None:
    """Write npz files whose keys are TPU-MLIR's names, `<onnx output>_<type>`, NCHW float32.

    `in_f32.npz` holds the network input as it is fed, `top_outputs.npz` the float tensors, `quantized_outputs.npz` the
    dequantized ones, without the inside of fused layers.
    """
    producers = {name: node for node in reference.graph.node for name in node.output}
    keys = {name: f"{name}_{producers[name].op_type}" for name in compared.expected if name in producers}
    inside = inner_tensors(integer.graph.node)
    folder.mkdir(parents=True)
    write_arrays(folder / "in_f32.npz", compared.feeds)
    write_arrays(folder / "top_outputs.npz", {key: compared.expected[name] for name, key in keys.items()})
    made = {key: compared.actual[name] for name, key in keys.items() if name not in inside}
    write_arrays(folder / "quantized_outputs.npz", made)


def _write(path: Path, values: NDArray[Any]) -> None:
    """Write a tensor's values, NHWC, little-endian, nothing else."""
    path.write_bytes(np.ascontiguousarray(nhwc(values)).astype(values.dtype.newbyteorder("<")).tobytes())
