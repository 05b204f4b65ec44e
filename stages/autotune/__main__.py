"""Chooses a bit width for every feature and every weight: as exact as a budget allows, or as cheap as a target allows.

Reads out/export, out/calibset, out/calibrate (and data.debug or data.evaluation for a target); writes out/autotune:
node_bits.json (for quant.node_bits), autotune.json, pareto.csv, pareto.svg, and logs an MLflow run with them. Measures
what each bit width of each tensor alone does to the outputs (kept for the next call), solves for the best bit
allocation exactly, and verifies it in the exact simulator.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stages.autotune.allocation.cost_tables import MEAN_BITS
from stages.autotune.allocation.integer_program import BitAllocation
from stages.autotune.allocation.node_bits_content import to_content
from stages.autotune.allocation_report import (
    Outcome,
    Row,
    allocation_text,
    comparison_row,
    comparison_table,
    float_text,
    notes,
    report_content,
)
from stages.autotune.bounds import Bound, check_bounds, find_bounds, keeps
from stages.autotune.options import (
    COST_UNITS,
    Budget,
    MeanBits,
    Target,
    parse_budget,
    parse_mean_bits,
    parse_target,
    too_few_samples,
    too_uncertain,
)
from stages.autotune.pareto import curve
from stages.autotune.pareto_plot import Measured, curve_csv, curve_plot
from stages.autotune.tuner import AUTOTUNE_REPORT, Tuner, Unseen
from stages.core.base.artifacts import check_targets, write_json, write_text
from stages.core.base.console import counted, next_step, output, warn
from stages.core.base.errors import UserError
from stages.core.base.paths import AUTOTUNE
from stages.core.command import run_command
from stages.core.config.schema import Config
from stages.core.data.inputs import noun_of
from stages.profile.options import check_bits
from stages.search.candidate_metric import ACCURACY, EVALUATED, metric_text, relative_bound

CURVE_CSV, CURVE_PLOT = AUTOTUNE / "pareto.csv", AUTOTUNE / "pareto.svg"
MOST_PICTURES, MOST_POINTS = 10_000, 1000
LOGGED_OPTIONS = ("mean_bits", "target", "minimize", "allow_float", "pictures")
EPILOG = """\
examples:
  python -m stages.autotune --mean-bits 6                       no more bits than uniform 6/6, features and weights each
  python -m stages.autotune --budget size=2500000               weights of 2.5 MB
  python -m stages.autotune --budget bitops=0.5x                half the bit operations of uniform 8 bits
  python -m stages.autotune --budget latency=30 --budget size=0.7x
  python -m stages.autotune --target fidelity=0.99              the cheapest that keeps the outputs' fidelity
  python -m stages.autotune --target error=8/8                  the cheapest that errs no more than uniform 8/8
  python -m stages.autotune --target accuracy=-0.003 --minimize size
  python -m stages.autotune --target map=-0.01                  a detector's mAP50-95; agreement=0.9 needs no labels

Then compose with quant.node_bits=file:out/autotune/node_bits.json added to your overrides, and `dvc repro`.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what to keep within, and what to reach (at least one)")
    group.add_argument(
        "--budget",
        action="append",
        default=[],
        metavar="COST=AMOUNT",
        help="latency in ms (the SOC's cost file), size in bytes of the weights, bitops: multiplications times the "
        "bits of both operands; 0.5x: half of what uniform 8 bits cost. May be given several times",
    )
    group.add_argument(
        "--mean-bits",
        metavar="BITS",
        help="mean bit width of all elements of features, and that of weights: 6, or 8/5.5 for features/weights",
    )
    group.add_argument(
        "--target",
        metavar="METRIC=BOUND",
        help="error: of the outputs, squared and relative, on the validation pictures; fidelity, cosine: of the "
        "outputs on data.debug; on every second picture of data.evaluation, the others tell afterwards what it is "
        "worth: accuracy (top-1), map (mAP50-95), agreement (the float network's best class, or mAP50 with its boxes "
        "as the truth; no labels), mask_map, mask_agreement, keypoint_map, keypoint_agreement (the same of masks and "
        "key points), own (data.evaluation.metric): 0 or below: worse than the float network's by that. A bound of "
        "8/8: what uniform bit widths have",
    )
    parser.add_argument(
        "--minimize",
        choices=list(COST_UNITS),
        help="what a target is to be reached with the least of, and what a budget is to spare where a few percent of "
        "the error buy it (default: latency if times are known, else bitops)",
    )
    parser.add_argument("--allow-float", action="store_true", help="let nodes stay in float too")
    parser.add_argument("--pictures", type=int, default=8, help="pictures to measure sensitivities on (%(default)s)")
    parser.add_argument(
        "--points", type=int, default=12, help="points of the curve of error against cost (%(default)s)"
    )
    parser.add_argument("--cost", type=Path, help="the cost file (default: the SOC's in conf/cost)")
    parser.add_argument(
        "--node-bits",
        type=Path,
        default=AUTOTUNE / "node_bits.json",
        metavar="FILE",
        help="where the bit widths go (%(default)s)",
    )
    parser.add_argument(
        "--no-track", action="store_true", help="log no MLflow run (experiment <track.experiment>-autotune)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there too")


