"""The files in golden/ are what TPU-MLIR 1.30.2 made of `renamed_network`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stages.core.tpu_mlir import tables
from stages.core.tpu_mlir.tables import (
    Layer,
    TableError,
    calibration_table,
    check_qtable,
    check_table,
    read_mlir,
    write_qtable,
)

GOLDEN = Path(__file__).parent / "golden"
LAYERS = read_mlir((GOLDEN / "net.mlir").read_text())
NAMES = [
    "x", "focus_Concat_r_Depth2Space", "c1_Conv", "a1_Mul", "r3_Relu", "sum_Add", "pooled_GlobalAveragePool",
    "flat_Flatten", "logits_Gemm", "y_Softmax",
]  # fmt: skip
RANGES = {
    "tensors": {
        name.replace("_r_Depth2Space", ""): [float(index), float(-index), float(index)]
        for index, name in enumerate(NAMES, 1)
    },
    "types": {"y_Softmax": "F16", "focus_Concat": "F32"},
    "chip_types": ["F16", "F32"],
    "method": "socquant KL",
}
TABLE = "".join(f"{name} {index}.0000000 -{index}.0 {index}\n" for index, name in enumerate(NAMES, 1))


def test_layers_are_read_in_order_with_what_they_take():
    assert [layer.name for layer in LAYERS] == NAMES
    assert LAYERS[1] == Layer(NAMES[1], (NAMES[1],), "Depth2Space", ("x",))
    assert LAYERS[5] == Layer("sum_Add", ("sum_Add",), "Add", ("a1_Mul", "r3_Relu"))
    assert LAYERS[-1].kind == "Softmax"


@pytest.mark.parametrize(("chip", "relu", "softmax"), [("bm1684x", "u8", "f16"), ("cv181x", "i8", "bf16")])
def test_types_and_scales_of_a_lowered_network(chip, relu, softmax):
    by_name = {layer.name: layer for layer in read_mlir((GOLDEN / f"net_{chip}_tpu.mlir").read_text())}
    assert by_name["r3_Relu"].type == relu
    assert by_name["r3_Relu"].scale > 0.0
    assert (by_name["y_Softmax"].type, by_name["y_Softmax"].scale) == (softmax, 0.0)
    assert by_name["x"].type == "f32"


def test_a_layer_of_several_outputs():
    text = """\
    %1 = "top.Input"(%arg0) {shape = [1]} : (tensor<1x4xf32>) -> tensor<1x4xf32> loc(#loc1)
    %2:2 = "top.Split"(%1) {axis = 1 : i64} : (tensor<1x4xf32>) -> (tensor<1x2xf32>, tensor<1x2xf32>) loc(#loc4)
    %3 = "top.Add"(%2#1, %2#0) : (tensor<1x2xf32>, tensor<1x2xf32>) -> tensor<1x2xf32> loc("c_Add")
#loc1 = loc("x")
#loc4 = loc(fused["a_Split", "b_Split"])
"""
    _, split, add = read_mlir(text)
    assert split.outputs == ("a_Split", "b_Split")
    assert add.operands == ("b_Split", "a_Split")


def test_every_layer_gets_a_row_under_its_own_name():
    """A Focus has the range of the Concat that it was made from."""
    text = calibration_table(LAYERS, RANGES)
    rows = [line.split() for line in text.splitlines() if not line.startswith("#")]
    assert [row[0] for row in rows] == NAMES
    assert rows[1][1:] == ["2.0000000", "-2.0000000", "2.0000000"]
    assert text.startswith("# mlir version: v1.30.2 cali version 1.0\n# quantization threshold calculation method: soc")
    check_table(text, LAYERS)


def test_what_only_moves_values_has_the_range_of_its_operand():
    without = dict(RANGES, tensors={name: row for name, row in RANGES["tensors"].items() if name != "flat_Flatten"})
    row = next(line for line in calibration_table(LAYERS, without).splitlines() if line.startswith("flat_Flatten"))
    assert row.split()[1] == "7.0000000"


def test_a_layer_of_which_nothing_is_known_is_refused():
    without = dict(RANGES, tensors={name: row for name, row in RANGES["tensors"].items() if name != "sum_Add"})
    with pytest.raises(
        TableError, match=r"ranges are not known: sum_Add \(Add\); keep the nodes they come from in floa"
    ):
        calibration_table(LAYERS, without)


def test_small_and_large_numbers_are_plain_decimals():
    tiny = dict(RANGES, tensors=RANGES["tensors"] | {"x": [1e-6, -1e-6, 1e-6], "c1_Conv": [1e7, -1e7, 1e7]})
    text = calibration_table(LAYERS, tiny)
    assert "x 0.0000010 -0.0000010 0.0000010\n" in text
    assert "c1_Conv 10000000.0000000 " in text
    check_table(text, LAYERS)


def test_the_qtable_has_the_layers_that_are_not_int8():
    text = write_qtable(LAYERS, RANGES)
    assert text == "# layer type\nfocus_Concat_r_Depth2Space F32\ny_Softmax F16\n"
    check_qtable(text, LAYERS, ["F16", "F32"])


@pytest.mark.parametrize(
    ("wrong", "right", "message"),
    [
        ("sum_Add 6.0000000 -6.0 6\n", "", r"^no row for sum_Add$"),
        ("sum_Add 6.0000000", "sum 6.0000000", r"^line 6: no layer is called sum; did you mean sum_Add\?$"),
        ("sum_Add 6.0000000", "x 6.0000000", r"^line 6: x is there twice$"),
        ("c1_Conv 3.0000000", "c1_Conv 3e0", r"^line 3: 3e0 is no plain decimal, as 0\.0078125$"),
        ("c1_Conv 3.0000000", "c1_Conv nan", r"^line 3: nan is no plain decimal"),
        ("-3.0 3\n", "-3.0\n", r"^line 3: 3 columns, not name, threshold, min and max$"),
        ("x 1.0000000", "x 0.0000000", r"^line 1: the threshold of x is 0\.0000000, not above 0$"),
        ("x 1.0000000 -1.0 1", "x 1.0000000 1 -1.0", r"^line 1: the min of x is above its max$"),
        ("x 1.0000000", "{\n", r"^line 1: 1 columns"),
        (TABLE, "# all rows are gone\n", r"^no row for a1_Mul, c1_Conv, .* and 5 more$"),
    ],
)
def test_malformed_tables_are_refused(wrong, right, message):
    check_table(TABLE, LAYERS)
    assert wrong in TABLE
    with pytest.raises(TableError, match=message):
        check_table(TABLE.replace(wrong, right), LAYERS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("logits F16\n", r"^line 1: no layer is called logits; did you mean logits_Gemm\?$"),
        ("# two\nsum_Add F16\n\nsum_Add F32\n", r"^line 4: sum_Add is there twice$"),
        ("sum_Add\n", r"^line 1: 1 columns, not name and type$"),
        ("sum_Add F16 F32\n", r"^line 1: 3 columns"),
        ("sum_Add BF16\n", r"^line 1: the chip has no BF16; it has F16, F32$"),
    ],
)
def test_malformed_qtables_are_refused(text, message):
    with pytest.raises(TableError, match=message):
        check_qtable(text, LAYERS, ["F16", "F32"])


def test_what_is_no_mlir():
    with pytest.raises(TableError, match=r"^the \.mlir has no layers"):
        read_mlir("module {}\n")


@pytest.mark.slow
def test_the_file_works_by_itself(tmp_path):
    """As the board folder has it, by the compiler's Python."""
    script = tmp_path / "tables.py"
    script.write_bytes(Path(tables.__file__).read_bytes())
    (tmp_path / "ranges.json").write_text(json.dumps(RANGES))
    arguments = [str(GOLDEN / "net.mlir"), "ranges.json", "table", "qtable"]

    def run():
        command = [sys.executable, "-I", str(script), *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert run().returncode == 0
    assert (tmp_path / "table").read_text() == calibration_table(LAYERS, RANGES)
    assert (tmp_path / "qtable").read_text() == write_qtable(LAYERS, RANGES)
    (tmp_path / "ranges.json").write_text(json.dumps(RANGES | {"tensors": {}}))
    done = run()
    assert done.returncode == 1
    assert done.stderr.startswith("error: the compiler makes layers whose ranges are not known: x (Input), ")
