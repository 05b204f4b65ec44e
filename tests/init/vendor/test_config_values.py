import pytest

from stages.core.base.errors import UserError
from stages.init.vendor.config_values import Setting, color, flag, numbers_by_input, shapes_by_input, texts, whole


def setting(value):
    return Setting(value, "a.cfg: KEY")


@pytest.mark.parametrize(
    ("value", "channels", "expected"),
    [
        (None, [3], [None]),
        ([], [3, 1], [None, None]),
        (127, [3], [[127.0]]),  # over channels
        ([0, 0, 0], [3], [[0.0] * 3]),
        (["123.675", "116.28", "103.53"], [3], [[123.675, 116.28, 103.53]]),  # as a command line has it
        ([1, 2, 3], [3, 3], [[1.0, 2.0, 3.0], None]),  # over inputs
        ([128], [3, 1], [[128.0], None]),
        ([0, 127], [3, 3], [[0.0], [127.0]]),  # two numbers fit no three channels: one of each input
        ([0, 127], [2, 3], [[0.0, 127.0], None]),  # they fit two
        ([[1, 2, 3], [4]], [3, 1], [[1.0, 2.0, 3.0], [4.0]]),
        ([[1, 2, 3]], [3, 3], [[1.0, 2.0, 3.0], None]),
        ([[1, 2, 3], None, 5], [3, 3, 1], [[1.0, 2.0, 3.0], None, [5.0]]),
    ],
)
def test_broadcasting(value, channels, expected):
    assert numbers_by_input(setting(value), channels) == expected


@pytest.mark.parametrize("value", ["abc", ["a"], [True], [[1], {"a": 1}], [float("nan")]])
def test_no_numbers(value):
    with pytest.raises(UserError, match=r"a\.cfg: KEY=.*: give numbers"):
        numbers_by_input(setting(value), [3, 3])


def test_more_inputs_than_there_are():
    with pytest.raises(UserError, match=r"a\.cfg: KEY is for 2 inputs; there are 1"):
        numbers_by_input(setting([[1], [2]]), [3])


@pytest.mark.parametrize(
    ("value", "count", "expected"),
    [
        ([], 2, [None, None]),
        ([1, 3, 224, 224], 1, [[1, 3, 224, 224]]),
        ([[1, 3, 1, 256], [1, 16, 128]], 2, [[1, 3, 1, 256], [1, 16, 128]]),
        ([[1, 3, 8, 8], [1, 4]], 3, [[1, 3, 8, 8], [1, 4], [1, 4]]),  # the last is repeated
        ([1, 4], 2, [[1, 4], [1, 4]]),
    ],
)
def test_shapes(value, count, expected):
    assert shapes_by_input(setting(value), count) == expected


@pytest.mark.parametrize("value", [[1, "a"], [[1, 3], 5], [[]], [1.5, 3]])
def test_no_shapes(value):
    with pytest.raises(UserError, match=r"a\.cfg: KEY=.*: give a (list of sizes|whole number)"):
        shapes_by_input(setting(value), 2)


@pytest.mark.parametrize(("value", "expected"), [("RGB", "RGB"), ("bgr", "BGR"), ("BRG", "BGR"), ("GRAY", "GRAY")])
def test_colors(value, expected):
    assert color(value, "a.cfg: COLOR") == expected


def test_other_values():
    assert [flag(setting(value)) for value in (True, "true", 1, False, "False", None)] == [True] * 3 + [False] * 3
    assert whole(setting("40")) == whole(setting(40)) == whole(setting(40.0)) == 40
    assert texts(setting("640")) == ["640"]
    assert texts(setting([640, "a"])) == ["640", "a"]


@pytest.mark.parametrize(
    ("check", "value"),
    [(flag, "maybe"), (whole, "8b"), (whole, True), (whole, 8.5), (texts, {"a": 1}), (texts, [["a"]])],
)
def test_refused(check, value):
    with pytest.raises(UserError, match=r"^a\.cfg: KEY=.*: give "):
        check(setting(value))


def test_no_color():
    with pytest.raises(UserError, match=r"a\.cfg: COLOR=YUV: give RGB, BGR or GRAY"):
        color("YUV", "a.cfg: COLOR")
