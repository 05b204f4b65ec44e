"""Chooses a width for every feature and every weight: as exact as a budget allows, or as cheap as a target allows.

Reads out/export, out/calibset, out/calibrate (and data.debug or data.evaluation for a target); writes out/autotune:
node_bits.json (for quant.node_bits), autotune.json, pareto.csv, pareto.svg, and logs an MLflow run with them. Measures
what each width of each tensor alone does to the outputs (kept for the next call), solves for the best widths exactly,
and verifies them in the exact simulator.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stages.autotune.options import COSTS, parse_budget, parse_mean_bits, parse_target, too_few
from stages.autotune.pareto import BITS, curve, spent
from stages.autotune.problem import file_content
from stages.autotune.report import comparison, curve_csv, curve_plot, described, notes, row, sensitivity_rows
from stages.autotune.sensitivity import Sensitivities
from stages.autotune.tuner import REPORT, ROUNDING, Bound, Tuner
from stages.autotune.verify import Verified
from stages.core.base.artifacts import check_targets, write_json, write_text
from stages.core.base.console import counted, output, warn
from stages.core.base.errors import UserError
from stages.core.base.paths import AUTOTUNE
from stages.core.command import run_command
from stages.core.config.schema import Config
from stages.profile.options import check_bits
from stages.trial import ACCURACY

EPILOG = """\
examples:
  python -m stages.autotune --mean-bits 6                       no more bits than uniform 6/6, features and weights each
  python -m stages.autotune --budget size=2500000               weights of 2.5 MB
  python -m stages.autotune --budget bitops=0.5x                half the bit operations of uniform 8 bits
  python -m stages.autotune --budget latency=30 --budget size=0.7x
  python -m stages.autotune --target cosine=0.99                the cheapest that keeps the outputs' cosine
  python -m stages.autotune --target error=8/8                  the cheapest that errs no more than uniform 8/8
  python -m stages.autotune --target accuracy=-0.003 --minimize size

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
        help="mean width of all elements of features, and that of weights: 6, or 8/5.5 for features/weights",
    )
    group.add_argument(
        "--target",
        metavar="METRIC=BOUND",
        help="error: of the outputs, squared and relative, on the validation pictures; cosine: of the outputs on "
        "data.debug; accuracy: top-1 on every second picture of data.evaluation, the others tell afterwards what it is "
        "worth (0 or below: less than the float network's by that). A bound of 8/8: what uniform widths have",
    )
    parser.add_argument(
        "--minimize",
        choices=list(COSTS),
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
        help="where the widths go (%(default)s)",
    )
    parser.add_argument(
        "--no-track", action="store_true", help="log no MLflow run (experiment <track.experiment>-autotune)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there too")


def autotune(config: Config, arguments: argparse.Namespace) -> None:
    budgets = [parse_budget(text) for text in arguments.budget]
    mean_bits = parse_mean_bits(arguments.mean_bits) if arguments.mean_bits else None
    target = parse_target(arguments.target) if arguments.target else None
    if not budgets and mean_bits is None and target is None:
        raise UserError("give what to keep within (--budget, --mean-bits) or to reach (--target); --help has examples")
    if target is not None and target.like is not None:
        check_bits([target.like], config, f"--target {target.metric}=")
    for option, least in (("pictures", 1), ("points", 2)):
        if getattr(arguments, option) < least:
            raise UserError(f"--{option} {getattr(arguments, option)}: give {least} or more")
    check_targets(arguments.node_bits, arguments.json)
    tuner = Tuner(config, arguments.cost, arguments.allow_float, arguments.pictures)
    bounds = tuner.bounds(budgets, mean_bits)
    minimized = arguments.minimize or tuner.usual_cost()
    tuner.problem.tables(minimized)  # refuses a latency that nobody knows before anything is measured
    tuner.check(bounds)
    few = too_few(target, tuner.seen()) if target is not None and target.metric == ACCURACY else None
    if few:
        warn(few)
    found = tuner.sensitivities()
    doubts = [few] if few else []
    if target is not None:
        asked = target
        chosen, steps, target = tuner.reach(target, minimized, bounds, found)
        reached = next(step.found for step in steps if step.allotment == chosen.allotment)
        tried = [
            {minimized: step.cost, "predicted": step.predicted, target.metric: step.found, "met": step.met}
            for step in steps
        ]
        output.print(
            f"{target.metric} {reached:.6g}, asked for {target.bound:.6g}: least {minimized} after "
            f"{counted(len(steps), 'simulation')}"
        )
        unseen = None
        if target.metric == ACCURACY:
            before, after = tuner.unseen(chosen.allotment)
            unseen = {"float": before, "chosen": after}
            output.print(
                "that is of every second evaluation picture, which chose the widths and flatters them; of the others: "
                f"float {before:.1%}, chosen {after:.1%}"
            )
            wanted = target.bound if asked.bound > 0 or asked.like else before + asked.bound
            if after < wanted - ROUNDING:
                doubts.append(f"the other pictures miss the target: {after:.1%}, asked for {wanted:.1%}")
        _write(config, tuner, arguments, chosen, tried, minimized, bounds, found, unseen, doubts)
        return
    chosen, allotted = tuner.spend(bounds, minimized, found)
    tried = [{"predicted": entry.predicted, "error": entry.error} for entry in allotted]
    _write(config, tuner, arguments, chosen, tried, budgets[0].kind if budgets else BITS, bounds, found, None, doubts)


