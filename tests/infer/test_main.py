import json
from pathlib import Path

import cv2
import numpy as np


def test_pictures_and_arrays_give_the_same(command, quantized):
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


def test_dumps_have_the_vendors_names(command, quantized):
    np.save("a.npy", np.zeros((16, 16, 3), np.uint8))
    assert command("infer", "a.npy", "--dump", "MAGIK_DATA_DUMP").returncode == 0
    sizes = {path.name: path.stat().st_size for path in Path("MAGIK_DATA_DUMP").iterdir()}
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


def test_a_file_that_does_not_fit_is_refused(command, quantized):
    Path("a.bin").write_bytes(b"123")
    done = command("infer", "a.bin")
    assert done.returncode == 2
    said = (
        "error: input: a.bin has 3 bytes; input 'images' takes [16, 16, 3] (NHWC): 768 bytes (uint8) or 3072 (float32)"
    )
    assert done.stderr == f"{said}\n"
