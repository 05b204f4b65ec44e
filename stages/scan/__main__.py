"""Says what becomes of a network on each SOC, before anything is calibrated: no pictures are needed.

Reads a network (any source that export reads, or model and quant of --params); writes out/scan/report.html. Says which
operators run in integers, which stay in float and what would change that, which routes of build take the network, and
what it costs: bytes of weights, memory of features, and time where times are known.
"""

import argparse
import signal
import sys
from dataclasses import replace
from pathlib import Path

from stages.core.base.artifacts import check_targets, write_json, write_text
from stages.core.base.console import next_step, output
from stages.core.base.errors import UserError
from stages.core.command import EXIT_TERMINATED, Parser, collect_seldom, guarded
from stages.core.config.load import load_params
from stages.core.config.schema import Config, ModelConfig
from stages.core.data.model_files import IncompleteSourceError
from stages.core.graph.onnx_graph import Graph
from stages.export.network import ExportedNetwork, exported_network
from stages.export.shapes import DynamicShapeError, UnknownShapeError
from stages.scan.network_scan import scan_network
from stages.scan.options import conf_folder, elsewhere, read_experiment, read_socs, with_shapes
from stages.scan.outputs import described_outputs
from stages.scan.render.as_json import scan_json
from stages.scan.render.page import render_page
from stages.scan.render.tables import scan_lines

REPORT = Path("out/scan/report.html")
EPILOG = """\
examples:
  python -m stages.scan my.onnx
  python -m stages.scan my.onnx --soc t40,t41 --json scan.json
  python -m stages.scan my.onnx --shape images=1,3,640,640          where the file leaves sizes open
  python -m stages.scan my.onnx quant=a4w4 'model.outputs=[/head/Conv]'   overrides, as compose takes them
  python -m stages.scan --params params.yaml                        the current experiment's network and settings
"""


def scan(arguments: argparse.Namespace) -> None:
    check_targets(arguments.html, arguments.json)
    folder = conf_folder(arguments.conf)
    config = with_shapes(_experiment(arguments, folder), arguments.shape)
    socs = read_socs(arguments.soc, folder)
    name = config.model.name
    try:
        network = _exported(config.model)
    except DynamicShapeError as error:
        raise UserError(
            f"input {error.name!r} has the dynamic shape [{error.shown}]: give --shape {error.name}=1,..."
        ) from error
    except UnknownShapeError as error:
        raise error.as_option() from error
    scanned = scan_network(Graph(network.model), network.inputs, described_outputs(network), socs, config.quant)
    for line in scan_lines(scanned, name):
        output.print(line)
    if arguments.json is not None:
        write_json(arguments.json, scan_json(scanned, name))
    write_text(arguments.html, render_page(scanned, name))
    output.print(f"report: {arguments.html.resolve().as_uri()}")
    next_step(_following(arguments))


def _following(arguments: argparse.Namespace) -> str:
    """What to type after a scan: the experiment of the network."""
    words, soc = arguments.words, (arguments.soc or "SOC").split(",")[0]
    if not words:
        return "dvc repro"
    if words[0].startswith("model="):
        return f"python -m stages.compose {words[0]} soc={soc} && dvc repro"
    shapes = "".join(f" --shape {shape}" for shape in arguments.shape)
    return f"python -m stages.init {words[0]} pictures/ --soc {soc}{shapes}"


def _exported(model: ModelConfig) -> ExportedNetwork:
    """Export; a network of which one file is given takes those that it needs from beside it."""
    try:
        return exported_network(model, output.print)
    except IncompleteSourceError as error:
        if error.whole is None:
            raise
        return exported_network(replace(model, source=elsewhere(error.whole)), output.print)


def _experiment(arguments: argparse.Namespace, folder: Path) -> Config:
    if arguments.params is None:
        if not arguments.words:
            raise UserError("give a network (my.onnx), or --params params.yaml for the current experiment's")
        return read_experiment(arguments.words, folder)
    if arguments.words:
        raise UserError(f"--params has a network and settings: leave out {arguments.words[0]}, or leave out --params")
    return load_params(arguments.params)


def parser() -> Parser:
    """What the command takes."""
    added = Parser("stages.scan", __doc__, EPILOG)
    added.add_argument("words", nargs="*", metavar="SOURCE", help="a network, then overrides as KEY=VALUE")
    added.add_argument("--soc", metavar="NAMES", help="as in t40,t41 (default: all of conf/soc)")
    added.add_argument(
        "--shape", action="append", default=[], metavar="NAME=SIZES", help="of an input that the file leaves open"
    )
    added.add_argument("--params", type=Path, metavar="FILE", help="scan this experiment's network")
    added.add_argument("--conf", type=Path, metavar="FOLDER", help="the config folder (default: ./conf, or the own)")
    added.add_argument("--html", type=Path, default=REPORT, metavar="FILE", help="the page (%(default)s)")
    added.add_argument("--json", type=Path, metavar="FILE", help="write the scan there too")
    added.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return added


def main() -> None:
    arguments = parser().parse_intermixed_args()
    collect_seldom()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))
    sys.exit(guarded(lambda: scan(arguments), arguments.debug))


if __name__ == "__main__":
    main()
