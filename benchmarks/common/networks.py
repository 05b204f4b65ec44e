"""The real networks that are measured, and where their pictures and files are."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.common.picture_folders import list_pictures
from stages.core.base.errors import UserError

__all__ = ["NETWORKS", "Network", "find_data"]


@dataclass(frozen=True)
class Network:
    """A network to measure.

    Attributes:
        pictures: their folder in DIR.
        file: the network's file in DIR; None: conf/ fetches it.
        overrides: that compose it.
    """

    pictures: str
    file: str | None
    overrides: tuple[str, ...]


NETWORKS = {
    "lite0": Network("imagenet_sample", None, ()),
    "yolox_nano": Network(
        "coco_train128/images",
        "models/yolox_nano_416.onnx",
        (
            "model=onnx",
            "model.source=file:network.onnx",
            "model.name=yolox_nano",
            "model.cut=false",  # the scores here decode the network's own output
            "model.inputs=[{mean: [0], normal: [1], color: BGR}]",
            "model.preprocess.fit=letterbox",
            "model.preprocess.anchor=top_left",
            "model.preprocess.pad=114",
        ),
    ),
}


def find_data(network: Network, data: Path, least: int) -> tuple[list[Path], Path | None]:
    """The network's pictures by name, `least` or more of them, and its file in DIR.

    Raises:
        UserError: naming what DIR lacks.
    """
    if not data.is_dir():
        raise UserError(f"--data {data}: is no folder")
    pictures = list_pictures(data / network.pictures)
    if len(pictures) < least:
        raise UserError(f"{data / network.pictures} holds {len(pictures)} pictures: {least} or more needed")
    file = data / network.file if network.file else None
    if file and not file.is_file():
        raise UserError(f"{file} is missing: see --help for what --data holds")
    return pictures, file
