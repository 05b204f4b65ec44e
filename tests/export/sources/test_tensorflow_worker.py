"""Networks that TensorFlow writes, read through its environment; only where that is installed already."""

import json
import subprocess

import numpy as np
import pytest

from stages.core.base.errors import UserError
from stages.core.base.sources import open_source
from stages.core.config.schema import InputConfig, ModelConfig
from stages.core.data.model_files import with_format
from stages.core.environments.install import run_python
from stages.core.environments.interpreters import clean_variables
from stages.core.environments.recipes import TENSORFLOW
from stages.core.graph.session import Runner
from stages.export.dequantize.undo import dequantized
from stages.export.shapes import UnknownShapeError
from stages.export.sources import tensorflow_files
from stages.export.sources.tensorflow_files import read_tensorflow

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not TENSORFLOW.installed, reason="needs the environment: python -m stages.toolchain install tensorflow"
    ),
]

MAKE = """
import numpy as np, tensorflow as tf, tf_keras
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

# of 1024 weights and more TFLite quantizes those of a layer; the first has 1080
tf.keras.utils.set_random_seed(0)


def network(keras, sizes=(16, 16, 3), last=None):
    layers = keras.layers
    x = pictures = keras.Input(sizes, name="pictures")
    x = layers.Conv2D(40, 3, 2, "same", activation="relu", name="stem")(x)
    x = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.ReLU(6.0, name="relu6")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(4, name="scores")(x)
    return keras.Model(pictures, x if last is None else last(x), name="net")


net = network(tf.keras)
kernel, bias = net.get_layer("stem").get_weights()
net.get_layer("stem").set_weights([np.where(np.arange(kernel.size).reshape(kernel.shape) % 8 == 0, kernel, 0), bias])
net.save("three.keras")
net.save("three.h5")
old = network(tf_keras)
old.set_weights(net.get_weights())
old.save("two.h5")
net.export("saved", verbose=False)
network(tf.keras, (None, None, 3)).save("any.keras")
network(tf.keras, last=tf.keras.layers.Lambda(lambda x: x * 2, name="code")).save("code.h5")
net.save_weights("alone.weights.h5")

spec = tf.TensorSpec([1, 16, 16, 3], name="pictures")
function = tf.function(lambda pictures: net(pictures, training=False)).get_concrete_function(spec)
frozen = convert_variables_to_constants_v2(function)
open("frozen.pb", "wb").write(frozen.graph.as_graph_def().SerializeToString())

graph = frozen.graph.as_graph_def()
for node in graph.node:
    if node.op == "Placeholder":
        del node.attr["shape"]
graph.versions.producer = 22
open("old.pb", "wb").write(graph.SerializeToString())

module = tf.Module()
module.net = net
module.other = tf.function(lambda pictures: {"scores": net(pictures)}, input_signature=[spec])
tf.saved_model.save(module, "one", signatures={"other": module.other})
tf.saved_model.save(module, "two", signatures={"left": module.other, "right": module.other})

converter = tf.lite.TFLiteConverter.from_keras_model(net)
open("float.tflite", "wb").write(converter.convert())
converter.optimizations = [tf.lite.Optimize.EXPERIMENTAL_SPARSITY]
open("sparse.tflite", "wb").write(converter.convert())
converter.optimizations = [tf.lite.Optimize.DEFAULT]
open("range.tflite", "wb").write(converter.convert())
rng = np.random.default_rng(0)
pictures = [[rng.uniform(-1, 1, (1, 16, 16, 3)).astype(np.float32)] for _ in range(8)]
converter.representative_dataset = lambda: iter(pictures)
converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
converter.inference_input_type = converter.inference_output_type = tf.int8
open("int8.tflite", "wb").write(converter.convert())
open("damaged.tflite", "wb").write(open("float.tflite", "rb").read()[:2000])

v1 = tf.compat.v1
with tf.Graph().as_default() as graph:
    iterator = v1.data.make_one_shot_iterator(tf.data.Dataset.from_tensors((3, pictures[0][0])))
    _, given = iterator.get_next()
    training = v1.placeholder(tf.bool, [], "training")
    tf.identity(v1.where(training, given * 0, given * 2), "twice")
    text = v1.graph_util.extract_sub_graph(graph.as_graph_def(), ["twice"]).SerializeToString()
open("switch.pb", "wb").write(text)
with tf.Graph().as_default() as graph:
    tf.nn.dropout(v1.placeholder(tf.float32, [1, 4], "x"), 0.5, name="drop")
open("training.pb", "wb").write(graph.as_graph_def().SerializeToString())

np.save("pictures.npy", pictures[0][0])
np.save("scores.npy", net(pictures[0][0]).numpy())
"""


