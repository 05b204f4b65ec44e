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
