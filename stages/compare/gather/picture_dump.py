"""Dumps of one picture: every tensor, float and quantized, laid out as the vendors' tools lay theirs out.

Ingenic's converter writes `magik_dump_path/` when it debugs (its post-training guide of July 2022: DEBUG_PATH): NHWC,
float32 or codes. TPU-MLIR writes npz files, NCHW, and compares them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.compare.gather.comparison import Comparison
from stages.compare.gather.networks import Networks
from stages.core.base.artifacts import write_arrays, write_json
from stages.core.base.file_names import file_names, input_stems
from stages.core.config.schema import Vendor
from stages.core.graph.session import Runner
from stages.core.integer.dumps import nhwc
from stages.core.integer.model import inner_tensors, tensor_quant_params
from stages.core.integer.simulator import simulator_model

__all__ = ["PictureDump", "magik_dump", "npz_dump"]

MAGIK, TPU_MLIR = "magik_dump_path", "tpu_mlir_dump"


@dataclass(frozen=True)
class PictureDump:
    """Dumps the first picture in the layout of the SOC's vendor.

    Attributes:
        folder: of the stage's outputs; the dump goes into a folder of its own below it.
        vendor: who makes the SOC.
        networks: the float network and its integer model.
    """

    folder: Path
    vendor: Vendor
    networks: Networks

    def add(self, comparison: Comparison) -> None:
        """Dump a picture if it is the first."""
        if comparison.index == 0 and self.vendor is Vendor.ingenic:
            magik_dump(self.folder / MAGIK, self.networks, comparison)
        elif comparison.index == 0:
            npz_dump(self.folder / TPU_MLIR, self.networks, comparison)


def magik_dump(folder: Path, networks: Networks, comparison: Comparison) -> None:
    """Write `magik_dump_path/` (docs/artifacts.md lists its files).

    Codes are those of the exact simulator. The inside of a fused layer has none, and exists in `float_model` alone.
    """
    integer, producers = networks.integer, networks.reference.producers
    nodes = {name: networks.node_names[name] for name in comparison.actual}
    files = dict(zip(nodes, file_names(list(nodes.values())), strict=True))
    quant_params = {name: params for name, params in tensor_quant_params(integer.graph.node).items() if name in nodes}
    simulator = Runner(simulator_model(integer, list(quant_params), codes=True), optimize="safe")
    codes = simulator.run(comparison.picture.feeds)
    inside = inner_tensors(integer.graph.node)
    for name in ("float_model", "ptq_model", "ptq_model_dequantize"):
        (folder / name).mkdir(parents=True)
    sample = comparison.picture.sample
    for stem, values in zip(input_stems(list(sample)), sample.values(), strict=True):
        (folder / f"{stem}.bin").write_bytes(values.astype("<f4").tobytes())
        if values.dtype == np.uint8:
            (folder / f"{stem}_uint8.bin").write_bytes(values.tobytes())
    types: dict[str, list[str]] = {}
    listed: dict[str, Any] = {}
    for name, file in files.items():
        _write(folder / "float_model" / file, comparison.expected[name])
        listed[nodes[name]] = {"file": file, "shape": list(nhwc(comparison.expected[name]).shape)}
        if name in inside:
            continue
        _write(folder / "ptq_model_dequantize" / file, comparison.actual[name])
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


def npz_dump(folder: Path, networks: Networks, comparison: Comparison) -> None:
    """Write npz files whose keys are TPU-MLIR's names, `<onnx output>_<type>`, NCHW float32.

    `in_f32.npz` holds the network input as it is fed, `top_outputs.npz` the float tensors, `quantized_outputs.npz` the
    dequantized ones, without the inside of fused layers.
    """
    producers = networks.reference.producers
    keys = {name: f"{name}_{producers[name].op_type}" for name in comparison.actual}
    inside = inner_tensors(networks.integer.graph.node)
    folder.mkdir(parents=True)
    write_arrays(folder / "in_f32.npz", comparison.picture.feeds)
    write_arrays(folder / "top_outputs.npz", {key: comparison.expected[name] for name, key in keys.items()})
    quantized = {key: comparison.actual[name] for name, key in keys.items() if name not in inside}
    write_arrays(folder / "quantized_outputs.npz", quantized)


def _write(path: Path, values: NDArray[Any]) -> None:
    """Write a tensor's values, NHWC, little-endian, nothing else."""
    path.write_bytes(np.ascontiguousarray(nhwc(values)).astype(values.dtype.newbyteorder("<")).tobytes())
