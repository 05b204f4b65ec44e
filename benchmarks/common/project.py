"""The temporary project that a benchmark runs stages in: links to its data, and the overrides that name them."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.common.picture_folders import link_pictures

__all__ = ["CALIBRATION_FOLDER", "DEBUG_FOLDER", "folder_overrides", "link_data", "link_network"]

CALIBRATION_FOLDER, DEBUG_FOLDER = "calibration", "debug"
NETWORK_FILE = Path("network.onnx")


def link_data(
    pictures: Sequence[Path], network: Path | None, calibration: int, debug: int, folder: str = CALIBRATION_FOLDER
) -> None:
    """Link pictures and network into the current folder; debug pictures do not calibrate.

    Args:
        pictures: to select from, evenly.
        network: its file; None: conf/ fetches it.
        calibration: number of pictures that calibrate.
        debug: number of debug pictures.
        folder: for the pictures that calibrate.
    """
    calibrating = link_pictures(Path(folder), pictures, calibration)
    link_pictures(Path(DEBUG_FOLDER), [picture for picture in pictures if picture not in calibrating], debug)
    link_network(network)


def link_network(network: Path | None) -> None:
    """Link a network's file into the current folder, under the name that `NETWORKS` composes."""
    if network:
        NETWORK_FILE.symlink_to(network)


def folder_overrides(
    calibration: str = CALIBRATION_FOLDER, debug: str = DEBUG_FOLDER, evaluation: str = DEBUG_FOLDER
) -> list[str]:
    """The overrides that take every sample from a folder of the project, without labels."""
    return [
        "data=folder",
        f"data.calibration.source=file:{calibration}",
        f"data.debug.source=file:{debug}",
        f"data.evaluation.source=file:{evaluation}",
        "data.evaluation.labels=null",
        "data.evaluation.task=none",
    ]
