"""The folder for TPU-NNTC, Sophgo's older tool, for those who have it: it is not to be had any more.

Options: Sophgo's guide (`th_method`, `-fp32_diff`, `--fpfwd_outputs`) and the calls of cali_model in its published
demos (sophon-nntc, usage/cali). Nothing here was run.
"""

import shlex
from collections.abc import Collection, Sequence
from pathlib import Path

from stages.build.converter_samples import write_npz, write_samples
from stages.core.base.artifacts import write_text
from stages.core.config.schema import Config, FeatureMethod
from stages.core.data.inputs import NetworkInput
from stages.core.data.sample_store import SampleReader
from stages.core.graph.onnx_graph import Graph

__all__ = ["TH_METHODS", "first_float_outputs", "write_nntc"]

TH_METHODS = {
    FeatureMethod.MAX_ABS: "MAX",
    FeatureMethod.KL: "KL",
    FeatureMethod.ADMM: "ADMM",
    FeatureMethod.PERCENTILE: "PERCENTILE9999",
}
"""Names of its `-th_method`."""
OTHER_METHOD = "KL"
"""In the place of methods that it lacks: its own default."""
HEADER = """\
#!/bin/sh
# Quantizes ../model.onnx with TPU-NNTC, which is not to be had any more and was not run: the options are those
# of its published demos. It chooses ranges of its own; ../run.sh has this project's, for TPU-MLIR.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
"""


def write_nntc(
    folder: Path,
    config: Config,
    inputs: Sequence[NetworkInput],
    samples: SampleReader,
    graph: Graph,
    floats: Collection[str],
) -> None:
    """Write the folder: pictures and the call; the network is `../model.onnx`.

    Args:
        folder: created here.
        config: the experiment.
        inputs: of the network.
        samples: that calibrate.
        graph: the network.
        floats: names of its nodes that stay in float.
    """
    folder.mkdir()
    files = write_samples(folder / "calibration", zip(samples.names, samples, strict=True), inputs, write_npz)
    write_text(folder / "quantize.sh", _script(config, inputs, len(files), first_float_outputs(graph, floats)))


def first_float_outputs(graph: Graph, floats: Collection[str]) -> list[str]:
    """Outputs of the nodes with which the layers in float begin: what `-fpfwd_outputs` lists.

    Args:
        graph: the network.
        floats: names of the nodes that stay in float.
    """
    producers = graph.producers
    first = [
        node for node in graph.nodes
        if node.name in floats
        and not any(name in producers and producers[name].name in floats for name in node.input)
    ]  # fmt: skip
    return [name for node in first for name in node.output]


def _script(config: Config, inputs: Sequence[NetworkInput], count: int, outputs: Sequence[str]) -> str:
    shapes = ",".join(f"[{','.join(map(str, network_input.shape))}]" for network_input in inputs)
    shapes = shapes if len(inputs) == 1 else f"[{shapes}]"
    picture = inputs[0]
    scale = ":".join(f"{1 / value:.9g}" for value in picture.normal)
    mean = ":".join(f"{value:.7g}" for value in picture.mean)
    method = TH_METHODS.get(config.quant.feature_method, OTHER_METHOD)
    calibration = [f"-th_method={method}", f"-fp32_diff={config.model.fp32_diff:g}"]
    if outputs:
        calibration.append(f"-fpfwd_outputs={','.join(outputs)}")
    options = [
        f"--net_name {shlex.quote(config.model.name)}",
        '--model "$here/../model.onnx"',
        f"--input_shapes {shlex.quote(shapes)}",
        '--cali_image_path "$here/calibration"',
        f"--cali_image_preprocess 'mean_value={mean},scale={scale},bgr2rgb={picture.color.value == 'RGB'}'",
        f"--cali_iterations {count}",
        f"--try_cali_accuracy_opt={shlex.quote(';'.join(calibration))}",
        f"--target {config.soc.name.upper()}",
        "--postprocess_and_calc_score_class feature_similarity",
    ]
    call = " \\\n    ".join(["python3 -m ufw.cali.cali_model", *options])
    return f"{HEADER}{call}\n"
