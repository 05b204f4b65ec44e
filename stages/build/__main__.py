"""Reads out/export, out/calibset, out/calibrate, out/quantize, data.debug; writes out/build/<soc>, for the board.

With soc.toolchain.path Ingenic's converter runs too; what it makes lies in magik/converted/.
"""

from collections.abc import Sequence
from pathlib import Path

from stages.build.magik.converter import convert
from stages.build.magik.folder import write_magik
from stages.build.magik.scripts import SCRIPT, options
from stages.build.magik.words import CONVERTED
from stages.build.pluto.folder import write_pluto
from stages.build.runtime.folder import write_runtime
from stages.build.runtime.program import UnsupportedError
from stages.build.tpu_mlir import write_tpu_mlir
from stages.build.venus.folder import write_venus
from stages.build.venus.outputs import BoardOutput, board_outputs
from stages.core.base.artifacts import output_folder
from stages.core.base.console import output, warn
from stages.core.base.paths import BUILD, CONVERTER_LOG, FLOAT_MODEL, INPUTS, INTEGER_MODEL, QPARAMS
from stages.core.command import run_stage
from stages.core.config.schema import Config, OpenRuntime, Vendor
from stages.core.config.toolchain import find_tool
from stages.core.data.inputs import NetworkInput, load_inputs, only_picture
from stages.core.graph.onnx_graph import Graph, load_model
from stages.core.integer.model import load_integer_model
from stages.core.integer.qparams import load_qparams
from stages.core.tables import similarity_table

MAGIK, VENUS, RUNTIME = "magik", "venus", "runtime"
WORST = 10  # rows of the converter's table that are printed


def build(config: Config) -> None:
    params = load_qparams(QPARAMS, config)  # refuses node bits of other parameters
    graph = Graph(load_model(FLOAT_MODEL))
    inputs = load_inputs(INPUTS)
    name = config.soc.name.lower()
    with output_folder(BUILD) as folder:
        board = folder / name
        board.mkdir()
        if config.soc.vendor is Vendor.ingenic:
            write_magik(board / MAGIK, config, inputs, graph.outputs, params)
            _program(board / VENUS, config, inputs, board_outputs(graph, params))
            _convert(board / MAGIK, folder / "scratch", config, graph)
        else:
            write_tpu_mlir(board, config, inputs, graph, params)
            output.print(f"run.sh in {BUILD / name} converts it with {config.soc.toolchain.name}")
        if config.soc.open_runtime is OpenRuntime.pluto:
            write_pluto(board / OpenRuntime.pluto.value, config.model.name, inputs, params)
        _runtime(board / RUNTIME, config, inputs)
    output.print(f"board folder: {BUILD / name}")


def _convert(folder: Path, scratch: Path, config: Config, graph: Graph) -> None:
    tool, place = find_tool(config.soc.toolchain), BUILD / config.soc.name.lower() / MAGIK
    if tool is None:
        output.print(f"for {config.soc.toolchain.name}: MAGIK_TRANSFORMKIT=.../TransformKit sh {place / SCRIPT}")
        return
    output.print(f"{tool} converts (log: {CONVERTER_LOG})")
    made = convert(folder, scratch, tool, options(config), graph, CONVERTER_LOG)
    shown = [row for row in made.rows if None not in row.values()]
    if shown:
        output.print(similarity_table(shown, output.width, WORST))
    if len(shown) < len(made.rows):
        warn(f"{len(made.rows) - len(shown)} rows of the converter's table hold a measure that is not finite")
    if not made.rows:
        warn("the converter's log has no similarity table")
    output.print(f"converted: {place / CONVERTED}: {', '.join(made.files)}")


def _program(folder: Path, config: Config, inputs: Sequence[NetworkInput], outputs: Sequence[BoardOutput]) -> None:
    if only_picture(inputs):
        write_venus(folder, config, inputs[0], outputs)
    else:
        taken = ", ".join(f"{entry.name} ({entry})" for entry in inputs)
        warn(f"no {VENUS}/ is written: the board program feeds one picture, and the network takes {taken}")


def _runtime(folder: Path, config: Config, inputs: Sequence[NetworkInput]) -> None:
    try:
        built = write_runtime(folder, config.model.name, load_integer_model(INTEGER_MODEL), inputs)
    except UnsupportedError as error:
        warn(f"no {RUNTIME}/ is written: {error}")
        return
    output.print(
        f"reference runtime: {BUILD / config.soc.name.lower() / RUNTIME}; model file {built.size} bytes, "
        f"features {built.arena} bytes at most (no plan below {built.least})"
    )


if __name__ == "__main__":
    run_stage(build, __doc__ or "")
