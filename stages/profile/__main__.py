"""Read a board's profile log: the layers that take the time, and a cost model of the SOC fitted to them."""

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from stages.core.artifacts import write_json
from stages.core.command import guarded
from stages.core.console import counted, output, warn
from stages.core.cost import CostModel, load_cost, save_cost
from stages.core.errors import UserError
from stages.core.graph import Graph, load_model
from stages.core.paths import FLOAT_MODEL
from stages.core.settings import load_params
from stages.profile.fit import Fit, Sample, fit_cost
from stages.profile.hot import hot_layers, hot_table, operator_table
from stages.profile.log import LayerRow, Run, averaged, read_log
from stages.profile.work import Names, row_work
from stages.quantize.layers import find_layers
from stages.quantize.work import layer_work

FEW = 10  # rows: three prices of one pair of widths, and some to tell a fit from chance
LOST = 0.01  # of the total: what rounding of rows to three digits leaves open

EPILOG = """\
examples:
  python -m stages.profile board.log                                    the hot layers
  python -m stages.profile board.log --write my_soc.yaml                and the cost model, for autotune
  python -m stages.profile a.log b.log --bits 8/8 4/4 --write my_soc.yaml   one model from an 8-bit and a 4-bit build

The log: build the board program with `make build_type=profile`, run it on the board with the profile runtime
(libvenus.p.so) and keep what it prints. Names are matched with the layers of out/export/model.onnx, if it is there.
"""


