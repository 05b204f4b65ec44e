"""The program around the operators: what it reads, what each build type writes, and what it says to a bad file."""

import platform
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from stages.build.runtime.folder import write_runtime
from stages.build.runtime.program import UnsupportedError
from stages.core.config.schema import Color
from stages.core.data.inputs import NetworkInput
from stages.core.integer.quant_params import QuantParams
from stages.profile.board_log import parse_log
from tests.build.runtime import programs
from tests.build.runtime.programs import Runtime, compiled, model_file
from tests.build.runtime.small import small_codes, small_net
from tests.core.integer.nets import Net


def test_every_layer_of_a_small_network_is_the_references(debug):
    for bits in (4, 8, 12):
        programs.agree(debug, small_net(bits), x=small_codes(bits))


@pytest.mark.slow
def test_every_layer_as_it_is_shipped_is_the_references(native):
    for bits in (4, 8, 12):
        programs.agree(native("debug"), small_net(bits), x=small_codes(bits))


@pytest.mark.parametrize(
    "flags",
    [
        pytest.param("-U__SSE2__ -march=x86-64", marks=pytest.mark.slow),
        pytest.param("-march=x86-64", marks=pytest.mark.slow),
        pytest.param("-march=x86-64-v3", marks=pytest.mark.slow),
    ],
)
def test_vectors_of_any_length_give_the_same_bytes(tmp_path, flags):
    """Lanes of 4 and of 8 numbers, and single ones, whatever this machine has."""
    if platform.machine() != "x86_64" or ("v3" in flags and "avx2" not in Path("/proc/cpuinfo").read_text()):
        pytest.skip("this machine does not run such programs")
    program = compiled(tmp_path, "debug", f"CXXFLAGS=-O1 {flags}")
    programs.agree(Runtime(program), small_net(), x=small_codes())


@pytest.fixture
def picture(tmp_path):
    """A model file of a network that hands its input's codes out, with mean and normal, and 2x2 pixels for it."""
    net = Net()
    net.feature("x", [1, 3, 2, 2], QuantParams(8, 0.5, 10))
    net.plain("Identity", ["x"], "y")
    entry = NetworkInput("x/real", (1, 3, 2, 2), (10.0, 20.0, 30.0), (2.0, 2.0, 4.0), Color.RGB)
    path = tmp_path / "model.sqm"
    path.write_bytes(model_file(net.model(net.reference(x=np.zeros(12))), [entry]))
    return path, np.arange(40, 52, dtype=np.uint8).reshape(2, 2, 3)


def test_pixels_may_be_bytes_or_floats_of_three_channels_or_four(debug, picture, tmp_path):
    """(40 - 10) / 2 / 0.5 + 10 = 40; (41 - 20) / 2 / 0.5 + 10 = 31; (42 - 30) / 4 / 0.5 + 10 = 16."""
    path, pixels = picture
    wide = np.pad(pixels, ((0, 0), (0, 0), (0, 1)))
    for values in (pixels, wide, pixels.astype("<f4"), wide.astype("<f4")):
        (tmp_path / "in.bin").write_bytes(values.tobytes())
        done = debug.run(path, tmp_path / "in.bin", "-o", tmp_path)
        assert done.returncode == 0, done.stderr
        codes = (tmp_path / "x_Quantize_out.bin").read_bytes()
        assert list(codes[:3]) == [40, 31, 16]
        assert np.fromfile(tmp_path / "output_0.bin", "<f4")[:3].tolist() == [15.0, 10.5, 3.0]


def test_four_bit_dumps_hold_two_channels_a_byte(debug, tmp_path):
    net = Net()
    net.feature("x", [1, 3, 1, 2], QuantParams(4, 1.0, 0))
    net.plain("Identity", ["x"], "y")
    feeds = net.feeds({"x": [1, 2, 3, 4, 5, 6]})
    actual = programs.dumps(debug, model_file(net.model(net.reference(x=range(6)))), [feeds["x/real"]])
    assert actual["y_Quantize_out.bin"] == bytes([0x31, 0x05, 0x42, 0x06])


@pytest.mark.slow
def test_the_profile_is_one_that_profile_reads(native, tmp_path):
    net = small_net()
    (tmp_path / "m.sqm").write_bytes(model_file(net.model(net.reference(x=small_codes()))))
    (tmp_path / "in.bin").write_bytes(bytes(6 * 6 * 3))
    done = native("profile").run(tmp_path / "m.sqm", tmp_path / "in.bin", "-o", tmp_path, "-n", "3")
    (run,) = parse_log(done.stdout, "log")
    rows = {row.name: row for row in run.layers}
    assert {"dense", "depthwise", "sum", "joined", "logits"} <= set(rows)
    dense = rows["dense"]
    assert (dense.operator, dense.inputs, dense.output) == ("Convolution", ((1, 6, 6, 3),), (1, 6, 6, 5))
    assert dense.filter == (3, 3, 3, 5)
    assert rows["sum"].inputs == ((1, 6, 6, 5), (1, 6, 6, 5))
    assert rows["depthwise"].operator == "DepthwiseConvolution"
    called = {row.operator: row.called for row in run.operators}
    assert (called["Convolution"], called["DepthwiseConvolution"], sum(called.values())) == (1, 1, len(run.layers))
    assert abs(run.lost) < 0.2  # rows are rounded to microseconds


