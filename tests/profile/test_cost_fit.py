import numpy as np
import pytest

from stages.core.cost import CostModel, LayerWork
from stages.profile.cost_fit import fit_cost
from stages.profile.measured_layers import MeasuredLayer

KNOWN = CostModel("S1", "", {"8/8": 4.0, "4/4": 1.5}, 0.75, 0.02)


def works(count, seed=0):
    rng = np.random.default_rng(seed)
    for index in range(count):
        macs, inputs, outputs, weights = (int(10**power) for power in rng.uniform([6, 4, 4, 2], [9, 6, 6, 6]))
        yield LayerWork(f"n{index}", "Conv", macs, inputs, outputs, weights)


def measured(bits, count=20, seed=0, model=KNOWN, known=True):
    return [
        MeasuredLayer(work, bits, bits, model.latency(work, bits, bits, bits), known) for work in works(count, seed)
    ]


def test_times_of_a_known_model_give_it_back():
    fit = fit_cost(measured(8) + measured(4), "S1", "here")
    model = fit.model
    assert (model.name, model.note, fit.unseen) == ("S1", "here", ())
    assert model.ms_per_gmac == pytest.approx(KNOWN.ms_per_gmac)
    assert (model.ms_per_mbyte, model.ms_per_layer) == pytest.approx((0.75, 0.02))
    assert fit.error == pytest.approx(0, abs=1e-9)
    assert fit.share == pytest.approx(0, abs=1e-9)


def test_no_price_is_negative():
    # times that fall with the work: a plain least-squares line has a negative slope
    layers = [MeasuredLayer(LayerWork(f"n{i}", "MatMul", i * 10**9, 0, 0, 0), 8, 8, 10.0 - i) for i in range(1, 5)]
    model = fit_cost(layers, "S1", "").model
    assert model.ms_per_gmac["8/8"] == 0
    assert model.ms_per_layer == pytest.approx(7.5)  # the mean of 9, 8, 7, 6


def test_what_the_fit_leaves():
    # two layers of the same work: the fit is their mean, off by 1 ms each, of 10 ms
    layers = [MeasuredLayer(LayerWork("n", "Conv", 10**9, 0, 0, 1), 8, 8, ms) for ms in (4.0, 6.0)]
    fit = fit_cost(layers, "S1", "")
    assert (fit.error, fit.share) == pytest.approx((1.0, 0.2))


def test_another_file_gives_the_bit_widths_that_were_not_measured():
    base = CostModel("S1", "", {"8/8": 10.0, "4/4": 2.0, "32/32": 500.0}, 9.0, 9.0, {"n0": {"4/4": 0.5, "8/8": 99.0}})
    fit = fit_cost(measured(8), "S1", "", base)
    assert fit.model.ms_per_gmac == pytest.approx({"8/8": 4.0, "4/4": 0.8, "32/32": 500.0})
    assert fit.unseen == ("4/4", "32/32")
    assert fit.model.ms_per_mbyte == pytest.approx(0.75)
    assert fit.model.measured["n0"] == pytest.approx({"4/4": 0.5, "8/8": measured(8)[0].ms}, rel=1e-5)


def test_measured_times_are_those_of_the_networks_layers():
    work = LayerWork("n", "Conv", 10**9, 0, 0, 1)
    pool = LayerWork("pool", "MaxPool", 0, 8, 8, 0)
    layers = [
        MeasuredLayer(work, 8, 4, 1.0, True),
        MeasuredLayer(work, 8, 4, 3.0, True),
        MeasuredLayer(pool, 8, 4, 5.0, True),
    ]
    layers.append(MeasuredLayer(LayerWork("475", "Convolution", 1, 1, 1, 1), 8, 4, 7.0))
    assert fit_cost(layers, "S1", "").model.measured == {"n": {"8/4": 2.0}, "pool": {"8/8": 5.0}}


def test_a_log_without_multiplications():
    fit = fit_cost([MeasuredLayer(LayerWork("pool", "MaxPool", 0, 2**20, 0, 0), 8, 8, 2.0)], "S1", "")
    assert fit.model.ms_per_gmac == {}
    assert not fit.model.timed
