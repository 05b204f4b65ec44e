import numpy as np
import pytest

from stages.calibset.inspect import MIN_SAMPLES, flat_share, shared_samples, warnings_for


def picture(*colors, height=8, channels=3):
    """Equal vertical stripes of these grey levels or colours."""
    columns = [np.broadcast_to(np.array(color), channels) for color in colors]
    return np.tile(np.array(columns, dtype=np.uint8), (height, 1, 1))


@pytest.mark.parametrize(
    ("content", "share"),
    [
        (picture(0), 1.0),
        (picture(255), 1.0),
        (picture((10, 200, 90)), 1.0),
        (picture(100, 200), 0.5),
        (picture(0, 0, 0, 255), 0.75),
        (picture(100, 100, 104), 1.0),
        (picture(100, 100, 105), 2 / 3),
        (picture((100, 100, 100), (100, 100, 100), (100, 100, 105)), 2 / 3),
        (picture(102, 103, 104, 105), 1.0),
        (picture(*range(5, 255, 10)), 1 / 25),
        (picture(50, 50, 250, channels=1), 2 / 3),
    ],
)
def test_share_of_one_colour(content, share):
    assert flat_share(content) == pytest.approx(share, abs=1e-12)


def test_noise_is_not_flat():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert flat_share(noise) < 0.02


def test_flat_picture_with_weak_noise_stays_flat():
    noise = np.random.default_rng(0).integers(125, 130, (64, 64, 3)).astype(np.uint8)
    assert flat_share(noise) == 1.0


def test_a_flat_border_counts_by_its_area():
    content = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    content[:32] = 114
    assert flat_share(content) == pytest.approx(0.8, abs=0.01)


def test_enough_typical_pictures_give_no_warning():
    assert warnings_for(10, {"a.png": 0.2, "b.png": 0.75}) == []


@pytest.mark.parametrize(
    ("count", "said"), [(1, "1 calibration picture is few"), (9, "9 calibration pictures are few")]
)
def test_few_pictures_are_warned_of(count, said):
    (line,) = warnings_for(count, {})
    assert line.startswith(said)
    assert str(MIN_SAMPLES) in line


def test_flat_pictures_are_named_with_their_share():
    lines = warnings_for(20, {"night/a.png": 0.9, "b.png": 0.3, "c.png": 0.76})
    assert len(lines) == 2
    assert lines[0].startswith("night/a.png is 90% one flat colour")
    assert lines[1].startswith("c.png is 76% one flat colour")


def test_many_flat_pictures_are_one_line():
    (line,) = warnings_for(20, {f"{share}.png": share / 100 for share in (80, 90, 85, 78, 30)})
    assert line.startswith("4 of 20 pictures are mostly one flat colour (90.png: 90%)")


def test_pictures_of_both_sets_are_named_in_both():
    correction = {"d1": "a.png", "d2": "b.png"}
    assert shared_samples(correction, {"d3": "c.png"}) == []
    assert shared_samples(correction, {"d3": "c.png", "d2": "x/d.png"}) == [
        "validation picture x/d.png is also correction picture b.png: use others"
    ]
