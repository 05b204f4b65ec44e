"""Finds the few nodes whose quantization costs the network its similarity or accuracy.

Where the quantized network is poor, a few nodes are often to blame. This keeps parts of the network in float, simulates
the rest in the SOC's exact integers, and narrows down: first to operator types, then to nodes, until none of those left
can be spared. It prints every simulation and the setting (quant.skip_nodes) that restores the metric.

Reads params.yaml, out/export, out/calibset, out/calibrate (`dvc repro calibrate` makes them) and the pictures. If
out/compare has a similarity table of these settings, the most suspect nodes are tried first. Changes no file of the
pipeline.
"""

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stages.bisect.bisect_report import (
    FULL_BITS,
    WantedMetric,
    bit_width_verdict,
    command_line,
    float_verdict,
    good_verdict,
    narrow_sides,
    node_verdict,
    path_table,
    to_json,
    too_many,
)
from stages.bisect.node_search import FloatNodes, search
from stages.bisect.suspects import Suspect, find_suspects, similarity_rows
from stages.bisect.trials import Trials
from stages.core.base.artifacts import check_targets, write_json
from stages.core.base.console import next_step, output
from stages.core.base.errors import UserError
from stages.core.base.paths import QUANTIZE
from stages.core.command import run_command
from stages.core.config.overrides import skip_override
from stages.core.config.schema import Config
from stages.evaluate.scoring import default_metric
from stages.quantize.candidate import Candidate
from stages.quantize.pipeline import Pipeline
from stages.search.candidate_metric import (
    ACCURACY,
    AGREEMENTS,
    COSINE,
    EVALUATED,
    FIDELITY,
    METRICS,
    OWN,
    PRECISIONS,
    CandidateMetric,
    open_metric,
    relative_bound,
)
from stages.search.trial_settings import trial_settings