def _write(
    config: Config,
    tuner: Tuner,
    arguments: argparse.Namespace,
    chosen: Verified,
    tried: Sequence[dict[str, Any]],
    kind: str,
    bounds: Sequence[Bound],
    found: Sensitivities,
    unseen: dict[str, float] | None,
    doubts: Sequence[str],
) -> None:
    """Write the files, log the run; print the table and what to type."""
    problem, uniform = tuner.problem, tuner.uniform()
    entries = [(f"uniform {one.name}", one.allotment, one.error) for one in uniform]
    entries.append(("chosen", chosen.allotment, chosen.error))
    rows = [row(problem, name, each, error, tuner.within(each, bounds)) for name, each, error in entries]
    points = curve(problem, found, kind, arguments.points)
    spots = [(one.name, spent(problem, kind, one.allotment), one.error) for one in uniform]
    marked = spent(problem, kind, chosen.allotment), chosen.error
    asked = [
        *dict.fromkeys(bound.asked for bound in bounds),
        *([f"--target {arguments.target}"] if arguments.target else []),
    ]
    title = f"{config.model.name} on {config.soc.name}, {' '.join(asked)}"
    written = file_content(problem.node_bits(chosen.allotment))
    report = {
        "soc": config.soc.name,
        "model": config.model.name,
        "asked": asked,
        "predicted": chosen.predicted,
        "unseen": unseen,
        "rows": [entry.content() for entry in rows],
        "tried": tried,
        "curve": {"cost": kind, "points": [{"cost": point.cost, "predicted": point.predicted} for point in points]},
        "variables": sensitivity_rows(problem, found, chosen.allotment),
        "given": file_content(problem.given),
        "written": written,
    }
    write_json(arguments.node_bits, written)
    for path in filter(None, (REPORT, arguments.json)):
        write_json(path, report)
    write_text(AUTOTUNE / "pareto.csv", curve_csv(points, kind))
    write_text(AUTOTUNE / "pareto.svg", curve_plot(points, spots, marked, kind, title))
    output.print(comparison(rows))
    for line in notes(rows):
        output.print(line)
    output.print(described(problem, chosen.allotment))
    output.print(f"error of the outputs: predicted {chosen.predicted:.3g}, measured {chosen.error:.3g}")
    if problem.cost.timed and problem.cost.note:
        output.print(f"times: {problem.cost.note}")
    output.print(f"curve: {(AUTOTUNE / 'pareto.svg').resolve().as_uri()}")
    if not arguments.no_track:
        from stages.autotune.log import log  # noqa: PLC0415  MLflow takes a second to import

        files = [REPORT, AUTOTUNE / "pareto.svg", AUTOTUNE / "pareto.csv", arguments.node_bits]
        keys = ("mean_bits", "target", "minimize", "allow_float", "pictures")
        options = {key: getattr(arguments, key) for key in keys} | {"budget": " ".join(arguments.budget) or None}
        for line in log(config, options, report, files):
            output.print(line)
    for line in doubts:
        warn(line)
    output.print("to use it in spite of that, then `dvc repro`:" if doubts else "use it, then `dvc repro`:")
    output.print(f"  python -m stages.compose --keep quant.node_bits=file:{arguments.node_bits}")


if __name__ == "__main__":
    run_command(autotune, __doc__ or "", add_arguments, EPILOG)
