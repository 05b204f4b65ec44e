"""The command, on a tiny network: everything but the network's size is as in use."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import mlflow
import pytest
import yaml

from stages.core.base.errors import UserError
from stages.core.config.composition import compose
from stages.core.config.schema import Task
from stages.sweep.__main__ import _finish, main, run_sweep
from stages.sweep.ranking import known_metrics
from stages.sweep.sweep_state import save_result
from stages.sweep.tracking import folder_lock
from stages.track.run import flatten
from tests.conftest import REPOSITORY, copy_conf
from tests.sweep.sweeps import environment, made_up, result, small_project, start, swept

ALL = ["export", "calibset", "calibrate", "quantize", "compare", "build", "evaluate"]


@pytest.fixture(scope="module")
def project(evaluated_files, empty_store, tmp_path_factory):
    """One project for all tests, in their order: a later one finds the cache of those before."""
    folder = small_project(tmp_path_factory.mktemp("sweep") / "project")
    shutil.copy(empty_store, folder / "mlflow.db")
    return folder


@pytest.fixture
def plain_summary(monkeypatch):
    """The sweep's plots are empty files: for tests that look at none."""
    monkeypatch.setattr("stages.sweep.sweep_plots.draw", lambda _, files: [file.write_bytes(b"") for file in files])
    monkeypatch.setattr("stages.sweep.sweep_plots.interactive", lambda _, file: file.write_bytes(b""))


def runs(project, condition="", uri=None):
    client = mlflow.MlflowClient(uri or f"sqlite:///{project}/mlflow.db")
    found = client.get_experiment_by_name("socquant")
    return client.search_runs([found.experiment_id], condition) if found else []


def parent_of(project, points):
    run = next(run for run in runs(project) if run.info.run_id == points[0]["run_id"])
    parent = run.data.tags["mlflow.parentRunId"]
    return next(run for run in runs(project) if run.info.run_id == parent)