EXIT_NOT_RESTORED = 1
USUAL_BELOW = {
    FIDELITY: 0.98,
    COSINE: 0.98,
    ACCURACY: -0.01,
    **dict.fromkeys(PRECISIONS, -0.01),
    **dict.fromkeys(AGREEMENTS, -0.05),
    OWN: -0.01,
}
"""What is too low unless the user says: below it, or by so much worse than the float network's."""
EPILOG = """\
examples:
  python -m stages.bisect                                     which nodes bring the outputs below a fidelity of 0.98?
                                                              (of a detector: mAP .01, agreement .05 below the float's)
  python -m stages.bisect --metric accuracy --below 0.75      which bring top-1 below 75%?
  python -m stages.bisect --metric accuracy --below -0.01     which bring it a point or more below the float one?
  python -m stages.bisect --metric agreement --below 0.9      which cost boxes or classes that the float network gives?
  python -m stages.bisect --limit 10 --json bisect.json       at most 10 simulations; the path and the result as JSON

Exit code: 0 if the metric is good or a setting restores it, 1 if nothing does, 2 for a mistake in what was given.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--metric",
        choices=METRICS,
        help="over data.debug: fidelity: of the worst part of an output, sqrt(1 - its squared error / its variance); "
        "cosine: of the least similar output; over data.evaluation: accuracy: top-1; "
        "map: mAP50-95 of a detector; agreement: the float network's best class, or a detector's mAP50 with the float "
        "network's boxes as the truth, without labels; mask_..., keypoint_...: the same of masks and key points; own: "
        "data.evaluation.metric (default: own if there is one; of a detector map with labels, else agreement; else "
        "fidelity)",
    )
    parser.add_argument(
        "--below",
        type=float,
        help="less than this is too low, 0 to 1; of all but fidelity and cosine 0 or below: worse than the float "
        "network's by that (default: fidelity and cosine 0.98, agreements -0.05, the others -0.01)",
    )
    parser.add_argument("--nodes-only", action="store_true", help="search among all nodes at once, not types first")
    parser.add_argument("--limit", type=int, help="at most so many simulations; then the best so far")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the path and the result there too")


@dataclass(frozen=True)
class Result:
    """What a search ended with.

    Attributes:
        verdict: what it says, in a sentence.
        nodes: to keep in float; None if nothing was searched.
        overrides: settings that give more bits, where few bits are to blame.
    """

    verdict: str
    nodes: FloatNodes | None = None
    overrides: Sequence[str] = ()


def bisect(config: Config, arguments: argparse.Namespace) -> int:
    check_targets(arguments.json)
    quant, notes = trial_settings(config.quant)
    pipeline = Pipeline.open(replace(config, quant=quant), QUANTIZE.parent)
    graph, network = pipeline.network.graph, pipeline.with_output_ranges(pipeline.equalized())

    def candidate(nodes: Sequence[str] = ()) -> Candidate:
        """The network with these nodes in float, beside those that the settings keep so."""
        return pipeline.choose_parameters(network, replace(quant, skip_nodes=[*quant.skip_nodes, *nodes]))

    name = arguments.metric or default_metric(config, {each: graph.shapes[each] for each in graph.outputs}) or FIDELITY
    _check(name, arguments)
    rows, of_rows = similarity_rows(config, graph)
    notes += of_rows
    suspects = find_suspects(candidate(), config.soc, rows)
    for line in notes:
        output.print(f"note: {line}")
    with open_metric(config, graph.model, pipeline.inputs, name) as metric:
        wanted = _wanted(metric, arguments.below)
        names, greater = [suspect.name for suspect in suspects], wanted.greater_is_better
        trials = Trials(lambda nodes: metric.of(candidate(nodes)), wanted.below, names, arguments.limit, greater)
        result = _search(wanted, trials, suspects, by_kind=not arguments.nodes_only)
        if result.nodes is not None and too_many(result.nodes, len(suspects)):
            result = _blame_bit_widths(wanted, result, result.nodes, suspects, pipeline, metric)
    output.print(path_table(wanted, trials.done))
    nodes = result.nodes or FloatNodes((), minimal=True)
    _print(result, [*quant.skip_nodes, *nodes.names] if nodes.names else [])
    restored = bool(nodes.names) or trials.done[0].restored
    if arguments.json:
        kinds = {suspect.name: suspect.kind for suspect in suspects}
        content = {
            "restored": restored,
            "complete": nodes.minimal,
            "nodes": [{"node": name, "type": kinds[name]} for name in nodes.names],
            "override": skip_override([*quant.skip_nodes, *nodes.names]) if nodes.names else None,
            "bit_widths": list(result.overrides),
            "verdict": result.verdict,
            "notes": notes,
        }
        write_json(arguments.json, to_json(wanted, trials.done, content))
    return 0 if restored else EXIT_NOT_RESTORED


def _check(metric: str, arguments: argparse.Namespace) -> None:
    """Refuse values that no search can have.

    Raises:
        UserError: naming the option.
    """
    below, evaluated = arguments.below, metric in EVALUATED
    if below is not None:
        low, high = (-math.inf, math.inf) if metric == OWN else (-1.0, 1.0)
        if not (0 < below <= high or (evaluated and low < below <= 0)) or math.isinf(below):
            most = "" if metric == OWN else ", at most 1"
            raise UserError(f"--below {below}: give a number above 0{most}" + ("; or -0.01" if evaluated else ""))
    if arguments.limit is not None and arguments.limit < 1:
        raise UserError(f"--limit {arguments.limit}: give 1 or more")


def _wanted(metric: CandidateMetric, below: float | None) -> WantedMetric:
    """The metric with its bound as a number of its own."""
    of_float, greater = metric.of_float(), metric.greater_is_better
    asked = USUAL_BELOW[metric.name] if below is None else below
    bound = relative_bound(of_float, asked, greater_is_better=greater) if asked <= 0 else asked
    return WantedMetric(metric.name, bound, of_float, greater)


def _search(wanted: WantedMetric, trials: Trials, suspects: Sequence[Suspect], by_kind: bool) -> Result:
    """Search for nodes to keep in float, where that makes sense."""
    if trials.restores([]):
        return Result(good_verdict(wanted, trials.done[0].value))
    if not wanted.good(wanted.of_float) or not suspects:
        return Result(float_verdict(wanted))
    nodes = search(trials, suspects, by_kind)
    return Result(node_verdict(wanted, trials, nodes), nodes)


def _blame_bit_widths(
    wanted: WantedMetric,
    result: Result,
    nodes: FloatNodes,
    suspects: Sequence[Suspect],
    pipeline: Pipeline,
    metric: CandidateMetric,
) -> Result:
    """Where many nodes cost a little each: see whether 8 bits restore the metric."""
    narrow = narrow_sides(pipeline.config.quant)
    if not narrow:
        return result
    value = metric.of(_eight_bit_candidate(pipeline))
    if not wanted.good(value):
        return result
    verdict = bit_width_verdict(wanted, narrow, nodes, len(suspects), value)
    return Result(verdict, nodes, [f"quant.{side}_bits={FULL_BITS}" for side in narrow])


def _eight_bit_candidate(pipeline: Pipeline) -> Candidate:
    """The network with 8 bits where the settings give fewer; ranges are chosen anew."""
    quant = pipeline.config.quant
    features, weights = max(quant.feature_bits, FULL_BITS), max(quant.weight_bits, FULL_BITS)
    quant = replace(quant, feature_bits=features, weight_bits=weights)
    other = replace(pipeline, config=replace(pipeline.config, quant=quant))
    return other.choose_parameters(other.with_output_ranges(other.equalized()), quant)


def _print(result: Result, skipped: Sequence[str]) -> None:
    """Print the verdict and what to type; `skipped`: all nodes that are to be in float."""
    output.print(result.verdict)
    if result.overrides:
        output.print("give them more bits, or keep the bits: quant=best, `python -m stages.autotune`")
        next_step(f"python -m stages.compose --keep {' '.join(result.overrides)} && dvc repro")
    elif skipped:
        output.print("float is slow on the board: more bits, or another range, may do too (quant.node_bits=file:PATH)")
        next_step(f"{command_line(skipped)} && dvc repro, which keeps them in float")
    else:
        next_step("python -m stages.bisect --help, for other metrics and bounds")


if __name__ == "__main__":
    run_command(bisect, __doc__ or "", add_arguments, EPILOG)
