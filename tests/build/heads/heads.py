"""Heads of exporters' networks, their outputs, and a program that decodes all of them."""

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.build.board_outputs import BoardOutput
from stages.build.heads.board_head import BoardHead, board_head
from stages.build.heads.sources import write_head
from stages.core.config.schema import DetectorConfig
from stages.core.heads.detections import Detections, Floats
from stages.core.heads.detector import Detector
from stages.core.heads.families.distances import DistanceHead
from stages.core.heads.head import Head, Kind
from stages.core.heads.head_file import ExportedHead
from stages.core.heads.nms import intersection_over_union
from stages.core.heads.recognize import recognize
from tests.build import kept
from tests.core.heads import exporters
from tests.core.heads.test_recognize import DECODED, UNDECODED

NETWORKS = {
    **{name: model for name, (model, _) in (DECODED | UNDECODED).items()},
    "yolov10": exporters.yolov8(select="top_k"),
    "yolo26": exporters.yolov8(bins=1, select="top_k"),
    "yolov8 before NonMaxSuppression": exporters.yolov8(select="nms"),
}
CONFIG = DetectorConfig(score_threshold=0.3, nms_threshold=0.6)
CLOSE = 2e-6
"""Numbers that differ by less than this may be compared otherwise by another C library's exponentials."""


IN_PIXELS = "distances in pixels"
"""A head that none of the networks has."""


@cache
def head_of(name: str) -> Head:
    if name == IN_PIXELS:
        scrfd = head_of("scrfd")
        assert isinstance(scrfd, DistanceHead)
        return replace(scrfd, in_pixels=True)
    head = recognize(NETWORKS[name])
    assert head is not None
    return head


def detector(head: Head) -> Detector:
    """What a network has that was cut at its head."""
    return Detector(head.decode, head.one_to_one, CONFIG.score_threshold, CONFIG.nms_threshold, head.name)


def shapes_of(head: Head) -> dict[str, tuple[int, ...]]:
    """The cut tensors' shapes."""
    shapes = {}
    for level in head.levels:
        for view in level.views.values():
            channels = view.first + (len(level.anchors) - 1) * view.step + view.count
            before = shapes.get(view.tensor, (1, 0))[1]
            shapes[view.tensor] = (1, max(channels, before), level.rows, level.columns)
    return shapes


def board_outputs_of(head: Head) -> list[BoardOutput]:
    """What the board returns: float32, NHWC; in another order than the head's."""
    shapes = sorted(shapes_of(head).items())
    return [BoardOutput(name, (1, h, w, c), None) for name, (_, c, h, w) in shapes]


def board_head_of(head: Head) -> tuple[BoardHead, list[BoardOutput]]:
    """The head as a board decodes it, and the outputs that it has its values from."""
    outputs = board_outputs_of(head)
    board = board_head(ExportedHead(head, cut=True), CONFIG, outputs, head.height, head.width)
    assert board is not None
    return board, outputs


def random_outputs(head: Head, seed: int, deviation: float = 1.5) -> dict[str, Floats]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0, deviation, shape).astype(np.float32) for name, shape in shapes_of(head).items()}


def decisive_outputs(head: Head, number: int) -> list[dict[str, Floats]]:
    """Random outputs of which no score or overlap is so near a decision that rounding could make another one."""
    found: list[dict[str, Floats]] = []
    for seed in count():
        assert seed < 3 * number, "so many undecided ones are no chance"
        outputs = random_outputs(head, seed)
        if _decisive(head.decode(outputs)):
            found.append(outputs)
        if len(found) == number:
            return found
    raise AssertionError


def repeated_scores(head: Head) -> dict[str, Floats]:
    """Outputs whose boxes are random and whose rows share a few scores, bit for bit."""
    for seed in range(10):
        outputs = random_outputs(head, seed)
        rows = {kind: head.read(kind, outputs) for kind in head.kinds}
        chosen = np.random.default_rng(seed).integers(0, 6, head.count)
        scored = {kind: rows[kind][chosen] for kind in (Kind.objectness, Kind.classes) if kind in rows}
        outputs = head.unread(rows | scored)
        if _decisive(head.decode(outputs)) and len(head.decode(outputs).above(CONFIG.score_threshold)) > 20:
            return outputs
    raise AssertionError


def _decisive(decoded: Detections) -> bool:
    threshold = np.float32(CONFIG.score_threshold)
    if (np.abs(decoded.scores - threshold) < CLOSE).any():
        return False
    found = decoded.above(CONFIG.score_threshold)
    gaps = np.diff(np.sort(found.scores))
    if ((gaps > 0) & (gaps < CLOSE)).any():
        return False
    overlaps = [
        intersection_over_union(box, found.boxes[found.classes == label])
        for box, label in zip(found.boxes, found.classes, strict=True)
    ]
    return not any((np.abs(each - CONFIG.nms_threshold) < CLOSE).any() for each in overlaps)