def children_of(project, parent):
    return runs(project, f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")


def folder_of(project, points):
    return Path(parent_of(project, points).data.params["folder"])


# --- without running anything


@pytest.fixture
def conf_alone(tmp_path, monkeypatch):
    """The current folder, with nothing but conf/ in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf").symlink_to(REPOSITORY / "conf")
    return tmp_path


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["quant.feature_bit=4,8"], r"^quant\.feature_bit: no such key of quant; did you mean"),
        pytest.param(
            ["quant.feature_method=KL,NONE"], r"^quant\.feature_method: .*give one of MAX_ABS", marks=pytest.mark.slow
        ),
        (["experiment=bit"], r"^experiment=bit: there is no such file .* choose one of best, bits, ladder"),
        (["sweep.cost=money"], r"^sweep\.cost=money: give one of bit_operations, weight_bytes$"),
        (["hydra.launcher.n_jobs=0"], r"^hydra\.launcher\.n_jobs=0: give how many points"),
        (["sweep.metrics=top1"], r"^sweep\.metrics: no such key of sweep; did you mean 'metric'\?$"),
        (["+sweep.foo=up"], r"^sweep\.foo: no such key of sweep; known: 'metric', 'direction', 'cost'$"),
        (["sweep.direction=up"], r"^sweep\.direction=up: give one of maximize, minimize$"),
        (
            ["sweep.metric=nosuch"],
            r"^sweep\.metric=nosuch: no such metric; known: 'float\.top1', .*'cost\.bit_operations'",
        ),
        (["+experiment=bits"], r"^experiment is there already: write experiment=\.\.\., without \+$"),
        (["cost=t40"], r"^cost: no such part of an experiment"),
    ],
)
def test_a_mistake_is_said_before_anything_is_opened(conf_alone, overrides, message):
    with pytest.raises(UserError, match=message):
        run_sweep(overrides, None)
    assert [path.name for path in conf_alone.iterdir()] == ["conf"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["quant.feature_bits=9"], r"^quant\.feature_bits=9: the T40 cannot do 9 bits; it can do 4, 8"),
        pytest.param(
            ["quant.feature_bits=9,11"],
            r"^none of the 2 points can work; the first: quant\.feature_bits=9: the T40",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["soc=t40,t41", "data.calibration.source=file:absent"],
            r"^data\.calibration\.source: .*absent",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["experiment=bits,socs"],
            r"^none of .* the first: experiment=bits is a sweep of its own: run it alone$",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["data.evaluation.task=none", "data.evaluation.labels=null", "sweep.metric=top1"],
            r"^sweep\.metric=top1: no such metric; known: 'cosine', 'fidelity', 'count', 'agreement'",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_sweep_without_a_point_that_can_work_does_not_begin(conf_alone, overrides, message):
    with pytest.raises(UserError, match=message):
        run_sweep(overrides, None)
    assert [path.name for path in conf_alone.iterdir()] == ["conf"]


@pytest.mark.slow
def test_what_cannot_work_is_said_first(conf_alone, capsys):
    """Then the sweep begins, which here ends it: there is no DVC project."""
    with pytest.raises(UserError, match="is no DVC project"):
        run_sweep(["quant.feature_bits=8,9", "quant.weight_bits=4,8"], None)
    lines = capsys.readouterr().err.splitlines()
    why = (
        "quant.feature_bits=9: the T40 cannot do 9 bits; it can do 4, 8, 10, 12 (on the PC also 14, 16); "
        "32 stands for float"
    )
    assert lines == [
        f"warning: point 3 of 4 (a9 w4) will fail, the others go on: {why}",
        f"warning: point 4 of 4 (a9 w8) will fail, the others go on: {why}",
    ]


LONG = """\
# python -m stages.compose model=yunet soc=t41 data=detection_demo quant.feature_bits=10
model: {name: long}
soc: {name: T41}
"""


def begun(words, monkeypatch, capsys):
    """What a sweep says before it ends here, where there is no DVC project."""
    monkeypatch.setattr("stages.sweep.__main__.check_points", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["sweep", *words])
    with pytest.raises(SystemExit):
        main()
    shown = capsys.readouterr()
    assert "is no DVC project" in shown.err
    return shown


@pytest.mark.slow
def test_a_sweep_says_that_it_is_not_of_the_current_experiment(conf_alone, monkeypatch, capsys):
    (conf_alone / "params.yaml").write_text(LONG)
    shown = begun(["experiment=bits"], monkeypatch, capsys)
    assert shown.out == "8 points of efficientnet_lite0 on the T40\n"
    assert shown.err.startswith(
        "note: the sweep is of efficientnet_lite0 on the T40 (conf/config.yaml); params.yaml is long on the T41: "
        "--keep sweeps that\n"
    )


@pytest.mark.slow
def test_a_sweep_keeps_the_current_experiment_where_it_asks_for_nothing_else(conf_alone, monkeypatch, capsys):
    (conf_alone / "params.yaml").write_text(LONG)
    shown = begun(["--keep", "experiment=bits", "soc=a1"], monkeypatch, capsys)
    assert shown.out == "8 points of yunet on the A1\n"
    assert "note" not in shown.err


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--nosuch"], "error: --nosuch: not understood; --help shows the options of a sweep"),
        (["--multi", "soc=t40,t41"], "error: --multi: not understood; --help shows the options of a sweep"),
        (["--config-name=config"], "error: --config-name=config: not understood; --help shows the options of a sweep"),
        (["--json"], "error: argument --json: expected one argument; see --help"),
        (["--cfg"], "error: argument --cfg/-c: expected one argument; see --help"),
    ],
)
def test_a_mistyped_option_is_one_line(monkeypatch, capsys, words, line):
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setattr(sys, "argv", ["sweep", *words])
    with pytest.raises(SystemExit) as caught:
        main()
    assert (caught.value.code, capsys.readouterr()) == (2, ("", f"{line}\n"))


@pytest.mark.slow
def test_the_help_is_for_newcomers(python, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    done = python("-m", "stages.sweep", "--help")
    assert done.returncode == 0, done.stderr
    assert "python -m stages.sweep experiment=bits" in done.stdout
    assert "experiment: best, bits, ladder, methods, socs" in done.stdout
    assert "Exit code" in done.stdout


@pytest.fixture(scope="module")
def conf(tmp_path_factory):
    return copy_conf(tmp_path_factory.mktemp("conf"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bits", "methods", "socs", "ladder", "best"])
def test_every_point_of_the_named_sweeps_is_sound(name, conf):
    """But 16 bits on the SOCs that cannot simulate them; `ladder` is for Ingenic's, and says so."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    content = yaml.safe_load((REPOSITORY / "conf/experiment" / f"{name}.yaml").read_text())
    words = [f"{key}={value}" for key, value in content["hydra"]["sweeper"]["params"].items()]
    points = BasicSweeper.split_arguments(OverridesParser.create().parse_overrides(words), None)[0]
    assert len(points) > 1
    for point in points:
        compose(point, conf)


@pytest.mark.parametrize(
    ("verdicts", "kept", "line"),
    [
        (("good", "broken"), None, "next:    python -m stages.compose soc=t41 quant=a8w4 && dvc repro, for the report"),
        (("broken", "look"), ("soc=t41",), "next:    python -m stages.compose --keep quant=int8 && dvc repro, for the"),
        (
            ("broken", "broken"),
            ("soc=t41",),
            "no point is good: python -m stages.compose --keep quant=a8w4 && dvc repro, and read its findings",
        ),
    ],
)
def test_no_broken_point_is_recommended(tmp_path, monkeypatch, capsys, verdicts, kept, line):
    sweep = made_up(tmp_path, varied=("quant",), kept=kept)
    for number, (quant, verdict) in enumerate(zip(("a8w4", "int8"), verdicts, strict=True)):
        words = ("soc=t41", f"quant={quant}", "compare.cures=0", "experiment=x")
        (tmp_path / str(number)).mkdir()
        point = result(number, "8", "8", 0.9 - number / 10, 0.5, 1, overrides=words, verdict=verdict)
        save_result(tmp_path / str(number), point)
    monkeypatch.setattr("stages.sweep.__main__._summary_files", lambda _: [])
    monkeypatch.setattr("stages.sweep.__main__.close_parent", lambda *_: None)
    assert _finish(sweep, None) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith(line)


# --- one after the other, in one project


@pytest.mark.slow
def test_a_sweep_computes_what_is_shared_once_and_logs_every_point(project):
    code, text, points = swept(project, "quant.feature_bits=4,8,9", "hydra/launcher=basic")
    assert code == 1
    assert [point["executed"] for point in points] == [
        ALL[:3] + sorted(ALL[3:], key=points[0]["executed"].index), points[1]["executed"], [],
    ]  # fmt: skip
    assert sorted(points[1]["executed"]) == sorted(ALL[3:])
    line = "quant.feature_bits=9: the T40 cannot do 9 bits"
    assert points[2]["error"].startswith(line)
    assert sorted(points[0]["metrics"]) == sorted(known_metrics(Task.classification))
    assert f"warning: point 3 of 3 (a9) will fail, the others go on: {line}" in text
    assert f"failed: a9: {line}" in text
    assert "1/3" in text
    assert "3/3" in text

    parent = parent_of(project, points)
    assert parent.info.status == "FINISHED"
    assert parent.data.params["overrides"] == "experiment=tiny quant.feature_bits=4,8,9 hydra/launcher=basic"
    assert parent.data.params["launcher"] == "basic"
    assert {"git_revision", "soc", "best", "best_run_id", "mlflow.note.content"} <= set(parent.data.tags)
    assert (parent.data.metrics["points"], parent.data.metrics["failed"]) == (3, 1)
    client = mlflow.MlflowClient(f"sqlite:///{project}/mlflow.db")
    files = {Path(entry.path).name for entry in client.list_artifacts(parent.info.run_id, "summary")}
    assert {"points.csv", "summary.png", "summary.svg", "multirun.yaml"} <= files

    children = {run.data.tags["point"]: run for run in children_of(project, parent)}
    assert {key: run.info.status for key, run in children.items()} == {"0": "FINISHED", "1": "FINISHED", "2": "FAILED"}
    assert children["2"].data.tags["error"] == points[2]["error"]
    assert children["0"].data.params["quant.feature_bits"] == "4"
    assert children["0"].info.run_name == "a4"
    metrics = json.loads((folder_of(project, points) / "0/out/evaluate/metrics.json").read_text())
    assert children["0"].data.metrics["quantized.top1"] == metrics["quantized"]["top1"]
    assert children["0"].data.metrics["cost.bit_operations"] == 22552 * 4 * 8  # by hand, see test_cost


@pytest.mark.slow
@pytest.mark.usefixtures("plain_summary")
def test_the_same_again_runs_nothing_and_has_its_own_parent(project):
    """Nor when the folders of sweeps were deleted, which is the way to clean up."""
    shutil.rmtree(project / "sweeps")
    before = {run.info.run_id for run in runs(project)}
    code, _, points = swept(project, "quant.feature_bits=4,8")
    assert code == 0
    assert [point["executed"] for point in points] == [[], []]
    parent = parent_of(project, points)
    assert parent.data.params["launcher"] == "local"
    new = {run.info.run_id for run in runs(project)} - before
    assert new == {parent.info.run_id, *(run.info.run_id for run in children_of(project, parent))}
    assert len(new) == 3


@pytest.mark.slow
def test_a_point_is_what_dvc_repro_makes_in_the_project(project):
    """The same dependencies and the same run cache, so neither computes what the other has; a sweep tries no cures."""
    content = yaml.safe_load((project / "conf/experiment/tiny.yaml").read_text())
    del content["defaults"]
    values = [f"{key}={value}".replace("'", "") for key, value in flatten(content).items()]
    words = ["model=onnx", "data=folder", *values, "compare.cures=0"]
    subprocess.run([sys.executable, "-m", "stages.compose", *words], cwd=project, check=True, env=environment())
    path = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    line = [sys.executable, "-m", "dvc", "repro", "compare", "build", "evaluate"]
    done = subprocess.run(line, cwd=project, env=environment() | path, capture_output=True, text=True, check=True)
    assert "Running stage" not in done.stdout
    assert "cached" in done.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("plain_summary")
def test_joblib_runs_points_at_the_same_time(project):
    code, _, points = swept(project, "quant.feature_bits=4,10", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    assert code == 0
    assert [len(point["executed"]) for point in points] == [0, 4]
    assert parent_of(project, points).data.params["launcher"] == "joblib"


@pytest.mark.slow
@pytest.mark.usefixtures("evaluated_files")
def test_two_sweeps_at_once_both_complete(tmp_path):
    """On an empty cache, without a store; each has its points in its own process: other tests have launchers."""
    project = small_project(tmp_path / "project")
    one = start(project, ["quant.feature_bits=8"], "one.json")
    other = start(project, ["quant.feature_bits=8,10", "hydra/launcher=basic"], "other.json")
    for process in (one, other):
        _, err = process.communicate()
        assert process.returncode == 0, err
    points = [
        point for name in ("one", "other") for point in json.loads((project / f"{name}.json").read_text())["points"]
    ]
    assert all(point["error"] is None for point in points)
    assert sum("calibrate" in point["executed"] for point in points) == 1
    assert sum("quantize" in point["executed"] for point in points) == 2
    assert len({folder.parent for folder in project.glob("sweeps/*/sweep.json")}) == 2
    assert len(runs(project)) == 5


def wait_for(condition):
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("waited for ten minutes")


def workers(project):
    """Processes that still work in the project's folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            if entry.resolve().is_relative_to(project):
                found.append((entry.parent / "cmdline").read_text())
    return found


@pytest.fixture(scope="module")
def ended(evaluated_files, empty_store, tmp_path_factory):
    """A project of which all sweeps but the last are ended."""
    folder = small_project(tmp_path_factory.mktemp("ended") / "project")
    shutil.copy(empty_store, folder / "mlflow.db")
    return folder


def statuses(project):
    """Folder of a sweep -> the status of its run."""
    found = runs(project, "tags.kind = 'sweep'")
    return {Path(run.data.params["folder"]).name: run.info.status for run in found}


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_sweep_that_is_ended_says_so(ended, how):
    folder = f"by_{how.name}"
    with start(ended, ["quant.feature_bits=4,8", f"hydra.sweep.dir=sweeps/{folder}"]) as process:
        logs = f"sweeps/{folder}/*/dvc.log"
        wait_for(lambda: process.poll() or "'calibrate'" in "".join(log.read_text() for log in ended.glob(logs)))
        process.send_signal(how)
        process.wait()  # not for what it leaves behind, which has its pipes
    said = {signal.SIGTERM: (143, "KILLED"), signal.SIGINT: (130, "KILLED"), signal.SIGKILL: (-9, "RUNNING")}
    assert (process.returncode, statuses(ended)[folder]) == said[how]


@pytest.mark.slow
@pytest.mark.usefixtures("plain_summary")
def test_the_next_sweep_goes_on_where_ended_ones_were(ended):
    code, _, points = swept(ended, "quant.feature_bits=4", "hydra.sweep.dir=sweeps/last")
    assert code == 0
    assert not any("calibset" in point["executed"] for point in points)
    wait_for(lambda: not workers(ended))
    assert statuses(ended) == {
        "by_SIGTERM": "KILLED",
        "by_SIGINT": "KILLED",
        "by_SIGKILL": "KILLED",
        "last": "FINISHED",
    }


@pytest.mark.slow
@pytest.mark.usefixtures("plain_summary")
def test_a_folder_is_used_by_one_sweep_at_a_time_and_again_later(project):
    words = ["quant.feature_bits=8,4", "hydra.sweep.dir=sweeps/mine", "hydra/launcher=basic"]
    with folder_lock(project / "sweeps/mine"):  # as a sweep has it
        code, text, _ = swept(project, *words)
    assert code == 2
    assert "sweeps/mine is in use by another sweep" in text
    for _ in range(2):
        code, _, points = swept(project, *words)
        assert code == 0
        assert [point["executed"] for point in points] == [[], []]


@pytest.mark.slow
def test_what_was_computed_is_shown_though_the_summary_cannot_be_written(project):
    (project / "sweeps/blocked/summary.png").mkdir(parents=True)
    words = ["quant.feature_bits=4,8", "hydra.sweep.dir=sweeps/blocked", "hydra/launcher=basic"]
    code, text, _ = swept(project, *words)
    assert code == 2
    assert "sweeps/blocked: " in text
    assert "Is a directory" in text
    assert "2 points of tiny on the T40 by agreement" in text
    condition = f"tags.kind = 'sweep' and params.folder = '{project}/sweeps/blocked'"
    assert [run.info.status for run in runs(project, condition)] == ["FAILED"]


OWN_METRIC = """
class Errors:
    def __init__(self):
        self.wrong = 0

    def add(self, name, outputs, label):
        self.wrong += int(outputs["logits"].argmax()) != label

    def result(self):
        return {"wrong": self.wrong}
"""


@pytest.mark.slow
@pytest.mark.usefixtures("plain_summary")
def test_points_are_ranked_by_a_metric_of_the_users_own_and_its_code_is_watched(project):
    (project / "own_errors.py").write_text(OWN_METRIC)
    words = ["data.evaluation.metric=own_errors:Errors", "sweep.metric=wrong", "sweep.direction=minimize"]
    code, text, points = swept(project, "quant.feature_bits=8", *words)
    assert code == 0, text
    assert "1 point of tiny on the T40 by quantized.wrong" in text
    right = points[0]["metrics"]["quantized.top1"]
    assert points[0]["value"] == points[0]["metrics"]["quantized.wrong"] == pytest.approx(3 * (1 - right))
    (project / "own_errors.py").write_text(OWN_METRIC.replace("!= label", ">= 0"))
    code, _, points = swept(project, "quant.feature_bits=8", *words)
    assert (code, points[0]["executed"], points[0]["value"]) == (0, ["evaluate", "compare"], 3)


@pytest.mark.slow
def test_a_point_that_ends_without_the_metric_fails_with_what_it_has(project):
    words = ["data.evaluation.labels=null", "data.evaluation.task=none", "sweep.metric=agreement"]
    code, _, points = swept(project, "quant.feature_bits=8", *words)
    assert code == 1
    assert points[0]["error"].startswith("sweep.metric=agreement: the point ended without it, its network or its ")
    assert "'cosine'" in points[0]["error"]
    children = children_of(project, parent_of(project, points))
    assert [run.info.status for run in children] == ["FAILED"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["data.evaluation.metric=nowhere:Errors"],
            r"^data\.evaluation\.metric=nowhere:Errors: there is no module 'no",
        ),
        pytest.param(
            ["data.evaluation.task=custom", "data.evaluation.labels=null"],
            r"^data\.evaluation\.metric=None: give module",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["data.evaluation.task=detection", "data.evaluation.labels=null", "data.evaluation.metric=json:loads"],
            r"^data\.evaluation\.metric=json:loads: give null: boxes are scored by mAP",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_metric_that_cannot_work_is_said_before_anything_runs(conf_alone, overrides, message):
    with pytest.raises(UserError, match=message):
        run_sweep(overrides, None)
