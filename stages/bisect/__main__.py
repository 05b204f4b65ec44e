"""Finds the few nodes whose quantization costs the network its similarity or accuracy.

Where the quantized network is poor, a few nodes are often to blame. This keeps parts of the network in float, simulates
the rest in the SOC's exact integers, and narrows down: first to operator types, then to nodes, until none of those left
can be spared. It prints every simulation and the setting (quant.skip_nodes) that restores the metric.

Reads params.yaml, out/export, out/calibset, out/calibrate (`dvc repro calibrate` makes them) and the pictures. If
out/compare has a similarity table of these settings, the most suspect nodes are tried first. Changes no file of the
pipeline.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stages.bisect.report import (
    FULL_BITS,
    command_line,
    fine,
    innocent,
    narrow_sides,
    path_table,
    to_json,
    too_many,
    verdict,
    width_verdict,
)
from stages.bisect.search import Found, Trials, search
from stages.bisect.suspects import find_suspects, similarity_rows
from stages.core.base.artifacts import check_targets, write_json
from stages.core.base.console import output
from stages.core.base.errors import UserError
from stages.core.base.paths import QUANTIZE
from stages.core.command import run_command
from stages.core.config.overrides import skip_override
from stages.core.config.schema import Config
from stages.quantize.candidate import Candidate
from stages.quantize.pipeline import Pipeline
from stages.trial import ACCURACY, COSINE, as_judged, opened

NOT_RESTORED = 1
ROUNDING = 1e-9  # what a difference of two shares may be off
EPILOG = """\
examples:
  python -m stages.bisect                                     which nodes bring the output below a cosine of 0.98?
  python -m stages.bisect --metric accuracy --below 0.75      which bring top-1 below 75%?
  python -m stages.bisect --metric accuracy --below -0.01     which bring it a point or more below the float one?
  python -m stages.bisect --limit 10 --json bisect.json       at most 10 simulations; the path and the result as JSON

Exit code: 0 if the metric is good or a setting restores it, 1 if nothing does, 2 for a mistake in what was given.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--metric",
        choices=(COSINE, ACCURACY),
        default=COSINE,
        help="cosine: of the least similar output, the average over data.debug; accuracy: top-1 over data.evaluation "
        "(%(default)s)",
    )
    parser.add_argument(
        "--below",
        type=float,
        default=0.98,
        help="less than this is too low, 0 to 1; of accuracy 0 or below: less than the float network's by that "
        "(%(default)s)",
    )
    parser.add_argument("--nodes-only", action="store_true", help="search among all nodes at once, not types first")
    parser.add_argument("--limit", type=int, help="at most so many simulations; then the best so far")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the path and the result there too")


def bisect(config: Config, arguments: argparse.Namespace) -> int:
    check_targets(arguments.json)
    metric, below = arguments.metric, arguments.below
    relative = metric == ACCURACY and -1 < below <= 0
    if not (relative or 0 < below <= 1):
        raise UserError(
            f"--below {below}: give a number above 0, at most 1" + ("; or -0.01" if metric == ACCURACY else "")
        )
    if arguments.limit is not None and arguments.limit < 1:
        raise UserError(f"--limit {arguments.limit}: give 1 or more")
    quant, notes = as_judged(config.quant)
    pipeline = Pipeline.open(replace(config, quant=quant), QUANTIZE.parent)
    graph, network = pipeline.network.graph, pipeline.ranged(pipeline.equalized())

    def candidate(nodes: Sequence[str] = ()) -> Candidate:
        """The network with these nodes in float, beside those that the settings keep so."""
        return pipeline.candidate(network, replace(quant, skip_nodes=[*quant.skip_nodes, *nodes]))

    rows, more = similarity_rows(config, graph)
    notes += more
    suspects = find_suspects(candidate(), config.soc, rows)
    for line in notes:
        output.print(f"note: {line}")
    with opened(config, graph.model, pipeline.inputs, metric) as pictures:
        of_float, found, bit_widths = pictures.of_float(), Found((), complete=True), list[str]()
        if relative:
            below = of_float + below - ROUNDING
        names = [entry.name for entry in suspects]
        trials = Trials(lambda nodes: pictures.of(candidate(nodes)), below, names, arguments.limit)
        if trials.restores([]):
            said = fine(metric, trials.done[0].value, below)
        elif of_float < below or not suspects:
            said = innocent(metric, of_float, below)
        else:
            found = search(trials, suspects, by_kind=not arguments.nodes_only)
            said = verdict(metric, trials, found, of_float)
            narrow = narrow_sides(quant)
            if narrow and too_many(found, len(suspects)):
                value = pictures.of(wide_draft(pipeline))
                if value >= below:
                    bit_widths = [f"quant.{side}_bits={FULL_BITS}" for side in narrow]
                    said = width_verdict(metric, narrow, found, len(suspects), value)
    output.print(path_table(metric, trials.done, of_float, below))
    output.print(said)
    skipped = [*quant.skip_nodes, *found.nodes]
    if bit_widths:
        output.print(
            "give them more bits, then `dvc repro` (or keep the bits: quant=best, `python -m stages.autotune`):"
        )
        output.print(f"  python -m stages.compose --keep {' '.join(bit_widths)}")
    elif found.nodes:
        output.print("keep them in float, then `dvc repro`:")
        output.print(f"  {command_line(skipped)}")
        output.print(
            "float is slow on the board: more bits, or another range, may do as well (quant.node_bits=file:PATH)"
        )
    restored = bool(found.nodes) or trials.done[0].restored
    if arguments.json:
        kinds = {entry.name: entry.kind for entry in suspects}
        result: dict[str, Any] = {
            "restored": restored,
            "complete": found.complete,
            "nodes": [{"node": name, "type": kinds[name]} for name in found.nodes],
            "override": skip_override(skipped) if found.nodes else None,
            "widths": bit_widths,
            "verdict": said,
            "notes": notes,
        }
        write_json(arguments.json, to_json(metric, below, of_float, trials.done, result))
    return 0 if restored else NOT_RESTORED


def wide_draft(pipeline: Pipeline) -> Candidate:
    """The network with 8 bits where the settings give fewer; ranges are chosen anew."""
    quant = pipeline.config.quant
    features, weights = max(quant.feature_bits, FULL_BITS), max(quant.weight_bits, FULL_BITS)
    quant = replace(quant, feature_bits=features, weight_bits=weights)
    other = replace(pipeline, config=replace(pipeline.config, quant=quant))
    return other.candidate(other.ranged(other.equalized()), quant)


if __name__ == "__main__":
    run_command(bisect, __doc__ or "", add_arguments, EPILOG)
