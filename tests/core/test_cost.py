import math

import pytest

from stages.core.base.errors import UserError
from stages.core.cost import (
    CostModel,
    LayerWork,
    bit_operations,
    bytes_moved,
    cost_file,
    load_cost,
    save_cost,
    size,
    stored_bits,
)
from tests.conftest import REPOSITORY

COST_FOLDER = REPOSITORY / "conf" / "cost"
CONV = LayerWork("conv", "Conv", 2_000_000_000, 2**20, 2**21, 2**19)
POOL = LayerWork("pool", "MaxPool", 0, 2**20, 2**18, 0)
PRODUCT = LayerWork("product", "MatMul", 1_000_000_000, 0, 0, 0)
MODEL = CostModel("S1", "", {"8/8": 10.0, "4/8": 6.0, "4/4": 3.0, "32/32": 400.0}, 0.5, 0.125)


@pytest.mark.parametrize(("bits", "stored"), [(2, 2), (4, 4), (6, 8), (8, 8), (10, 16), (12, 16), (16, 16), (32, 32)])
def test_codes_lie_in_powers_of_two(bits, stored):
    assert stored_bits(bits) == stored


def test_bytes_and_bit_operations():
    assert bytes_moved(CONV, 8, 4, 2) == 2**20 + 2**20 + 2**17
    assert bytes_moved(CONV, 10, 32, 8) == 2**21 + 2**23 + 2**19
    assert size(CONV, 4) == 2**18
    assert size(LayerWork("n", "Gemm", 3, 3, 1, 3), 4) == 2
    assert bit_operations(CONV, 8, 4) == 64_000_000_000


def test_latency_is_the_sum_of_computing_moving_and_a_price_a_layer():
    assert MODEL.latency(CONV, 8, 8, 8) == pytest.approx(2 * 10 + 0.5 * 3.5 + 0.125)
    assert MODEL.latency(CONV, 4, 8, 4) == pytest.approx(2 * 3 + 0.5 * (0.5 + 2 + 0.25) + 0.125)
    assert MODEL.latency(POOL, 8, 8, 8) == pytest.approx(0.5 * 1.25 + 0.125)
    assert MODEL.latency(LayerWork("view", "Reshape", 0, 0, 0, 0), 8, 8, 8) == 0


def test_the_largest_part_names_what_bounds_a_layer():
    assert MODEL.parts(CONV, 8, 8, 8).bound == "compute"
    assert MODEL.parts(POOL, 8, 8, 8).bound == "memory"
    assert MODEL.parts(LayerWork("small", "Add", 0, 8, 8, 0), 8, 8, 8).bound == "overhead"


@pytest.mark.parametrize(
    ("features", "weights", "price"),
    [
        (8, 8, 10),
        (8, 4, 10),  # no entry: 8/8 is the only one as wide
        (4, 6, 6),
        (4, 2, 3),
        (6, 6, 10),
        (10, 8, 20),  # two passes of 8 bits
        (12, 4, 20),
        (16, 16, 40),
        (32, 8, 400),
        (8, 32, 400),
        (32, 32, 400),
    ],
)
def test_widths_without_a_price(features, weights, price):
    assert MODEL.compute_price(features, weights) == price


def test_float_is_dear_where_a_file_has_no_price_for_it():
    assert CostModel(ms_per_gmac={"8/8": 1.0}).compute_price(32, 8) == 500


def test_a_product_of_features_takes_their_width_on_both_sides():
    assert MODEL.latency(PRODUCT, 4, 8, 8) == pytest.approx(3 + 0.125)


def test_measured_times_precede_the_model():
    model = CostModel(ms_per_gmac={"8/8": 1.0}, measured={"conv": {"8/8": 7.5}, "pool": {"8/8": 0.25}})
    assert model.latency(CONV, 8, 8, 8) == 7.5
    assert model.latency(POOL, 8, 8, 8) == 0.25
    assert model.latency(POOL, 8, 8, 4) == 0.25  # no weights: their width says nothing


