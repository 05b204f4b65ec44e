import cv2
import numpy as np
import pytest

from stages.build.calibration import write_pictures
from stages.core.config import Color
from stages.core.inputs import NetworkInput
from stages.core.samples import SampleReader, SampleWriter

TO_SAMPLE = {
    Color.RGB: lambda path: cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB),
    Color.BGR: cv2.imread,
    Color.GRAY: lambda path: cv2.imread(path, cv2.IMREAD_GRAYSCALE)[:, :, None],
}


@pytest.mark.parametrize("color", list(Color))
def test_pictures_decode_to_exactly_the_samples(tmp_path, color):
    channels = 1 if color is Color.GRAY else 3
    samples = np.random.default_rng(0).integers(0, 256, (3, 10, 14, channels), dtype=np.uint8)
    names = ["night/a.jpg", "day/a.jpg", "b with blank.bmp"]
    (tmp_path / "set").mkdir()
    writer = SampleWriter(tmp_path / "set", ["images"], 3)
    for name, sample in zip(names, samples, strict=True):
        writer.add(name, {"images": sample})
    writer.close([])
    entry = NetworkInput("images", (1, channels, 10, 14), (0.0,) * channels, (1.0,) * channels, color)
    paths = write_pictures(tmp_path / "pictures", SampleReader.open(tmp_path / "set"), entry)
    assert [path.name for path in paths] == ["0000_a.png", "0001_a.png", "0002_b_with_blank.png"]
    assert sorted(paths) == paths == sorted((tmp_path / "pictures").iterdir())
    for path, sample in zip(paths, samples, strict=True):
        np.testing.assert_array_equal(TO_SAMPLE[color](str(path)), sample)
