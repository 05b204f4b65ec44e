import configparser
import os
import signal
import subprocess
import threading
import time

import pytest
import yaml
from dvc.analytics import is_enabled

from stages.core.base import processes
from stages.core.base.errors import UserError
from stages.sweep import workspace
from stages.sweep.workspace import cache_folder, clear_leftovers, guilty_line, prepare, reproduce, upstream_params
from tests.conftest import REPOSITORY

PIPELINE = yaml.safe_load("""
stages:
  first:
    cmd: a
    deps: [code, '${watch.model}']
    params: [model.name]
    outs: [out/first/net]
    metrics: [{out/first/m: {cache: true}}]
  second: {cmd: b, deps: [code], params: [data], outs: [out/second]}
  calibrate: {cmd: c, deps: [out/first/net, out/second/index], outs: [out/c]}
  after: {cmd: d, deps: [out/c], params: [quant], outs: [out/d]}
""")
PARAMS = {"model": {"name": "net", "other": 1}, "data": {"size": 3}, "quant": {"bits": 8}, "watch": {"model": "a.onnx"}}


@pytest.mark.parametrize(
    ("key", "value", "same"),
    [
        ("model", {"name": "net", "other": 2}, True),
        ("quant", {"bits": 4}, True),
        ("model", {"name": "ten", "other": 1}, False),
        ("data", {"size": 4}, False),
        ("watch", {"model": "b.onnx"}, False),
    ],
)
def test_points_share_calibration_unless_something_before_it_differs(key, value, same):
    assert (upstream_params(PIPELINE, PARAMS | {key: value}) == upstream_params(PIPELINE, PARAMS)) is same


def test_no_bit_width_reaches_the_projects_calibration():
    pipeline = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    found = upstream_params(pipeline, params)
    assert "data.calibration" in found
    assert not [word for word in ("quant", "soc", "evaluation", "debug") if f'"{word}' in found]


FAILED = "ERROR: failed to reproduce 'a': "
RAN = FAILED + "failed to run: python -m stages.a, exited with "


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"Running stage 'a':\n> python\nwarning: few\nerror: quant.x=1: give 2\n{RAN}2", "quant.x=1: give 2"),
        (f"internal error: KeyError: x (where)\n{RAN}1", "internal error: KeyError: x (where)"),
        (RAN + "-9", "`python -m stages.a` was killed by SIGKILL"),
        (RAN + "3", "`python -m stages.a` ended with exit code 3"),
        (FAILED + "missing data 'source': b", "failed to reproduce 'a': missing data 'source': b"),
        ("\n", "dvc repro failed without a word"),
    ],
)
def test_the_guilty_line_is_the_stages_own(text, line):
    assert guilty_line(text) == line


