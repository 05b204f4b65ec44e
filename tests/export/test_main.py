import json
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import yaml

from stages.core.base.errors import UserError
from stages.core.config.schema import Color, Config, InputConfig, ModelConfig
from stages.export.__main__ import export
from stages.export.shapes import graph_shapes
from stages.quantize.quantizers.node_bits import read_node_bits
from tests.export.dequantize.test_qdq import convolution, model_of, on_codes
from tests.export.graphs import normalized_model, run_onnx
from tests.networks import tiny_classifier

MODULE = """
import torch

def build():
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.BatchNorm2d(4), torch.nn.ReLU())
"""


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A config of the tiny network in the current folder."""
    monkeypatch.chdir(tmp_path)
    onnx.save(tiny_classifier(), "tiny.onnx")
    return Config(model=ModelConfig("tiny", "file:tiny.onnx", inputs=[InputConfig(mean=[128.0], normal=[64.0])]))


def exported():
    return onnx.load("out/export/model.onnx")


def test_a_size_that_the_exporter_noted_is_taken_and_said(config, capsys):
    model = tiny_classifier(batch="N")
    for axis in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = f"side{axis}"
    onnx.helper.set_model_props(model, {"imgsz": "[24, 16]"})
    onnx.save(model, "tiny.onnx")
    export(config)
    assert json.loads(Path("out/export/inputs.json").read_text())[0]["shape"] == [1, 3, 24, 16]
    assert "input 'images' is [1, 3, 24, 16], as the exporter's metadata says (imgsz)" in capsys.readouterr().out


def test_writes_network_inputs_and_check(config):
    export(config)
    assert exported().graph.node[0].name == "stem"
    assert json.loads(Path("out/export/inputs.json").read_text()) == [
        {"name": "images", "shape": [1, 3, 16, 16], "mean": [128.0] * 3, "normal": [64.0] * 3, "color": "RGB"}
    ]
    check = json.loads(Path("out/export/check.json").read_text())
    assert check["nodes"] == 9
    assert check["bound"] == 0.001
    assert 0 <= check["max_difference"] < 1e-4


def test_same_bytes_twice(config):
    export(config)
    first = [path.read_bytes() for path in sorted(Path("out/export").iterdir())]
    export(config)
    assert [path.read_bytes() for path in sorted(Path("out/export").iterdir())] == first


def test_dynamic_shapes_with_a_configured_one(config):
    onnx.save(normalized_model(height="H", batch="N"), "tiny.onnx")
    with pytest.raises(UserError, match=r"give model\.inputs\[\]\.shape"):
        export(config)
    config.model.inputs = [InputConfig(shape=[1, 3, 12, 8], mean=[0.0], normal=[255.0])]
    export(config)
    assert [dim.dim_value for dim in exported().graph.input[0].type.tensor_type.shape.dim] == [1, 3, 12, 8]
    value = np.random.default_rng(0).normal(size=(1, 3, 12, 8)).astype(np.float32)
    source = run_onnx(normalized_model(height="H", batch="N"), {"x": value})
    np.testing.assert_allclose(run_onnx(exported(), {"x": value})[0], source[0], atol=1e-4)


def test_cut_network_lists_the_cut_input(config):
    config.model.inputs = [InputConfig(name="stem_relu", mean=[0.0], normal=[1.0])]
    config.model.outputs = ["residual"]
    export(config)
    (entry,) = json.loads(Path("out/export/inputs.json").read_text())
    assert entry["name"] == "r1"
    assert entry["shape"] == [1, 8, 8, 8]
    assert len(entry["mean"]) == 8
    assert [output.name for output in exported().graph.output] == ["sum"]


def test_gray_and_color_are_kept(config):
    config.model.inputs = [InputConfig(color=Color.BGR)]
    export(config)
    (entry,) = json.loads(Path("out/export/inputs.json").read_text())
    assert (entry["color"], entry["mean"], entry["normal"]) == ("BGR", [0.0] * 3, [1.0] * 3)


def test_a_difference_above_the_bound_leaves_no_output(config):
    onnx.save(normalized_model(), "tiny.onnx")
    config.model.inputs = [InputConfig(normal=[1e-7])]  # huge inputs: folding the norm moves large outputs
    config.model.fp32_diff = 1e-9
    with pytest.raises(UserError, match=r"more than model\.fp32_diff=1e-09"):
        export(config)
    assert not Path("out/export").exists()


@pytest.mark.parametrize("nested", [False, True])
def test_pytorch_module_with_a_checkpoint(config, nested, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    name = f"network_code_{nested}"
    Path("code").mkdir()
    Path(f"code/{name}.py").write_text(MODULE)
    torch.manual_seed(1)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.BatchNorm2d(4), torch.nn.ReLU())
    module[1].running_mean += 0.5
    torch.save({"state_dict": module.state_dict()} if nested else module.state_dict(), "weights.pth")
    config.model.source = "file:weights.pth"
    config.model.torch.callable, config.model.torch.code = f"{name}:build", f"file:{Path.cwd() / 'code'}"
    config.model.torch.output_names = ["features"]
    config.model.inputs = [InputConfig(name="images", shape=[1, 3, 8, 8], mean=[128.0], normal=[64.0])]
    export(config)
    assert [node.op_type for node in exported().graph.node] == ["Conv", "Relu"]
    assert [output.name for output in exported().graph.output] == ["features"]
    value = np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float32)
    expected = module.eval()(torch.from_numpy(value)).detach().numpy()
    np.testing.assert_allclose(run_onnx(exported(), {"images": value})[0], expected, atol=1e-4)


def test_pytorch_module_without_a_checkpoint(config, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    Path("code").mkdir()
    Path("code/fixed_code.py").write_text("import torch\n\ndef build():\n    return torch.nn.Hardtanh(-0.5, 0.5)\n")
    config.model.source = None
    config.model.torch.callable, config.model.torch.code = "fixed_code:build", f"file:{Path.cwd() / 'code'}"
    config.model.inputs = [InputConfig(shape=[1, 3, 4, 4])]
    export(config)
    assert json.loads(Path("out/export/inputs.json").read_text())[0]["name"] == "input_0"
    value = np.linspace(-1, 1, 48, dtype=np.float32).reshape(1, 3, 4, 4)
    np.testing.assert_array_equal(run_onnx(exported(), {"input_0": value})[0], value.clip(-0.5, 0.5))


def test_pytorch_module_without_a_shape_is_refused(config):
    config.model.source, config.model.torch.callable = None, "torch.nn:ReLU"
    with pytest.raises(UserError, match=r"'input_0' has no shape; .*\[1,3,224,224\]"):
        export(config)


def test_several_files_are_refused(config):
    Path("nets").mkdir()
    for name in ("one", "two"):
        onnx.save(tiny_classifier(), f"nets/{name}.onnx")
    config.model.source = "file:nets/*.onnx"
    with pytest.raises(UserError, match=r"model\.source matches 2 files"):
        export(config)


def write(name, content):
    Path(name).write_bytes(content)
    return name


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: "tiny2.onnx", "tiny2.onnx does not exist; did you mean 'tiny.onnx'"),
        (lambda: write("text.onnx", b"this is a text, not a network\n"), "text.onnx is not an ONNX file"),
        (lambda: write("empty.onnx", b""), "empty.onnx is not an ONNX file"),
        (lambda: write("net.txt", b"\x00"), "net.txt is no network that can be read"),
        (lambda: write("net.pth", b"junk"), "net.pth is not a checkpoint of weights: it is damaged"),
    ],
)
def test_a_wrong_file_is_one_line_and_exit_code_2(command, make, message):
    params, name = Path("params.yaml"), make()
    edited = params.read_text().replace("file:tiny.onnx", f"file:{name}").replace("model: tiny.onnx", f"model: {name}")
    params.write_text(edited)
    done = command("export")
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert not Path("out/export").exists()


def test_a_module_from_a_relative_folder(command):
    Path("code").mkdir()
    Path("code/relative_code.py").write_text(MODULE)
    params = Path("params.yaml")
    config = yaml.safe_load(params.read_text())
    config["model"] |= {"source": None, "inputs": [{"name": "images", "shape": [1, 3, 8, 8]}]}
    config["model"]["torch"] |= {"callable": "relative_code:build", "code": "file:code"}
    config["watch"] |= {"model": "stages/core/base/sources.py", "code": "code"}
    params.write_text(yaml.safe_dump(config))
    done = command("export")
    assert done.returncode == 0, done.stderr
    assert graph_shapes(exported()) == {"images": [1, 3, 8, 8]}


def test_the_command_exports(command):
    done = command("export")
    assert done.returncode == 0, done.stderr
    assert "9 nodes, inputs images [1, 3, 16, 16]" in done.stdout
    assert Path("out/export/model.onnx").is_file()


def test_weights_in_another_file_are_read(config):
    export(config)
    expected = exported()
    Path("net").mkdir()
    onnx.save(tiny_classifier(), "net/tiny.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    config.model.source = "file:net/tiny.onnx"
    with pytest.raises(UserError, match=r"keeps weights in weights\.bin: give all of its files") as caught:
        export(config)
    config.model.source = str(caught.value).partition('model.source="')[2].partition('"')[0]
    export(config)
    assert exported() == expected


def test_an_output_that_nothing_computes_is_left_out_with_a_line(config, capsys):
    model = tiny_classifier()
    model.graph.node.append(onnx.helper.make_node("Constant", [], ["priors"], "constant", value_floats=[1.0, 2.0]))
    model.graph.output.append(onnx.helper.make_tensor_value_info("priors", onnx.TensorProto.FLOAT, [2]))
    model.graph.output.append(model.graph.input[0])
    onnx.save(model, "tiny.onnx")
    export(config)
    assert [info.name for info in exported().graph.output] == ["logits"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        f"output '{name}' is left out: it is an input or a constant, which no layer computes"
        for name in ("priors", "images")
    ]


def test_a_fixed_batch_is_said_and_runs_one_at_a_time(config, capsys):
    onnx.save(tiny_classifier(batch=5), "tiny.onnx")
    export(config)
    assert graph_shapes(exported()) == {"images": [1, 3, 16, 16]}
    line = "input 'images' has shape [5,3,16,16] in tiny.onnx and [1, 3, 16, 16] from here on"
    assert line in capsys.readouterr().out


# --- sources that are not what they seem


def test_a_quantized_network_is_exported_as_float_with_its_ranges(config, capsys):
    onnx.save(convolution(), "tiny.onnx")
    config.model.inputs = [InputConfig()]
    export(config)
    assert [entry.op_type for entry in exported().graph.node] == ["Conv"]
    by_node = read_node_bits("file:out/export/node_ranges.json", ranges=True)
    assert {name: found.range for name, found in by_node.items()} == {
        "x": pytest.approx((-6.4, 6.35)),
        "conv": pytest.approx((-12.8, 12.7)),
    }
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "tiny.onnx is quantized (QDQ: 2 features, 2 constants): it is read as the float network that it stands for"
    )
    assert lines[1].startswith("cosine of the float and the quantized network's outputs on random input: 0.99")
    assert lines[-1] == (
        "the source's 2 ranges are in out/export/node_ranges.json; to quantize with them: python -m stages.compose "
        "--keep quant.node_bits=file:out/export/node_ranges.json"
    )


def test_a_float_network_has_no_ranges_and_no_line(config, capsys):
    export(config)
    assert json.loads(Path("out/export/node_ranges.json").read_text()) == {}
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_quantized_network_without_float_meaning_is_one_line(config):
    onnx.save(on_codes([onnx.helper.make_node("Relu", ["a"], ["b"], "odd")]), "tiny.onnx")
    with pytest.raises(UserError, match=r"^tiny\.onnx: odd \(Relu\) is quantized and .*: give model\.source the float"):
        export(config)


def test_a_network_with_channels_last_takes_pictures_as_any_other(config, capsys):
    rng = np.random.default_rng(0)
    nodes = [
        onnx.helper.make_node("Transpose", ["image"], ["t"], "to_nchw", perm=[0, 3, 1, 2]),
        onnx.helper.make_node("Conv", ["t", "w"], ["c"], "conv"),
        onnx.helper.make_node("Transpose", ["c"], ["y"], "to_nhwc", perm=[0, 2, 3, 1]),
    ]
    weight = rng.normal(size=(2, 3, 1, 1)).astype(np.float32)
    onnx.save(model_of(nodes, {"w": weight}, {"image": ["N", "H", "W", 3]}, opset=17), "tiny.onnx")
    config.model.inputs = [InputConfig(shape=[1, 4, 6, 3])]
    with pytest.raises(
        UserError, match=r"'image' has shape \[\?,3,\?,\?\] in the network.*shapes are NCHW, give \[1, 3, 4, 6\]"
    ):
        export(config)
    config.model.inputs = [InputConfig(shape=[1, 3, 4, 6], mean=[10.0], normal=[2.0])]
    export(config)
    (entry,) = json.loads(Path("out/export/inputs.json").read_text())
    assert (entry["name"], entry["shape"], entry["mean"]) == ("image", [1, 3, 4, 6], [10.0] * 3)
    assert [entry.op_type for entry in exported().graph.node] == ["Conv", "Transpose"]
    x = rng.normal(size=(1, 3, 4, 6)).astype(np.float32)
    expected = np.einsum("nchw,oc->nhwo", x, weight[:, :, 0, 0])
    np.testing.assert_allclose(run_onnx(exported(), {"image": x})[0], expected, atol=1e-5)
    assert "input 'image' is NHWC in tiny.onnx and NCHW from here on: give shapes as NCHW" in capsys.readouterr().out


def test_a_network_of_tokens_is_cut_at_its_first_float_tensor(config):
    rng = np.random.default_rng(0)
    table, weight = (rng.normal(size=shape).astype(np.float32) for shape in ((7, 4), (4, 2)))
    nodes = [
        onnx.helper.make_node("Gather", ["table", "tokens"], ["embedded"], "embed"),
        onnx.helper.make_node("MatMul", ["embedded", "weight"], ["y"], "project"),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "tokens",
        [onnx.helper.make_tensor_value_info("tokens", onnx.TensorProto.INT64, [1, 5])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 5, 2])],
        [onnx.numpy_helper.from_array(table, "table"), onnx.numpy_helper.from_array(weight, "weight")],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), "tiny.onnx")
    config.model.inputs = [InputConfig()]
    with pytest.raises(UserError, match=r"input 'tokens' is int64.*with 'model.inputs=\[{name: \"embedded\"}\]'$"):
        export(config)
    config.model.inputs = [InputConfig(name="embedded")]
    export(config)
    assert graph_shapes(exported()) == {"embedded": [1, 5, 4]}
    value = rng.normal(size=(1, 5, 4)).astype(np.float32)
    np.testing.assert_allclose(run_onnx(exported(), {"embedded": value})[0], value @ weight, rtol=1e-5)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return np.zeros((0, 4)), [], []", None),
        ("return outputs['scores']", "KeyError: 'scores'"),
        ("return np.zeros((0, 4)), []", "ValueError: not enough values to unpack"),
        ("return np.zeros((3, 4)), [1, 1], [0, 0, 0]", "ValueError: cannot reshape array"),
        (None, "no 'decode' there"),
    ],
)
def test_the_users_decoding_is_called_once(config, monkeypatch, body, said):
    text = "" if body is None else f"def decode(outputs):\n    {body}\n"
    Path("mine.py").write_text(f"import numpy as np\n\n{text}")
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    config.model.detector.function = "mine:decode"
    with pytest.raises(UserError) if said else nullcontext() as caught:
        export(config)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    assert said is None or said in str(caught.value)
    assert Path("out/export").exists() is (said is None)
