"""The detector's last layers against OpenCV's, which computes priors and decodes boxes with code of its own."""

import cv2
import numpy as np
import pytest

from stages.core.base.errors import UserError
from tests.export.graphs import run_onnx
from tests.export.sources.caffe.writing import caffemodel, net, read

PRIORS = 4 * 6 * 6  # 4 rows, 6 columns, 6 a cell


def ssd(prior="", output="share_location: true background_label_id: 0"):
    conv = (
        'layer {{ name: "{0}" type: "Convolution" bottom: "data" top: "{0}" '
        "convolution_param {{ num_output: {1} kernel_size: 8 stride: 8 }} }}\n"
        'layer {{ name: "{0}_perm" type: "Permute" bottom: "{0}" top: "{0}_perm" '
        "permute_param {{ order: 0 order: 2 order: 3 order: 1 }} }}\n"
        'layer {{ name: "{0}_flat" type: "Flatten" bottom: "{0}_perm" top: "{0}_flat" }}\n'
    )
    return net(
        conv.format("loc", 6 * 4)
        + conv.format("conf", 6 * 2)
        + 'layer { name: "prior" type: "PriorBox" bottom: "loc" bottom: "data" top: "prior" prior_box_param { '
        f"min_size: 8 max_size: 12 aspect_ratio: 2 aspect_ratio: 1 aspect_ratio: 0.5 aspect_ratio: 3 {prior} "
        "variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2 } }\n"
        'layer { name: "priors" type: "Concat" bottom: "prior" top: "priors" concat_param { axis: 2 } }\n'
        'layer { name: "reshape" type: "Reshape" bottom: "conf_flat" top: "reshape" '
        "reshape_param { shape { dim: 0 dim: -1 dim: 2 } } }\n"
        'layer { name: "softmax" type: "Softmax" bottom: "reshape" top: "softmax" softmax_param { axis: 2 } }\n'
        'layer { name: "prob" type: "Flatten" bottom: "softmax" top: "prob" }\n'
        'layer { name: "out" type: "DetectionOutput" bottom: "loc_flat" bottom: "prob" bottom: "priors" top: "out" '
        f"detection_output_param {{ code_type: CENTER_SIZE {output} num_classes: 2 "
        "confidence_threshold: 0 nms_param { nms_threshold: 1 top_k: 1000 } keep_top_k: 1000 } }\n",
        (1, 3, 32, 48),
    )


@pytest.fixture(scope="module")
def weights():
    random = np.random.default_rng(0)
    shapes = {"loc": (24, 3, 8, 8), "conf": (12, 3, 8, 8)}
    return {
        name: [random.normal(size=shape).astype(np.float32) / 16, np.zeros(shape[0])] for name, shape in shapes.items()
    }


@pytest.mark.parametrize(
    "prior",
    ["clip: false", "clip: true", "step: 9 offset: 0.25 clip: false", "flip: false aspect_ratio: 4 clip: false"],
)
def test_boxes_and_scores_are_those_of_opencv(prior, weights):
    """`clip` is always given: left out it is false in Caffe and true in OpenCV."""
    text = ssd(prior)
    source = read(text, weights)
    assert [info.name for info in source.model.graph.output] == ["out_boxes", "out_scores"]
    assert source.difference < 1e-4  # a softmax of large numbers
    values = np.random.default_rng(1).normal(size=(1, 3, 32, 48)).astype(np.float32)
    boxes, scores = run_onnx(source.model, {"data": values})
    assert boxes.shape == (1, PRIORS, 4)
    assert scores.shape == (1, PRIORS, 2)

    reference = cv2.dnn.readNetFromCaffe(
        np.frombuffer(text.encode(), np.uint8), np.frombuffer(caffemodel(weights), np.uint8)
    )
    reference.setInput(values, "data")
    rows = reference.forward("out").reshape(-1, 7)
    rows = rows[rows[:, 1] == 1]
    assert len(rows) == PRIORS
    order = np.argsort(-scores[0, :, 1], kind="stable")
    rows = rows[np.argsort(-rows[:, 2], kind="stable")]
    np.testing.assert_allclose(rows[:, 2], scores[0, order, 1], rtol=1e-5)
    np.testing.assert_allclose(rows[:, 3:], boxes[0, order], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("output", ["code_type: CORNER_SIZE", "share_location: false"])
def test_another_coding_of_boxes_is_refused(output, weights):
    with pytest.raises(UserError, match=r"cannot be read: end the network before it, model\.outputs=\[loc_flat,prob\]"):
        read(ssd(output=output), weights)


def test_priors_of_another_number_are_refused(weights):
    with pytest.raises(UserError, match=r"layer 'out' \(DetectionOutput\) does not fit its inputs or weights"):
        read(ssd("aspect_ratio: 5"), weights)


def test_sizes_that_do_not_fit_are_refused(weights):
    with pytest.raises(UserError, match=r"layer 'prior' \(PriorBox\) has 1 min_size and 2 max_size"):
        read(ssd("max_size: 20"), weights)
