from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnxruntime.capi.onnxruntime_pybind11_state import Fail

from benchmarks.strangers.__main__ import select
from benchmarks.strangers.material.photos import Photo, turned
from benchmarks.strangers.material.sounds import frames, mixed, tones
from benchmarks.strangers.material.text_pictures import lines
from benchmarks.strangers.networks import NETWORKS, given, in_folder, planted
from benchmarks.strangers.outputs import run_streams
from benchmarks.strangers.project import write_samples
from benchmarks.strangers.stranger import Material, Samples
from stages.core.base.errors import UserError
from stages.core.base.sources import parse
from stages.core.graph.session import Runner


def test_every_network_is_pinned_and_has_a_name_of_its_own():
    names = [network.name for network in NETWORKS + given.NETWORKS]
    assert len(set(names)) == len(names)
    sources = [parse(network.source) for network in NETWORKS if network.source != "file:planted.onnx"]
    assert {source.kind for source in sources} == {"package"}
    assert all(source.sha256 for source in sources)
    assert all(network.bounds.good != network.bounds.dead for network in NETWORKS)


def test_networks_that_need_data_are_left_out_or_refused():
    assert "age" not in [network.name for network in select(NETWORKS, None, None)]
    assert [network.name for network in select(NETWORKS, ["age"], Path())] == ["age"]
    with pytest.raises(UserError, match="--nets: age need --data DIR"):
        select(NETWORKS, ["age"], None)
    with pytest.raises(UserError, match="no such network 'yunett'; did you mean 'yunet'"):
        select(NETWORKS, ["yunett"], None)


def test_a_folder_gives_the_networks_whose_files_it_has(tmp_path):
    with pytest.raises(UserError, match="has none of the files that are known"):
        in_folder(tmp_path)
    first = given.NETWORKS[0]
    (tmp_path / first.source).touch()
    assert [(network.name, network.source) for network in in_folder(tmp_path)] == [
        (first.name, f"file:{tmp_path / first.source}")
    ]


def test_no_sample_is_of_two_kinds():
    samples = [np.full((1, 1, 3), value, np.uint8) for value in range(30)]
    made = Samples.divided(samples, evaluation=4)
    kinds = [[int(sample.max()) for sample in kind] for kind in (made.calibration, made.debug, made.evaluation)]
    assert kinds == [list(range(16)), list(range(16, 24)), [24, 25, 26, 27]]


def test_samples_lie_as_the_pipeline_reads_them(tmp_path):
    picture = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    tensor = np.arange(6, dtype=np.float32).reshape(1, 3, 1, 2)
    write_samples(tmp_path / "set", [Photo("a.txt", b"bytes"), picture, {"x": tensor}, {"x": tensor, "s": tensor[0]}])
    names = ["000_a.txt", "001.png", "002.npy", "003.npz"]
    assert sorted(path.name for path in (tmp_path / "set").iterdir()) == names
    assert (tmp_path / "set" / names[0]).read_bytes() == b"bytes"
    assert np.array_equal(cv2.imread(str(tmp_path / "set" / names[1])), picture)
    assert np.load(tmp_path / "set" / names[2]).tolist() == [[[0, 2, 4], [1, 3, 5]]]
    both = np.load(tmp_path / "set" / names[3])
    assert both["x"].shape == (1, 2, 3)
    assert both["s"].shape == (3, 1, 2)


def summing(rank):
    """A network that adds its input to its state."""
    shape = [1, *[2] * (rank - 1)]
    infos = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "s", "y", "t")}
    nodes = [helper.make_node("Add", ["x", "s"], ["y"], name="sum"), helper.make_node("Neg", ["y"], ["n"], name="n")]
    nodes.append(helper.make_node("Neg", ["n"], ["t"], name="t"))
    graph = helper.make_graph(nodes, "summing", [infos["x"], infos["s"]], [infos["y"], infos["t"]])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_stream_carries_its_states_until_the_next_one_starts():
    one, zero = np.ones((1, 2), np.float32), np.zeros((1, 2), np.float32)
    samples = [{"x": one, "s": zero}] * 4  # the states of the files count only where a stream starts
    outputs = run_streams(Runner(summing(2)), samples, {"t": "s"}, [0, 2])
    assert [list(output) for output in outputs] == [["y"]] * 4
    assert [output["y"][0, 0] for output in outputs] == [1, 2, 1, 2]


def test_a_sample_that_cannot_be_run_gives_no_numbers():
    class Failing:
        def run(self, feeds):
            if feeds["x"][0, 0] > 1:
                raise Fail("index out of range")
            return {"y": feeds["x"]}

    one = np.ones((1, 2), np.float32)
    outputs = run_streams(Failing(), [{"x": one}, {"x": 2 * one}, {"x": one}], {}, [])
    assert [output["y"][0, 0] for output in outputs] == [1, pytest.approx(np.nan, nan_ok=True), 1]
    with pytest.raises(Fail):
        run_streams(Failing(), [{"x": 2 * one}], {}, [])


@pytest.mark.parametrize(
    ("shape", "stored"), [((1, 3, 2, 4), (2, 4, 3)), ((2, 1, 3, 4), (2, 3, 4, 1)), ((2, 5), (2, 5))]
)
def test_states_of_rank_four_lie_with_their_channels_last(tmp_path, shape, stored):
    write_samples(tmp_path / "set", [{"x": np.zeros(shape, np.float32)}])
    assert np.load(tmp_path / "set/000.npy").shape == stored


def test_a_setting_becomes_a_constant(tmp_path):
    onnx.save(summing(2), tmp_path / "plain.onnx")
    source = planted.with_constants(Material(None, f"file:{tmp_path / 'plain.onnx'}"), tmp_path, {"s": 3})
    changed = Runner(onnx.load(tmp_path / source.removeprefix("file:")))
    assert changed.run({"x": np.ones((1, 2), np.float32)})["y"].tolist() == [[4, 4]]


def test_turns_of_pictures():
    picture = np.array([[[1], [2]], [[3], [4]]], np.uint8)
    flat = [turn[:, :, 0].tolist() for turn in turned([picture] * 4)]
    assert flat == [[[1, 2], [3, 4]], [[2, 4], [1, 3]], [[4, 3], [2, 1]], [[3, 1], [4, 2]]]
    assert [turn[0, 0, 0] for turn in turned([picture] * 3, 2)] == [1, 4, 1]


def test_material_is_the_same_every_time():
    for made in (lambda: lines(2, 24, 96), lambda: [tones(2000, 16000, 1)]):
        assert all(np.array_equal(*pair) for pair in zip(made(), made(), strict=True))


def test_noise_is_as_loud_as_asked_for():
    clean = np.sin(np.arange(16000, dtype=np.float32))
    added = mixed(clean, 10.0, 0) - clean
    assert 10 * np.log10(np.mean(clean**2) / np.mean(added**2)) == pytest.approx(10, abs=0.01)
    assert frames(np.arange(7, dtype=np.float32), 3, 2).tolist() == [[0, 1, 2], [2, 3, 4], [4, 5, 6]]