@pytest.fixture
def project(tmp_path):
    """A DVC project of three stages that note each run in `ran`."""
    project = tmp_path / "project"
    (project / ".dvc").mkdir(parents=True)
    (project / ".dvc/config").write_text("""[core]
    no_scm = true
[cache]
    shared = group
['remote "a"']
    url = x
""")
    (project / ".dvcignore").write_text("__pycache__\n")
    (project / "stages").mkdir()
    (project / "stages/__init__.py").touch()
    (project / "stages/work.py").write_text("""
import sys, time, yaml, pathlib
name, ran = sys.argv[1:]
open(ran, 'a').write(name + '\\n')
bits = yaml.safe_load(open('params.yaml'))['bits']
time.sleep(yaml.safe_load(open('params.yaml')).get('sleep', 0))
if bits == 9: sys.exit('error: bits=9: no such bits')
out = pathlib.Path('out', name); out.parent.mkdir(exist_ok=True)
out.write_text(pathlib.Path('pictures/a').read_text() + (str(bits) if name != 'calibrate' else ''))
""")
    (project / "pictures").mkdir()
    (project / "pictures/a").write_text("picture ")
    ran = tmp_path / "ran"
    cmd = f"python -m stages.work {{}} {ran}"
    stages = {"calibrate": {"cmd": cmd.format("calibrate"), "deps": ["stages", "pictures"], "outs": ["out/calibrate"]}}
    for name in workspace.POINT_STAGES:
        stages[name] = {"cmd": cmd.format(name), "deps": ["out/calibrate"], "params": ["bits"], "outs": [f"out/{name}"]}
    (project / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    return project


def ran(project):
    path = project.parent / "ran"
    return path.read_text().split() if path.exists() else []


def prepared(project, name, bits, **more):
    text = yaml.safe_dump({"bits": bits, **more})
    prepare(project, project / "sweeps/a" / name, text, ["pictures", "stages/core/x.py"], project / ".dvc/cache")
    return project / "sweeps/a" / name, project / ".dvc/cache", text


def test_a_workspace_has_the_projects_code_pictures_and_settings(project):
    folder, cache, text = prepared(project, "0", 8)
    found = configparser.ConfigParser()
    found.read(folder / ".dvc/config")
    assert set(found.sections()) == {"core", "cache"}
    assert found["cache"]["dir"] == str(cache)
    assert found["cache"]["shared"] == "group"
    assert found["core"]["no_scm"] == "true"
    assert (folder / "params.yaml").read_text() == text
    assert (folder / "pictures").resolve() == project / "pictures"
    assert (folder / "stages").resolve() == project / "stages"


def test_a_path_inside_out_leaves_out_a_folder(project):
    (project / "out/autotune").mkdir(parents=True)
    folder = project / "sweeps/0"
    prepare(project, folder, "", ["out/autotune", "/elsewhere"], project)
    assert not (folder / "out").is_symlink()
    assert (folder / "out/autotune").resolve() == project / "out/autotune"


@pytest.mark.slow
def test_dvc_reports_nothing_where_a_folder_has_no_settings_either(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not is_enabled()
    monkeypatch.delenv("DVC_NO_ANALYTICS")
    assert is_enabled()


def test_the_cache_of_a_project(project, tmp_path):
    assert cache_folder(project) == project / ".dvc/cache"
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="is no DVC project"):
        cache_folder(tmp_path / "none")


def test_what_a_killed_dvc_left_in_the_run_cache_goes(tmp_path):
    entries = tmp_path / "runs/ab/abcd"
    entries.mkdir(parents=True)
    for name, age in (("entry", 100), (".old.tmp", 100), (".new.tmp", 0)):
        (entries / name).touch()
        os.utime(entries / name, (time.time() - age,) * 2)
    clear_leftovers(tmp_path)
    assert sorted(path.name for path in entries.iterdir()) == [".new.tmp", "entry"]
    clear_leftovers(tmp_path / "none")


@pytest.mark.slow
def test_what_points_share_is_computed_once(project):
    targets = sorted(workspace.POINT_STAGES)
    assert sorted(reproduce(*prepared(project, "0", 8), "up")) == [*targets[:1], "calibrate", *targets[1:]]
    assert sorted(reproduce(*prepared(project, "1", 4), "up")) == targets
    assert reproduce(*prepared(project, "2", 8), "up") == []
    assert ran(project).count("calibrate") == 1
    for name, bits in (("0", 8), ("1", 4), ("2", 8)):
        out = project / "sweeps/a" / name / "out/evaluate"
        assert out.read_text() == f"picture {bits}"
        assert out.stat().st_nlink > 1  # a link, not a copy


@pytest.mark.slow
def test_a_point_whose_folder_was_removed_comes_from_the_cache(project):
    folder, cache, text = prepared(project, "0", 8)
    reproduce(folder, cache, text, "up")
    subprocess.run(["rm", "-rf", str(folder)], check=True)
    assert reproduce(*prepared(project, "1", 8), "up") == []
    assert (project / "sweeps/a/1/out/build").read_text() == "picture 8"


@pytest.mark.slow
def test_changed_pictures_are_noticed(project):
    reproduce(*prepared(project, "0", 8), "up")
    (project / "pictures/a").write_text("another ")
    assert len(reproduce(*prepared(project, "1", 8), "up")) == 4
    assert (project / "sweeps/a/1/out/build").read_text() == "another 8"


@pytest.mark.slow
def test_a_failing_stage_is_said_by_its_own_line(project):
    with pytest.raises(UserError, match=r"^bits=9: no such bits$"):
        reproduce(*prepared(project, "0", 9), "up")


@pytest.mark.slow
def test_two_at_once_compute_what_they_share_once(project):
    done = []
    jobs = [
        threading.Thread(
            target=lambda arguments: done.append(reproduce(*arguments, "up")), args=[prepared(project, *point)]
        )
        for point in (("0", 8), ("1", 4), ("2", 8))
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert sorted(map(len, done)) == [0, 3, 4]
    assert sorted(ran(project)) == sorted(["calibrate", *workspace.POINT_STAGES, *workspace.POINT_STAGES])


@pytest.mark.slow
def test_being_ended_ends_the_stage_and_the_next_try_goes_on(project, monkeypatch):
    folder, cache, text = prepared(project, "0", 8, sleep=20)

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(processes, "GRACE_SECONDS", 5.0)
    before = signal.signal(signal.SIGALRM, interrupted)

    def wait_and_ring():
        while "calibrate" not in ran(project):
            time.sleep(0.05)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGALRM)

    threading.Thread(target=wait_and_ring, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        reproduce(folder, cache, text, "up")
    signal.signal(signal.SIGALRM, before)
    assert not (folder / "out/calibrate").exists()
    folder, cache, text = prepared(project, "0", 8)
    assert len(reproduce(folder, cache, text, "up")) == 4
