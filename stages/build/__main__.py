"""Reads out/export, out/calibset, out/calibrate, out/quantize; writes out/build/<soc>: what converters need."""

from stages.build.magik import write_magik
from stages.build.pluto.folder import write_pluto
from stages.build.runtime.folder import write_runtime
from stages.build.runtime.program import UnsupportedError
from stages.build.tpu_mlir import write_tpu_mlir
from stages.build.venus.folder import write_venus
from stages.build.venus.outputs import board_outputs
from stages.core.artifacts import output_folder
from stages.core.command import run_stage
from stages.core.config import Config, OpenRuntime, Vendor
from stages.core.console import output, warn
from stages.core.graph import Graph, load_model
from stages.core.inputs import load_inputs
from stages.core.integer.model import load_integer_model
from stages.core.paths import BUILD, FLOAT_MODEL, INPUTS, INTEGER_MODEL, QPARAMS
from stages.core.qparams import load_qparams

RUNTIME = "runtime"
VENUS = "venus"


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
            write_venus(board / VENUS, config, inputs[0], board_outputs(graph, params))
        else:
            write_tpu_mlir(board, config, inputs, graph, params)
        if config.soc.open_runtime is OpenRuntime.pluto:
            write_pluto(board / OpenRuntime.pluto.value, config.model.name, inputs, params)
        try:
            built = write_runtime(board / RUNTIME, config.model.name, load_integer_model(INTEGER_MODEL), inputs)
            output.print(
                f"reference runtime: {BUILD / name / RUNTIME}; model file {built.size} bytes, "
                f"features {built.arena} bytes at most (no plan below {built.least})"
            )
        except UnsupportedError as error:
            warn(f"no {RUNTIME}/ is written: {error}")
    output.print(f"board folder: {BUILD / name}; run.sh there converts it with {config.soc.toolchain}")


if __name__ == "__main__":
    run_stage(build, __doc__ or "")
