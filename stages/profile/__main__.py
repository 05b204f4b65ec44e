"""Read a board's profile log and memory report: the layers that take the time, and a cost model fitted to them.

What the board measured of the current experiment goes into its MLflow run, beside what the PC found: board.latency_ms,
board.nmem_peak_kb, and each layer's time over depth (layers/board_ms). The same files again add nothing.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from stages.core.base.artifacts import check_targets, write_json
from stages.core.base.console import counted, output, warn
from stages.core.base.errors import UserError
from stages.core.base.paths import FLOAT_MODEL, SIMILARITY, TRACK
from stages.core.command import Parser, guarded
from stages.core.config.load import load_params
from stages.core.config.schema import Config
from stages.core.cost import load_cost, save_cost
from stages.core.graph.onnx_graph import Graph, load_model
from stages.profile.fit import Sample, fit_cost
from stages.profile.log import LayerRow, Run, averaged, read_log
from stages.profile.nmem import Memory, read_nmem
from stages.profile.options import Request, check_bits, usual_bits, widths_of
from stages.profile.show import FEW, show_fit, show_memory, shown
from stages.profile.work import Names, row_work
from stages.quantize.partition.layer_work import layer_work
from stages.quantize.partition.layers import find_layers

NAMED = 0.5  # of a log's rows are layers of the network, or it is another network's
RUN = TRACK / "run.json"
LOST = 0.01  # of the total: what rounding of rows to three digits leaves open

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
        "--base", type=Path, metavar="FILE", help="a cost file that gives the widths no log has, to scale"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers as JSON")
    parser.add_argument(
        "--track",
        action=argparse.BooleanOptionalAction,
        help="log into the experiment's MLflow run (default: if there is one, and one log, of its network and widths)",
    )
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="the composed config (%(default)s)")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    arguments = parser.parse_args()
    sys.exit(guarded(partial(_requested, arguments), arguments.debug))


def profile(request: Request) -> None:
    """Read the logs and the report, print tables, fit, write, log.

    Raises:
        UserError: for a log or report that is none, wrong widths, a missing run or cost file, too few layers to fit.
    """
    config = load_params(request.params) if request.params.is_file() else None
    logged = config is not None and RUN.is_file() and SIMILARITY.is_file()
    if request.track and not logged:
        raise UserError(f"--track: {RUN} is missing: run `dvc repro` first, in the project's folder")
    base = load_cost(request.base) if request.base else None
    memory = read_nmem(request.nmem) if request.nmem else None
    names = network_names(config)
    runs = [chosen_run(log, request.run) for log in request.logs]
    all_bits = request.bits or [usual_bits(config)] * len(runs)
    check_bits(all_bits, config)
    samples = [[sample_of(row, names, *bits) for row in run.layers] for run, bits in zip(runs, all_bits, strict=True)]
    fit, contents = None, []
    if runs:
        kept = [sample for found in samples for sample in merged(found)]
        fit = fit_cost(kept, config.soc.name if config else "", note_of(request.logs, all_bits), base)
        if request.write:
            check_enough(len(kept), len(fit.model.ms_per_gmac) - len(fit.unseen) + 2)
    for log, bits, run, found in zip(request.logs, all_bits, runs, samples, strict=True):
        assert fit is not None
        contents.append(shown(log, bits, run, found, fit.model, request.count))
    if fit is not None:
        show_fit(fit, samples, names is not None)
    if memory is not None:
        output.print(show_memory(memory))
    if request.write and fit is not None:
        save_cost(request.write, fit.model, ["Made by `python -m stages.profile`: ms; see README.md."])
        output.print(f"{request.write} written")
    if request.json:
        content = {"logs": contents, "fit": asdict(fit) if fit else None, "memory": asdict(memory) if memory else None}
        write_json(request.json, content)
    if config is not None and logged and request.track is not False:
        tracked(request, config, all_bits, contents, memory)


def check_enough(layers: int, prices: int) -> None:
    """Refuse to write a cost model that the layers do not fix.

    Raises:
        UserError: if there are no more layers than prices.
    """
    if layers <= prices:
        raise UserError(
            f"--write: {counted(layers, 'layer')} fix no cost model of {prices} prices: {prices + 1} are the least, "
            f"{FEW} and more can be trusted: give logs of whole networks"
        )


def tracked(
    request: Request,
    config: Config,
    bits: Sequence[tuple[int, int]],
    contents: Sequence[dict[str, Any]],
    memory: Memory | None,
) -> None:
    """Log into the experiment's MLflow run, or say why not.

    Raises:
        UserError: if it was asked for and cannot be done.
    """
    reason = stranger(config, bits, contents)
    if reason and (not request.track or len(contents) > 1):
        if request.track:
            raise UserError(f"--track: {reason}")
        warn(f"not logged into the experiment's MLflow run: {reason} (--track logs it all the same)")
        return
    if reason:
        warn(reason)
    from stages.profile.tracking import log, measurement  # noqa: PLC0415  MLflow takes a second to import

    total, layers = (contents[0]["total_ms"], contents[0]["layers"]) if contents else (None, [])
    found = measurement(total, layers, memory, next(iter(request.logs), None), request.nmem)
    for line in log(config, RUN, found):
        output.print(line)


def stranger(config: Config, bits: Sequence[tuple[int, int]], contents: Sequence[dict[str, Any]]) -> str:
    """Say why logs are not the current experiment's; empty if they are."""
    if len(contents) > 1:
        return f"{len(contents)} logs are given, a run takes one"
    for pair, content in zip(bits, contents, strict=True):
        known, rows = sum(row["node"] is not None for row in content["layers"]), len(content["layers"])
        if known < NAMED * rows:
            return (
                f"{content['log']} is of another network: {known} of {counted(rows, 'row')} named as in {FLOAT_MODEL}"
            )
        if pair != usual_bits(config):
            usual = "/".join(map(str, usual_bits(config)))
            return f"{content['log']} ran at {pair[0]}/{pair[1]} bits, the experiment has {usual}"
    return ""


