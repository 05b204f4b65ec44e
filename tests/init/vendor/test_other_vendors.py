"""MNN's json and RKNN's yaml, in the keys of the flat cfg."""

import json

import pytest

from stages.core.base.errors import UserError
from stages.init.vendor.config_reader import read_vendor_config

MNN = {
    "format": "RGB",
    "mean": [127.5, 127.5, 127.5],
    "normal": [0.00784314, 0.00784314, 0.00784314],
    "width": 224,
    "height": 224,
    "path": "pictures/",
    "used_sample_num": 50,
    "feature_quantize_method": "KL",
    "weight_quantize_method": "MAX_ABS",
    "batch_size": 1,
    "debug": False,
}
RKNN = """\
models:
    name: mobilenet
    platform: onnx
    model_file_path: ./net.onnx
    quantize: true
    dataset: ./list.txt
    configs:
        quantized_dtype: asymmetric_quantized-8
        mean_values: [[123.675, 116.28, 103.53]]
        std_values: [[58.395, 57.12, 57.375]]
        quant_img_RGB2BGR: true
        quantized_algorithm: kl_divergence
        optimization_level: 3
"""


def values(config):
    return {key: setting.value for key, setting in config.settings.items()}


def test_mnn_s_normal_multiplies(tmp_path):
    (tmp_path / "mnn.json").write_text(json.dumps(MNN))
    config = read_vendor_config([tmp_path / "mnn.json"])
    assert values(config)["NORMAL"] == [pytest.approx(127.5, rel=1e-4)] * 3
    assert values(config)["QUANT_DATASET_SIZE"] == 50
    (note,) = config.notes
    assert note.startswith("mnn.json: normal=[0.00784314, 0.00784314, 0.00784314] multiplies, as MNN has it")


def test_a_divisor_stays_one(tmp_path):
    (tmp_path / "ptq.json").write_text(json.dumps(MNN | {"normal": [128.0, 128.0, 128.0]}))
    assert values(read_vendor_config([tmp_path / "ptq.json"]))["NORMAL"] == [128.0] * 3


def test_rknn_s_yaml(tmp_path):
    (tmp_path / "rknn.yml").write_text(RKNN)
    (tmp_path / "list.txt").write_text("pictures/a.jpg\n\npictures/b.jpg\n")
    config = read_vendor_config([tmp_path / "rknn.yml"])
    assert values(config) == {
        "NETWORK": "./net.onnx",
        "QUANT_DATASET_PATH": str(tmp_path / "pictures"),
        "MEAN": [[123.675, 116.28, 103.53]],
        "NORMAL": [[58.395, 57.12, 57.375]],
        "COLOR": "BGR",
        "QUANT_FEATURE_METHOD": "KL",
    }
    assert config.notes == ["rknn.yml: optimization_level: unknown, left out"]


@pytest.mark.parametrize(
    ("listed", "said"),
    [("a/1.jpg\nb/2.jpg\n", "lists pictures of 2 folders; put them into one"), (None, "cannot be read")],
)
def test_pictures_of_rknn_that_are_no_folder_are_refused(tmp_path, listed, said):
    (tmp_path / "rknn.yml").write_text(RKNN)
    if listed is not None:
        (tmp_path / "list.txt").write_text(listed)
    with pytest.raises(UserError, match=said):
        read_vendor_config([tmp_path / "rknn.yml"])
