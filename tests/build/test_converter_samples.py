import cv2
import numpy as np
import pytest

from stages.build.converter_samples import write_bins, write_samples
from stages.core.config.schema import Color
from stages.core.data.inputs import NetworkInput

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
    network_input = NetworkInput("images", (1, channels, 10, 14), (0.0,) * channels, (1.0,) * channels, color)
    named = ((name, {"images": sample}) for name, sample in zip(names, samples, strict=True))
    paths = write_samples(tmp_path / "pictures", named, [network_input], write_bins)
    assert [path.name for path in paths] == ["0000_a.png", "0001_a.png", "0002_b_with_blank.png"]
    assert sorted(paths) == paths == sorted((tmp_path / "pictures").iterdir())
    for path, sample in zip(paths, samples, strict=True):
        np.testing.assert_array_equal(TO_SAMPLE[color](str(path)), sample)


def test_of_several_inputs_each_sample_is_a_folder_with_a_file_for_each(tmp_path):
    picture = NetworkInput("740", (1, 3, 1, 2), (0.0,) * 3, (1.0,) * 3, Color.RGB)
    state = NetworkInput("last/state_tgru", (1, 2, 4), (0.0,) * 2, (1.0,) * 2, Color.RGB)
    samples = [
        (f"s{start}", {
            "740": np.arange(start, start + 6, dtype=np.uint8).reshape(1, 2, 3),
            "last/state_tgru": np.full((1, 2, 4), start, np.float32),
        })
        for start in (0, 100)
    ]  # fmt: skip
    write_samples(tmp_path / "set", samples, [picture, state], write_bins)
    names = [path.relative_to(tmp_path / "set").as_posix() for path in sorted((tmp_path / "set").rglob("*.bin"))]
    files = ("740.bin", "last_state_tgru.bin")
    assert names == [f"{sample}/{file}" for sample in ("0000_s0", "0001_s100") for file in files]
    assert np.fromfile(tmp_path / "set/0001_s100/740.bin", "<f4").tolist() == [100, 101, 102, 103, 104, 105]
    assert np.fromfile(tmp_path / "set/0001_s100/last_state_tgru.bin", "<f4").tolist() == [100.0] * 8
