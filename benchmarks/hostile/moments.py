"""Bad moments: folders that cannot be written, variables of the environment, other formats' files that are damaged."""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.hostile.case import Case
from benchmarks.hostile.damages import DAMAGES, SPECIALS, TEXTS, written

__all__ = ["moment_cases"]

LINES: tuple[tuple[str, ...], ...] = (
    ("export",),
    ("calibset",),
    ("calibrate",),
    ("quantize",),
    ("evaluate",),
    ("compare",),
    ("build",),
    ("track",),
    ("infer", "evaluation/ant/0.png"),
    ("scan", "net.onnx", "--soc", "t40"),
    ("init", "net.onnx", "calibration"),
    ("bisect", "--limit", "2"),
    ("autotune", "--mean-bits", "6", "--no-track"),
    ("compose", "soc=t41"),
)
ENVIRONMENTS = {
    "SOCQUANT_THREADS=x": {"SOCQUANT_THREADS": "x"},
    "SOCQUANT_THREADS=-1": {"SOCQUANT_THREADS": "-1"},
    "SOCQUANT_THREADS=100000": {"SOCQUANT_THREADS": "100000"},
    "SOCQUANT_CACHE in a file": {"SOCQUANT_CACHE": "net.onnx"},
    "COLUMNS=1": {"COLUMNS": "1"},
    "COLUMNS=x": {"COLUMNS": "x"},
    "no HOME": {"HOME": "/nonexistent"},
    "MLFLOW_TRACKING_URI of a folder that is a file": {"MLFLOW_TRACKING_URI": "sqlite:///net.onnx/mlflow.db"},
    "MLFLOW_TRACKING_URI of no database": {"MLFLOW_TRACKING_URI": "sqlite:///net.onnx"},
    "MLFLOW_TRACKING_URI of nothing": {"MLFLOW_TRACKING_URI": "bogus://x"},
}
"""Name -> variables."""
ENDINGS = (
    ".tflite",
    ".pb",
    ".pt",
    ".pth",
    ".pt2",
    ".keras",
    ".h5",
    ".prototxt",
    ".caffemodel",
    ".json",
    ".params",
    ".py",
    ".zip",
    ".txt",
    "",
)
"""Of files that a network may come in."""


def _out_is(make: Callable[[Path], object]) -> Callable[[], None]:
    def change() -> None:
        Path("out").rename("elsewhere")
        make(Path("out"))

    return change


def _empty_folders() -> None:
    for path in sorted(Path("calibration").iterdir()):
        path.unlink()
    for path in sorted(Path("evaluation").rglob("*.png")):
        path.unlink()


def _deep_folder() -> None:
    """Pictures a hundred folders deep."""
    here = Path.cwd()
    os.chdir("calibration")
    for _ in range(100):
        Path("d" * 50).mkdir()
        os.chdir("d" * 50)
    os.chdir(here)


def _circle() -> None:
    Path("calibration/again").symlink_to("..")
    Path("evaluation/ant/again").symlink_to("../..")


def _odd_names() -> None:
    for name in (
        b"\xff\xfe.png",
        b"a\nb.png",
        b"\x1b[31mred.png",
        b"-rf.png",
        b"x" * 240 + b".png",
        "\u202egnp.png".encode(),
    ):
        os.link("evaluation/ant/0.png", b"calibration/" + name)
        os.link("evaluation/ant/0.png", b"evaluation/ant/" + name)


MOMENTS: dict[str, Callable[[], object]] = {
    "out is a file": _out_is(Path.touch),
    "out is a link to nowhere": _out_is(lambda path: path.symlink_to("nowhere")),
    "out is a link to itself": _out_is(lambda path: path.symlink_to("out")),
    "out is a link to a folder": _out_is(lambda path: path.symlink_to("elsewhere")),
    "out is a pipe": _out_is(os.mkfifo),
    "conf is gone": lambda: Path("conf").rename("gone"),
    "no pictures": _empty_folders,
    "folders a hundred deep": _deep_folder,
    "folders in a circle": _circle,
    "names of bytes, breaks and escapes": _odd_names,
    "mlflow.db is a text": lambda: Path("mlflow.db").write_text("no database", encoding="utf-8"),
    "mlflow.db is a folder": lambda: Path("mlflow.db").mkdir(),
    "dvc.lock is a text": lambda: Path("dvc.lock").write_bytes(TEXTS["nested lists"]),
    "a module of the project's is called numpy": lambda: Path("numpy.py").write_text(
        "raise ValueError\n", encoding="utf-8"
    ),
}
"""Name -> makes it so."""


def moment_cases() -> Iterator[Case]:
    """Each moment and each environment with each command; files of other formats for `scan` and `init`."""
    for line in LINES:
        for name, make in MOMENTS.items():
            yield Case("moments", name, line, make)
        for name, variables in ENVIRONMENTS.items():
            yield Case("moments", name, line, environment=variables)
    for ending in ENDINGS:
        for line in (("scan", f"other{ending}", "--soc", "t40"), ("init", f"other{ending}", "calibration")):
            for name in ("empty", "noise", "cut"):
                yield Case("formats", f"{ending} {name}", line, partial(_other, ending, DAMAGES[name]))
            for name in ("a zero byte", "nested objects", "HTML", "an object"):
                yield Case("formats", f"{ending} {name}", line, partial(written, f"other{ending}", TEXTS[name]))
            for name in ("a folder", "a pipe", "a link to zeros", "5 GB"):
                yield Case("formats", f"{ending} {name}", line, partial(SPECIALS[name], Path(f"other{ending}")))


def _other(ending: str, damage: Callable[[bytes], bytes]) -> None:
    """A network's file under another ending, damaged."""
    written(f"other{ending}", damage(Path("net.onnx").read_bytes()))
