import numpy as np
import pytest

from stages.core.base.artifacts import write_json
from stages.core.base.errors import UserError
from stages.core.config.schema import Color, InputConfig
from stages.core.data.inputs import NetworkInput, assign_names, feeds, load_inputs, normalize, resolve_inputs, to_json

PICTURE = [1, 3, 4, 6]


def test_one_mean_and_normal_serve_all_channels():
    (found,) = resolve_inputs([InputConfig(mean=[127], normal=[128])], {"images": PICTURE})
    expected = NetworkInput("images", (1, 3, 4, 6), (127.0,) * 3, (128.0,) * 3, Color.RGB)
    assert found == expected
    assert (found.channels, found.height, found.width) == (3, 4, 6)


def test_each_channel_may_have_its_own():
    entry = InputConfig(mean=[1, 2, 3], normal=[4, 5, 6], color=Color.BGR)
    (found,) = resolve_inputs([entry], {"images": PICTURE})
    assert (found.mean, found.normal, found.color) == ((1, 2, 3), (4, 5, 6), Color.BGR)


def test_left_out_fields_of_the_first_input_change_nothing():
    (found,) = resolve_inputs([InputConfig()], {"images": PICTURE})
    assert (found.mean, found.normal, found.color) == ((0.0,) * 3, (1.0,) * 3, Color.RGB)


def test_a_field_left_out_takes_that_of_the_input_before():
    configured = [
        InputConfig(mean=[1, 2, 3], normal=[4], color=Color.BGR),
        InputConfig(normal=[5]),
        InputConfig(mean=[6], color=Color.RGB),
    ]
    found = resolve_inputs(configured, {"a": PICTURE, "b": PICTURE, "c": PICTURE, "d": PICTURE})
    assert [entry.mean for entry in found] == [(1, 2, 3), (1, 2, 3), (6, 6, 6), (6, 6, 6)]
    assert [entry.normal for entry in found] == [(4, 4, 4), (5, 5, 5), (5, 5, 5), (5, 5, 5)]
    assert [entry.color for entry in found] == [Color.BGR, Color.BGR, Color.RGB, Color.RGB]


def test_a_given_zero_is_not_a_field_left_out():
    found = resolve_inputs([InputConfig(mean=[9]), InputConfig(mean=[0])], {"a": PICTURE, "b": PICTURE})
    assert found[1].mean == (0.0, 0.0, 0.0)


def test_names_choose_the_input_and_the_rest_follow_the_graph():
    configured = [InputConfig(name="c", mean=[3]), InputConfig(mean=[1]), InputConfig(name="b", mean=[2])]
    found = resolve_inputs(configured, {"a": PICTURE, "b": PICTURE, "c": PICTURE})
    assert [(entry.name, entry.mean[0]) for entry in found] == [("a", 1.0), ("b", 2.0), ("c", 3.0)]


def test_the_input_before_is_the_one_before_in_the_config():
    configured = [InputConfig(name="b", mean=[7]), InputConfig(name="a")]
    found = resolve_inputs(configured, {"a": PICTURE, "b": PICTURE})
    assert [entry.mean[0] for entry in found] == [7.0, 7.0]


def test_shapes_come_from_the_config_or_else_from_the_graph():
    shapes = {"a": [0, 3, 0, 0], "b": [1, 10]}
    found = resolve_inputs([InputConfig(shape=[1, 3, 8, 8])], shapes)
    assert [entry.shape for entry in found] == [(1, 3, 8, 8), (1, 10)]


@pytest.mark.parametrize("field", ["mean", "normal"])
@pytest.mark.parametrize(
    ("values", "shape", "allowed"),
    [([1, 2], PICTURE, "1 value or 3"), ([1, 2, 3], [1, 1, 4, 4], "1 value"), ([], PICTURE, "1 value or 3")],
)
def test_a_wrong_number_of_values_names_the_key_and_what_fits(field, values, shape, allowed):
    configured = [InputConfig(), InputConfig(**{field: values})]
    with pytest.raises(UserError) as caught:
        resolve_inputs(configured, {"a": shape, "b": shape})
    message = str(caught.value)
    assert message.startswith(f"model.inputs[1].{field} has {len(values)} values")
    assert message.endswith(f"give {allowed}")
    assert "\n" not in message


def test_more_inputs_than_the_network_has_are_refused():
    with pytest.raises(UserError) as caught:
        resolve_inputs([InputConfig()] * 3, {"left": PICTURE, "right": PICTURE})
    assert str(caught.value) == "model.inputs has 3 inputs; the network has 2: left, right"


@pytest.mark.parametrize("shape", [None, [1, 3, 4, 6]])
def test_a_name_the_network_lacks_is_refused(shape):
    with pytest.raises(UserError, match="imagse"):
        resolve_inputs([InputConfig(name="imagse", shape=shape)], {"images": PICTURE})


def test_the_same_name_twice_is_refused():
    configured = [InputConfig(name="a", mean=[1]), InputConfig(name="a", mean=[2])]
    with pytest.raises(UserError, match=r"model\.inputs"):
        resolve_inputs(configured, {"a": PICTURE, "b": PICTURE})


def test_inputs_beyond_the_config_come_last_and_empty():
    entry = InputConfig(name="b")
    assert assign_names([entry], ["a", "b", "c"]) == {"b": entry, "a": InputConfig(), "c": InputConfig()}


@pytest.mark.parametrize(
    ("shape", "color", "fits"),
    [
        ((1, 3, 4, 4), Color.RGB, True),
        ((1, 3, 4, 4), Color.BGR, True),
        ((1, 1, 4, 4), Color.GRAY, True),
        ((1, 1, 4, 4), Color.RGB, False),
        ((1, 3, 4, 4), Color.GRAY, False),
        ((1, 4, 4, 4), Color.RGB, False),
        ((1, 3), Color.RGB, False),
    ],
)
def test_a_picture_fits_its_colours_channels(shape, color, fits):
    assert NetworkInput("x", shape, (0,), (1,), color).takes_picture is fits


