"""A detector in the runtime: the boxes that it prints are Python's of the outputs that it writes."""

import numpy as np
import pytest

from stages.build.board_outputs import board_outputs
from stages.build.heads.board_head import board_head
from stages.build.heads.sources import write_head
from stages.build.runtime.folder import write_runtime
from stages.core.config.schema import Color
from stages.core.data.inputs import NetworkInput
from stages.core.graph.onnx_graph import Graph
from stages.core.heads.head_file import ExportedHead
from stages.export.detector import without_decoding
from tests.build.heads.heads import CONFIG, NETWORKS, detector, head_of
from tests.build.runtime.programs import Runtime, make, model_file
from tests.build.runtime.small import small_codes, small_net
from tests.networks import quantized_network, soc_config

pytestmark = pytest.mark.slow
NAME = "yolov8-pose"


@pytest.fixture(scope="module")
def network():
    """The cut network and its input, quantized."""
    head = head_of(NAME)
    model = without_decoding(NETWORKS[NAME], head)
    for number, node in enumerate(model.graph.node):
        node.name = f"node_{number}"
    entry = NetworkInput("images", (1, 3, head.height, head.width), (0.0,) * 3, (255.0,) * 3, Color.RGB)
    rng = np.random.default_rng(0)
    pictures = [{"images": rng.random(entry.shape, np.float32)} for _ in range(2)]
    return quantized_network(model, pictures, soc_config("t40")), entry


@pytest.fixture(scope="module")
def runtime(network, tmp_path_factory) -> Runtime:
    """The program in the folder that build writes, with sanitizers."""
    quantized, entry = network
    head, graph = head_of(NAME), Graph(quantized.model)
    folder = tmp_path_factory.mktemp("detector") / "runtime"
    write_runtime(folder, "net", quantized.integer, [entry])
    board = board_head(
        ExportedHead(head, cut=True), CONFIG, board_outputs(graph, quantized.params), head.height, head.width
    )
    write_head(folder, board, CONFIG)
    make(folder, folder, "release", "CXXFLAGS=-O0 -Werror -fsanitize=address,undefined -fno-sanitize-recover=all")
    return Runtime(folder / "runtime_release")


def test_the_boxes_of_the_outputs_that_it_writes(network, runtime, tmp_path):
    quantized, _ = network
    head, graph = head_of(NAME), Graph(quantized.model)
    pixels = np.random.default_rng(1).integers(0, 256, (head.height, head.width, 3), dtype=np.uint8)
    (tmp_path / "input.bin").write_bytes(pixels.tobytes())
    done = runtime.run(runtime.program.parent / "net.sqm", tmp_path / "input.bin", "-o", tmp_path)
    assert done.returncode == 0, done.stderr
    values = {}
    for index, name in enumerate(graph.outputs):
        _, channels, height, width = graph.shapes[name]
        flat = np.frombuffer((tmp_path / f"output_{index}.bin").read_bytes(), "<f4")
        values[name] = flat.reshape(1, height, width, channels).transpose(0, 3, 1, 2)
    found = detector(head).detect(values, CONFIG.score_threshold)
    assert len(found) > 5
    lines = [line.removeprefix("box: ").split() for line in done.stdout.splitlines() if line.startswith("box: ")]
    printed = np.array(lines, np.float64)
    clipped = np.clip(found.boxes, 0, [head.width, head.height] * 2)
    np.testing.assert_allclose(printed[:, :4], clipped, rtol=0, atol=0.0502)
    np.testing.assert_allclose(printed[:, 4], found.scores, rtol=0, atol=0.000051)
    assert done.stdout.count("points:") == len(found)


def test_a_model_file_of_another_network_is_refused(runtime, tmp_path):
    net = small_net()
    (tmp_path / "other.sqm").write_bytes(model_file(net.model(net.reference(x=small_codes()))))
    (tmp_path / "input.bin").write_bytes(bytes(3 * 6 * 6))
    done = runtime.run(tmp_path / "other.sqm", tmp_path / "input.bin", "-o", tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"error: {tmp_path / 'other.sqm'} has other outputs than head.h: they are of two networks\n"
