import pytest

from stages.core.statistics.task_metric import TaskMetric


@pytest.mark.parametrize(
    ("of_float", "of_quantized", "greater", "loss"),
    [
        (0.8, 0.6, True, 0.25),
        (0.8, 0.9, True, -0.125),
        (4.0, 5.0, False, 0.25),
        (0.0, 0.1, False, 1.0),
        (0.0, 0.0, True, 0),
    ],
)
def test_the_loss_in_parts_of_the_float_value(of_float, of_quantized, greater, loss):
    assert TaskMetric("m", of_float, of_quantized, 64, greater_is_better=greater).loss == pytest.approx(loss)


def test_may_show_no_loss_where_the_interval_holds_0():
    assert TaskMetric("m", 0.8, 0.7, 64, -0.2, 0.01).may_show_no_loss
    assert not TaskMetric("m", 0.8, 0.7, 64, -0.2, -0.01).may_show_no_loss
    assert not TaskMetric("m", 0.8, 0.7, 64).may_show_no_loss


def test_it_is_read_as_it_is_written():
    metric = TaskMetric("wer", 4.0, 5.0, 64, -1.0, 0.5, greater_is_better=False)
    assert TaskMetric.from_json(metric.to_json()) == metric


@pytest.mark.parametrize(("chance", "nothing"), [(None, False), (0.4, False), (0.5, True), (0.6, True)])
def test_no_better_than_by_chance(chance, nothing):
    assert TaskMetric("top-1", 0.5, 0.4, 64, chance=chance).by_chance is nothing


@pytest.mark.parametrize(("of_float", "nothing"), [(0.4, False), (0.5, True), (0.6, True)])
def test_of_an_error_more_is_no_better_than_by_chance(of_float, nothing):
    assert TaskMetric("wer", of_float, 0.5, 64, greater_is_better=False, chance=0.5).by_chance is nothing


def test_the_doubt_names_both_numbers():
    assert TaskMetric("wer", 1.5, 2.0, 8, greater_is_better=False, chance=1.25).doubt == (
        "the float network itself scores 1.5 by wer, and one answer for all would score 1.25: the preprocessing or the "
        "metric is wrong, or data.evaluation.labels do not fit"
    )
    assert not TaskMetric("top-1", 0.5, 0.5, 7, chance=0.5).doubt
