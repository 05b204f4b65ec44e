import pytest

from stages.core.base.errors import UserError
from stages.profile.board_log import LayerRow, OperatorRow, averaged, parse_log, read_log
from tests.profile.logs import ADD, EXAMPLE, HEADING, SUMMARY, TITLE, log_text, row

EXAMPLE_ROW = LayerRow("475", "Convolution", ((1, 224, 224, 4),), (1, 112, 112, 64), (3, 3, 4, 64), 0.247, 0.058)


def only(text):
    (run,) = parse_log(text, "board.log")
    return run


def test_the_vendors_row():
    run = only(log_text([EXAMPLE]))
    assert run.layers == (EXAMPLE_ROW,)
    assert (run.line, run.operators, run.total) == (3, (), 0.247)


def test_the_summary_and_the_total():
    operators = ["Convolution 36.100 37.000 35.000 96.65% 8.123 53", "EltwiseAdd 1.251 1.300 1.200 3.35% N/A 16"]
    run = only(log_text([EXAMPLE, ADD], operators, "37.351"))
    assert run.operators == (OperatorRow("Convolution", 36.1, 53), OperatorRow("EltwiseAdd", 1.251, 16))
    assert run.total == 37.351
    assert run.lost == pytest.approx(1 - 0.347 / 37.351)


def test_the_columns_of_bandwidth():
    text = log_text(
        [f"{EXAMPLE} 0.957"],
        ["Convolution 36.100 37.000 35.000 96.65% 8.123 51.200 53"],
        heading=f"{HEADING} BandWidth(MB)",
        summary=SUMMARY.replace("CalledTimes", "TotalBW(MB) CalledTimes"),
    )
    assert only(text).layers[0].megabytes == 0.957
    assert only(text).operators == (OperatorRow("Convolution", 36.1, 53),)


def test_several_inputs_and_missing_values():
    found = only(log_text([ADD])).layers[0]
    assert found == LayerRow("residual", "EltwiseAdd", ((1, 56, 56, 64), (1, 56, 56, 64)), (1, 56, 56, 64), (), 0.1)


@pytest.mark.parametrize(
    "line",
    [
        EXAMPLE.replace(" ", "      "),
        EXAMPLE.replace(" ", "\t"),
        EXAMPLE.replace(",", ", "),
        EXAMPLE.replace("2.68%", "2.68 %"),
        EXAMPLE.replace("} {", "}{"),
        f"[   12.345678] {EXAMPLE}",
        f"[2022-07-01 10:00:00] \x1b[32m{EXAMPLE}\x1b[0m\r",
        EXAMPLE.replace("475 Conv", "475\nConv"),
    ],
)
def test_other_ways_to_write_the_same_row(line):
    assert only(log_text([line])).layers == (EXAMPLE_ROW,)


@pytest.mark.parametrize("name", ["a" * 90, "model.0/conv:0", "two words"])
def test_names_of_any_length(name):
    assert only(log_text([EXAMPLE.replace("475", name)])).layers[0].name == name


def test_noise_is_passed_over():
    noise = "random: crng init done"
    text = f"venus version:0.9.6.2.ALPHA(0)\n{noise}\n" + log_text([noise, EXAMPLE, "", noise, ADD, "-----"]) + noise
    assert [found.name for found in only(text).layers] == ["475", "residual"]


def test_several_runs_in_one_file():
    text = "boot\n" + log_text([EXAMPLE], total="0.247") + "again\n" + log_text([row("475", 0.3)], total="0.300")
    runs = parse_log(text, "board.log")
    assert [(run.line, run.total, run.layers[0].average) for run in runs] == [(4, 0.247, 0.247), (10, 0.3, 0.3)]


def test_the_mean_of_runs():
    runs = parse_log("".join(log_text([row("a", ms), row("b", 1.0)], total=str(ms + 1)) for ms in (0.25, 0.75)), "l")
    run = averaged(runs, "l")
    assert [found.average for found in run.layers] == [0.5, 1.0]
    assert run.total == 1.5


def test_runs_of_other_networks_have_no_mean():
    runs = parse_log(log_text([row("a", 0.5)]) + log_text([row("a", 0.5), row("b", 0.5)]), "board.log")
    with pytest.raises(
        UserError, match=r"^board\.log: run 2 \(line 7\) has other layers than run 1 \(2, not 1\): pick"
    ):
        averaged(runs, "board.log")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"^board\.log is no profile log: expected a line LayerName .*; it is empty\. A board"),
        (
            "\nhello\nworld",
            r"expected a line LayerName OperatorType .*; its first line is 'hello'\. A board program built",
        ),
        (f"{TITLE}\n{HEADING}\n", r"^board\.log, line 2: expected rows of layers below this heading; there are none$"),
        (log_text([EXAMPLE.replace("0.247", "fast")]), r"^board\.log, line 4: expected a layer's row with Avg\(ms\) "),
        (log_text([EXAMPLE.replace("0.058", "")]), r"^board\.log, line 4: expected"),
        (log_text([EXAMPLE, EXAMPLE.replace("0.247", "-1")]), r"^board\.log, line 5: expected"),
        (log_text([EXAMPLE.replace("{2,2}", "{2,2")]), r"^board\.log, line 4: expected"),
        (
            "LayerName Avg(ms)\n",
            r"^board\.log, line 1: expected the columns LayerName OperatorType .*; found 'LayerName ",
        ),
    ],
)
def test_what_is_no_log_is_refused_with_its_line(text, said):
    with pytest.raises(UserError, match=said) as caught:
        parse_log(text, "board.log")
    assert "\n" not in str(caught.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"none\.log is missing$"):
        read_log(tmp_path / "none.log")
    with pytest.raises(UserError, match=r"is a folder: give the log in it$"):
        read_log(tmp_path)


def test_bytes_that_are_no_text_are_noise(tmp_path):
    path = tmp_path / "board.log"
    path.write_bytes(b"\xff\xfe\x00\n" + log_text([EXAMPLE]).encode())
    assert read_log(path)[0].layers == (EXAMPLE_ROW,)
