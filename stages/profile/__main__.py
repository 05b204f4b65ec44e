"""Read a board's profile log and memory report: the layers that take the time, and a cost model fitted to them.

What the board measured of the current experiment goes into its MLflow run, beside what the PC found: board.latency_ms,
board.nmem_peak_kb, and each layer's time over depth (layers/board_ms). The same files again add nothing.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import Any

from stages.core.base.artifacts import check_targets, write_json
from stages.core.base.console import counted, next_step, output, warn
from stages.core.base.errors import UserError
from stages.core.base.paths import FLOAT_MODEL, SIMILARITY, TRACK
from stages.core.command import Parser, guarded
from stages.core.config.load import load_params
from stages.core.config.schema import Config
from stages.core.cost import load_cost, save_cost
from stages.core.graph.onnx_graph import Graph, load_model
from stages.profile.cost_fit import CostFit, fit_cost
from stages.profile.layer_names import LayerNames
from stages.profile.measured_layers import MeasuredLog, merged, note, read_measured
from stages.profile.nmem import NmemReport, read_nmem
from stages.profile.options import Request, check_bits, parse_bits, usual_bits
from stages.profile.profile_report import TRUSTED_ROWS, memory_line, show_fit, show_log
from stages.quantize.partition.layer_work import layer_work
from stages.quantize.partition.layers import find_layers

LEAST_NAMED_SHARE = 0.5  # of a log's rows are layers of the network, or it is another network's
TRACK_RUN = TRACK / "run.json"

EPILOG = """\
examples:
  python -m stages.profile board.log                                    the hot layers
  python -m stages.profile board.log --write my_soc.yaml                and the cost model, for autotune
  python -m stages.profile a.log b.log --bits 8/8 4/4 --write my_soc.yaml   one model from an 8-bit and a 4-bit build
  python -m stages.profile board.log --nmem nmem_memory.txt             and the memory, into the experiment's MLflow run

a log:
  Timing cycle = 5
  ===== Detailed DispatchProfiler Summary: N/A, Exclude 0warm-ups =====
  LayerName OperatorType InputShape OutputShape FilterShape Stride Pad Dila Avg(ms) Max(ms) Min(ms) Last(ms) Avg(%) GOPs
  475 Convolution {1,224,224,4} {1,112,112,64} {3,3,4,64} {2,2} {0,1,0,1} {1,1} 0.247 0.292 0.236 0.2360 2.68% 0.058
  ...
  Total: 37.351 ms

The log: build the board program with `make build_type=profile`, run it on the board with the profile runtime
(libvenus.p.so) and keep what it prints. Names are matched with the layers of out/export/model.onnx, if it is there.
"""


def main() -> None:
    parser = Parser("stages.profile", __doc__, EPILOG)
    parser.add_argument(
        "logs", nargs="*", type=Path, metavar="LOG", help="what the board printed; may hold several runs"
    )
    parser.add_argument(
        "--nmem", type=Path, metavar="FILE", help="/tmp/nmem_memory.txt of a program built with build_type=nmem"
    )
    parser.add_argument(
        "--bits",
        nargs="+",
        metavar="F/W",
        help="feature bits/weight bits that the board ran at: one for all logs, or one for each (the experiment's)",
    )
    parser.add_argument("--run", type=int, metavar="N", help="take run N of each log; without: the mean of its runs")
    parser.add_argument("--count", type=int, default=20, metavar="N", help="layers to show; 0: all (%(default)s)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the cost model and the measured times")
    parser.add_argument(
        "--base", type=Path, metavar="FILE", help="a cost file that gives the bit widths no log has, to scale"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers as JSON")
    parser.add_argument(
        "--track",
        action=argparse.BooleanOptionalAction,
        help="log into the experiment's MLflow run (default: if there is one, and one log, of its network and bits)",
    )
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="the composed config (%(default)s)")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    arguments = parser.parse_intermixed_args()  # files may come behind options
    sys.exit(guarded(partial(_requested, arguments), arguments.debug))


def profile(request: Request) -> None:
    """Read the logs and the report, print tables, fit, write, log.

    Raises:
        UserError: for a log or report that is none, wrong bits, a missing run or cost file, too few layers to fit.
    """
    config = load_params(request.params) if request.params.is_file() else None
    tracked = config is not None and TRACK_RUN.is_file() and SIMILARITY.is_file()
    if request.track and not tracked:
        raise UserError(f"--track: {TRACK_RUN} is missing: run `dvc repro` first, in the project's folder")
    base = load_cost(request.base) if request.base else None
    memory = read_nmem(request.nmem) if request.nmem else None
    names = _layer_names(config)
    all_bits = request.bits or [usual_bits(config)] * len(request.logs)
    check_bits(all_bits, config)
    logs = [read_measured(path, request.run, bits, names) for path, bits in zip(request.logs, all_bits, strict=True)]
    fit, contents = None, []
    if logs:
        layers = [layer for log in logs for layer in merged(log.layers)]
        fit = fit_cost(layers, config.soc.name if config else "", note(logs), base)
        if request.write:
            _check_enough(len(layers), len(fit.model.ms_per_gmac) - len(fit.unseen) + 2)
        contents = [show_log(log, fit.model, request.count) for log in logs]
        show_fit(fit, logs, names is not None)
    if memory is not None:
        output.print(memory_line(memory))
    _write(request, fit, contents, memory)
    if config is not None and tracked and request.track is not False:
        _track(request, config, logs, contents, memory)
    tuned = f"python -m stages.autotune --cost {request.write} --target fidelity=0.98"
    next_step(tuned if request.write else "--write my_soc.yaml keeps these times as a cost model, for autotune")


def _layer_names(config: Config | None) -> LayerNames | None:
    """The exported network's layers, if there is one."""
    if config is None or not FLOAT_MODEL.is_file():
        return None
    graph = Graph(load_model(FLOAT_MODEL))
    layers = find_layers(graph, config.soc)
    return LayerNames(graph, layers, layer_work(graph, layers))


