"""Damaged artifacts, given to the commands that read them: with checksums every byte counts, without them the form."""

import json
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.hostile.case import Case
from benchmarks.hostile.damages import DAMAGES, SPECIALS, written

__all__ = ["artifact_cases", "form_cases"]

READERS: dict[str, tuple[str, ...]] = {
    "out/export/model.onnx": ("calibrate", "quantize", "build", "evaluate", "bisect"),
    "out/export/inputs.json": ("infer", "calibset", "calibrate", "quantize"),
    "out/export/settings.json": ("calibset", "calibrate", "quantize"),
    "out/export/checksums.json": ("infer", "calibset", "calibrate", "quantize"),
    "out/calibset/calibration/index.json": ("calibrate", "quantize", "evaluate"),
    "out/calibset/calibration/0.npy": ("calibrate", "quantize", "build", "autotune"),
    "out/calibset/checksums.json": ("calibrate", "quantize", "evaluate"),
    "out/calibrate/statistics.npz": ("quantize", "autotune"),
    "out/calibrate/checksums.json": ("quantize", "autotune"),
    "out/quantize/integer.onnx": ("infer", "build", "evaluate"),
    "out/quantize/qparams.json": ("infer", "build", "evaluate", "bisect"),
    "out/quantize/checksums.json": ("infer", "build", "evaluate"),
    "out/compare/similarity.json": ("track", "bisect"),
    "out/compare/checksums.json": ("track",),
    "out/evaluate/metrics.json": ("track",),
    "out/evaluate/outputs.json": ("compare",),
    "out/evaluate/checksums.json": ("track", "compare"),
}
"""Each artifact, and commands that read it."""
WORDS = {"infer": ("evaluation/ant/0.png",), "autotune": ("--mean-bits", "6", "--no-track")}
VALUES: tuple[Any, ...] = (None, -1, 1e308, True, "x", "", [], {}, [[]], "\u202e<script>\n", 2**70)
"""What a value of a JSON is replaced by."""
PLACES = 14
"""Values replaced in each JSON, evenly over it, with another one each."""


def artifact_cases() -> Iterator[Case]:
    """Each artifact, each damage and each thing that may stand in its place, each command that reads it."""
    for path, commands in READERS.items():
        for command in commands:
            line = (command, *WORDS.get(command, ()))
            for name, damage in DAMAGES.items():
                yield Case("artifacts", f"{path}: {name}", line, partial(_damage, path, damage))
            for name, make in SPECIALS.items():
                yield Case("artifacts", f"{path}: {name}", line, partial(_replace, path, make))


def form_cases(template: Path) -> Iterator[Case]:
    """Artifacts that came without checksums: a value of another type or size at each of some places."""
    for path, (command, *_) in READERS.items():
        if not path.endswith(".json") or path.endswith("checksums.json"):
            continue
        places = list(_places(json.loads((template / path).read_text(encoding="utf-8"))))
        chosen = [places[index] for index in sorted({*np.linspace(0, len(places) - 1, PLACES).astype(int)})]
        for index, place in enumerate(chosen):
            for value in (VALUES[index % len(VALUES)], VALUES[(index * 3 + 4) % len(VALUES)]):
                name = f"{path}: {'.'.join(map(str, place)) or 'all'} = {str(value)[:20]!r}"
                line = (command, *WORDS.get(command, ()))
                yield Case("forms", name, line, partial(_change, path, place, value))
    for path in ("out/export/model.onnx", "out/calibrate/statistics.npz", "out/calibset/calibration/0.npy"):
        for name, damage in DAMAGES.items():
            line = (READERS[path][0], *WORDS.get(READERS[path][0], ()))
            yield Case("forms", f"{path}: {name}", line, partial(_unchecked_damage, path, damage))


def _damage(path: str, damage: Callable[[bytes], bytes]) -> None:
    Path(path).write_bytes(damage(Path(path).read_bytes()))


def _unchecked_damage(path: str, damage: Callable[[bytes], bytes]) -> None:
    _forget_checksums()
    _damage(path, damage)


def _replace(path: str, make: Callable[[Path], object]) -> None:
    Path(path).unlink()
    make(Path(path))


def _change(path: str, place: tuple[int | str, ...], value: object) -> None:
    _forget_checksums()
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    if not place:
        content = value
    else:
        *way, last = place
        inside = content
        for key in way:
            inside = inside[key]
        inside[last] = value
    written(path, json.dumps(content).encode())


def _forget_checksums() -> None:
    for path in Path("out").rglob("checksums.json"):
        path.unlink()
    shutil.rmtree(".dvc", ignore_errors=True)


def _places(content: Any, way: tuple[int | str, ...] = ()) -> Iterator[tuple[int | str, ...]]:
    """The way to each value inside a JSON, the whole first."""
    yield way
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield from _places(value, (*way, key))