def test_a_vector_has_one_channel():
    (found,) = resolve_inputs([InputConfig(mean=[2])], {"x": [5]})
    assert (found.channels, found.mean) == (1, (2.0,))


def test_a_picture_is_normalized_channel_by_channel():
    network_input = NetworkInput("x", (1, 3, 1, 2), (10.0, 20.0, 30.0), (2.0, 4.0, 5.0), Color.RGB)
    sample = np.array([[[10, 24, 255], [0, 20, 30]]], dtype=np.uint8)
    found = normalize(sample, network_input)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, [[[[0, -5]], [[1, 0]], [[45, 0]]]])


def test_floats_of_a_picture_are_normalized_like_bytes():
    network_input = NetworkInput("x", (1, 2, 1, 2), (10.0, 20.0), (2.0, 4.0), Color.RGB)
    found = normalize(np.array([[[11.0, 24.0], [0.5, 20.0]]], dtype=np.float32), network_input)
    np.testing.assert_array_equal(found, [[[[0.5, -4.75]], [[1, 0]]]])


@pytest.mark.parametrize(
    ("shape", "values", "expected"),
    [
        ((1, 2, 2), [[[1, 2], [3, 4]]], [[[-4.5, -4], [-4.25, -4]]]),
        ((1, 2), [[12, 24]], [[1, 1]]),
        ((2, 2, 1, 1, 1), np.arange(4).reshape(2, 2, 1, 1, 1), np.reshape([-5, -4.75, -4, -4.25], (2, 2, 1, 1, 1))),
    ],
)
def test_a_tensor_is_normalized_along_axis_1(shape, values, expected):
    network_input = NetworkInput("x", shape, (10.0, 20.0), (2.0, 4.0), Color.RGB)
    found = normalize(np.array(values, dtype=np.float32), network_input)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("shape", [(3,), ()])
def test_a_vector_or_number_has_one_mean(shape):
    found = normalize(np.full(shape, 3, np.float32), NetworkInput("x", shape, (1.0,), (4.0,), Color.RGB))
    np.testing.assert_array_equal(found, np.full(shape, 0.5))


def test_a_sample_feeds_every_input():
    inputs = [
        NetworkInput("images", (1, 1, 1, 2), (100.0,), (2.0,), Color.GRAY),
        NetworkInput("state", (1, 3), (0.0,) * 3, (1.0,) * 3, Color.RGB),
    ]
    sample = {"state": np.array([[0.5, -2, 8]], np.float32), "images": np.array([[[100], [104]]], np.uint8)}
    found = feeds(sample, inputs)
    assert list(found) == ["images", "state"]
    np.testing.assert_array_equal(found["images"], [[[[0, 2]]]])
    np.testing.assert_array_equal(found["state"], [[0.5, -2, 8]])


def test_what_pixels_need_does_not_pass_on_to_tensors():
    shapes = {"a": PICTURE, "state": [1, 4], "b": PICTURE, "scaled": [1, 2]}
    entries = [InputConfig(mean=[1, 2, 3], normal=[4]), InputConfig(), InputConfig(), InputConfig(mean=[7, 8])]
    found = {entry.name: (entry.mean, entry.normal) for entry in resolve_inputs(entries, shapes)}
    assert found == {
        "a": ((1, 2, 3), (4, 4, 4)),
        "state": ((0, 0, 0, 0), (1, 1, 1, 1)),
        "b": ((1, 2, 3), (4, 4, 4)),
        "scaled": ((7, 8), (1, 1)),
    }


def test_inputs_come_back_from_their_file(tmp_path):
    inputs = [
        NetworkInput("images", (1, 3, 4, 6), (0.1, 2.0, 3.0), (1.0, 1.0, 1.0), Color.BGR),
        NetworkInput("extra", (1, 10), (0.0,), (1.0,), Color.RGB),
    ]
    write_json(tmp_path / "inputs.json", to_json(inputs))
    assert load_inputs(tmp_path / "inputs.json") == inputs


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", 1),
        ("shape", ["", 3, 4, 6]),
        ("shape", [1, 3, None, 6]),
        ("shape", [1, 3, 0, 6]),
        ("shape", [1, 3, 2**70, 6]),
        ("mean", {}),
        ("mean", [0, 0]),
        ("mean", [0, [[]], 0]),
        ("normal", ["1", 1, 1]),
        ("normal", [10**400, 1, 1]),
        ("color", "CMYK"),
    ],
)
def test_a_value_that_no_input_has_is_a_damaged_file(tmp_path, key, value):
    (item,) = to_json([NetworkInput("images", (1, 3, 4, 6), (0.0,) * 3, (1.0,) * 3, Color.BGR)])
    write_json(tmp_path / "inputs.json", [{**item, key: value}])
    with pytest.raises(UserError, match=r"inputs\.json is damaged \("):
        load_inputs(tmp_path / "inputs.json")


def test_a_tensor_of_rank_4_with_another_first_size_lies_with_channels_last():
    state = NetworkInput("state", (2, 3, 4, 5), (1.0, 2.0, 3.0), (2.0,) * 3, Color.RGB)
    assert not state.takes_picture
    assert state.sample_shape == (2, 4, 5, 3)
    sample = np.arange(120, dtype=np.float32).reshape(2, 4, 5, 3)
    found = normalize(sample, state)
    assert found.shape == (2, 3, 4, 5)
    np.testing.assert_array_equal(found[1, 2, 3, 4], (sample[1, 3, 4, 2] - 3) / 2)
