"""One network through the two commands, in a fresh project."""

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.common import PROJECT
from benchmarks.first_run.case import Case
from benchmarks.strangers.outputs import weighted_layers
from benchmarks.strangers.project import measure, run_stage, write_samples
from benchmarks.strangers.stranger import Samples
from stages.compare.gather.layers import computed_in_integers
from stages.core.base.artifacts import read_json
from stages.core.base.errors import UserError, one_line
from stages.core.base.file_names import input_stems
from stages.core.base.paths import DIAGNOSIS, INPUTS, INTEGER_MODEL, METRICS
from stages.core.base.sources import import_path
from stages.core.config.load import load_params
from stages.core.data.inputs import load_inputs
from stages.core.data.model_files import model_files
from stages.core.integer.model import DOMAIN, load_integer_model

__all__ = ["COLUMNS", "first_run"]

SOC = "t40"
STAGES = ("export", "calibset", "calibrate", "quantize", "evaluate", "compare", "build")
COLUMNS = [
    "network", "format", "tries", "init", "stages", "verdict", "cosine", "fidelity", "measure", "integers", "float",
    "runtime", "died",
]  # fmt: skip
CLASS = "PyTorch class"
SAMPLES = Path("samples")


def first_run(case: Case, folder: Path, data: Path | None, settings: Sequence[str]) -> dict[str, Any]:
    """A network's row: `init`, the stages and the runtime.

    Args:
        case: the network.
        folder: of the project; must not exist.
        data: folder of `--data`.
        settings: overrides.
    """
    shutil.copytree(PROJECT / "conf", folder / "conf")
    samples = case.samples(data)
    if isinstance(samples, Samples):
        (folder / SAMPLES).mkdir()
        write_samples(folder / SAMPLES / "calibration", [*samples.calibration, *samples.debug])
        write_samples(folder / SAMPLES / "evaluation", samples.evaluation)
    else:
        write_samples(folder / SAMPLES, samples)
    row: dict[str, Any] = dict.fromkeys(COLUMNS) | {"network": case.name, "tries": 1}
    with _installed(case.installed), chdir(folder):
        given = case.given(Path())
        row["format"] = _format(given)
        try:
            name = f"my_{case.name}"  # conf/ has models of some of these names
            begun = time.perf_counter()
            run_stage("init", given, str(SAMPLES), "--name", name, "--soc", SOC)
            row["init"] = round(time.perf_counter() - begun)
            if settings:
                run_stage("compose", "--keep", *settings)
            for stage in STAGES:
                run_stage(stage)
            row["stages"] = round(time.perf_counter() - begun) - row["init"]
            row |= _said() | {"measure": _task_measure(case, samples)}
            row["runtime"] = _equal_layers(name)
        except UserError as error:
            row["died"] = one_line(error)
    return row


@contextmanager
def _installed(packages: Sequence[str]) -> Iterator[None]:
    """Have packages on the path of the commands, as if pip had installed them."""
    before = os.environ.get("PYTHONPATH")
    paths = [*map(import_path, packages), *([before] if before else [])]
    if packages:
        os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    try:
        yield
    finally:
        if packages and before is None:
            del os.environ["PYTHONPATH"]
        elif packages and before is not None:
            os.environ["PYTHONPATH"] = before


def _format(given: str) -> str:
    """The title of a network's format."""
    if ":" in given and not given.startswith(("package:", "file:")):
        return CLASS
    files = model_files(given if given.startswith("package:") else f"file:{given}")
    assert files is not None
    return files.format.value.title


def _said() -> dict[str, Any]:
    """What compare and evaluate say of the experiment in the current folder."""
    diagnosis, metrics = read_json(DIAGNOSIS), read_json(METRICS)
    worst = [each["fidelity"] for each in diagnosis["outputs"] if each["fidelity"] is not None]
    multiplying, weighted = weighted_layers()
    integer = load_integer_model(INTEGER_MODEL)
    in_integers = computed_in_integers(integer)
    others = (node for node in integer.graph.node if node.domain != DOMAIN and node.output[0] not in in_integers)
    floats = Counter(node.op_type for node in others)
    return {
        "verdict": diagnosis["verdict"]["level"],
        "cosine": metrics.get("cosine"),
        "fidelity": min(worst, default=None),
        "integers": f"{multiplying}/{weighted}",
        "float": [f"{count} {kind}" if count > 1 else kind for kind, count in sorted(floats.items())],
    }


def _task_measure(case: Case, samples: Any) -> str | None:
    """What the quantized network does of the float one's task; None where nothing but fidelity tells."""
    metrics = read_json(METRICS)
    if "agreement_map" in metrics:
        return f"boxes that agree {metrics['agreement']:.3f}"
    if case.stranger is None or not isinstance(samples, Samples):
        return None
    try:
        value = measure(case.stranger, samples).value
    except Exception:  # a measure that wants other outputs than those that init ends the network at
        return None
    return f"{case.stranger.measure_name} {value:.3g}"


def _equal_layers(name: str) -> str | None:
    """Layers of the C++ runtime that equal the PC's, of how many; None where build writes no runtime.

    Raises:
        UserError: if it does not compile or run.
    """
    sources = Path("out/build", SOC, "runtime").resolve()
    if not sources.exists():
        return None
    run_stage("infer", str(_sample()), "--dump", "pc")
    Path("board").mkdir()
    stems = input_stems([each.name for each in load_inputs(INPUTS)])
    inputs = [str(path) for stem in stems for path in Path("pc").glob(f"{stem}_data_shape_*")]
    _run("make", "-s", "-f", str(sources / "Makefile"), f"TOPDIR={sources}", "build_type=debug", "CXXFLAGS=-O1")
    _run("./runtime_debug", str(sources / f"{name}.sqm"), *inputs, "-o", "board")
    with_differences = subprocess.run(
        [sys.executable, "-m", "stages.check", "pc", "board", "--json", "check.json"], capture_output=True, check=False
    )
    if not Path("check.json").exists():
        raise UserError(f"check: {with_differences.stderr.decode()}")
    (compared,) = read_json(Path("check.json"))
    layers = compared["layers"]
    return f"{sum(layer['state'] == 'equal' for layer in layers)}/{len(layers)}"


def _sample() -> Path:
    """The first sample that evaluates."""
    folder = Path(load_params(Path("params.yaml")).data.evaluation.source.removeprefix("file:"))
    return min(folder.iterdir())


def _run(*line: str) -> None:
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{line[0]}: {done.stderr.strip().splitlines()[-1]}")
