import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from rich.console import Console

from stages.bisect.bisect_report import (
    WantedMetric,
    bit_width_verdict,
    command_line,
    good_verdict,
    narrow_sides,
    path_table,
    to_json,
    too_many,
)
from stages.bisect.node_search import FloatNodes
from stages.bisect.trials import Trial, Trials
from stages.core.config.schema import QuantConfig

TRIALS = [
    Trial((), (), 0.5, False),
    Trial(("a", "b", "c", "d", "e", "f"), ("Conv", "Silu"), 0.995, True),
    Trial(("a", "b", "c", "d", "e", "f"), (), 0.994, True),
    Trial(("a", "[b]"), (), 0.97, False),
]


@pytest.mark.parametrize(
    "names",
    [
        ["/_conv_stem/Conv"],
        ["n1", "n2.b-c", "/blocks.0/Add_1"],
        ["12", "null", "True", "nan", "1e3", "-3"],
        ["a b", "a,b", "a]b", "a[b", "a=b", "a:b", "(a)", "{a}", "#a", "ä"],
        ['a"b', "a'b", "a\\b", "a\\", 'a\\"b', "a\\\\", "$HOME", "`x`", "a;b", "*"],
    ],
)
def test_the_line_to_type_means_these_names_to_the_shell_and_to_hydra(names):
    *_, typed = shlex.split(command_line(names))
    override = OverridesParser.create().parse_override(typed)
    assert override.key_or_group == "quant.skip_nodes"
    value = override.value()
    assert [getattr(name, "text", name) for name in value] == names
    assert all(isinstance(getattr(name, "text", name), str) for name in value)


def shown(metric, below, trials=TRIALS):
    console = Console(width=100, record=True, file=None, markup=False)
    with console.capture() as captured:
        console.print(path_table(WantedMetric(metric, below, 1.0), trials))
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in captured.get().splitlines() if "│" in line]


def test_a_row_a_simulation():
    assert shown("cosine", 0.98) == [
        ["-", "everything", "", "1.00000", "restored"],
        ["1", "nothing", "0", "0.50000", "too low"],
        ["2", "all Conv, Silu", "6", "0.99500", "restored"],
        ["3", "a, b, c, 2 more, f", "6", "0.99400", "restored"],
        ["4", "a, [b]", "2", "0.97000", "too low"],
    ]


def test_of_a_long_search_the_first_and_the_last_are_shown():
    rows = shown("cosine", 0.98, [TRIALS[0]] * 23)
    assert [row[0] for row in rows[1:]] == [*map(str, range(1, 11)), "...", *map(str, range(14, 24))]
    assert rows[11][1] == "3 more in --json FILE"
    assert [row[0] for row in shown("cosine", 0.98, [TRIALS[0]] * 20)[1:]] == [*map(str, range(1, 21))]


def test_accuracy_is_in_percent():
    assert [row[3] for row in shown("accuracy", 0.98)] == ["100.0%", "50.0%", "99.5%", "99.4%", "97.0%"]


def test_a_metric_that_is_better_the_less_there_is_of_it():
    wanted = WantedMetric("own", 0.2, 0.1, greater_is_better=False)
    assert [wanted.good(value) for value in (0.1, 0.2, 0.3)] == [True, True, False]
    assert "own 0.15 is not above 0.2: nothing to look for" in good_verdict(wanted, 0.15)
    values = iter([0.5, 0.3, 0.15])
    trials = Trials(lambda nodes: next(values), 0.2, greater_is_better=False)
    assert [trials.restores(nodes) for nodes in ([], ["a"], ["a", "b"])] == [False, False, True]
    assert trials.best.value == 0.15
    trials.done.pop()
    assert trials.best.value == 0.3


def test_json_golden():
    assert to_json(WantedMetric("cosine", 0.98, 1.0), TRIALS[:2], {"nodes": []}) == {
        "metric": "cosine",
        "below": 0.98,
        "float": 1.0,
        "simulations": [
            {"types": [], "nodes": [], "value": 0.5, "restored": False},
            {"types": ["Conv", "Silu"], "nodes": ["a", "b", "c", "d", "e", "f"], "value": 0.995, "restored": True},
        ],
        "nodes": [],
    }


def test_nothing_is_restored_where_nothing_was_poor():
    console = Console(width=100, record=True, file=None, markup=False)
    with console.capture() as captured:
        console.print(path_table(WantedMetric("cosine", 0.98, 1.0), [Trial((), (), 0.99, True)]))
    assert "restored" not in captured.get()
    assert captured.get().count("good") == 2


@pytest.mark.parametrize(("nodes", "many"), [((), True), (("a", "b"), False), (tuple("abcdef"), True)])
def test_a_short_list_of_culprits_is_not_the_bit_width(nodes, many):
    assert too_many(FloatNodes(nodes, minimal=True), 20) is many


def test_the_bit_width_is_named_with_what_more_bits_give():
    narrow = narrow_sides(QuantConfig(feature_bits=4, weight_bits=8))
    assert narrow == {"feature": 4}
    said = bit_width_verdict(
        WantedMetric("cosine", 0.98, 1.0), narrow, FloatNodes(tuple("abc"), minimal=True), 4, 0.996
    )
    assert "4-bit features: 3 of 4 nodes would have to stay in float; with 8 bits" in said
    assert "cosine is 0.99600" in said
