import math

import pytest

from stages.bisect.node_search import search
from stages.bisect.suspects import Suspect
from stages.bisect.trials import Trials

COUNT = 50
MOST = 12


def planted(guilty):
    """A metric that is good once all of the guilty nodes are in float."""
    return lambda nodes: 1.0 if guilty <= set(nodes) else 0.5


def kinds_like(*counts):
    """As many nodes of each kind as given, the kinds taking turns as in a network."""
    left = dict(zip("ABCDEFGH", counts, strict=False))
    kinds = []
    while any(left.values()):
        for kind, count in left.items():
            if count:
                left[kind] -= 1
                kinds.append(kind)
    return kinds


MIXES = [
    kinds_like(50),
    kinds_like(25, 25),
    kinds_like(17, 16, 17),
    kinds_like(12, 12, 13, 13),
    kinds_like(30, 10, 5, 3, 1, 1),
    kinds_like(7, 7, 6, 6, 6, 6, 6, 6),
    kinds_like(43, 1, 1, 1, 1, 1, 1, 1),
    kinds_like(16, 16, 16, 1, 1),
]


def network(kinds, shares=None):
    shares = shares or [0.0] * len(kinds)
    return [
        Suspect(f"n{i}", kind, 1 / len(kinds) + share)
        for i, (kind, share) in enumerate(zip(kinds, shares, strict=True))
    ]


def found_by(suspects, guilty, by_kind=True, limit=None):
    trials = Trials(planted(guilty), 0.98, [suspect.name for suspect in suspects], limit)
    assert not trials.restores([])
    return search(trials, suspects, by_kind), trials


@pytest.mark.parametrize("by_kind", [True, False])
@pytest.mark.parametrize("kinds", MIXES)
def test_a_single_culprit_is_found_within_12_simulations_wherever_it_is(kinds, by_kind):
    assert len(kinds) == COUNT
    for position in range(COUNT):
        nodes, trials = found_by(network(kinds), {f"n{position}"}, by_kind)
        assert nodes.names == (f"n{position}",)
        assert nodes.minimal
        assert len(trials.done) <= MOST


def test_without_types_it_takes_log2_and_two_more():
    for position in range(COUNT):
        _, trials = found_by(network(kinds_like(COUNT)), {f"n{position}"}, by_kind=False)
        assert len(trials.done) <= math.ceil(math.log2(COUNT)) + 2


@pytest.mark.parametrize("by_kind", [True, False])
@pytest.mark.parametrize("kinds", MIXES)
@pytest.mark.parametrize("blamed", [0, 1, 24, 48, 49])
def test_a_table_that_blames_another_keeps_within_12(kinds, by_kind, blamed):
    shares = [0.0] * COUNT
    shares[blamed], shares[(blamed + 7) % COUNT], shares[(blamed + 20) % COUNT] = 0.9, 0.07, 0.03
    for position in range(COUNT):
        nodes, trials = found_by(network(kinds, shares), {f"n{position}"}, by_kind)
        assert nodes.names == (f"n{position}",)
        assert len(trials.done) <= MOST


@pytest.mark.parametrize("steepness", [1.1, 1.5, 2.0, 4.0])
@pytest.mark.parametrize("kinds", MIXES)
def test_a_table_that_falls_off_keeps_within_12(kinds, steepness):
    falls = [steepness**-i for i in range(COUNT)]
    shares = [fall / sum(falls) for fall in falls]
    for position in range(COUNT):
        nodes, trials = found_by(network(kinds, shares), {f"n{position}"})
        assert nodes.names == (f"n{position}",)
        assert len(trials.done) <= MOST


@pytest.mark.parametrize("kinds", MIXES)
def test_a_table_that_blames_the_culprit_shortens_the_search(kinds):
    for position in range(COUNT):
        shares = [0.0] * COUNT
        shares[position] = 1.0
        nodes, trials = found_by(network(kinds, shares), {f"n{position}"})
        assert nodes.names == (f"n{position}",)
        assert len(trials.done) <= 4


@pytest.mark.parametrize("guilty", [{3, 4}, {0, 49}, {10, 11, 12}, {5, 20, 33, 47}])
@pytest.mark.parametrize("kinds", MIXES)
def test_culprits_that_act_together_are_all_found(kinds, guilty):
    names = {f"n{i}" for i in guilty}
    nodes, trials = found_by(network(kinds), names)
    assert set(nodes.names) == names
    # Junker's bound for k of n: 2 k log2(n / k) + 2 k questions; here for types and for nodes, and k + 1 more
    k = len(guilty)
    assert len(trials.done) <= 4 * k * math.log2(COUNT / k) + 5 * k + 1


def test_of_two_sets_that_would_do_the_more_suspect_is_found():
    shares = [0.0] * COUNT
    shares[40] = 1.0
    trials = Trials(lambda nodes: 1.0 if {"n3", "n40"} & set(nodes) else 0.0, 0.98, [f"n{i}" for i in range(COUNT)])
    assert search(trials, network(kinds_like(COUNT), shares), by_kind=True).names == ("n40",)


def test_nothing_is_simulated_twice():
    asked = []

    def measure(nodes):
        asked.append(frozenset(nodes))
        return planted({"n3", "n30"})(nodes)

    suspects = network(MIXES[4])
    trials = Trials(measure, 0.98, [suspect.name for suspect in suspects])
    trials.restores([])
    search(trials, suspects, by_kind=True)
    assert len(asked) == len(set(asked)) == len(trials.done)
    assert frozenset(suspect.name for suspect in suspects) not in asked


def test_the_limit_ends_the_search_with_the_best_so_far():
    nodes, trials = found_by(network(kinds_like(25, 25)), {"n0"}, limit=3)
    assert len(trials.done) == 3
    assert not nodes.minimal
    assert "n0" in nodes.names
    assert len(nodes.names) in (12, 13)  # nothing, all of type A, half of those


def test_a_limit_before_anything_helps_gives_nothing():
    nodes, trials = found_by(network(kinds_like(50)), {"n49"}, limit=2)
    assert (nodes.names, nodes.minimal) == ((), False)
    assert not trials.best.restored


def test_a_type_is_told_apart_from_its_nodes():
    _, trials = found_by(network(kinds_like(25, 25)), {"n0"})
    assert [trial.kinds for trial in trials.done[:2]] == [(), ("A",)]
    assert all(not trial.kinds for trial in trials.done[2:])


def test_nodes_that_do_harm_in_float_do_not_break_the_search():
    def measure(nodes):
        return float("n9" in nodes and ("n1" not in nodes or len(nodes) == 10))

    names = [f"n{i}" for i in range(10)]
    trials = Trials(measure, 0.98, names)
    trials.restores([])
    nodes = search(trials, network(["A"] * 10), by_kind=False)
    assert measure(nodes.names) == 1.0
