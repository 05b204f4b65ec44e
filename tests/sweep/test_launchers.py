import os
import subprocess
import sys

import pytest
from omegaconf import OmegaConf

from stages.core.base.errors import UserError
from stages.sweep import launchers
from stages.sweep.launchers import check_launcher, check_plugins, end_if_orphaned, sole, threads_of_a_point


def settings(launcher="local", **keys):
    return OmegaConf.create({"hydra": {"launcher": keys, "runtime": {"choices": {"hydra/launcher": launcher}}}})


@pytest.mark.parametrize(
    ("word", "extra"), [("launcher=ray", "ray"), ("launcher=slurm", "slurm"), ("sweeper=optuna", "optuna")]
)
def test_a_plugin_that_is_not_there_is_named_by_its_extra(monkeypatch, word, extra):
    monkeypatch.setattr(launchers, "find_spec", lambda name: None if "_" in name.removeprefix("hydra_plugins") else 1)
    with pytest.raises(UserError, match=rf'^hydra/{word} needs .*pip install -e "\.\[{extra}\]"$'):
        check_plugins(["soc=t40,t41", f"hydra/{word}"])
    check_plugins(["soc=t40,t41", "hydra/launcher=joblib"])


def test_no_points_at_the_same_time_are_refused():
    with pytest.raises(UserError, match=r"^hydra\.launcher\.n_jobs=0: give how many"):
        check_launcher(settings(n_jobs=0))
    for good in ({}, {"n_jobs": -1}, {"n_jobs": 3}):
        check_launcher(settings(**good))


def test_a_single_point_needs_no_worker_unless_asked_for():
    assert sole(settings("local", n_jobs=2), 1) == ["hydra/launcher=basic"]
    assert sole(settings("local", n_jobs=2), 2) == []
    assert sole(settings("local", n_jobs=2), None) == []
    assert sole(settings("joblib", n_jobs=2), 1) == []


@pytest.mark.parametrize(("points", "threads"), [(1, 0), (2, 4), (3, 2), (8, 1), (20, 1), (-1, 1)])
def test_points_at_the_same_time_share_eight_cores(points, threads):
    assert threads_of_a_point(settings(n_jobs=points), 8) == threads


def test_one_point_after_the_other_takes_all_cores():
    assert threads_of_a_point(settings("basic"), 8) == 0


@pytest.mark.parametrize(
    ("target", "parent", "code"),
    [
        ("Joblib", 0, 143),
        pytest.param("Joblib", 1, 7, marks=pytest.mark.slow),
        pytest.param("Basic", 0, 7, marks=pytest.mark.slow),
    ],
)
def test_a_worker_whose_sweep_was_killed_ends(target, parent, code):
    """`parent` tells whether the process that started it is the sweep."""
    program = f"""
from omegaconf import OmegaConf
from stages.sweep.launchers import end_if_orphaned
end_if_orphaned(OmegaConf.create({{"launcher": {{"_target_": "a.{target}Launcher"}}}}), {os.getpid() * parent})
raise SystemExit(7)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == code


def test_a_sweeps_own_process_goes_on():
    end_if_orphaned(OmegaConf.create({"launcher": {"_target_": "a.BasicLauncher"}}), os.getpid())