@pytest.mark.slow
def test_memory_is_reported_as_the_vendor_does(native, tmp_path):
    net = small_net()
    (tmp_path / "m.sqm").write_bytes(model_file(net.model(net.reference(x=small_codes()))))
    (tmp_path / "in.bin").write_bytes(bytes(6 * 6 * 3))
    runtime = native("nmem")
    reporting = Runtime(runtime.program, environment={"NMEM_FILE": str(tmp_path / "nmem.txt")})
    assert reporting.run(tmp_path / "m.sqm", tmp_path / "in.bin", "-o", tmp_path).returncode == 0
    lines = (tmp_path / "nmem.txt").read_text().splitlines()
    forms = [
        r"nmem total = (\d+)K", r"nmem used peak  = (\d+)K", r"nmem current used  = (\d+)K", r"nmem free  = (\d+)K",
        r"#### peak %\d+\.\d\d ####",
    ]  # fmt: skip
    matches = [re.fullmatch(form, line) for form, line in zip(forms, lines, strict=True)]
    total, peak, used, free = (int(match[1]) for match in matches[:4])
    assert total >= peak >= used
    assert free == total - used


def test_help_is_no_mistake(debug):
    for arguments in (["--help"], ["none.sqm", "-h"]):
        done = debug.run(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("usage: ")
    done = debug.run()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: ")


def test_mistakes_end_in_one_line_and_exit_code_2(debug, picture, tmp_path):
    path, pixels = picture
    content = path.read_bytes()
    good = tmp_path / "in.bin"
    good.write_bytes(pixels.tobytes())
    (tmp_path / "short.bin").write_bytes(b"123")
    cut, flipped, other, empty = (tmp_path / name for name in ("cut", "flipped", "other", "empty"))
    cut.write_bytes(content[:-5])
    flipped.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    other.write_bytes(content[:8] + bytes([99]) + content[9:])
    empty.write_bytes(b"")
    cases = [
        ([tmp_path / "none", good], "none cannot be opened"),
        ([cut, good], "truncated"),
        ([flipped, good], "checksum"),
        ([other, good], "format 99"),
        ([empty, good], "is no model file"),
        ([good, good], "is no model file"),
        ([path], "0 input files are given, the network takes 1"),
        ([path, tmp_path / "short.bin"], "has 3 bytes; input x/real takes 12 (uint8) or 48 (float32)"),
        ([path, good, "-n", "0"], "-n: give a number"),
        ([path, good, "-o"], "-o: a value is missing"),
        ([path, good, "-o", tmp_path / "nowhere"], "cannot be written"),
    ]
    for arguments, expected in cases:
        done = debug.run(*arguments)
        assert done.returncode == 2
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1
        assert expected in done.stderr


@pytest.mark.slow
def test_a_folder_holds_all_that_is_needed(tmp_path):
    net = small_net()
    model = net.model(net.reference(x=small_codes()))
    built = write_runtime(tmp_path / "runtime", "net", model, programs.plain_inputs(model))
    assert built.model == tmp_path / "runtime" / "net.sqm"
    assert built.size == built.model.stat().st_size
    assert built.least <= built.arena
    done = subprocess.run(["make", "-s", "CXXFLAGS=-O0"], cwd=tmp_path / "runtime", check=False, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_four_bit_weights_take_half_the_room():
    def size(limit):
        net = Net()
        net.feature("x", [1, 64], QuantParams(8, 1.0, 0))
        weight = np.random.default_rng(0).integers(-limit, limit, (64, 1000), endpoint=True).astype(np.int8)
        values = [np.zeros(1000, np.int32), np.ones(1000, np.float32)]
        net.add("MatMul", ["x", weight, *values], None, rule="float")
        return len(model_file(net.model(net.reference(x=np.zeros(64)))))

    assert size(127) - size(7) == 32000


def test_what_the_runtime_does_not_do_is_named():
    net = Net()
    net.feature("x", [2, 2], QuantParams(8, 1.0, 0))
    net.add("Dequantize", ["x"], None, "r")
    net.plain("Det", ["r"], "y")
    with pytest.raises(UnsupportedError, match=r"y \(Det\): the board's reference runtime does not do this"):
        model_file(net.model(net.reference(x=np.arange(4))))


@pytest.mark.parametrize(
    ("kind", "why"),
    [("Loop", "its body runs as often as the input says"), ("SequenceConstruct", "sequences of tensors")],
)
def test_what_no_runtime_with_planned_memory_can_do_is_said(kind, why):
    net = Net()
    net.feature("x", [2, 2], QuantParams(8, 1.0, 0))
    net.add("Dequantize", ["x"], None, "r")
    if kind == "Loop":
        info = helper.make_tensor_value_info
        given = [
            info("turn", TensorProto.INT64, []),
            info("on", TensorProto.BOOL, []),
            info("a", TensorProto.FLOAT, [2, 2]),
        ]
        results = [info("still", TensorProto.BOOL, []), info("b", TensorProto.FLOAT, [2, 2])]
        nodes = [helper.make_node("Identity", ["on"], ["still"]), helper.make_node("Neg", ["a"], ["b"])]
        net.plain(
            "Loop", [np.array(3), np.array(True), "r"], "y", body=helper.make_graph(nodes, "body", given, results)
        )
    else:
        net.plain("SequenceConstruct", ["r"], "y")
    with pytest.raises(UnsupportedError, match=rf"y \({kind}\): .*{why}"):
        model_file(net.model({"x": np.zeros((2, 2), np.uint8), "r": np.zeros((2, 2), np.float32)}))


def test_unknown_shapes_are_named():
    net = Net()
    net.feature("x", [1, 4], QuantParams(8, 1.0, 0))
    net.plain("Identity", ["x"], "y")
    model = net.model({})
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", 2, None))
    with pytest.raises(UnsupportedError, match="its shape is not known"):
        model_file(model)
