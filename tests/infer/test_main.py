import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from stages.core.base.errors import UserError
from stages.core.config.schema import Color, PreprocessConfig
from stages.core.data.inputs import NetworkInput
from stages.core.data.sample_files import read_samples
from stages.core.outputs.output_kind import OutputKind
from stages.infer.__main__ import check_dump, table_row
from stages.infer.sample_path import INPUT_KEY, sample_files
from tests.conftest import composed


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


def test_samples_in_the_networks_own_layout_are_taken_where_those_of_the_sets_are(command, quantized):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.float32)
    np.save("pixels.npy", pixels)
    assert command("infer", "pixels.npy", "--json", "pixels.json").returncode == 0
    composed("data.debug.preprocessed=true")
    np.save("values.npy", ((pixels - 128) / 64).transpose(2, 0, 1))
    done = command("infer", "values.npy", "--json", "values.json")
    assert done.returncode == 0, done.stderr
    (one,), (other,) = (json.loads(Path(f"{name}.json").read_text()) for name in ("pixels", "values"))
    assert one["values"] == other["values"]


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


def test_a_dump_is_not_mixed_with_other_files(tmp_path):
    check_dump(tmp_path / "new", 1)
    (tmp_path / "model_node_info.json").touch()
    (tmp_path / "fc.bin").touch()
    check_dump(tmp_path, 1)
    with pytest.raises(UserError, match=r"holds fc\.bin, no earlier dump: give a new or an empty folder"):
        check_dump(tmp_path, 2)
    (tmp_path / "model_node_info.json").rename(tmp_path / "a.txt")
    with pytest.raises(UserError, match=r"holds a\.txt, no earlier dump"):
        check_dump(tmp_path, 1)
    with pytest.raises(UserError, match=r"a\.txt is a file: give a folder"):
        check_dump(tmp_path / "a.txt", 1)


def test_a_dump_of_several_inputs_has_a_folder_for_each(tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat/model_node_info.json").touch()
    check_dump(tmp_path, 2)
    with pytest.raises(UserError, match="holds cat, no earlier dump"):
        check_dump(tmp_path, 1)


def test_a_folder_of_pictures_is_told_from_a_sample(tmp_path):
    (tmp_path / "cat.png").touch()
    inputs = [NetworkInput("images", (1, 3, 2, 2), (0.0,) * 3, (1.0,) * 3, Color.RGB)]
    with pytest.raises(UserError, match=r"no file for input 'images' .*; of a folder of pictures give .*/\*$"):
        sample_files(tmp_path, inputs)


def test_a_file_that_does_not_fit_is_refused(command, quantized):
    Path("a.bin").write_bytes(b"123")
    done = command("infer", "a.bin")
    assert done.returncode == 2
    said = (
        "error: input: a.bin has 3 bytes; input 'images' takes [16, 16, 3] (NHWC): 768 bytes (uint8) or 3072 (float32)"
    )
    assert done.stderr == f"{said}\n"


def test_a_sample_of_several_inputs_is_a_folder_or_an_npz(tmp_path, monkeypatch):
    inputs = [
        NetworkInput("image", (1, 3, 2, 2), (0.0,) * 3, (1.0,) * 3, Color.RGB),
        NetworkInput("state", (1, 4), (0.0,) * 4, (1.0,) * 4, Color.RGB),
    ]
    monkeypatch.chdir(tmp_path)
    pixels, state = np.arange(12, dtype=np.uint8).reshape(2, 2, 3), np.arange(4, dtype=np.float32)
    Path("s").mkdir()
    np.save("s/image.npy", pixels)
    Path("s/state.bin").write_bytes(state.tobytes())
    np.savez("s.npz", image=pixels, state=state)
    for name in ("s", "s.npz"):
        (read,) = read_samples([sample_files(Path(name), inputs)], inputs, PreprocessConfig(), INPUT_KEY)
        assert read.name == name
        np.testing.assert_array_equal(read.sample["image"], pixels)
        np.testing.assert_array_equal(read.sample["state"], [state])
    with pytest.raises(
        UserError, match=r"^input: s/image\.npy: the network has 2 inputs \(image, state\): give a folder"
    ):
        sample_files(Path("s/image.npy"), inputs)


@pytest.mark.parametrize(
    ("kind", "shown"),
    [(OutputKind.class_scores, "2: 9, 0: 5, 1: -3, 3: -4, 4: -5"), (OutputKind.row, "5, -3, 9, -4, -5, ...")],
)
def test_classes_are_shown_best_first_and_values_in_their_order(kind, shown):
    values = np.array([[5, -3, 9, -4, -5, -6]], np.float32)
    assert table_row(Path("a/b.jpg"), "y", values, kind) == ["b.jpg", "y", "1x6", "-6", "9", shown]