@dataclass(frozen=True)
class Request:
    """What the user asks for.

    Attributes:
        logs: files.
        bits: feature and weight bits of each.
        run: which run of each file, from 1; None: the mean of all.
        count: layers to show; None: all.
        write: the cost file to write.
        base: a cost file for widths that no log has.
        json: the file for the numbers.
        params: the experiment's config.
    """

    logs: Sequence[Path]
    bits: Sequence[tuple[int, int]]
    run: int | None = None
    count: int | None = 20
    write: Path | None = None
    base: Path | None = None
    json: Path | None = None
    params: Path = Path("params.yaml")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m stages.profile",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "logs", nargs="+", type=Path, metavar="LOG", help="what the board printed; may hold several runs"
    )
    parser.add_argument(
        "--bits",
        nargs="+",
        default=["8/8"],
        metavar="F/W",
        help="feature bits/weight bits that the board ran at: one for all logs or one for each (8/8)",
    )
    parser.add_argument("--run", type=int, metavar="N", help="take run N of each log; without: the mean of its runs")
    parser.add_argument("--count", type=int, default=20, metavar="N", help="layers to show; 0: all (%(default)s)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the cost model and the measured times")
    parser.add_argument(
        "--base", type=Path, metavar="FILE", help="a cost file that gives the widths no log has, to scale"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers as JSON")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="the composed config (%(default)s)")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    arguments = parser.parse_args()
    sys.exit(guarded(partial(_requested, arguments), arguments.debug))


def profile(request: Request) -> None:
    """Read the logs, print tables, fit, write.

    Raises:
        UserError: for a log that is none, wrong widths, a missing run or cost file.
    """
    base = load_cost(request.base) if request.base else None
    names, soc = network_names(request.params)
    runs = [chosen_run(log, request.run) for log in request.logs]
    samples = [
        [sample_of(row, names, *bits) for row in run.layers] for run, bits in zip(runs, request.bits, strict=True)
    ]
    fit = fit_cost([sample for found in samples for sample in merged(found)], soc, note_of(request), base)
    contents = []
    for log, bits, run, found in zip(request.logs, request.bits, runs, samples, strict=True):
        contents.append(shown(log, bits, run, found, fit.model, request.count))
    known = sum(sample.known for found in samples for sample in found)
    rows = sum(len(found) for found in samples)
    if rows < FEW:
        warn(f"{counted(rows, 'row')} fix no cost model: give logs of whole networks")
    show_fit(fit, f"{known} of {counted(rows, 'row')}" if names else None)
    if request.write:
        save_cost(request.write, fit.model, ["Made by `python -m stages.profile`: ms; see README.md."])
        output.print(f"{request.write} written")
    if request.json:
        write_json(request.json, {"logs": contents, "fit": asdict(fit)})


def network_names(params: Path) -> tuple[Names | None, str]:
    """The exported network's layers, if there is one, and the SOC's name."""
    if not params.is_file():
        return None, ""
    soc = load_params(params).soc
    if not FLOAT_MODEL.is_file():
        return None, soc.name
    graph = Graph(load_model(FLOAT_MODEL))
    layers = find_layers(graph, soc)
    return Names(graph, layers, layer_work(graph, layers)), soc.name


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


def note_of(request: Request) -> str:
    """Where the numbers come from."""
    logs = (f"{log.name} at {f}/{w}" for log, (f, w) in zip(request.logs, request.bits, strict=True))
    return f"measured on a board: {', '.join(logs)}"


def shown(
    log: Path, bits: tuple[int, int], run: Run, samples: Sequence[Sample], model: CostModel, count: int | None
) -> dict[str, Any]:
    """Print a log's tables; gives its part of the JSON."""
    hot = hot_layers(run.layers, samples, run.total, model)
    number = len(hot) if count is None else min(count, len(hot))
    title = f"{log}, {bits[0]}/{bits[1]} bits: {run.total:.3f} ms; the {number} slowest of {counted(len(hot), 'layer')}"
    output.print(hot_table(hot, number, title))
    if run.operators:
        output.print(operator_table(run.operators, run.total))
    return {
        "log": str(log),
        "feature_bits": bits[0],
        "weight_bits": bits[1],
        "total_ms": run.total,
        "layers": hot,
        "operators": [asdict(row) for row in run.operators],
    }


def show_fit(fit: Fit, matched: str | None) -> None:
    """Print the cost model in a few lines."""
    model = fit.model
    prices = ", ".join(
        f"{key} {price:.3g} ms" + (" (scaled, not measured)" if key in fit.unseen else "")
        for key, price in model.ms_per_gmac.items()
    )
    output.print(
        f"cost model: per GMAC {prices or 'nothing'}; per MB {model.ms_per_mbyte:.3g} ms; "
        f"per layer {model.ms_per_layer:.3g} ms"
    )
    output.print(f"it is off by {fit.error:.3f} ms a layer, {fit.share:.0%} of the time")
    if matched is not None:
        output.print(f"{matched} named as a layer of {FLOAT_MODEL}")


def widths_of(texts: Sequence[str], logs: int) -> list[tuple[int, int]]:
    """Parse --bits: one pair for all logs, or one for each.

    Raises:
        UserError: if it is no pair, or there are more or fewer than logs.
    """
    for text in texts:
        if not re.fullmatch(r"[1-9]\d?/[1-9]\d?", text):
            raise UserError(f"--bits {text}: give feature bits/weight bits, as in 8/8 or 8/4")
    if len(texts) not in (1, logs):
        raise UserError(f"--bits: {counted(len(texts), 'pair')} for {counted(logs, 'log')}; give one, or one for each")
    pairs = [(int(features), int(weights)) for features, _, weights in (text.partition("/") for text in texts)]
    return pairs * logs if len(pairs) == 1 else pairs


def _requested(arguments: argparse.Namespace) -> None:
    bits = widths_of(arguments.bits, len(arguments.logs))
    if arguments.count < 0:
        raise UserError(f"--count {arguments.count}: give a number of layers, or 0 for all")
    for option, target in (("--write", arguments.write), ("--json", arguments.json)):
        if target and target.resolve() in [log.resolve() for log in arguments.logs]:
            raise UserError(f"{option} {target} would replace that log: name another file")
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
        )
    )


if __name__ == "__main__":
    main()
