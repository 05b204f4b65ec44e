from benchmarks.autotune import _rounded_up, accuracy, bars, has_float_accuracy

FLOAT_SCORES = {"top1": 378}


def row(method, top1, cosine, latency=10.0, bitops=5e9, seconds=None):
    scores = {"method": method, "top1": top1, "count": 437, "cosine": cosine}
    return scores | {"latency": latency, "bitops": bitops, "seconds": seconds}


def test_accuracy_is_top_1_as_a_share_or_map():
    assert accuracy({"top1": 200, "count": 400}) == 0.5
    assert accuracy({"map": 0.31, "count": 64}) == 0.31


def test_float_accuracy_is_within_three_tenths_of_a_point():
    # 0.003 * 437 = 1.3 pictures
    assert has_float_accuracy(row("uniform 8/8", 377, 0.99), FLOAT_SCORES)
    assert not has_float_accuracy(row("uniform 8/8", 376, 0.99), FLOAT_SCORES)
    assert has_float_accuracy({"map": 0.3360, "count": 64}, {"map": 0.3389})
    assert not has_float_accuracy({"map": 0.3358, "count": 64}, {"map": 0.3389})


def test_an_allocation_must_beat_uniform_bit_widths_that_lose_accuracy():
    before = [row("uniform 8/4", 54, 0.29)]
    assert bars(row("autotune --mean-bits 8/4", 336, 0.84), before, FLOAT_SCORES) == {"cosine": True, "accuracy": True}
    assert bars(row("autotune --mean-bits 8/4", 54, 0.29), before, FLOAT_SCORES) == {"cosine": False, "accuracy": False}


def test_beside_uniform_bit_widths_that_lose_none_it_must_cost_no_more():
    before = [row("uniform 10/8", 377, 0.9967, latency=34.6)]
    assert bars(row("autotune --mean-bits 10/8", 377, 0.9965, latency=21.6), before, FLOAT_SCORES) == {
        "as exact": True, "no dearer": True,
    }  # fmt: skip
    assert not bars(row("autotune --mean-bits 10/8", 377, 0.9965, latency=35.0), before, FLOAT_SCORES)["no dearer"]


def test_a_target_must_cost_less_than_the_cheapest_uniform_bit_widths_at_float_accuracy():
    before = [row("uniform 8/6", 330, 0.88, bitops=18e9), row("uniform 8/8", 378, 0.996, bitops=24e9)]
    cheaper = row("autotune --target error=0.02 --minimize bitops", 379, 0.99, bitops=21e9)
    assert bars(cheaper, before, FLOAT_SCORES) == {"float accuracy": True, "bitops below uniform": True}
    assert bars(cheaper | {"bitops": 24e9, "top1": 370}, before, FLOAT_SCORES) == {
        "float accuracy": False, "bitops below uniform": False,
    }  # fmt: skip


def test_the_first_call_is_timed():
    assert bars(row("autotune --mean-bits 6", 371, 0.98, seconds=58.0), [], FLOAT_SCORES) == {"seconds": True}
    assert bars(row("autotune --mean-bits 6", 371, 0.98, seconds=601.0), [], FLOAT_SCORES) == {"seconds": False}


def test_a_target_by_example_must_be_as_accurate_for_less():
    before = [row("uniform 12/8", 330, 0.95, latency=60.0, bitops=50e9)]
    cheaper = row("autotune --target error=12/8 --minimize latency", 329, 0.95, latency=45.0)
    assert bars(cheaper, before, FLOAT_SCORES) == {"accuracy of 12/8": True, "latency below 12/8": True}
    assert bars(cheaper | {"top1": 320, "latency": 60.0}, before, FLOAT_SCORES) == {
        "accuracy of 12/8": False, "latency below 12/8": False,
    }  # fmt: skip


def test_mean_bits_allow_the_bit_widths_whose_mean_they_are():
    assert [_rounded_up(bits) for bits in (8.0, 11.71168, 9.8559)] == ["8", "11.7117", "9.8559"]
