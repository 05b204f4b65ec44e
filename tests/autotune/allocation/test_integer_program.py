import itertools

import numpy as np
import pytest

from stages.autotune.allocation.integer_program import Limit, Table, solve, tabulate, total


def brute_force(bit_widths, objective, limits):
    """Every allocation tried: the least objective, or None."""
    best = None
    for chosen in itertools.product(*bit_widths.values()):
        allocation = dict(zip(bit_widths, chosen, strict=True))
        if all(total(limit.tables, bit_widths, allocation) <= limit.most * (1 + 1e-9) for limit in limits):
            cost = total(objective, bit_widths, allocation)
            best = cost if best is None else min(best, cost)
    return best


def random_problem(seed):
    rng = np.random.default_rng(seed)
    bit_widths = {
        f"v{i}": sorted(rng.choice([2, 4, 6, 8, 10, 12, 32], rng.integers(1, 5), replace=False)) for i in range(6)
    }
    bit_widths = {name: [int(width) for width in found] for name, found in bit_widths.items()}
    names = list(bit_widths)

    def tables(decades):
        found = []
        for size in (1, 1, 1, 1, 1, 1, 2, 2, 3):
            chosen = tuple(rng.choice(names, size, replace=False).tolist())
            shape = [len(bit_widths[name]) for name in chosen]
            found.append(Table(chosen, 10.0 ** rng.uniform(-decades, 0, shape)))
        return found

    limits = []
    for _ in range(int(rng.integers(1, 3))):
        cost = tables(1)
        sums = sorted(
            total(cost, bit_widths, dict(zip(bit_widths, chosen, strict=True)))
            for chosen in itertools.product(*bit_widths.values())
        )
        limits.append(Limit(cost, float(np.quantile(sums, rng.uniform(0.02, 0.6)))))
    return bit_widths, tables(6), limits


@pytest.mark.parametrize("seed", range(40))
def test_as_good_as_trying_everything(seed):
    bit_widths, objective, limits = random_problem(seed)
    found, best = solve(bit_widths, objective, limits), brute_force(bit_widths, objective, limits)
    assert (found is None) == (best is None)
    if found is not None:
        assert total(objective, bit_widths, found) == pytest.approx(best, rel=1e-5)
        assert all(total(limit.tables, bit_widths, found) <= limit.most * (1 + 1e-5) for limit in limits)


def test_errors_of_any_size_are_told_apart():
    # 1e-9 against 3e-9: far below the solver's own tolerances, and beside another variable that errs by 5
    bit_widths = {"a": [4, 8], "b": [4, 8], "c": [4]}
    objective = [
        Table(("a",), np.array([3e-9, 1e-9])), Table(("b",), np.array([2e-9, 1e-9])), Table(("c",), np.array([5.0])),
    ]  # fmt: skip
    bits = [tabulate([name], bit_widths, lambda allocation: sum(allocation.values())) for name in bit_widths]
    assert solve(bit_widths, objective, [Limit(bits, 16)]) == {"a": 8, "b": 4, "c": 4}


def test_a_bound_that_fits_exactly_is_kept():
    bit_widths = {"a": [2, 4, 8], "b": [2, 4, 8]}
    objective = [Table((name,), np.array([4.0, 2.0, 1.0])) for name in bit_widths]
    bits = [tabulate([name], bit_widths, lambda allocation: 1e9 * sum(allocation.values())) for name in bit_widths]
    assert solve(bit_widths, objective, [Limit(bits, 16e9)]) == {"a": 8, "b": 8}
    assert sorted(solve(bit_widths, objective, [Limit(bits, 16e9 - 1e6)]).values()) == [4, 8]


def test_no_bit_widths_within_the_bounds():
    bit_widths = {"a": [4, 8]}
    assert solve(bit_widths, [], [Limit([Table(("a",), np.array([4.0, 8.0]))], 3.0)]) is None


def test_a_constant_counts_against_the_bound():
    bit_widths = {"a": [4, 8]}
    tables = [Table((), np.array(10.0)), Table(("a",), np.array([4.0, 8.0]))]
    error = [Table(("a",), np.array([1.0, 0.0]))]
    assert solve(bit_widths, error, [Limit(tables, 17.0)]) == {"a": 4}
    assert solve(bit_widths, error, [Limit(tables, 18.0)]) == {"a": 8}


def test_a_coupled_cost_is_that_of_the_pair():
    # by hand: the products are 16, 32, 64; within 40 only one of both may be 8
    bit_widths = {"in": [4, 8], "weight": [4, 8]}
    product = tabulate(["in", "weight", "in"], bit_widths, lambda allocation: allocation["in"] * allocation["weight"])
    assert product.variables == ("in", "weight")
    assert product.values.tolist() == [[16, 32], [32, 64]]
    error = [Table(("in",), np.array([3.0, 1.0])), Table(("weight",), np.array([2.0, 1.0]))]
    assert solve(bit_widths, error, [Limit([product], 40.0)]) == {"in": 8, "weight": 4}


def test_nothing_to_choose():
    assert solve({}, [], [Limit([Table((), np.array(1.0))], 2.0)]) == {}
    assert solve({}, [], [Limit([Table((), np.array(3.0))], 2.0)]) is None
