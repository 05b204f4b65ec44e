"""Reads out/build of a Sophgo SOC; runs TPU-MLIR on it; writes out/compile: the compiled network and its tensors.

The compiler is the one that `python -m stages.toolchain install sophgo` has installed, or that of soc.toolchain.path.
All steps run in a folder of their own, which is removed. What they print is in out/compile.log while they run, and
stays there if one fails. compiled.json says what was made: the layers and the types they run in, how like the float
network the compiled one is, and whether it equals its simulation. layers.json has each layer on one picture: compiled
against float, and the codes that this project's simulator has otherwise.
"""

from stages.compile.chain import compile_network
from stages.compile.tools import Tools
from stages.core.base.artifacts import scratch_folder, stage_output, write_json
from stages.core.base.console import counted, output, warn
from stages.core.base.errors import UserError
from stages.core.base.paths import BUILD, COMPILE, COMPILED, COMPILER_LOG, INTEGER_MODEL, QPARAMS
from stages.core.command import run_stage
from stages.core.config.schema import Config, Vendor
from stages.core.integer.model import load_integer_model
from stages.core.integer.network_params import load_qparams
from stages.core.tpu_mlir.compiled import LAYERS_FILE, CompiledNetwork, network_digest
from stages.core.tpu_mlir.toolchain import find_toolchain, only_compiler

WORK_PREFIX = ".compiling-"
LOG_FILE = "compile.log"
SHOWN_LAYERS = 5
"""The least similar ones."""


def compile_board(config: Config) -> None:
    if config.soc.vendor is not Vendor.sophgo:
        raise UserError(
            f"soc={config.soc.name.lower()}: compile is for Sophgo's SOCs; build makes the folder for this one"
        )
    load_qparams(QPARAMS, config)  # refuses results of other parameters
    board = BUILD / config.soc.name
    COMPILER_LOG.parent.mkdir(exist_ok=True)
    COMPILER_LOG.write_text("", encoding="utf-8")
    toolchain = find_toolchain(config)
    tools = Tools(toolchain, config.soc.toolchain.minutes, COMPILER_LOG)
    with scratch_folder(COMPILE.parent, WORK_PREFIX) as work:
        with only_compiler(toolchain):
            compiled = compile_network(board, work, tools, load_integer_model(INTEGER_MODEL))
        with stage_output(COMPILE) as folder:
            for name in compiled.files:
                (work / name).replace(folder / name)
            write_json(folder / COMPILED.name, compiled.record | {"network": network_digest()})
            write_json(folder / LAYERS_FILE, compiled.rows)
            COMPILER_LOG.replace(folder / LOG_FILE)
    _report(CompiledNetwork(compiled.record, compiled.rows))


def _report(compiled: CompiledNetwork) -> None:
    record = compiled.record
    types = ", ".join(f"{count} {name}" for name, count in record["types"].items())
    output.print(
        f"compiled for the {record['chip']} by TPU-MLIR {record['compiler']}: {COMPILE / record['model']}, "
        f"{record['bytes']} bytes; {counted(sum(record['types'].values()), 'layer')}: {types}"
    )
    if record["own_scales"]:
        output.print(f"  scales that the compiler chose itself: {', '.join(record['own_scales'])}")
    for row in record["outputs"]:
        rounding = "one code" if row["codes_apart"] else "rounding"
        equal = "equal to its simulation" if row["equals_simulation"] else f"within {rounding} of its simulation"
        equal = equal if row["near_simulation"] else "NOT equal to its simulation"
        output.print(
            f"  {row['output']}: cosine {row['cosine']:.4f} to the float network, euclidean similarity "
            f"{row['euclidean_similarity']:.4f}; {equal}"
        )
        if not row["near_simulation"]:
            warn(f"{row['output']}: the compiled network differs by up to {row['largest_difference']:.4g}")
    output.print("  least like the float network, on one sample:")
    for layer in compiled.least_similar(SHOWN_LAYERS):
        output.print(f"    {layer['cosine']:.5f} {layer['layer']} ({layer['op_type']}, {layer['type']})")
    apart, codes = compiled.codes_apart
    if codes:
        output.print(f"  this project's simulator has {apart} of {codes} codes otherwise ({apart / codes:.1%})")


if __name__ == "__main__":
    run_stage(compile_board, __doc__ or "")
