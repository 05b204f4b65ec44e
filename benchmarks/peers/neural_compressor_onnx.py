"""Intel Neural Compressor 2 on an ONNX network; version 3 has no ONNX."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.peers.adapter import Array, Pictures

__all__ = ["default"]


class _Loader:
    """Pairs of a picture and a label that nothing reads."""

    batch_size = 1

    def __init__(self, pictures: Pictures) -> None:
        self._pictures = pictures

    def __iter__(self) -> Iterator[tuple[Array, int]]:
        return ((picture, 0) for picture in self._pictures)


def default(model: Path, calibration: Pictures, target: Path) -> None:
    """Quantize statically to 8 bits as QDQ, by its defaults.

    Args:
        model: the float network.
        calibration: pictures.
        target: the QDQ network.
    """
    from neural_compressor import quantization  # noqa: PLC0415
    from neural_compressor.config import PostTrainingQuantConfig  # noqa: PLC0415

    config = PostTrainingQuantConfig(
        approach="static", quant_format="QDQ", calibration_sampling_size=[len(calibration)], quant_level=1
    )
    quantization.fit(str(model), config, calib_dataloader=_Loader(calibration)).save(str(target))
