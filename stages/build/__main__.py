"""Reads out/export, out/calibset, out/calibrate, out/quantize, data.debug; writes out/build/<soc>, for the board.

With soc.toolchain.path Ingenic's converter runs too; its output is in magik/converted/. Sophgo's is a stage of its own:
compile.
"""

from collections.abc import Sequence
from pathlib import Path

from stages.build.board_outputs import BoardOutput, board_outputs
from stages.build.board_readme import README, no_program, readme
from stages.build.cross_compilers import cross_compilers
from stages.build.heads.board_head import BoardHead, board_head, why_raw
from stages.build.heads.sources import write_head
from stages.build.kept_results import kept_folder
from stages.build.magik.converter import convert
from stages.build.magik.folder import write_magik
from stages.build.magik.scripts import RUN_SCRIPT, options
from stages.build.magik.vendor_names import CONVERTED_FOLDER
from stages.build.pluto.boxes import Decoding
from stages.build.pluto.folder import write_pluto
from stages.build.runtime.folder import write_runtime
from stages.build.runtime.program import UnsupportedError
from stages.build.sophon.folder import write_sophon
from stages.build.tpu_mlir.folder import RUN_SCRIPT as TPU_MLIR_SCRIPT
from stages.build.tpu_mlir.folder import write_tpu_mlir
from stages.build.venus.folder import write_venus
from stages.core.base.artifacts import stage_output, write_text
from stages.core.base.console import output, warn
from stages.core.base.paths import (
    BUILD,
    CONVERTER_LOG,
    DETECTOR,
    FLOAT_MODEL,
    INPUTS,
    INTEGER_MODEL,
    QPARAMS,
)
from stages.core.command import run_stage
from stages.core.config.schema import Config, OpenRuntime, Vendor
from stages.core.config.toolchain import find_tool
from stages.core.data.inputs import NetworkInput, load_inputs, only_picture
from stages.core.graph.onnx_graph import Graph, load_model
from stages.core.graph.structured import load_structured
from stages.core.heads.head_file import load_head
from stages.core.integer.model import load_integer_model
from stages.core.integer.network_params import load_qparams
from stages.core.tables import similarity_table

MAGIK, VENUS, RUNTIME, SOPHON = "magik", "venus", "runtime", "sophon"
MAX_PRINTED_ROWS = 10
"""Rows of the converter's similarity table that are printed, the least similar first."""


def build(config: Config) -> None:
    params = load_qparams(QPARAMS, config)  # refuses node bits of other parameters
    graph = Graph(load_model(FLOAT_MODEL))
    inputs = load_inputs(INPUTS)
    outputs = board_outputs(graph, params)
    head = _decoded_head(config, inputs, outputs)
    name = config.soc.name.lower()
    with stage_output(BUILD) as folder:
        board = folder / name
        board.mkdir()
        ingenic = config.soc.vendor is Vendor.ingenic
        absent = {VENUS if ingenic else SOPHON: no_program(inputs, config.soc)}
        if ingenic:
            write_magik(board / MAGIK, config, inputs, graph.outputs, params)
            if only_picture(inputs):
                write_venus(board / VENUS, config, inputs[0], outputs, head)
            _run_converter(board / MAGIK, folder / "scratch", config, graph)
        else:
            model_file = write_tpu_mlir(board, config, inputs, Graph(load_structured()), params)
            if only_picture(inputs):
                write_sophon(board / SOPHON, config, inputs[0], outputs, model_file, head)
            _say_how_to_compile(config)
        if config.soc.open_runtime is OpenRuntime.pluto:
            decoding = Decoding(head, outputs, config.model.detector) if head and head.logits else None
            write_pluto(board / OpenRuntime.pluto.value, config.model.name, inputs, params, decoding)
        absent[RUNTIME] = _write_reference_runtime(board / RUNTIME, config, inputs, head)
        absent = {part: why for part, why in absent.items() if why}
        write_text(board / README, readme(board, config.soc, absent, outputs))
    for part, why in absent.items():
        warn(f"no {part}/ is written: {why}")
    coded = [each for each in outputs if each.qparams is not None]
    if coded:
        names = ", ".join(f"{each.name} ({each.qparams.bits} bits)" for each in coded if each.qparams is not None)
        output.print(f"outputs that the board returns as codes, not float: {names}; scales in {BUILD / name / README}")
    output.print(f"board folder: {BUILD / name}")


def _say_how_to_compile(config: Config) -> None:
    script = BUILD / config.soc.name / TPU_MLIR_SCRIPT
    if not config.watch.compilers:
        install = "`python -m stages.toolchain install sophgo` and `python -m stages.compose --keep`"
        output.print(f"TPU-MLIR compiles it: {install} make `dvc repro` do so; elsewhere `sh {script}`")


def _run_converter(folder: Path, scratch: Path, config: Config, graph: Graph) -> None:
    tool, final_folder = find_tool(config.soc.toolchain), BUILD / config.soc.name.lower() / MAGIK
    if tool is None:
        output.print(
            f"for {config.soc.toolchain.name}: MAGIK_TRANSFORMKIT=.../TransformKit sh {final_folder / RUN_SCRIPT} "
            f"(results: {kept_folder(config.soc.name.lower(), MAGIK)})"
        )
        return
    output.print(f"{tool} converts (log: {CONVERTER_LOG})")
    converted = convert(folder, scratch, tool, options(config), graph, CONVERTER_LOG)
    finite = [row for row in converted.rows if None not in row.values()]
    if finite:
        output.print(similarity_table(finite, output.width, MAX_PRINTED_ROWS))
    if len(finite) < len(converted.rows):
        warn(f"{len(converted.rows) - len(finite)} rows of the converter's table have a measure that is not finite")
    if not converted.rows:
        warn("the converter's log has no similarity table")
    output.print(f"converted: {final_folder / CONVERTED_FOLDER}: {', '.join(converted.files)}")


def _decoded_head(config: Config, inputs: Sequence[NetworkInput], outputs: Sequence[BoardOutput]) -> BoardHead | None:
    """The head that programs of the board folder decode."""
    exported, detector = load_head(DETECTOR), config.model.detector
    ingenic = config.soc.vendor is Vendor.ingenic
    if not only_picture(inputs) or not (ingenic or (exported and exported.cut)):  # outputs of other forms: for venus/
        return None
    head = board_head(exported, detector, outputs, inputs[0].height, inputs[0].width)
    reason = why_raw(exported, detector) if head is None else None
    if reason:
        output.print(f"the board's programs print outputs, not boxes: {reason}")
    return head


def _write_reference_runtime(
    folder: Path, config: Config, inputs: Sequence[NetworkInput], head: BoardHead | None
) -> str:
    """Returns why it is not written; empty where it is."""
    compilers = cross_compilers(config.soc)
    try:
        runtime = write_runtime(folder, config.model.name, load_integer_model(INTEGER_MODEL), inputs, compilers)
    except UnsupportedError as error:
        return str(error)
    if head is not None:
        write_head(folder, head, config.model.detector)
    output.print(
        f"reference runtime: {BUILD / config.soc.name.lower() / RUNTIME}; model file {runtime.size} bytes, "
        f"features {runtime.arena} bytes at most (no plan below {runtime.least})"
    )
    return ""


if __name__ == "__main__":
    run_stage(build, __doc__ or "")
