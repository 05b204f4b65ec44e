import re

import pytest

from stages.autotune.options import (
    Budget,
    MeanBits,
    Target,
    parse_budget,
    parse_mean_bits,
    parse_target,
    plain_amount,
    too_few_samples,
    too_uncertain,
)
from stages.core.base.errors import UserError


def test_budgets():
    assert parse_budget("latency=30") == Budget("latency", 30.0, relative=False)
    assert parse_budget("size=2.5e6") == Budget("size", 2.5e6, relative=False)
    assert parse_budget("bitops=0.5x") == Budget("bitops", 0.5, relative=True)


def test_mean_bits():
    assert parse_mean_bits("6") == MeanBits(6.0, 6.0)
    assert parse_mean_bits("8/5.5") == MeanBits(8.0, 5.5)


def test_targets():
    assert parse_target("cosine=0.99") == Target("cosine", 0.99)
    assert parse_target("fidelity=0.98") == Target("fidelity", 0.98)
    assert parse_target("accuracy=-0.003") == Target("accuracy", -0.003)
    assert parse_target("error=0.01") == Target("error", 0.01)
    assert parse_target("cosine=12/8") == Target("cosine", 0.0, (12, 8))
    assert parse_target("map=-0.01") == Target("map", -0.01)
    assert parse_target("agreement=0.9") == Target("agreement", 0.9)
    assert parse_target("mask_map=-0.01") == Target("mask_map", -0.01)
    assert parse_target("own=-3.5") == Target("own", -3.5)


def test_a_difference_to_the_float_network():
    relative = {text: parse_target(text).relative for text in ("map=-0.01", "map=0.3", "own=0", "map=8/8", "cosine=0")}
    assert parse_target("keypoint_map=0").relative
    assert relative == {"map=-0.01": True, "map=0.3": False, "own=0": True, "map=8/8": False, "cosine=0": False}


def test_a_target_is_met_from_its_own_side():
    assert Target("cosine", 0.99).met(0.99)
    assert not Target("cosine", 0.99).met(0.98)
    assert [Target("fidelity", 0.98).met(value) for value in (0.979, 0.98, 1.0)] == [False, True, True]
    assert Target("error", 0.01).met(0.005)
    assert not Target("error", 0.01).met(0.02)
    wer = Target("own", 0.1, greater_is_better=False)
    assert [wer.met(value) for value in (0.05, 0.1, 0.2)] == [True, True, False]


def test_amounts_have_no_exponent():
    assert [plain_amount(value) for value in (1152250.4, 1000.0, 94.0, 0.123456789)] == [
        "1152250",
        "1000",
        "94",
        "0.123457",
    ]


@pytest.mark.parametrize(
    ("text", "pictures", "said"),
    [
        ("accuracy=-0.003", 10, "10 pictures cannot show a loss of 0.003: one is 0.1 of them; .* or 668 pictures"),
        ("accuracy=-0.003", 334, None),
        ("accuracy=-0.1", 10, None),
        ("accuracy=0", 10, None),
        ("accuracy=0.7", 10, None),
        ("cosine=0.99", 1, None),
        ("fidelity=0.99", 1, None),
    ],
)
def test_a_loss_of_less_than_a_picture_cannot_be_seen(text, pictures, said):
    found = too_few_samples(parse_target(text), pictures, "picture")
    assert found is None if said is None else re.match(said, found)


@pytest.mark.parametrize(
    ("text", "interval", "said"),
    [
        ("map=-0.01", (-0.03, 0.01), "cannot show a loss of 0.01: chance alone moves the difference from -0.0300 to "),
        ("map=-0.02", (-0.03, 0.01), None),
        ("map=-0.01", None, None),
        ("map=0.3", (-0.3, 0.1), None),
        ("map=0", (-0.3, 0.1), None),
    ],
)
def test_a_loss_within_chance_cannot_be_seen(text, interval, said):
    found = too_uncertain(parse_target(text), interval, "picture")
    assert found is None if said is None else said in found


@pytest.mark.parametrize(
    ("parse", "text", "said"),
    [
        (parse_budget, "speed=3", "latency=..., size=..., bitops=..."),
        (parse_budget, "size=small", "size=0.5x"),
        (parse_budget, "size=-1", "size=0.5x"),
        (parse_budget, "size=", "size=0.5x"),
        (parse_budget, "latency=nan", "give ms"),
        (parse_budget, "latency=0", "give ms, as latency=30, or"),
        (parse_mean_bits, "six", "as 6"),
        (parse_mean_bits, "8/", "8/5.5"),
        (parse_mean_bits, "0", "as 6"),
        (parse_mean_bits, "8/0", "as 6"),
        (parse_mean_bits, "-4", "as 6"),
        (parse_target, "cosine=1.5", "a cosine of 0 to 1"),
        (parse_target, "fidelity=1.5", "a fidelity of 0 to 1"),
        (parse_target, "fidelity=-0.01", "a fidelity of 0 to 1"),
        (parse_target, "accuracy=-2", "an accuracy of -1 to 1"),
        (parse_target, "sqnr=30", "cosine=0.99"),
        (parse_target, "map=1.5", "a map of -1 to 1"),
        (parse_target, "agreement=-2", "an agreement of -1 to 1"),
        (parse_target, "own=inf", "own=-0.01"),
        (parse_target, "cosine", "cosine=0.99"),
    ],
)
def test_refusals_say_what_to_give(parse, text, said):
    with pytest.raises(UserError) as caught:
        parse(text)
    assert text in str(caught.value)
    assert said in str(caught.value)
