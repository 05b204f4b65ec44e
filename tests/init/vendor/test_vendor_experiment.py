"""Configs with the keys and values of the vendor's guides and samples."""

import re
from pathlib import Path

import pytest

from stages.core.base.errors import UserError
from stages.init.vendor.spellings import from_call, from_config
from stages.init.vendor.vendor_experiment import interpret

RESNET = {  # the guide of July 2022, chapter 2.2.1
    "SOC": "T40",
    "INPUT": ["data"],
    "INPUT_SHAPE": [1, 3, 224, 224],
    "MEAN": [123.675, 116.28, 103.53],
    "NORMAL": [58.395, 57.12, 57.375],
    "COLOR": ["RGB"],
    "OUTPUT": ["resnetv15_dense0_fwd"],
    "QUANT_DATASET_PATH": "./Val_2012_Images_part",
}
PTQ = {  # the guide of February 2022, chapter 3.2
    "format": "RGB",
    "width": 640,
    "height": 640,
    "path": "./yolov5-50",
    "used_image_num": 2,
    "feature_quantize_method": "KL",
    "weight_quantize_method": "MAX_ABS",
    "feature_quantize_bits": 8,
    "weight_quantize_bits": 8,
    "debug": {"open": False, "debug_input_path": "./test_image/5050_1-112.jpg", "debug_output_dir": "./dump_data"},
    "bias_corr": {
        "weight_corr": False,
        "feature_corr": False,
        "vali_dir": "./validated_images",
        "corr_dir": "./test_image",
    },
    "weight_fake_quant": False,
    "feature_fake_quant": False,
    "skip_node_quant": [],
    "skip_op_quant": [],
}
CALL = {  # its chapter 2
    "framework": "onnx",
    "target_device": "T40",
    "outputpath": "yolov5s_magik.mk.h",
    "inputpath": "./yolov5s.onnx",
    "mean": "0,0,0",
    "var": "255.0,255.0,255.0",
    "img_width": "640",
    "img_height": "384",
    "img_channel": "3",
    "input_nodes": "images",
    "output_nodes": "640,660,680",
    "post_training_quantization": "true",
    "ptq_config_path": "./ptq_yolov5_config.json",
}
KIT = {  # a sample of the training kit
    "ARCH": {"SOC": "T40"},
    "MODEL": {
        "FORMAT": "onnx",
        "INPUT": [
            {
                "BATCH": 1,
                "WIDTH": 640,
                "HEIGHT": 480,
                "CHANNEL": 3,
                "COLOR": "RGB",
                "NORMAL": [255, 255, 255],
                "MEAN": [0, 0, 0],
            }
        ],
    },
    "EXTRA": {"BIZ_CODE": "Ingenic", "VERBOSE": "ON"},
}


def understood(content, folder=Path("w")):
    notes = []
    return interpret(from_config(content, "a.cfg", notes), lambda path: folder / path, notes), notes


def flat(**changes):
    return understood(RESNET | changes)


def test_the_flat_cfg():
    experiment, notes = understood(RESNET)
    assert experiment.soc == "T40"
    assert experiment.inputs == [
        {
            "name": "data",
            "shape": [1, 3, 224, 224],
            "mean": [123.675, 116.28, 103.53],
            "normal": [58.395, 57.12, 57.375],
            "color": "RGB",
        }
    ]
    assert experiment.outputs == ["resnetv15_dense0_fwd"]
    assert (experiment.calibration, experiment.size, experiment.debug) == (Path("w/Val_2012_Images_part"), None, None)
    assert (experiment.quant, experiment.network, experiment.node_bits, notes) == ({}, None, None, [])


def test_several_inputs():
    shapes = [[1, 3, 1, 256], [1, 16, 128]]
    experiment, notes = flat(INPUT=["740", "last_state_tgru"], INPUT_SHAPE=shapes, MEAN=[], NORMAL=[], COLOR=[])
    assert experiment.inputs == [
        {"name": "740", "shape": [1, 3, 1, 256]},
        {"name": "last_state_tgru", "shape": [1, 16, 128]},
    ]
    assert notes == []


def test_empty_lists_leave_all_to_the_graph():
    experiment, _ = flat(INPUT=[], INPUT_SHAPE=[], MEAN=[], NORMAL=[], COLOR=[], OUTPUT=[])
    assert (experiment.inputs, experiment.outputs) == ([{}], [])


