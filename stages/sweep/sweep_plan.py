"""What a sweep is going to run, and which of it cannot work: found before anything starts."""

import gc
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, open_dict
from yaml import YAMLError, safe_load

from stages.core.base.console import track, warn
from stages.core.base.errors import UserError, did_you_mean
from stages.core.base.texts import check_yaml, read_text
from stages.core.base.threads import thread_count
from stages.core.config.composition import explained
from stages.core.config.schema import Task
from stages.sweep.network_cost import COST_UNITS
from stages.sweep.point import checked, reason
from stages.sweep.ranking import chosen_metric, known_metrics
from stages.sweep.sweep_config import SweepSettings
from stages.sweep.sweep_state import label

__all__ = ["SweepPlan", "check_points", "check_settings", "left_of", "other_subject", "planned", "subject"]

OWN_METRIC_KEY = "data.evaluation.metric"


@dataclass(frozen=True)
class SweepPlan:
    """What a sweep tries.

    Attributes:
        varied: keys that it varies.
        points: overrides of each point; None where the sweeper chooses them as it goes.
        total: how many points; None where the sweeper does not say.
    """

    varied: tuple[str, ...]
    points: tuple[tuple[str, ...], ...] | None
    total: int | None


def planned(composed: DictConfig) -> SweepPlan:
    """Find out what a sweep varies, and its points as Hydra's own sweeper will list them.

    Args:
        composed: the sweep, with Hydra's own settings; Hydra is initialized.

    Raises:
        HydraException: for a key that Hydra refuses.
    """
    sweeper = composed.hydra.sweeper
    words = [f"{key}={value}" for key, value in (sweeper.get("params") or {}).items()] + [
        *composed.hydra.overrides.task
    ]
    parsed = OverridesParser.create(GlobalHydra.instance().config_loader()).parse_overrides(words)
    varied = tuple(dict.fromkeys(one.get_key_element() for one in parsed if one.is_sweep_override()))
    if not sweeper._target_.endswith(".BasicSweeper"):
        return SweepPlan(varied, None, sweeper.get("n_trials"))
    points = tuple(map(tuple, BasicSweeper.split_arguments(parsed, None)[0]))
    return SweepPlan(varied, points, len(points))


def left_of(kept: Sequence[str], given: Sequence[str], composed: DictConfig) -> list[str]:
    """The overrides of params.yaml that a sweep leaves: what it is given, or its file varies, is its own."""
    own = {*(composed.hydra.sweeper.get("params") or {}), *(override.partition("=")[0] for override in given)}
    return [override for override in kept if override.partition("=")[0] not in own]


def subject(composed: Mapping[str, Any], varied: Collection[str] = ()) -> str:
    """Which network on which SOC, as in "of yolov8n on the T41"; without what varies.

    Args:
        composed: an experiment; one that lacks the names has no subject.
        varied: keys that a sweep varies.
    """
    words = (("model", "of {}"), ("soc", "on the {}"))
    parts = {group: composed.get(group) for group, _ in words}
    names = {group: part.get("name") if isinstance(part, Mapping) else None for group, part in parts.items()}
    shown = [(group, word) for group, word in words if names[group] and not {group, f"{group}.name"} & {*varied}]
    return " ".join(word.format(names[group]) for group, word in shown)


def other_subject(composed: DictConfig, varied: Collection[str], given: Sequence[str], params: Path) -> str | None:
    """Which network on which SOC params.yaml is of, where that is another than the sweep's and nobody asked for it.

    Args:
        composed: the sweep.
        varied: keys that it varies.
        given: its overrides; a group that is among them was asked for.
        params: the file.
    """
    try:
        check_yaml(params)
        current = safe_load(read_text(params))
    except (OSError, ValueError, UserError, YAMLError, RecursionError):  # not what a sweep without --keep needs
        return None
    asked = {*varied, *(override.partition("=")[0] for override in given)}
    if not isinstance(current, dict) or subject(current, asked) in ("", subject(composed, asked)):
        return None
    return subject(current).removeprefix("of ")


