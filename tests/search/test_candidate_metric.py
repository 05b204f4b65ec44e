from pathlib import Path

import numpy as np
import onnx
import pytest

from stages.calibset.__main__ import calibset
from stages.core.base.errors import UserError
from stages.core.base.paths import FLOAT_MODEL, INPUTS
from stages.core.config.load import load_params
from stages.core.data.inputs import load_inputs
from stages.export.__main__ import export
from stages.quantize.simulation import mean_cosine
from stages.search.candidate_metric import ACCURACY, open_metric


@pytest.fixture
def exported(project):
    config = load_params(Path("params.yaml"))
    for stage in (export, calibset):
        stage(config)
    return config, onnx.load(FLOAT_MODEL), load_inputs(INPUTS)


def test_the_float_network_is_right_where_its_labels_say(exported):
    # six pictures of three classes, two a class; halves add up
    with open_metric(*exported, ACCURACY) as metric:
        whole, count = metric.of_float(), len(metric.pictures)
    halves = []
    for part in (slice(0, None, 2), slice(1, None, 2)):
        with open_metric(*exported, ACCURACY, part) as metric:
            halves.append(metric.of_float() * len(metric.pictures))
    assert sum(halves) == pytest.approx(whole * count)


def test_a_part_without_pictures_is_refused(exported):
    with (
        pytest.raises(UserError, match=r"data\.evaluation has too few pictures"),
        open_metric(*exported, ACCURACY, slice(99, None)),
    ):
        pass


def test_the_least_similar_output_counts():
    # by hand: a is equal; b turns by 60 degrees on one of two pictures
    one, turned = np.array([1.0, 0.0], np.float32), np.array([0.5, np.sqrt(0.75)], np.float32)
    pairs = [({"a": one, "b": one}, {"a": one, "b": one}), ({"a": one, "b": one}, {"a": one, "b": turned})]
    assert mean_cosine(pairs) == pytest.approx(0.75)


def test_what_is_no_number_is_as_bad_as_can_be():
    one = np.ones(2, np.float32)
    assert mean_cosine([({"a": one}, {"a": np.array([np.nan, 1], np.float32)})]) == 0.0