def test_the_ptq_json():
    experiment, notes = understood(PTQ)
    assert experiment.inputs == [{"shape": [1, 3, 640, 640], "color": "RGB"}]
    assert (experiment.calibration, experiment.size) == (Path("w/yolov5-50"), 2)
    assert experiment.quant == {"feature_bits": 8, "weight_bits": 8, "feature_method": "KL", "weight_method": "MAX_ABS"}
    assert (experiment.debug, experiment.correction, experiment.validation, notes) == (None, None, None, [])


def test_the_ptq_json_with_its_options_on():
    group = PTQ["bias_corr"] | {"feature_corr": True}
    more = {"format": "GRAY", "debug": PTQ["debug"] | {"open": True}, "bias_corr": group, "skip_node_quant": ["a"]}
    experiment, _ = understood(PTQ | more)
    assert experiment.inputs == [{"shape": [1, 1, 640, 640], "color": "GRAY"}]
    assert experiment.debug == Path("w/test_image/5050_1-112.jpg")
    assert (experiment.correction, experiment.validation) == (Path("w/test_image"), Path("w/validated_images"))
    assert (experiment.quant["feature_correction"], experiment.quant["skip_nodes"]) == (True, ["a"])
    assert "weight_correction" not in experiment.quant


def test_the_command_line():
    notes = []
    settings, files = from_call(CALL, "run.sh", notes)
    experiment = interpret(settings, lambda path: Path("w") / path, notes)
    assert files == ["./ptq_yolov5_config.json"]
    assert (experiment.soc, experiment.network) == ("T40", Path("w/yolov5s.onnx"))
    assert experiment.inputs == [
        {"name": "images", "shape": [1, 3, 384, 640], "mean": [0.0] * 3, "normal": [255.0] * 3}
    ]  # `var` divides: a standard deviation
    assert (experiment.outputs, notes) == (["640", "660", "680"], [])


def test_the_training_kits_json():
    experiment, notes = understood(KIT)
    assert experiment.soc == "T40"
    assert experiment.inputs == [{"shape": [1, 3, 480, 640], "mean": [0.0] * 3, "normal": [255.0] * 3, "color": "RGB"}]
    assert notes == []


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("QUANT_FEATURE_BIT", 10, {"feature_bits": 10}),
        ("QUANT_FEATURE_BITS", 10, {"feature_bits": 10}),
        ("FEATURE_QUANT_BITS", 12, {"feature_bits": 12}),
        ("feature_quantize_bit", 10, {"feature_bits": 10}),
        ("QUANT_WEIGHT_BITS", 4, {"weight_bits": 4}),
        ("weight_quantize_bits", 4, {"weight_bits": 4}),
        ("QUANT_FEATURE_METHOD", "kl", {"feature_method": "KL"}),
        ("QUANT_FEATURE METHOD", "MSE", {"feature_method": "MSE"}),
        ("QUANT_WEIGHT_METHOD", "MAX", {"weight_method": "MAX_ABS"}),
        ("QUANT_WEIGHT_METHOD", "ADMM", {"weight_method": "ADMM"}),
        ("QUANT_NODE_SKIP", ["NODE_NAME0"], {"skip_nodes": ["NODE_NAME0"]}),
        ("QUANT_OP_SKIP", ["Conv2D", "EltwiseAdd", "MaxPool"], {"skip_ops": ["Conv", "Add", "MaxPool"]}),
        ("QUANT_OP_SKIP", ["MatMul", "BatchNormScale"], {"skip_ops": ["MatMul", "Gemm"]}),
        ("FEATURE_FAKE_QUANT", True, {"fake_quant": "feature"}),
        ("WEIGHT_FAKE_QUANT", "true", {"fake_quant": "weight"}),
        ("WEIGHT_CORRECT_PATH", "correct_img", {"weight_correction": True}),
        ("WEIGHT_COREECT_PATH", "correct_img", {"weight_correction": True}),
        ("SAVE_OP_QUANT_BIT", True, {}),
    ],
)
def test_debug_keys_in_every_spelling(key, value, expected):
    experiment, notes = flat(**{key: value})
    assert experiment.quant == expected
    assert notes == []


