import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from stages.core.config import PreprocessConfig
from stages.core.errors import UserError
from stages.core.inputs import load_inputs
from stages.core.paths import INPUTS
from stages.core.preprocess import picture_input
from stages.infer.inputs import normalized, read_pixels


@pytest.fixture
def network_input(quantized):
    return picture_input(load_inputs(INPUTS))


def test_pictures_and_arrays_give_the_same(command, quantized, network_input):
    """A picture of the input's size is the input's pixels; the runs differ in nothing."""
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    cv2.imwrite("picture.png", pixels[:, :, ::-1])
    np.save("bytes.npy", pixels)
    np.save("floats.npy", pixels[None].astype(np.float32))
    Path("bytes.bin").write_bytes(pixels.tobytes())
    Path("floats.bin").write_bytes(np.pad(pixels, ((0, 0), (0, 0), (0, 1))).astype("<f4").tobytes())
    names = ["picture.png", "bytes.npy", "floats.npy", "bytes.bin", "floats.bin"]
    done = command("infer", *names, "--json", "out.json")
    assert done.returncode == 0, done.stderr
    found = json.loads(Path("out.json").read_text())
    assert [entry["input"] for entry in found] == names
    assert all(entry["values"] == found[0]["values"] for entry in found)
    assert (found[0]["output"], found[0]["shape"]) == ("logits", [1, 3])
    np.testing.assert_array_equal(
        normalized(pixels, network_input)[0, 1], (pixels[:, :, 1].astype(np.float32) - 128) / 64
    )


def test_dumps_have_the_vendors_names(command, quantized):
    np.save("a.npy", np.zeros((16, 16, 3), np.uint8))
    assert command("infer", "a.npy", "--dump", "MAGIK_DATA_DUMP").returncode == 0
    sizes = {path.name: path.stat().st_size for path in Path("MAGIK_DATA_DUMP").glob("*.bin")}
    assert sizes == {
        "input_data_shape_1_16_16_3.bin": 768,
        "images_codes_Quantize.bin": 768,
        "stem_relu_Quantize.bin": 512,
        "depthwise_relu6_Quantize.bin": 512,
        "project_Quantize.bin": 512,
        "residual_Quantize.bin": 512,
        "pool_Quantize.bin": 8,
        "flatten_Quantize.bin": 8,
        "fc.bin": 12,
    }
    files = json.loads(Path("MAGIK_DATA_DUMP/model_node_info.json").read_text())["files"]
    assert {entry["file"] for entry in files.values()} == {name for name in sizes if "input" not in name}
    residual = files["residual"]
    assert (residual["shape"], residual["bits"], residual["type"]) == ([1, 8, 8, 8], 8, "uint8")
    assert residual["takes"] == ["stem_relu", "project"]
    assert files["fc"] == {"file": "fc.bin", "shape": [1, 3], "takes": ["flatten"]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.bin", b"123", r"a\.bin has 3 bytes; the input takes 768 \(uint8\) or 3072 \(float32\)"),
        ("a.npy", None, r"a\.npy cannot be read"),
        (
            "b.npy",
            np.zeros((3, 16, 16), np.float32),
            r"shape \[3, 16, 16\]; the input takes \[16, 16, 3\]: pixels",
        ),
        ("c.npy", np.full((16, 16, 3), np.nan, np.float32), r"c\.npy holds values that are infinite or not a number"),
        ("a.png", b"123", r"a\.png cannot be read as a picture"),
    ],
)
def test_other_files_are_refused(network_input, name, content, message):
    if isinstance(content, bytes):
        Path(name).write_bytes(content)
    elif content is not None:
        np.save(name, content)
    with pytest.raises(UserError) as error:
        read_pixels(Path(name), network_input, PreprocessConfig())
    assert re.search(message, str(error.value))
