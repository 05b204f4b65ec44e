"""What runs a sweep's points: Hydra's launchers, their plugins, the cores that a point gets."""

import os
from collections.abc import Sequence
from importlib.util import find_spec

from omegaconf import DictConfig

from stages.core.base.errors import UserError
from stages.core.command import EXIT_TERMINATED

__all__ = ["check_launcher", "check_plugins", "end_if_orphaned", "sole", "threads_of_a_point"]

DEFAULT_LAUNCHER = "local"
JOBLIB_CLASS = "JoblibLauncher"
PLUGIN_PACKAGES = {
    "hydra/launcher=ray": ("hydra_plugins.hydra_ray_launcher", "ray"),
    "hydra/launcher=slurm": ("hydra_plugins.hydra_submitit_launcher", "slurm"),
    "hydra/launcher=submitit_local": ("hydra_plugins.hydra_submitit_launcher", "slurm"),
    "hydra/sweeper=optuna": ("hydra_plugins.hydra_optuna_sweeper", "optuna"),
}
"""Override -> the package that it needs, and the extra that brings it."""


def check_plugins(overrides: Sequence[str]) -> None:
    """Name the extra of a plugin that is not there; Hydra would say that there is no such file.

    Raises:
        UserError: if one is missing.
    """
    for override in overrides:
        package, extra = PLUGIN_PACKAGES.get(override, ("hydra_plugins", ""))
        if not find_spec(package):
            raise UserError(f'{override} needs a plugin of Hydra: pip install -e ".[{extra}]"')


def check_launcher(composed: DictConfig) -> None:
    """Refuse a number of points at the same time that makes no sense.

    Raises:
        UserError: for zero, or what is no number.
    """
    wanted = composed.hydra.launcher.get("n_jobs", 1)
    if not isinstance(wanted, int) or wanted == 0:
        raise UserError(f"hydra.launcher.n_jobs={wanted}: give how many points at the same time, or -1: one a core")


def sole(composed: DictConfig, total: int | None) -> list[str]:
    """The override by which a single point runs in the sweep's own process, which need not start others then."""
    alone = total == 1 and composed.hydra.runtime.choices.get("hydra/launcher") == DEFAULT_LAUNCHER
    return ["hydra/launcher=basic"] if alone else []


def threads_of_a_point(composed: DictConfig, cores: int) -> int:
    """How many threads a point may take, so that those at the same time share this machine's cores; 0: all."""
    points = composed.hydra.launcher.get("n_jobs", 1)
    return 0 if points == 1 else max(1, cores // points if points > 0 else 1)


def end_if_orphaned(composed: DictConfig, sweep: int) -> None:
    """End this process if it is a worker of a sweep that was killed: it would wait for more points.

    Args:
        composed: Hydra's settings, `hydra`.
        sweep: the id of the sweep's process.
    """
    if composed.launcher._target_.endswith(JOBLIB_CLASS) and os.getppid() != sweep:
        os._exit(EXIT_TERMINATED)
