import pytest

from stages.core.base.errors import UserError
from stages.init.vendor.lenient_parser import is_config, parse_config

WANTED = {"SOC": "T40", "MEAN": [0, 0.5], "PATH": "./a//b # c", "OPEN": True, "NONE": None}


@pytest.mark.parametrize(
    "text",
    [
        '{"SOC": "T40", "MEAN": [0, 0.5], "PATH": "./a//b # c", "OPEN": true, "NONE": null}',
        '\ufeff// head\n{"SOC": "T40", /* two\nlines */ "MEAN": [0, 0.5,],\n"PATH": "./a//b # c", # tail\n'
        '"OPEN": true, "NONE": null, }',
        "{'SOC': 'T40', 'MEAN': (0, .5), 'PATH': './a//b # c', 'OPEN': True, 'NONE': None}",
        "config = {'SOC': \"T40\", 'MEAN': [0, 0.5], 'PATH': './a//b # c', 'OPEN': true, 'NONE': null,}\n",
    ],
)
def test_json_with_comments_and_python_literals(text):
    content = parse_config(text, "a.cfg")
    assert content | {"MEAN": list(content["MEAN"])} == WANTED
    assert is_config(text)


@pytest.mark.parametrize("text", ["#!/bin/sh\ntool -i a.onnx\n", "a = 1\n", "", "name: t40\n"])
def test_other_files_are_no_config(text):
    assert not is_config(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"A": 1\n "B": 2}', r"a\.cfg is neither JSON nor a Python literal: .*line 2 column 2"),
        ("{'A': open('x')}", r"a\.cfg is neither JSON nor a Python literal"),
        ("{{'A': 1}, 'B'}", r"a\.cfg is neither JSON nor a Python literal"),  # a set of groups
        ("{'A', 'B'}", r"a\.cfg: is no group of keys"),
        ('{"A": 1, "A": 2}', r"a\.cfg: key 'A' is there twice"),
        ("{'A': 1, 'A': 2}", r"a\.cfg: key 'A' is there twice"),
    ],
)
def test_what_cannot_be_read_is_one_line(text, expected):
    with pytest.raises(UserError, match=expected) as caught:
        parse_config(text, "a.cfg")
    assert "\n" not in str(caught.value)
