"""Networks that are broken, too large or without end: one line with the node, before anything is allocated."""

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from stages.core.base.errors import UserError
from stages.core.config.schema import InputConfig, ModelConfig
from stages.core.graph import session
from stages.core.graph.onnx_graph import parse_model
from stages.core.graph.session import Runner
from stages.export import canonical
from stages.export.memory import peak_bytes
from stages.export.network import exported_network

SMALL = (1, 3, 8, 8)


def network(nodes, constants=None, shape=SMALL, opset=17, result=SMALL):
    """A network from `x` to `y`."""
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, result)]
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()]
    graph = helper.make_graph(nodes, "hostile", inputs, outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def node(kind, inputs, name="here", output="y", **attributes):
    return helper.make_node(kind, inputs, [output], name, **attributes)


def ones(*shape):
    return np.ones(shape, np.float32)


def batch_norm():
    inputs = ["x", "s", "b", "m", "v"]
    return network([node("BatchNormalization", inputs)], dict.fromkeys("sbm", ones(3)) | {"v": -ones(3)})


def sizes(*values):
    return np.array(values, np.int64)


def relu(**more):
    return network([node("Relu", ["x"])], **more)


CASES = {
    "channels that do not fit": (
        lambda: network([node("Conv", ["x", "w"])], {"w": ones(4, 5, 3, 3)}),
        r"^node 'here' \(Conv\) cannot run: .*Input channels C is not equal to kernel channels",
    ),
    "groups that do not fit": (
        lambda: network([node("Conv", ["x", "w"], group=2)], {"w": ones(4, 3, 3, 3)}),
        r"^node 'here' \(Conv\) cannot run: ",
    ),
    "a node of several lines": (
        lambda: network([node("Conv", ["x", "w"], "he\n\x1b[31mre")], {"w": ones(4, 5, 3, 3)}),
        r"^node 'he re' \(Conv\) cannot run: ",
    ),
    "a constant of 4 TB": (
        lambda: network(
            [node("ConstantOfShape", ["s"], output="b"), node("Add", ["x", "b"])], {"s": sizes(100000, 100000, 100)}
        ),
        r"the network needs .* GiB at tensor 'b' \[100000, 100000, 100\], and this machine has",
    ),
    "a tile of 7 TB": (
        lambda: network([node("Tile", ["x", "r"])], {"r": sizes(1, 1, 100000, 100000)}, result=[1, 3, 800000, 800000]),
        r"the network needs .* at tensor 'y'",
    ),
    "a resize of 7 TB": (
        lambda: network(
            [node("Resize", ["x", "", "r"])],
            {"r": np.array([1, 1, 1e5, 1e5], np.float32)},
            result=[1, 3, 800000, 800000],
        ),
        r"the network needs .* at tensor 'y'",
    ),
    "60,000 x 60,000": (
        lambda: relu(shape=[1, 3, 60000, 60000], result=[1, 3, 60000, 60000]),
        r"the network needs 80\.5 GiB at tensor '[xy]' \[1, 3, 60000, 60000\]",
    ),
    "2^31": (lambda: relu(shape=[1, 3, 2**31, 8], result=[1, 3, 2**31, 8]), r"the network needs 384 GiB"),
    "a negative size": (lambda: relu(shape=[1, 3, -8, 8], result=[1, 3, -8, 8]), r"give model\.inputs\[\]\.shape"),
    "an empty weight": (
        lambda: network([node("Conv", ["x", "w"])], {"w": ones(0, 3, 3, 3)}, result=[1, 0, 6, 6]),
        r"weight 'w' of node 'here' \(Conv\) is empty: its shape is \[0, 3, 3, 3\]",
    ),
    "a variance below 0": (
        batch_norm,
        r"NaN or infinite .*: the variance of BatchNormalization 'here' is below 0; end",
    ),
    "opset 99": (lambda: relu(opset=99), r"is of opset 99, this ONNX Runtime runs \d+ at most, .*: install a newer"),
    "a cycle": (
        lambda: network([node("Add", ["x", "z"]), node("Relu", ["y"], "back", output="z")]),
        r"cannot be simplified: ",
    ),
    "two nodes of one output": (lambda: network([node("Relu", ["x"]), node("Abs", ["x"], "there")]), "'y'"),
    "an operator that does not exist": (lambda: network([node("Bogus", ["x"])]), "Bogus"),
    "a weight that is missing": (
        lambda: network([node("Conv", ["x", "w"])]),
        r"^net\.onnx: node 'here' \(Conv\) reads 'w', which nothing computes: export it again$",
    ),
    "a weight that is missing, opset 7": (
        lambda: network([node("Conv", ["x", "w"])], opset=7),
        r"^net\.onnx: node 'here' \(Conv\) reads 'w', which nothing computes: export it again$",
    ),
    "an input that nothing computes": (lambda: network([node("Relu", ["q"])]), "nothing computes"),
}


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("name", CASES)
def test_said_in_one_line(tmp_path, monkeypatch, capfd, name):
    monkeypatch.chdir(tmp_path)
    make, said = CASES[name]
    onnx.save(make(), "net.onnx")
    config = ModelConfig(name="net", source="file:net.onnx", inputs=[InputConfig(mean=[0.0], normal=[1.0])])
    with pytest.raises(UserError) as caught:
        exported_network(config, print)
    text = str(caught.value)
    assert re.search(said, text), text
    assert "\n" not in text
    assert "\x1b" not in text
    assert capfd.readouterr().err == ""  # ONNX Runtime's own lines


def damaged_constant(model):
    model.graph.initializer[0].raw_data = bytes(3)


def no_nodes(model):
    del model.graph.node[:]


def bad_axis(model):
    model.graph.node[0].CopyFrom(node("Softmax", ["x"], axis=99))


@pytest.mark.parametrize("damage", [damaged_constant, no_nodes, bad_axis])
def test_what_the_fuzzer_found_is_said_in_one_line(tmp_path, monkeypatch, damage):
    monkeypatch.chdir(tmp_path)
    model = network([node("Mul", ["x", "w"])], {"w": ones(2)[:1]})
    damage(model)
    Path("net.onnx").write_bytes(model.SerializeToString())
    config = ModelConfig(name="net", source="file:net.onnx", inputs=[InputConfig(mean=[0.0], normal=[1.0])])
    with pytest.raises(UserError) as caught:
        exported_network(config, print)
    assert "\n" not in str(caught.value)


def test_a_type_that_is_none():
    model = network([node("Relu", ["x"], "here")])
    model.graph.input[0].type.tensor_type.elem_type = 99
    with pytest.raises(UserError, match=r"net\.onnx is not an ONNX file: tensor 'x' is of type 99"):
        parse_model(model.SerializeToString(), "net.onnx")


@pytest.mark.parametrize(("most", "weights"), [(1000, 1), (1, 2)])
def test_constants_are_compared_with_each_other_only_where_they_are_few(tmp_path, monkeypatch, most, weights):
    """Comparing each two takes minutes with thousands of them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(canonical, "MOST_TIED", most)
    nodes = [node("Conv", ["x", "v"], "one", "z"), node("Conv", ["z", "w"], "two")]
    onnx.save(network(nodes, dict.fromkeys("vw", ones(3, 3, 1, 1))), "net.onnx")
    config = ModelConfig(name="net", source="file:net.onnx", inputs=[InputConfig(mean=[0.0], normal=[1.0])])
    assert len(exported_network(config, print).model.graph.initializer) == weights


def test_names_that_are_no_text():
    content = network([node("Relu", ["x"], "here")]).SerializeToString()
    with pytest.raises(UserError, match="is not an ONNX file"):
        parse_model(content.replace(b"here", b"\xff\xfe\xfd\xfc"), "net.onnx")


def endless():
    infos = [("i", TensorProto.INT64, []), ("c", TensorProto.BOOL, []), ("a", TensorProto.FLOAT, SMALL)]
    body = helper.make_graph(
        [node("Identity", ["c"], "keep", "c2"), node("Neg", ["a"], "neg", "a2")],
        "body",
        [helper.make_tensor_value_info(*info) for info in infos],
        [helper.make_tensor_value_info("c2", TensorProto.BOOL, []), helper.make_tensor_value_info("a2", 1, SMALL)],
    )
    return network([node("Loop", ["", "yes", "x"], "endless", body=body)], {"yes": np.array(True)})


def test_a_loop_without_end_is_ended(monkeypatch):
    monkeypatch.setattr(session, "MOST_SECONDS", 0.05)
    runner = Runner(endless(), optimize="none")
    with pytest.raises(UserError, match=r"^the network does not end within 0\.05 s: its loops are endless$"):
        runner.run({"x": ones(*SMALL)})


def test_the_peak_of_a_chain_is_two_tensors():
    chain = [node("Relu", ["x" if i == 0 else f"t{i}"], f"n{i}", "y" if i == 9 else f"t{i + 1}") for i in range(10)]
    assert peak_bytes(network(chain))[0] == 2 * 4 * 3 * 8 * 8


def test_a_network_of_its_own_names_stays_whole(tmp_path, monkeypatch):
    """Names of HTML, shell, line breaks and right-to-left marks are names like others."""
    monkeypatch.chdir(tmp_path)
    names = ["<script>alert(1)</script>", "$(touch pwned)", "a\nb", "\u202eevil", "' ; rm -rf /", "../../etc/passwd"]
    chain = [
        node("Relu", ["x" if i == 0 else names[i - 1] + "t"], name, "y" if i == len(names) - 1 else name + "t")
        for i, name in enumerate(names)
    ]
    onnx.save(network(chain), "net.onnx")
    config = ModelConfig(name="net", source="file:net.onnx", inputs=[InputConfig(mean=[0.0], normal=[1.0])])
    exported = exported_network(config, print)
    assert [each.name for each in exported.model.graph.node][-1] == names[-1]
    assert not Path("pwned").exists()
