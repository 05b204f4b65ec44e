"""Reads out/export, out/calibset and out/quantize; writes out/build/<soc>: what the vendor's converter needs."""

from stages.build.magik import write_magik
from stages.build.tpu_mlir import write_tpu_mlir
from stages.core.artifacts import output_folder
from stages.core.command import run_stage
from stages.core.config import Config, Vendor
from stages.core.console import output
from stages.core.graph import Graph, load_model
from stages.core.inputs import load_inputs
from stages.core.paths import BUILD, FLOAT_MODEL, INPUTS, QPARAMS
from stages.core.qparams import load_qparams


def build(config: Config) -> None:
    params = load_qparams(QPARAMS, config)  # refuses node bits of other parameters
    graph = Graph(load_model(FLOAT_MODEL))
    inputs = load_inputs(INPUTS)
    name = config.soc.name.lower()
    with output_folder(BUILD) as folder:
        board = folder / name
        board.mkdir()
        if config.soc.vendor is Vendor.ingenic:
            write_magik(board, config, inputs, graph.outputs, params)
        else:
            write_tpu_mlir(board, config, inputs, graph, params)
    output.print(f"board folder: {BUILD / name}; run.sh there converts it with {config.soc.toolchain}")


if __name__ == "__main__":
    run_stage(build, __doc__ or "")
