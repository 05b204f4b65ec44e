import numpy as np
import pytest

from stages.build.magik.dataset import write_tensors
from stages.core.errors import UserError


def test_two_levels_one_folder_a_sample_one_file_an_input(tmp_path):
    def samples():
        for start in (0, 100):
            yield {
                "740": np.arange(start, start + 6, dtype=np.float32).reshape(1, 3, 1, 2),
                "last_state_tgru": np.full((1, 2, 4), start, np.int64),
            }

    assert write_tensors(tmp_path / "set", samples()) == 2
    names = [path.relative_to(tmp_path / "set").as_posix() for path in sorted((tmp_path / "set").rglob("*.bin"))]
    inputs = ("740_input.bin", "last_state_tgru_input.bin")
    assert names == [f"{sample}/{name}" for sample in ("0000", "0001") for name in inputs]
    picture = np.fromfile(tmp_path / "set/0001/740_input.bin", "<f4")
    assert picture.tolist() == [100, 102, 104, 101, 103, 105]  # [1, 3, 1, 2] as NHWC: channels of a pixel side by side
    assert np.fromfile(tmp_path / "set/0001/last_state_tgru_input.bin", "<f4").tolist() == [100.0] * 8


def test_a_name_that_no_file_can_have(tmp_path):
    with pytest.raises(UserError, match=r"input 'a/b': .*rename the input"):
        write_tensors(tmp_path / "set", [{"a/b": np.zeros(1)}])