def check_settings(composed: DictConfig, varied: Collection[str] = ()) -> None:
    """Refuse a key, a cost, a direction or a metric that no sweep has.

    Args:
        composed: the sweep.
        varied: keys that it varies.

    Raises:
        UserError: naming those that there are.
    """
    settings, known = composed.sweep, [field.name for field in fields(SweepSettings)]
    for key in settings:
        if key not in known:  # added with +
            raise UserError(f"sweep.{key}: no such key of sweep; {did_you_mean(str(key), known)}")
    for key, allowed in (("cost", [*COST_UNITS]), ("direction", ["maximize", "minimize"])):
        if settings[key] not in allowed:
            raise UserError(f"sweep.{key}={settings[key]}: give one of {', '.join(allowed)}")
    if composed.data.evaluation.metric is None and OWN_METRIC_KEY not in varied:  # else it gives names of its own
        chosen_metric(settings.metric, known_metrics(*Task))


def check_points(composed: DictConfig, plan: SweepPlan, project: Path) -> None:
    """Compose and check every point; warn of those that cannot work.

    Where the sweeper chooses the points as it goes, only what does not vary is composed.

    Args:
        composed: the sweep, with Hydra's own settings; Hydra is initialized.
        plan: what it tries.
        project: the repository, the current folder.

    Raises:
        UserError: if no point can work, or for a value that Hydra refuses.
    """
    if plan.points is None:
        if refused := _refusal(composed, project):
            warn(f"the experiment cannot work without what the sweep varies: {refused}")
        return
    # processes, since composing is Python alone; forked, so that they have Hydra as it is initialized here, and frozen,
    # since what they have besides may own threads, which do not go along
    count = min(thread_count(), len(plan.points))
    with ProcessPoolExecutor(count, get_context("fork"), gc.freeze) as pool:
        refusals_or_none = pool.map(partial(_refusal_of_point, composed, plan.varied, project), plan.points)
        reasons = list(track(refusals_or_none, "check", len(plan.points)))
    refusals = {number: refused for number, refused in enumerate(reasons, start=1) if refused}
    if len(refusals) == len(plan.points):
        raise UserError(_none_left(refusals))
    for number, refused in refusals.items():
        name = label(plan.points[number - 1], plan.varied)
        warn(f"point {number} of {plan.total} ({name}) will fail, the others go on: {refused}")


def _refusal_of_point(
    composed: DictConfig, varied: Collection[str], project: Path, overrides: Sequence[str]
) -> str | None:
    """The same as `_refusal` of one of a sweep's points."""
    with explained(project / "conf", overrides):
        point = GlobalHydra.instance().config_loader().load_sweep_config(composed, list(overrides))
    if "experiment" in varied and point.hydra.sweeper.get("params"):  # Hydra would leave them out in silence
        return f"experiment={point.hydra.runtime.choices.experiment} is a sweep of its own: run it alone"
    return _refusal(point, project)


def _refusal(composed: DictConfig, project: Path) -> str | None:
    """Why a point cannot work, in one line; None if nothing speaks against it."""
    settings, soc = composed.sweep, composed.hydra.runtime.choices.get("soc")
    with open_dict(composed):
        experiment = composed.copy()
        del experiment["hydra"]
    try:
        config, _ = checked(experiment, soc, project)
        if config.data.evaluation.metric is None:  # else it gives names of its own
            chosen_metric(settings.metric, known_metrics(config.data.evaluation.task))
    except Exception as error:  # as it would be at the point
        return reason(error)
    return None


def _none_left(refusals: Mapping[int, str]) -> str:
    """Say why no point can work: the reason they share, else the first one's."""
    first, *others = dict.fromkeys(refusals.values())
    return f"none of the {len(refusals)} points can work; the first: {first}" if others else first
