import pytest

from stages.core.base.errors import did_you_mean, one_line


def test_close_names_are_suggested():
    assert did_you_mean("imagse", ["images", "logits"]) == "did you mean 'images'?"


def test_what_is_much_less_close_than_the_closest_is_not_suggested():
    names = ["feature_bits", "feature_method", "feature_correction", "edge_bits"]
    assert did_you_mean("feature_bit", names) == "did you mean 'feature_bits'?"
    assert did_you_mean("int", ["int4", "int8"]) == "did you mean 'int8' or 'int4'?"


def test_without_a_close_name_the_first_ones_are_listed():
    assert did_you_mean("zzz", ["a", "b", "c"], limit=2) == "known: 'a', 'b' and 1 more"


def test_without_any_name_it_says_so():
    assert did_you_mean("zzz", []) == "there is none"


@pytest.mark.parametrize(
    ("error", "line"),
    [(ValueError("one\n  two\tthree\n"), "one two three"), (ValueError(), "ValueError"), (OSError("\n"), "OSError")],
)
def test_an_exception_folds_into_one_line(error, line):
    assert one_line(error) == line