def network_names(config: Config | None) -> Names | None:
    """The exported network's layers, if there is one."""
    if config is None or not FLOAT_MODEL.is_file():
        return None
    graph = Graph(load_model(FLOAT_MODEL))
    layers = find_layers(graph, config.soc)
    return Names(graph, layers, layer_work(graph, layers))


def chosen_run(log: Path, number: int | None) -> Run:
    """One run of a log, or the mean of all.

    Raises:
        UserError: if there is no such run.
    """
    runs = read_log(log)
    if number is not None and not 1 <= number <= len(runs):
        raise UserError(f"--run {number}: {log} holds {counted(len(runs), 'run')}")
    run = averaged(runs if number is None else [runs[number - 1]], str(log))
    if abs(run.lost) > LOST:
        sum_of_rows = run.total * (1 - run.lost)
        warn(f"{log}: its rows add up to {sum_of_rows:.3f} ms of a total of {run.total:.3f} ms: are lines missing?")
    return run


def sample_of(row: LayerRow, names: Names | None, feature_bits: int, weight_bits: int) -> Sample:
    """What a row measured; the network's own counts where it names one of its layers."""
    found = names.find(row.name) if names else None
    return Sample(found or row_work(row), feature_bits, weight_bits, row.average, found is not None)


def merged(samples: Sequence[Sample]) -> list[Sample]:
    """One sample a layer: a layer that the board ran in several rows took them all."""
    found: dict[tuple[str, int], Sample] = {}
    for index, sample in enumerate(samples):
        key = (sample.work.node, -1 if sample.known else index)
        found[key] = replace(sample, ms=sample.ms + found[key].ms) if key in found else sample
    return list(found.values())


def note_of(logs: Sequence[Path], bits: Sequence[tuple[int, int]]) -> str:
    """Where the numbers come from."""
    found = (f"{log.name} at {f}/{w}" for log, (f, w) in zip(logs, bits, strict=True))
    return f"measured on a board: {', '.join(found)}"


def _requested(arguments: argparse.Namespace) -> None:
    if not arguments.logs and not arguments.nmem:
        raise UserError("give a profile log, or --nmem FILE; --help shows one")
    if arguments.write and not arguments.logs:
        raise UserError("--write: a cost model needs a profile log")
    bits = widths_of(arguments.bits, len(arguments.logs)) if arguments.bits else None
    if arguments.count < 0:
        raise UserError(f"--count {arguments.count}: give a number of layers, or 0 for all")
    for option, target in (("--write", arguments.write), ("--json", arguments.json)):
        if target and target.resolve() in [log.resolve() for log in (*arguments.logs, arguments.nmem) if log]:
            raise UserError(f"{option} {target} would replace that log: name another file")
    check_targets(arguments.write, arguments.json)
    profile(
        Request(
            arguments.logs,
            bits,
            arguments.run,
            arguments.count or None,
            arguments.write,
            arguments.base,
            arguments.json,
            arguments.params,
            arguments.nmem,
            arguments.track,
        )
    )


if __name__ == "__main__":
    main()