def _check_enough(layers: int, prices: int) -> None:
    """Refuse to write a cost model that the layers do not fix.

    Raises:
        UserError: if there are no more layers than prices.
    """
    if layers <= prices:
        raise UserError(
            f"--write: {counted(layers, 'layer')} fix no cost model of {prices} prices: {prices + 1} are the least, "
            f"{TRUSTED_ROWS} and more can be trusted: give logs of whole networks"
        )


def _write(
    request: Request, fit: CostFit | None, contents: Sequence[Mapping[str, Any]], memory: NmemReport | None
) -> None:
    """Write the files that were asked for."""
    if request.write and fit is not None:
        save_cost(request.write, fit.model, ["Made by `python -m stages.profile`: ms; see README.md."])
        output.print(f"{request.write} written")
    if request.json:
        of_fit, of_memory = asdict(fit) if fit else None, asdict(memory) if memory else None
        write_json(request.json, {"logs": contents, "fit": of_fit, "memory": of_memory})


def _track(
    request: Request,
    config: Config,
    logs: Sequence[MeasuredLog],
    contents: Sequence[Mapping[str, Any]],
    memory: NmemReport | None,
) -> None:
    """Log into the experiment's MLflow run, or say why not.

    Raises:
        UserError: if it was asked for and cannot be done.
    """
    reason = _why_not_its_own(config, logs, contents)
    if reason and (not request.track or len(logs) > 1):
        if request.track:
            raise UserError(f"--track: {reason}")
        warn(f"not logged into the experiment's MLflow run: {reason} (--track logs it all the same)")
        return
    if reason:
        warn(reason)
    from stages.profile.tracking import log_measurement, measurement  # noqa: PLC0415  MLflow takes a second to import

    total, layers = (contents[0]["total_ms"], contents[0]["layers"]) if contents else (None, [])
    measured = measurement(total, layers, memory, next(iter(request.logs), None), request.nmem)
    for line in log_measurement(config, TRACK_RUN, measured):
        output.print(line)


def _why_not_its_own(config: Config, logs: Sequence[MeasuredLog], contents: Sequence[Mapping[str, Any]]) -> str:
    """Say why logs are not the current experiment's; empty if they are."""
    if len(logs) > 1:
        return f"{len(logs)} logs are given, a run takes one"
    for log, content in zip(logs, contents, strict=True):
        known, rows = sum(row["node"] is not None for row in content["layers"]), len(content["layers"])
        if known < LEAST_NAMED_SHARE * rows:
            return f"{log.path} is of another network: {known} of {counted(rows, 'row')} named as in {FLOAT_MODEL}"
        if log.bits != usual_bits(config):
            usual = "/".join(map(str, usual_bits(config)))
            return f"{log.path} ran at {log.bits[0]}/{log.bits[1]} bits, the experiment has {usual}"
    return ""


def _requested(arguments: argparse.Namespace) -> None:
    if not arguments.logs and not arguments.nmem:
        raise UserError("give a profile log, or --nmem FILE; --help shows one")
    if arguments.write and not arguments.logs:
        raise UserError("--write: a cost model needs a profile log")
    if arguments.count < 0:
        raise UserError(f"--count {arguments.count}: give a number of layers, or 0 for all")
    bits = parse_bits(arguments.bits, len(arguments.logs)) if arguments.bits else None
    for option, target in (("--write", arguments.write), ("--json", arguments.json)):
        if target and os.path.realpath(target) in map(
            os.path.realpath, filter(None, (*arguments.logs, arguments.nmem))
        ):
            raise UserError(f"{option} {target} would replace that log: name another file")
    check_targets(arguments.write, arguments.json)
    given = {field.name: getattr(arguments, field.name) for field in fields(Request)}
    profile(Request(**given | {"bits": bits, "count": arguments.count or None}))


if __name__ == "__main__":
    main()