WRITE = """
template <class Box>
void write(const std::vector<Box>& boxes) {
    for (const Box& box : boxes) {
        printf("%.9g %.9g %.9g %.9g %.9g %d", box.left, box.top, box.right, box.bottom, box.score, box.label);
        for (const auto& point : box.points) printf(" %.9g %.9g %.9g", point.x, point.y, point.visible);
        puts("");
    }
}
"""
MAIN = """
int main(int count, char** words) {
    for (int i = 2; i < count; i++) {
        FILE* file = fopen(words[i], "rb");
        std::vector<std::vector<float>> values;
        for (int size; fread(&size, sizeof size, 1, file) == 1;) {
            values.push_back(std::vector<float>(size));
            if (fread(values.back().data(), sizeof(float), size, file) != size_t(size)) return 1;
        }
        fclose(file);
        std::vector<const float*> outputs;
        for (const std::vector<float>& output : values) outputs.push_back(output.data());
        puts("outputs");
        switch (atoi(words[1])) {
            CASES
        }
    }
}
"""


@dataclass(frozen=True)
class Program:
    """A compiled program with the decoding of several heads."""

    path: Path
    names: Sequence[str]

    def detect(self, name: str, outputs: Sequence[Mapping[str, Floats]], folder: Path) -> list[NDArray[np.float32]]:
        """The boxes that a network's head finds: of each of the outputs [N, 6 + 3 K]."""
        head, files = head_of(name), []
        for index, values in enumerate(outputs):
            files.append(folder / f"{index}.bin")
            files[-1].write_bytes(_packed(head, values))
        line = [self.path, str(self.names.index(name)), *files]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        parts = done.stdout.split("outputs\n")[1:]
        width = 6 + 3 * _points(head)
        return [np.array(part.split(), np.float64).astype(np.float32).reshape(-1, width) for part in parts]


def _points(head: Head) -> int:
    points = head.keypoints({name: np.zeros(shape, np.float32) for name, shape in shapes_of(head).items()})
    return 0 if points is None else points.shape[1]


def _packed(head: Head, values: Mapping[str, Floats]) -> bytes:
    """The board's outputs in their order: elements, then values, NHWC."""
    content = b""
    for output in board_outputs_of(head):
        value = np.ascontiguousarray(values[output.name].transpose(0, 2, 3, 1))
        content += np.array([value.size], "<i4").tobytes() + value.astype("<f4").tobytes()
    return content


def _without_structs(header: str, structs: dict[str, str]) -> str:
    """A header that uses the global structs `structs` in its own one's stead; those that are missing are added."""

    def use(match: re.Match[str]) -> str:
        assert structs.setdefault(match[1], match[0]) == match[0]
        return f"using ::{match[1]};"

    return re.sub(r"^struct (View|Anchor|Level|Point|Box) \{.*?^\};", use, header, flags=re.M | re.S)


def compiled(folder: Path, names: Sequence[str], *flags: str) -> Program:
    """Compile several heads' decoding into one program, each in a namespace of its own; a warning is an error.

    Plain structs, the same in each, stand before them: what the library makes of them is compiled once.
    """
    structs: dict[str, str] = {}
    texts, cases = [], []
    for number, head in enumerate(map(head_of, names)):
        place = folder / str(number)
        place.mkdir(parents=True)
        board, _ = board_head_of(head)
        write_head(place, board, CONFIG)
        headers = ((place / name).read_text() for name in ("head.h", "detector.h"))
        shared = (_without_structs(text, structs) for text in headers)
        lines = [line for text in shared for line in text.splitlines() if not line.startswith("#")]
        texts += [f"namespace head_{number} {{", *lines, "}"]
        cases.append(f"case {number}: write(head_{number}::detector::detect(outputs)); break;")
    includes = [
        f"#include <{name}>" for name in ("algorithm", "cmath", "cstddef", "cstdio", "cstdlib", "utility", "vector")
    ]
    source = [*includes, WRITE, *structs.values(), *texts, MAIN.replace("CASES", "\n".join(cases))]
    (folder / "main.cpp").write_text("\n".join(source))
    line = ["g++", "-std=c++11", "-Wall", "-Wextra", "-Werror", *flags, "main.cpp", "-o", "main"]
    done = kept.run(line, folder, [], ["main"], "g++")
    assert (done.returncode, done.stderr) == (0, "")
    return Program(folder / "main", names)