def test_a_measured_time_scales_the_model_at_other_widths():
    # modelled at 8/8: 2 ms computing and 3.5 MB, half of what was measured; with 4-bit output 2.5 MB
    model = CostModel(ms_per_gmac={"8/8": 1.0, "4/4": 0.25}, ms_per_mbyte=1.0, measured={"conv": {"8/8": 11.0}})
    assert model.latency(CONV, 4, 4, 4) == pytest.approx(2 * (0.5 + 1.75))
    assert model.latency(CONV, 8, 4, 8) == pytest.approx(2 * (2 + 2.5))
    assert model.latency(CONV, 8, 8, 32) == pytest.approx(1000 + 1 + 2 + 2)  # float is not


def test_without_times_there_is_no_latency():
    with pytest.raises(UserError, match=r"^no times are known for S2: make a cost file of a board's log with `python"):
        CostModel("S2").latency(CONV, 8, 8, 8)


# --- files


def test_a_file_is_read_back(tmp_path):
    model = CostModel("S1", "a: note", {"8/8": 1.5}, 0.1, 0.0, {"/a.0/Conv": {"8/8": 0.247}})
    save_cost(tmp_path / "c.yaml", model, ["made here"])
    assert load_cost(tmp_path / "c.yaml") == model
    assert (tmp_path / "c.yaml").read_text().startswith("# made here\nname: S1\n")


@pytest.mark.parametrize("path", sorted(COST_FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_files_here_load_and_say_where_they_come_from(path):
    model = load_cost(path)
    assert model.name.lower() == ("" if path.stem == "generic" else path.stem)
    assert model.note
    assert model.timed == (path.stem != "generic")


# MAC, MiB and published times: counted and cited in the files' comments
@pytest.mark.parametrize(
    ("soc", "gmac", "mebibytes", "bits", "published"),
    [
        ("t40", 5.91, 67.4, 8, 57.1),
        ("t40", 5.91, 67.4, 4, 26.6),
        ("t41", 0.57, 13.8, 8, 17.7),
        ("t41", 0.30, 16.8, 8, 19.5),
        ("t41", 0.52, 27.9, 8, 28.9),
        ("t41", 13.34, 109.7, 8, 121.3),
    ],
)
def test_published_times_are_met(soc, gmac, mebibytes, bits, published):
    work = LayerWork("net", "Conv", round(gmac * 1e9), round(mebibytes * 2**20), 0, 1)
    said = load_cost(COST_FOLDER / f"{soc}.yaml").latency(work, bits, bits, bits)
    assert said == pytest.approx(published, rel=0.15)


def test_a_soc_without_a_file_gets_the_generic_one():
    assert cost_file("T41", COST_FOLDER).name == "t41.yaml"
    assert cost_file("bm1688", COST_FOLDER).name == "generic.yaml"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ms_per_gmac: {8x8: 1}", "ms_per_gmac.8x8: give feature bits/weight bits, as in 8/8"),
        ("ms_per_gmac: {8/8: -1}", "ms_per_gmac.8/8=-1.0: give milliseconds, not negative"),
        ("ms_per_gmac: {8/8: fast}", "ms_per_gmac.8/8: "),
        ("ms_per_mbyte: .nan", "ms_per_mbyte=nan: "),
        ("measured: {a: {8/8: .inf}}", "measured.a.8/8=inf: "),
        ("ms_per_gigabyte: 1", "ms_per_gigabyte: "),
        ("[1, 2]", ""),
        ("a: [", "is not YAML with keys"),
        ("", "is empty: give keys name"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path, text, said):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        load_cost(path)
    assert str(caught.value).startswith(str(path))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.yaml is missing"):
        load_cost(tmp_path / "none.yaml")


def test_costs_are_finite_for_every_width():
    for features in (4, 8, 10, 12, 32):
        for weights in (2, 4, 6, 8, 32):
            assert math.isfinite(load_cost(COST_FOLDER / "t40.yaml").latency(CONV, features, features, weights))
