"""`python -m stages.sweep --multirun quant.feature_bits=4,8`: many experiments, cached, ranked, in one MLflow run."""

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import hydra
from filelock import Timeout
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig

from stages.core.base.artifacts import write_json, write_text
from stages.core.base.console import console, counted, next_step, output, say, warn
from stages.core.base.errors import UserError, one_line
from stages.core.command import EXIT_TERMINATED, guarded
from stages.core.config.composition import open_conf, register_schema
from stages.core.config.first_line import joined, recorded
from stages.core.config.overrides import quoted
from stages.sweep.launchers import check_launcher, check_plugins, sole, threads_of_a_point
from stages.sweep.point import point
from stages.sweep.progress import watched
from stages.sweep.ranking import Ranking
from stages.sweep.sweep_config import SweepConfig
from stages.sweep.sweep_plan import SweepPlan, check_points, check_settings, left_of, other_subject, planned, subject
from stages.sweep.sweep_report import as_csv, as_rows, front_line, markdown, results_table, swept
from stages.sweep.sweep_state import RESULT_FILE, PointResult, Sweep, label, load_results, save_sweep
from stages.sweep.tracking import FAILED, FINISHED, KILLED, close_abandoned, close_parent, folder_lock, open_parent
from stages.sweep.workspace import LOCKS_FOLDER, cache_folder, clear_leftovers
from stages.track.run import tracking_uri

SWEEPS_FOLDER = Path("sweeps")
PARAMS = Path("params.yaml")
CONFIG_NAME = "sweep"
FOLDER_KEY = "hydra.sweep.dir"
MODE_OPTIONS = ("--multirun", "-m", "--run", "-r")
OF_THE_SWEEP = ("hydra", "sweep.", "experiment=", "compare.cures=")
"""How overrides begin that belong to no single experiment: a report is for its cures."""
ANSWER_OPTIONS = ("help", "hydra_help", "cfg", "info", "shell_completion")
"""Options of Hydra that show something and run nothing."""


@dataclass(frozen=True)
class _Locations:
    """Where a sweep runs: its folder, the project's, the project's DVC cache, the MLflow store."""

    folder: Path
    project: Path
    cache: Path
    uri: str


@dataclass(frozen=True)
class _Origin:
    """What a sweep starts from: as Hydra composes it, what it was given, what it keeps of params.yaml."""

    composed: DictConfig
    given: tuple[str, ...]
    kept: tuple[str, ...] | None

    @property
    def overrides(self) -> list[str]:
        """All of them."""
        return [*(self.kept or ()), *self.given]


def main() -> None:
    """Run the command; exits."""
    words = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))
    sys.exit(guarded(partial(_command, words), "--debug" in words))


def _command(words: Sequence[str]) -> int | None:
    """Sweep, or let Hydra answer `--help`, `--cfg job` and the like.

    Raises:
        UserError: for options that do not exist, or are not for sweeps.
    """
    own = argparse.ArgumentParser(add_help=False)
    own.add_argument("--json", type=Path)
    own.add_argument("--keep", action="store_true")
    own.add_argument("--debug", action="store_true")
    arguments, rest = _parsed(own, words)
    overrides = [word for word in rest if word not in MODE_OPTIONS]
    options = [word for word in overrides if word.startswith("-")]
    kept = recorded(PARAMS) if arguments.keep else None
    if not options:
        return run_sweep(overrides, arguments.json, kept)
    asked, unknown = _parsed(get_args_parser(), rest)
    if unknown or not any(
        getattr(asked, name) for name in ANSWER_OPTIONS
    ):  # else Hydra would run points without a sweep
        raise UserError(f"{' '.join(unknown or options)}: not understood; --help shows the options of a sweep")
    _help(joined(kept or [], rest))
    return None