# Runs scripts in forks of a process that has imported TensorFlow, which is most of the time of each.
SERVER = """
import gc, json, os, runpy, sys
import tensorflow, tf_keras

tensorflow.keras.Model  # the module is imported when it is first used
runpy.run_path(sys.argv[1], run_name="worker")  # nor need a fork import what this does
gc.freeze()  # nor look through all of it when it ends
for line in sys.stdin:
    arguments, folder, printed = json.loads(line)
    fork = os.fork()
    if not fork:
        os.chdir(folder)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for stream in (1, 2):
            os.dup2(os.open(printed, os.O_WRONLY | os.O_APPEND | os.O_CREAT), stream)
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")
        sys.exit()
    print(os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def forked(tmp_path_factory):
    """Does what `run_python` does with a script."""
    printed = tmp_path_factory.mktemp("printed")
    line = [str(TENSORFLOW.executable), "-c", SERVER, str(tensorflow_files.WORKER)]
    variables, pipe = clean_variables() | dict(TENSORFLOW.variables), subprocess.PIPE
    with subprocess.Popen(line, stdin=pipe, stdout=pipe, text=True, env=variables) as server:

        def run(_, arguments, folder):
            file = printed / str(len(list(printed.iterdir())))
            server.stdin.write(json.dumps([arguments, str(folder), str(file)]) + "\n")
            server.stdin.flush()
            return int(server.stdout.readline()), file.read_text()

        yield run


@pytest.fixture(scope="module", autouse=True)
def conversions(forked, tmp_path_factory):
    """The worker runs in forks, and what it makes is kept apart from the user's."""
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tensorflow_files, "run_python", forked)
        patch.setattr(tensorflow_files, "cache_folder", lambda: cache)
        yield


@pytest.fixture(scope="module")
def folder(forked, tmp_path_factory):
    path = tmp_path_factory.mktemp("networks")
    (path / "make.py").write_text(MAKE)
    code, text = forked(TENSORFLOW, ["make.py"], path)
    assert code == 0, text
    return path


def read(folder, name, *shapes):
    config = ModelConfig(name="m", inputs=[InputConfig(shape=list(shape)) for shape in shapes])
    return read_tensorflow(config, with_format(open_source(f"file:{folder / name}")))


@pytest.mark.parametrize(
    "name", ["three.keras", "three.h5", "two.h5", "saved", "one", "frozen.pb", "float.tflite", "sparse.tflite"]
)
def test_each_format_is_the_same_network(folder, name):
    network = read(folder, name)
    assert network.difference < 1e-5
    (fed,) = [info.name for info in network.model.graph.input]
    (scores,) = Runner(network.model).run({fed: np.load(folder / "pictures.npy")}).values()
    np.testing.assert_allclose(scores, np.load(folder / "scores.npy"), atol=1e-5)
    assert fed == "pictures" or name in ("one", "saved", "frozen.pb")
    names = [node.name for node in network.model.graph.node]
    assert len(set(names)) == len(names)
    assert sum("stem" in name for name in names) >= 1
    assert not [name for name in names if "__" in name or ";" in name]


def test_the_bytes_are_the_same_each_time(folder, tmp_path, monkeypatch):
    """And in a process of its own, as in use."""
    first = read(folder, "saved").model.SerializeToString(deterministic=True)
    monkeypatch.setattr(tensorflow_files, "run_python", run_python)
    monkeypatch.setattr(tensorflow_files, "cache_folder", lambda: tmp_path)
    assert read(folder, "saved").model.SerializeToString(deterministic=True) == first


@pytest.mark.parametrize(("name", "weights"), [("int8.tflite", 3), ("range.tflite", 1)])
def test_a_quantized_network_is_float_again(folder, name, weights, capsys):
    network = read(folder, name)
    assert float(capsys.readouterr().out.rpartition(": ")[2]) > 0.99
    undone = dequantized(network.model)
    assert undone.weights >= weights
    (fed,) = [info.name for info in undone.model.graph.input]
    (scores,) = Runner(undone.model).run({fed: np.load(folder / "pictures.npy")}).values()
    expected = np.load(folder / "scores.npy")
    assert np.abs(scores - expected).max() < 0.03 * np.abs(expected).max()


def test_a_frozen_graph_begins_at_its_data_set_and_is_set_to_inference(folder, capsys):
    network = read(folder, "switch.pb")
    assert "switch.pb: its placeholder training is set to False, as for inference\n" in capsys.readouterr().out
    pictures = np.load(folder / "pictures.npy")
    (fed,) = [info.name for info in network.model.graph.input]
    np.testing.assert_array_equal(Runner(network.model).run({fed: pictures})["twice"], 2 * pictures)


def test_sizes_that_are_not_static_are_the_configured_ones(folder):
    network = read(folder, "any.keras", [1, 3, 24, 40])
    assert [size.dim_value for size in network.model.graph.input[0].type.tensor_type.shape.dim] == [1, 24, 40, 3]
    with pytest.raises(
        UserError, match=r"any\.keras has the input 'pictures' of the size \[\?,\?,\?,3\]: give its shape"
    ):
        read(folder, "any.keras")


def test_a_placeholder_of_old_that_has_no_shape_takes_the_configured_one(folder):
    network = read(folder, "old.pb", [1, 3, 16, 16])
    assert network.difference < 1e-5
    with pytest.raises(UnknownShapeError, match=r"old\.pb has the input 'pictures' of unknown rank: give its shape"):
        read(folder, "old.pb")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("damaged.tflite", r"damaged\.tflite "),
        ("training.pb", r"training\.pb is a graph for training: drop/.*RandomUniform draws random numbers"),
        ("code.h5", r"code\.h5 has Python code in it, in the Lambda layer 'code', which is not run"),
        ("alone.weights.h5", r"alone\.weights\.h5 holds weights alone"),
        ("two", r"saved_model\.pb has the signatures left, right: save it with one that is called serving_default"),
        ("saved/saved_model.pb", r"saved_model\.pb .*; a SavedModel is given as its folder: model\.source=file:FOLDER"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(folder, name, message):
    with pytest.raises(UserError, match=rf"^model\.source: {message}[^\n]*$"):
        read(folder, name)