def autotune(config: Config, arguments: argparse.Namespace) -> None:
    budgets, mean_bits, target = _parsed(config, arguments)
    tuner = Tuner(config, arguments.cost, arguments.allow_float, arguments.pictures)
    bounds = find_bounds(tuner.problem, budgets, mean_bits)
    minimized = arguments.minimize or tuner.usual_cost()
    tuner.problem.costs.of(minimized)  # refuses a latency that nobody knows before anything is measured
    check_bounds(tuner.problem, bounds, config.soc.name)
    if target is not None:
        outcome = _reach(tuner, target, minimized, bounds)
    else:
        chosen, tried = tuner.spend(bounds, minimized)
        steps = [{"predicted": each.predicted, "error": each.error} for each in tried]
        outcome = Outcome(chosen, steps, budgets[0].cost if budgets else MEAN_BITS)
    _write(config, tuner, arguments, bounds, outcome)


def _parsed(config: Config, arguments: argparse.Namespace) -> tuple[list[Budget], MeanBits | None, Target | None]:
    """What the arguments ask for.

    Raises:
        UserError: for arguments that ask for nothing, or for what cannot be.
    """
    budgets = [parse_budget(text) for text in arguments.budget]
    mean_bits = parse_mean_bits(arguments.mean_bits) if arguments.mean_bits else None
    target = parse_target(arguments.target) if arguments.target else None
    if not budgets and mean_bits is None and target is None:
        raise UserError("give what to keep within (--budget, --mean-bits) or to reach (--target); --help has examples")
    if target is not None and target.uniform is not None:
        check_bits([target.uniform], config, f"--target {target.metric}=")
    for option, least, most in (("pictures", 1, MOST_PICTURES), ("points", 2, MOST_POINTS)):
        if not least <= getattr(arguments, option) <= most:
            raise UserError(f"--{option} {getattr(arguments, option)}: give {least} to {most}")
    check_targets(arguments.node_bits, arguments.json)
    return budgets, mean_bits, target


def _reach(tuner: Tuner, asked: Target, minimized: str, bounds: Sequence[Bound]) -> Outcome:
    """Search for a target; print how it was reached, and what it is worth on the samples that chose nothing."""
    doubts, noun = list[str](), noun_of(tuner.inputs)
    if asked.metric == ACCURACY and (few := too_few_samples(asked, tuner.tuned_on(), noun)):
        warn(few)
        doubts.append(few)
    reached = tuner.reach(asked, minimized, bounds)
    target, chosen = reached.target, reached.chosen
    output.print(
        f"{target.metric} {reached.value:.6g}, asked for {target.bound:.6g}: least {minimized} after "
        f"{counted(len(reached.steps), 'simulation')}"
    )
    steps = [
        {minimized: step.cost, "predicted": step.predicted, target.metric: step.value, "met": step.met}
        for step in reached.steps
    ]
    if target.metric not in EVALUATED:
        return Outcome(chosen, steps, minimized, None, doubts)
    try:
        unseen = tuner.unseen(target.metric, chosen.allocation)
    except UserError as error:  # what was found must not be lost by it
        doubts.append(f"the other evaluation {noun}s do not tell what it is worth: {error}")
        return Outcome(chosen, steps, minimized, None, doubts)
    output.print(
        f"that is of every second evaluation {noun}, which chose the bit widths and flatters them; of the others: "
        + _unseen_text(target.metric, unseen)
    )
    wanted = target
    if asked.relative:
        bound = relative_bound(unseen.of_float, asked.bound, greater_is_better=target.greater_is_better)
        wanted = replace(target, bound=bound)
    if noise := too_uncertain(asked, unseen.interval, noun):
        doubts.append(noise)
    if not wanted.met(unseen.chosen):
        shown = [metric_text(target.metric, value) for value in (unseen.chosen, wanted.bound)]
        doubts.append(f"the other {noun}s miss the target: {shown[0]}, asked for {shown[1]}")
    return Outcome(chosen, steps, minimized, unseen.content(), doubts)