def _parsed(parser: argparse.ArgumentParser, words: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Parse what a parser knows; a mistake is said in one line, without the usage before it."""
    parser.exit_on_error = parser.allow_abbrev = False
    try:
        return parser.parse_known_args(words)
    except argparse.ArgumentError as error:
        raise UserError(f"{error}; see --help") from error


def run_sweep(given: Sequence[str], json: Path | None, kept: Sequence[str] | None = None) -> int:
    """Run a sweep in the current folder.

    Args:
        given: Hydra's overrides, with one value or several.
        json: where to write the table; None: nowhere.
        kept: overrides of params.yaml to start from; the sweep's own win over them. None: from conf/config.yaml alone.

    Returns:
        0, or 1 if a point failed.

    Raises:
        UserError: for a mistake that concerns all points.
    """
    conf, project = Path("conf").resolve(), Path.cwd()
    check_plugins(given)
    if json and json.is_dir():  # not after hours
        raise UserError(f"--json {json} is a folder: name a file")
    with open_conf(conf, joined(kept or [], given), SweepConfig):
        origin = _origin(given, kept)
        composed, overrides = origin.composed, origin.overrides
        plan = planned(composed)
        check_settings(composed, plan.varied)
        check_launcher(composed)
        _say_subject(origin, plan)
        check_points(composed, plan, project)
    if threads := threads_of_a_point(composed, os.cpu_count() or 1):
        os.environ.setdefault("SOCQUANT_THREADS", str(threads))
    cache, uri = cache_folder(project), tracking_uri()
    (cache / LOCKS_FOLDER).mkdir(parents=True, exist_ok=True)
    clear_leftovers(cache)
    folder = _folder(overrides, composed)
    try:
        with folder_lock(folder).acquire(blocking=False):
            for old in folder.glob(f"*/{RESULT_FILE}"):
                old.unlink()
            sweep = _open(_Locations(folder, project, cache, uri), origin, plan.varied)
            words = ["--multirun", *overrides, *sole(composed, plan.total), f"{FOLDER_KEY}={quoted(str(folder))}"]
            try:
                with watched(sweep, plan.total):
                    _hydra(words, conf)
                return _finish(sweep, json)
            except BaseException as error:
                _break_off(sweep, error)
                if isinstance(error, OSError):  # the disk is full, most likely
                    raise UserError(f"{folder}: {one_line(error)}") from error
                raise
    except Timeout:
        raise UserError(f"{folder} is in use by another sweep: wait for it, or choose another {FOLDER_KEY}") from None


def _origin(given: Sequence[str], kept: Sequence[str] | None) -> _Origin:
    """Compose a sweep; arguments as of `run_sweep`, Hydra is initialized."""
    loader = GlobalHydra.instance().config_loader()
    composed = loader.load_configuration(CONFIG_NAME, joined(kept or [], given), RunMode.MULTIRUN)
    if kept is None:
        return _Origin(composed, tuple(given), None)
    left = left_of(kept, given, composed)
    composed = loader.load_configuration(CONFIG_NAME, [*left, *given], RunMode.MULTIRUN)
    return _Origin(composed, tuple(given), tuple(left))


def _say_subject(origin: _Origin, plan: SweepPlan) -> None:
    """Say what is swept, and what is not though it is the current experiment."""
    shown = subject(origin.composed, plan.varied)
    output.print(swept(plan.total, shown))
    other = other_subject(origin.composed, plan.varied, origin.given, PARAMS) if origin.kept is None else None
    if other:
        line = f"the sweep is {shown} (conf/config.yaml); {PARAMS} is {other}: --keep sweeps that"
        say("note", line, "cyan")


def _help(words: Sequence[str]) -> None:
    """Let Hydra answer `--help`, `--cfg job` and the like; what it refuses is said in one line."""
    conf = Path("conf").resolve()
    with open_conf(conf, words, SweepConfig):
        GlobalHydra.instance().clear()
        _hydra(words, conf)


def _hydra(words: Sequence[str], conf: Path) -> None:
    """Run Hydra's command line."""
    register_schema(SweepConfig)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # raise, so that it can be named
    sys.argv = ["python -m stages.sweep", *words]
    hydra.main(version_base="1.3", config_path=str(conf), config_name=CONFIG_NAME)(point)()


def _folder(overrides: Sequence[str], composed: DictConfig) -> Path:
    """The sweep's folder: the user's, or one of its own by date and time, whoever else starts in the same second."""
    if any(override.startswith(f"{FOLDER_KEY}=") for override in overrides):
        return Path(composed.hydra.sweep.dir).resolve()
    SWEEPS_FOLDER.mkdir(exist_ok=True)
    stamp = f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
    for again in range(1, 1000):
        folder = SWEEPS_FOLDER / (stamp if again == 1 else f"{stamp}_{again}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder.resolve()
    raise UserError(f"{SWEEPS_FOLDER} has a thousand sweeps of this second")


def _open(locations: _Locations, origin: _Origin, varied: tuple[str, ...]) -> Sweep:
    """Open the sweep's MLflow run and write down what its jobs need to know."""
    composed, folder, choices = origin.composed, locations.folder, origin.composed.hydra.runtime.choices
    launcher = str(choices.get("hydra/launcher"))
    command = " ".join([*(() if origin.kept is None else ("--keep",)), *origin.given])
    params = {
        "name": str(choices.get("experiment") or "sweep") + f" {folder.name}",
        "overrides": " ".join(origin.overrides) or "none",
        "varied": " ".join(varied) or "nothing",
        "experiment": str(choices.get("experiment")),
        "launcher": launcher,
        "sweeper": str(choices.get("hydra/sweeper")),
        "metric": str(composed.sweep.metric or "the usual one"),
        "direction": composed.sweep.direction,
        "cost": composed.sweep.cost,
        "folder": str(folder),
    } | {f"values.{key}": str(value) for key, value in (composed.hydra.sweeper.get("params") or {}).items()}
    groups = {group: str(choices.get(group)) for group in ("soc", "model", "data", "quant") if group not in varied}
    store_lock = locations.cache / LOCKS_FOLDER / "store.lock"
    experiment_id, parent = open_parent(groups, composed.track.experiment, locations.uri, store_lock, params)
    close_abandoned([path for path in folder.parent.glob("*") if path != folder], locations.uri)
    sweep = Sweep(
        **vars(locations),
        experiment_id=experiment_id,
        parent=parent,
        varied=varied,
        metric=composed.sweep.metric,
        direction=composed.sweep.direction,
        cost=composed.sweep.cost,
        command=command,
        launcher=launcher,
        process=os.getpid(),
        subject=subject(composed, varied),
        kept=origin.kept,
    )
    save_sweep(sweep)
    return sweep


def _finish(sweep: Sweep, json: Path | None) -> int:
    """Close the sweep's run with its summary; show it. Gives the exit code."""
    ranking = Ranking(sweep, load_results(sweep.folder))
    results, best = ranking.results, next(iter(ranking.ranked), None)
    metrics, tags = {"points": float(len(results)), "failed": float(len(ranking.failed))}, {}
    files = _summary_files(ranking)
    if best is not None:
        metrics |= {f"best.{key}": value for key, value in best.metrics.items() if not key.startswith("export.")}
        metrics["pareto"] = float(len(ranking.pareto))
        tags = {"best": label(best.overrides, sweep.varied), "best_run_id": str(best.run)}
    tags["mlflow.note.content"] = markdown(ranking)
    if json:
        write_json(json, {"metric": ranking.metric, "points": as_rows(ranking)})
    close_parent(sweep, FINISHED if best or not results else FAILED, metrics, tags, files)
    output.print(results_table(ranking, output.width))
    if best is not None:
        output.print(front_line(ranking))
    for result in ranking.failed:
        say("failed", f"{label(result.overrides, sweep.varied)}: {result.error}", "red")
    output.print(f"summary:     {(sweep.folder / ('summary.svg' if best else 'points.csv')).as_uri()}")
    output.print(f"MLflow run:  {sweep.parent}, {counted(len(results), 'point')} below it")
    if (point := ranking.recommended) is not None:
        which = "the best" if point is best else "the cheapest that is as good as the best"
        next_step(f"{_command_of(point, sweep)}, for the report of {which}")
    elif best is not None:
        output.print(f"no point is good: {_command_of(best, sweep)}, and read its findings")
    elif ranking.failed:
        next_step(f"cat {sweep.folder / str(ranking.failed[0].number)}/dvc.log, for what the first of them printed")
    return 1 if ranking.failed else 0


def _command_of(point: PointResult, sweep: Sweep) -> str:
    """What makes a point the current experiment, its cures tried."""
    kept = [override.partition("=")[0] for override in sweep.kept or ()]
    settings = [
        each for each in point.overrides if not each.startswith(OF_THE_SWEEP) and each.partition("=")[0] not in kept
    ]
    words = ["python", "-m", "stages.compose", *(() if sweep.kept is None else ("--keep",)), *settings]
    return f"{shlex.join(words)} && dvc repro"


def _summary_files(ranking: Ranking) -> list[Path]:
    """Write the summary: the table, and plots where a point did not fail."""
    folder = ranking.sweep.folder
    table = folder / "points.csv"
    write_text(table, as_csv(ranking))
    files = [table, *folder.glob("multirun.yaml")]  # not every sweeper writes one
    if not ranking.ranked:
        return files
    from stages.sweep.sweep_plots import draw, interactive  # noqa: PLC0415  slow to load, and workers load this module

    plots = [folder / "summary.png", folder / "summary.svg"]
    draw(ranking, plots)
    page = folder / "parallel.html"
    if not find_spec("plotly"):
        return [*files, *plots]
    interactive(ranking, page)
    return [*files, *plots, page]


def _break_off(sweep: Sweep, error: BaseException) -> None:
    """Close the sweep's run though not all points are done."""
    killed = isinstance(error, KeyboardInterrupt | SystemExit)
    ranking = Ranking(sweep, load_results(sweep.folder))
    reason, count = "stopped" if killed else str(error), len(ranking.results)
    note = {"mlflow.note.content": markdown(ranking), "error": reason}
    try:
        close_parent(sweep, KILLED if killed else FAILED, {"points": float(count)}, note)
    except (UserError, OSError) as refused:
        warn(f"the sweep's run stays open: {one_line(refused)}")
    if count:
        output.print(results_table(ranking, output.width))
    console.print(f"stopped after {counted(count, 'point')}; the same command goes on from there")


if __name__ == "__main__":
    main()
