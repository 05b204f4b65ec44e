import pytest

from stages.core.base.errors import UserError
from stages.init.vendor.converter_script import converter_call


def test_a_call_over_several_lines_with_a_commented_end():
    script = """#!/bin/sh
export LD_LIBRARY_PATH=/opt/lib:$LD_LIBRARY_PATH
model=./20220308/latest.onnx
kit=../../TransformKit   # where it lies
$kit/magik-transform-tools \\
--framework onnx \\
-inputpath ${model} \\
--outputpath=./out/latest.mk.h \\
--mean -1,0,0 \\

# --input_nodes input \\
cp a b
"""
    assert converter_call(script, "run.sh") == (
        {
            "framework": "onnx",
            "inputpath": "./20220308/latest.onnx",
            "outputpath": "./out/latest.mk.h",
            "mean": "-1,0,0",
        },
        [],
    )


def test_what_stands_around_the_call():
    script = (
        'echo "magik-transform-tools runs" && "$KIT/magik-transform-tools" -i "my net.onnx" -cfg a.cfg -v > log; ls'
    )
    assert converter_call(script, "run.sh") == ({"i": "my net.onnx", "cfg": "a.cfg", "v": ""}, [])


def test_a_script_that_looks_for_the_program_first():
    script = 'tool="$KIT/magik-transform-tools"\nif [ ! -x "$tool" ]; then exit 2; fi\n"$tool" -i a.onnx\n'
    assert converter_call(script, "run.sh") == ({"i": "a.onnx"}, [])


def test_notes():
    script = "magik-transform-tools -i a.onnx b.onnx -i c.onnx\nmagik-transform-tools -i d.onnx\n"
    options, notes = converter_call(script, "run.sh")
    assert options == {"i": "c.onnx"}
    assert [note.split(":", 1)[1].strip() for note in notes] == [
        "calls magik-transform-tools 2 times; the first call counts",
        "'b.onnx' belongs to no option and is left out",
        "--i is there twice; 'c.onnx' counts",
    ]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo hello\n", r"run\.sh: is no config, and no script that calls magik-transform-tools"),
        ("magik-transform-tools -i 'a\n", r"run\.sh: the call of magik-transform-tools has a quote that does not end"),
    ],
)
def test_scripts_without_a_call(script, expected):
    with pytest.raises(UserError, match=expected):
        converter_call(script, "run.sh")
