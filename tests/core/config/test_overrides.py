import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from stages.core.config.overrides import numbers, quoted, skip_override, split_overrides


@pytest.mark.parametrize(
    "name", ["a b", "null", "1", "a:0", "x,y", 'a"b', "a'b", "a\\", 'a\\"b', "[a]", "${x}", "", "/a"]
)
def test_a_name_comes_back_as_a_text(name):
    value = OverridesParser.create().parse_override(f"key=[{{name: {quoted(name)}}}]").value()
    assert [getattr(entry["name"], "text", entry["name"]) for entry in value] == [name]


def test_plain_names_stay_plain():
    assert skip_override(["/_conv_stem/Conv", "fc"]) == "quant.skip_nodes=[/_conv_stem/Conv,fc]"


@pytest.mark.parametrize(
    ("values", "text"),
    [((127.0, 127.0, 127.0), "[127]"), ((123.675, 116.28, 103.53), "[123.675, 116.28, 103.53]"), ((0.5,), "[0.5]")],
)
def test_numbers(values, text):
    assert numbers(values) == text


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a.b=1", ["a.b=1"]),
        ("model.cut=true model.outputs=[]", ["model.cut=true", "model.outputs=[]"]),
        ('a=["x y", {b: c}] d="e f"', ['a=["x y", {b: c}]', 'd="e f"']),
        ('a=["]x \\" y"] b=1', ['a=["]x \\" y"]', "b=1"]),
    ],
)
def test_overrides_are_split_at_the_spaces_between_them(text, parts):
    assert split_overrides(text) == parts