def _unseen_text(metric: str, unseen: Unseen) -> str:
    """Both networks' metric on the other samples, and how far chance moves the difference."""
    text = f"float {metric_text(metric, unseen.of_float)}, chosen {metric_text(metric, unseen.chosen)}"
    if unseen.interval is None:
        return text
    low, high = unseen.interval
    return f"{text}, difference {unseen.chosen - unseen.of_float:+.4f}, 95 % CI {low:+.4f} to {high:+.4f}"


def _write(
    config: Config, tuner: Tuner, arguments: argparse.Namespace, bounds: Sequence[Bound], outcome: Outcome
) -> None:
    """Write the files, log the run; print the table and what to type."""
    problem = tuner.problem
    rows = _comparison(tuner, bounds, outcome)
    points = curve(tuner.predicted_error, outcome.curve_cost, arguments.points)
    target = [f"--target {arguments.target}"] if arguments.target else []
    asked = [*dict.fromkeys(bound.argument for bound in bounds), *target]
    node_bits = to_content(problem.node_bits(outcome.chosen.allocation))
    report = {
        "soc": config.soc.name,
        "model": config.model.name,
        "asked": asked,
        **report_content(tuner.predicted_error, outcome, rows, points),
        "given": to_content(problem.given),
        "written": node_bits,
    }
    write_json(arguments.node_bits, node_bits)
    for path in filter(None, (AUTOTUNE_REPORT, arguments.json)):
        write_json(path, report)
    write_text(CURVE_CSV, curve_csv(points, outcome.curve_cost))
    title = f"{config.model.name} on {config.soc.name}, {' '.join(asked)}"
    write_text(CURVE_PLOT, curve_plot(points, *_measured(tuner, outcome), outcome.curve_cost, title))
    _print(tuner, rows, outcome)
    if not arguments.no_track:
        _log(config, arguments, report)
    for line in outcome.doubts:
        warn(line)
    used = f"python -m stages.compose --keep quant.node_bits=file:{arguments.node_bits} && dvc repro"
    next_step(f"{used}, to use it in spite of that" if outcome.doubts else used)


def _comparison(tuner: Tuner, bounds: Sequence[Bound], outcome: Outcome) -> list[Row]:
    """Uniform bit widths, and last what was chosen."""
    problem, chosen = tuner.problem, outcome.chosen
    compared = [(f"uniform {each.name}", each.allocation, each.error) for each in tuner.uniform()]
    return [
        comparison_row(problem, name, allocation, error, keeps(problem, allocation, bounds))
        for name, allocation, error in [*compared, ("chosen", chosen.allocation, chosen.error)]
    ]


def _measured(tuner: Tuner, outcome: Outcome) -> tuple[list[Measured], Measured]:
    """Uniform bit widths, and what was chosen, for the plot."""

    def measured(name: str, allocation: BitAllocation, error: float) -> Measured:
        return Measured(name, tuner.problem.costs.total(outcome.curve_cost, allocation), error)

    uniform = [measured(each.name, each.allocation, each.error) for each in tuner.uniform()]
    return uniform, measured("chosen", outcome.chosen.allocation, outcome.chosen.error)


def _print(tuner: Tuner, rows: Sequence[Row], outcome: Outcome) -> None:
    problem, chosen = tuner.problem, outcome.chosen
    output.print(comparison_table(rows))
    for line in notes(rows):
        output.print(line)
    output.print(allocation_text(problem, chosen.allocation))
    if in_float := float_text(problem, chosen.allocation):
        output.print(in_float)
    output.print(f"error of the outputs: predicted {chosen.predicted:.3g}, measured {chosen.error:.3g}")
    if problem.cost_model.timed and problem.cost_model.note:
        output.print(f"times: {problem.cost_model.note}")
    output.print(f"curve: {CURVE_PLOT.resolve().as_uri()}")


def _log(config: Config, arguments: argparse.Namespace, report: Mapping[str, Any]) -> None:
    """Log the call to MLflow; print where."""
    from stages.autotune.tracking import log  # noqa: PLC0415  MLflow takes a second to import

    options = {key: getattr(arguments, key) for key in LOGGED_OPTIONS} | {"budget": " ".join(arguments.budget) or None}
    for line in log(config, options, report, [AUTOTUNE_REPORT, CURVE_PLOT, CURVE_CSV, arguments.node_bits]):
        output.print(line)


if __name__ == "__main__":
    run_command(autotune, __doc__ or "", add_arguments, EPILOG)