@pytest.mark.parametrize("key", ["DEBUG_PATH", "DEUBG_PATH"])
def test_the_debug_folder(key):
    assert flat(**{key: "./debug"})[0].debug == Path("w/debug")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"QUANT_WEIGHT_BIT": 32, "FEATURE_FAKE_QUANT": True}, {"weight_bits": 32}),
        ({"QUANT_FEATURE_BIT": 32, "WEIGHT_FAKE_QUANT": True}, {"feature_bits": 32}),
    ],
)
def test_a_side_that_is_float_already(changes, expected):
    assert flat(**changes)[0].quant == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"QUANT_FEATURE_BTI": 8}, r"a\.cfg: QUANT_FEATURE_BTI: unknown, left out; did you mean 'QUANT_FEATURE_BIT'"),
        ({"WEIGHT_FAKE_QUANT": True, "FEATURE_FAKE_QUANT": True}, r"WEIGHT_FAKE_QUANT .*both sides are quantized"),
        ({"QUANT_WEIGHT_METHOD": "KL"}, r"QUANT_WEIGHT_METHOD=KL: no method for weights; MAX_ABS is taken"),
        ({"QUANT_OP_SKIP": ["Foo"]}, r"QUANT_OP_SKIP: 'Foo' is left out: not known as an operator"),
        ({"LOAD_OP_QUANT_BIT": True}, r"LOAD_OP_QUANT_BIT: there is no w/magik_node_quant_bit_info\.json"),
        ({"WEIGHT_CORRECT_PATH": "a", "FEATURE_CORRECT_PATH": "b"}, r"FEATURE_CORRECT_PATH: one set serves both"),
    ],
)
def test_what_is_taken_otherwise_is_said(changes, expected):
    (note,) = flat(**changes)[1]
    assert re.search(expected, note)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (RESNET | {"QUANT_FEATURE_BIT": "many"}, r"a\.cfg: QUANT_FEATURE_BIT=many: give a whole number"),
        (RESNET | {"QUANT_FEATURE_METHOD": "EMA"}, r"QUANT_FEATURE_METHOD=EMA: give one of MAX_ABS, KL, MSE, ADMM"),
        (RESNET | {"QUANT_WEIGHT_METHOD": "OUTPUT"}, r"QUANT_WEIGHT_METHOD=OUTPUT: give one of MAX_ABS, ADMM"),
        (RESNET | {"COLOR": ["RGB", "RGB"]}, r"COLOR is for 2 inputs; there are 1"),
        (RESNET | {"INPUT_SHAPE": "1,3,8,8"}, r"INPUT_SHAPE=1,3,8,8: give a list of sizes"),
        (RESNET | {"SOC": 40}, r"SOC=40: give a text"),
        (RESNET | {"QUANT_FEATURE_BIT": 8, "FEATURE_QUANT_BITS": 8}, r"are two spellings of one key: keep one"),
        (PTQ | {"debug": True}, r"a\.cfg: debug=True: give a group of keys"),
        (KIT | {"MODEL": {"FORMAT": "caffe"}}, r"MODEL\.FORMAT=caffe: convert the network to ONNX first"),
        (KIT | {"MODEL": {"INPUT": [{"WIDTH": 5}]}}, r"MODEL\.INPUT\[0\] lacks CHANNEL, HEIGHT"),
        (
            {"conv": {"QUANT_FEATURE_BIT": 8}, "fc": {"MIN": -1, "MAX": 1}},
            r"^a\.cfg: this is a node-bits file: give run\.sh or the cfg",
        ),
        ({"conv": 1, "fc": {}}, r"^a\.cfg: none of its keys is one of a converter's config"),
        ({}, r"^a\.cfg: none of its keys"),
        (KIT | {"MODEL": {"INPUT": {}}}, r"MODEL\.INPUT=\{\}: give a list of inputs"),
    ],
)
def test_refused(content, expected):
    with pytest.raises(UserError, match=expected):
        understood(content)


def test_many_unknown_keys_are_one_line():
    (note,) = flat(**{f"conv{index}": 1 for index in range(9)})[1]
    assert note == "a.cfg: 9 keys unknown, left out: conv0, conv1, conv2, conv3, ..."


def test_the_kits_unknown_keys_are_named():
    content = KIT | {"ARCH": {"SOC": "T40", "CORE": 1}, "MORE": {}}
    assert [note.split(";")[0] for note in understood(content)[1]] == [
        "a.cfg: MORE: unknown, left out", "a.cfg: ARCH.CORE: unknown, left out",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("bits", "ranges", "quant"),
    [(True, True, {}), (True, False, {"node_ranges": False}), (False, True, {})],
)
def test_the_file_of_widths_and_ranges(tmp_path, bits, ranges, quant):
    (tmp_path / "magik_node_quant_bit_info.json").write_text("{}")
    experiment, notes = understood(RESNET | {"LOAD_OP_QUANT_BIT": bits, "LOAD_OP_QUANT_MIN_MAX": ranges}, tmp_path)
    assert experiment.node_bits == tmp_path / "magik_node_quant_bit_info.json"
    assert experiment.quant == quant
    assert len(notes) == (0 if bits else 1)
