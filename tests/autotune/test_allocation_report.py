from rich.console import Console

from stages.autotune.allocation_report import Row, allocation_text, comparison_table, notes
from tests.autotune.stubs import made_up


def test_the_table_shows_every_row_with_its_costs():
    rows = [
        Row("uniform 8/8", 0.0123, {"size": 376.0, "feature bits": 8.0}, within=False),
        Row("chosen", 0.000456, {"size": 200.0, "feature bits": 5.5}, within=True),
    ]
    console = Console(width=120, record=True, file=None)
    with console.capture() as captured:
        console.print(comparison_table(rows))
    text = captured.get()
    for said in ("bytes", "features", "uniform 8/8", "0.0123", "376", "chosen", "0.000456", "5.50"):
        assert said in text


def test_a_mean_that_is_not_its_rows_bit_width_is_explained():
    even = Row("uniform 8/8", 0.01, {"feature bits": 8.0, "weight bits": 8.0}, None)
    wider = Row("uniform 8/6", 0.01, {"feature bits": 8.0, "weight bits": 6.56}, None)
    chosen = Row("chosen", 0.01, {"feature bits": 5.0, "weight bits": 5.0}, None)
    assert [line.partition(":")[0] for line in notes([even, chosen])] == ["error"]
    assert [line.partition(":")[0] for line in notes([even, wider, chosen])] == ["error", "uniform 8/6"]


def test_bit_widths_are_counted():
    problem = made_up(2, 2, (2, 4, 8, 32))
    allocation = {"feature 0": 8, "feature 1": 32, "weight 0": 2, "weight 1": 2}
    assert allocation_text(problem, allocation) == "features: 1 at 8, 1 in float; weights: 2 at 2"
