"""The main job, as README has it: the real network, through DVC, in a copy of the project."""

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from stages.core.base.sources import open_source
from stages.core.config.load import load_params
from stages.core.config.schema import PICTURE_SETS, Config
from stages.core.data.sample_store import calibration_samples
from tests.conftest import REPOSITORY, copy_code

pytestmark = pytest.mark.slow

STAGES = ["export", "calibset", "calibrate", "quantize", "compare", "build", "evaluate", "track"]
Shell = Callable[..., str]


@pytest.fixture(scope="module")
def copy(evaluated_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project as a new repository, with nothing computed yet."""
    folder = tmp_path_factory.mktemp("project")
    copy_code(folder)
    for name in ("dvc.yaml", "params.yaml", ".gitignore", ".dvcignore", ".dvc/config", ".dvc/.gitignore"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / name, folder / name)
    author = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    for line in (["init", "-q"], ["add", "-A"], [*author, "commit", "-qm", "start"]):
        subprocess.run(["git", *line], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def shell(copy: Path) -> Shell:
    def run(*line: str, code: int = 0) -> str:
        environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        environment.pop("MLFLOW_TRACKING_URI", None)
        done = subprocess.run(line, cwd=copy, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode != 0) is (code != 0), done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


@pytest.fixture(scope="module")
def first_run(shell: Shell, copy: Path) -> str:
    """What `dvc repro` prints; of all that it connects to `connections` has a line, where strace is there."""
    fetch_packages(load_params(copy / "params.yaml"))
    watch = ["strace", "-f", "--seccomp-bpf", "-qq", "-e", "trace=connect", "-o", str(copy.parent / "connections")]
    return shell(*(watch if shutil.which("strace") else []), "dvc", "repro")


def fetch_packages(config: Config) -> None:
    """What a first run fetches."""
    sources = [
        config.model.source,
        config.model.torch.code,
        *(getattr(config.data, name).source for name in PICTURE_SETS),
    ]
    for source in sources:
        if isinstance(source, str):
            open_source(source)


def executed(text: str) -> list[str]:
    return [stage for stage in STAGES if f"Running stage '{stage}'" in text]


def runs(copy: Path) -> int:
    with sqlite3.connect(copy / "mlflow.db") as store:
        return int(store.execute("select count(*) from runs where status = 'FINISHED'").fetchone()[0])


def test_one_command_runs_every_stage_and_says_where_to_look(first_run: str) -> None:
    assert executed(first_run) == STAGES
    summary = first_run[first_run.index("Running stage 'track'") :]
    assert "least similar of 94 nodes" in summary
    assert "accuracy on 20 pictures" in summary
    assert "report.html" in summary
    assert "mlflow ui --backend-store-uri sqlite:///mlflow.db" in summary


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is missing: apt-get install strace")
def test_nothing_is_sent_and_no_name_is_looked_up(first_run: str, copy: Path) -> None:
    calls = [line for line in (copy.parent / "connections").read_text().splitlines() if "connect(" in line]
    assert [line for line in calls if "AF_UNIX" not in line] == []


def test_eight_bits_keep_the_accuracy(first_run: str, copy: Path) -> None:
    metrics = json.loads((copy / "out/evaluate/metrics.json").read_text())
    assert metrics["count"] == 20
    assert metrics["float"]["top1"] >= 0.85
    assert metrics["quantized"]["top1"] >= metrics["float"]["top1"] - 0.1
    assert metrics["cosine"] > 0.99


def test_the_table_has_every_node_of_the_float_network(first_run: str, copy: Path) -> None:
    rows = json.loads((copy / "out/compare/similarity.json").read_text())
    network = onnx.load(copy / "out/export/model.onnx")
    assert [row["node"] for row in rows] == [node.name for node in network.graph.node]
    assert all(row["cosine_min"] <= row["cosine_avg"] <= row["cosine_max"] for row in rows)
    assert {node.op_type for node in network.graph.node} == {
        "Conv",
        "Clip",
        "Add",
        "GlobalAveragePool",
        "Reshape",
        "Gemm",
    }


def test_calibration_and_evaluation_share_no_picture(first_run: str, copy: Path) -> None:
    lines = (copy / "out/evaluate/predictions.csv").read_text().splitlines()[1:]
    evaluated = {line.split(",")[1] for line in lines}
    assert len(evaluated) == 20
    assert not evaluated & set(calibration_samples(copy / "out/calibset").digests)


def test_the_board_folder_is_ready(first_run: str, copy: Path) -> None:
    board = copy / "out/build/t40/magik"
    cfg = json.loads((board / "magik_t40.cfg").read_text())
    assert (cfg["SOC"], cfg["INPUT_SHAPE"], cfg["MEAN"]) == ("T40", [1, 3, 224, 224], [127.0] * 3)
    assert len(list((board / "calibration").glob("*.png"))) == cfg["QUANT_DATASET_SIZE"] == 13
    assert (board / "run.sh").exists()
    assert (board / "magik_node_quant_bit_info.json").exists()


def test_metrics_plots_and_dag_show(first_run: str, shell: Shell, copy: Path) -> None:
    assert "quantized.top1" in shell("dvc", "metrics", "show")
    shell("dvc", "plots", "show", "-o", "dvc_plots")
    page = (copy / "dvc_plots/index.html").read_text()
    assert "similarity over depth" in page
    assert "cosine_avg" in page
    graph = shell("dvc", "dag")
    assert all(stage in graph for stage in STAGES)


def test_again_nothing_runs_and_another_method_begins_at_quantize(first_run: str, shell: Shell) -> None:
    assert executed(shell("dvc", "repro")) == []
    shell(sys.executable, "-m", "stages.compose", "quant.feature_method=KL")
    assert executed(shell("dvc", "repro", "--dry", "quantize")) == ["quantize"]
    shell(sys.executable, "-m", "stages.compose")


def test_a_file_of_the_cache_that_lost_a_bit_is_named(first_run: str, shell: Shell, copy: Path) -> None:
    """DVC restores it as up to date, since it reads no file of its cache."""
    inputs = copy / "out/export/inputs.json"
    whole, mode = inputs.read_bytes(), 0o444
    md5 = hashlib.md5(whole).hexdigest()
    cached = copy / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    for lost in (whole.replace(b"127", b"126"), b""):
        assert lost != whole
        cached.chmod(0o644)
        cached.write_bytes(lost)
        cached.chmod(mode)
        inputs.unlink()
        shell("dvc", "checkout", "out/export/inputs.json")
        assert inputs.read_bytes() == lost
        refused = shell("dvc", "repro", "--force", "--single-item", "calibset", code=1)
        assert (
            "error: out/export/inputs.json is damaged, and so is DVC's copy of it: delete "
            f"{cached.relative_to(copy)}, then run `dvc repro --force --single-item export`\n"
        ) in refused
    cached.unlink()
    shell("dvc", "repro", "--force", "--single-item", "export")
    assert cached.read_bytes() == inputs.read_bytes() == whole
    assert executed(shell("dvc", "repro")) == []  # calibset's results are still in the cache


def test_dvc_composes_the_configuration_itself_and_the_way_back_is_cached(
    first_run: str, shell: Shell, copy: Path
) -> None:
    committed, before = (copy / "out/quantize/quantized.onnx").read_bytes(), runs(copy)
    shell("git", "add", "-A")
    shell("git", "-c", "user.name=test", "-c", "user.email=test@example.com", "commit", "-qm", "lock")
    assert executed(shell("dvc", "exp", "run", "-S", "soc=t41", "-S", "quant=a10w8")) == STAGES[3:]
    assert runs(copy) == before + 1
    cfg = json.loads((copy / "out/build/t41/magik/magik_t41.cfg").read_text())
    assert (cfg["SOC"], cfg["QUANT_FEATURE_BIT"]) == ("T41", 10)
    assert (copy / "out/quantize/quantized.onnx").read_bytes() != committed

    shell(sys.executable, "-m", "stages.compose")
    back = shell("dvc", "repro")
    assert executed(back) == []
    assert "Stage 'quantize' is cached" in back
    assert (copy / "out/quantize/quantized.onnx").read_bytes() == committed

    shell("dvc", "repro", "--single-item", "--force", "track")
    assert runs(copy) == before + 1
