"""Turns a network of TensorFlow, Keras or TFLite into ONNX, and runs it; for the environment that has TensorFlow.

    python tensorflow_worker.py KIND NETWORK FOLDER SHAPES

KIND is tflite, keras, saved_model or frozen, NETWORK its file (of a SavedModel its folder), SHAPES a JSON list of the
shapes to give inputs that have no static one. FOLDER gets

    model.onnx     what tf2onnx makes of it
    values.npz     input_0, ..., output_0, ...: random input, and what TensorFlow's own runtime makes of it
    report.json    {"inputs": [name, ...], "outputs": [name, ...], "notes": [line, ...]}

and where the shape of an input must be told, unknown_shape.txt with the input's name.

A network that cannot be converted ends it with exit code 2 and a line that starts with "error: ". It imports nothing of
the project: another Python runs it, which has none of the project's libraries.
"""

import contextlib
import importlib
import itertools
import json
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
from numpy.typing import NDArray
from tensorflow.lite.tools import flatbuffer_utils
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

OPSET = 17  # as PyTorch modules are traced: the newest that vendors' converters still read
PICTURE_RANK = 4
SERVING = "serving_default"
OPERATORS = flatbuffer_utils.schema_fb.BuiltinOperator
STATES = {OPERATORS.VAR_HANDLE, OPERATORS.READ_VARIABLE, OPERATORS.ASSIGN_VARIABLE, OPERATORS.CALL_ONCE}
RANDOM = {"RandomStandardNormal", "RandomUniform", "RandomUniformInt", "TruncatedNormal"}
KNOWS_SCALARS = 24
"""The first version of graphs in which a placeholder without sizes is a scalar; before, its shape is not known."""
NO_OPERATORS = {"Assert", "Const", "NoOp", "Placeholder", "PlaceholderWithDefault"}
"""Nodes of a frozen graph that are none of its outputs, though nothing reads them."""

Array = NDArray[Any]
Sizes = Sequence[int | None]


class ConversionError(Exception):
    """What is wrong with the network, in one line."""


class UnknownShapeError(ConversionError):
    """The shape of an input must be told.

    Attributes:
        name: of the input.
    """

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


@dataclass(frozen=True)
class Converted:
    """A network as ONNX, and what it computes.

    Attributes:
        model: ONNX.
        inputs: random input, by the name of the model's input.
        outputs: what TensorFlow's runtime makes of it, by the name of the model's output.
        notes: what was decided, a line each.
    """

    model: onnx.ModelProto
    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]
    notes: list[str] = field(default_factory=list)


def main(arguments: Sequence[str]) -> int:
    """Convert, and write the three files; gives the exit code."""
    kind, network, folder, shapes = arguments
    number_nodes()
    try:
        converted = CONVERTERS[kind](Path(network), json.loads(shapes))
        refuse_foreign_operators(converted.model)
    except ConversionError as error:
        if isinstance(error, UnknownShapeError):
            (Path(folder) / "unknown_shape.txt").write_text(error.name, encoding="utf-8")
        print(f"error: {' '.join(str(error).split())}", flush=True)
        return 2
    target = Path(folder)
    onnx.save(converted.model, target / "model.onnx")
    arrays: dict[str, Any] = {f"input_{index}": array for index, array in enumerate(converted.inputs.values())}
    arrays |= {f"output_{index}": array for index, array in enumerate(converted.outputs.values())}
    np.savez(target / "values.npz", **arrays)
    report = {"inputs": [*converted.inputs], "outputs": [*converted.outputs], "notes": converted.notes}
    (target / "report.json").write_text(json.dumps(report), encoding="utf-8")
    return 0


# --- the four kinds ---------------------------------------------------------------------------------------------


def from_tflite(path: Path, shapes: Sequence[Sequence[int]]) -> Converted:
    """A .tflite file."""
    with reading("is no TFLite network", ValueError):
        interpreter = interpreter_of(path)
    refuse_states(path)
    with converting():
        model, _ = tf2onnx.convert.from_tflite(str(with_dense_weights(path)), opset=OPSET)
    refuse_foreign_operators(model)
    for detail in interpreter.get_input_details():
        signature = [None if size < 0 else int(size) for size in detail["shape_signature"]]
        sizes = static_sizes(detail["name"], signature if None in signature else list(detail["shape"]), shapes)
        interpreter.resize_tensor_input(detail["index"], sizes)
    with reading("cannot be run by TFLite", RuntimeError, ValueError):
        interpreter.allocate_tensors()
    names = signature_names(interpreter)
    inputs = {}
    for detail in interpreter.get_input_details():
        array = random_values(detail["shape"], detail["dtype"], detail["name"])
        inputs[names[detail["name"]]] = array
        interpreter.set_tensor(detail["index"], array)
    with reading("cannot be run by TFLite", RuntimeError, ValueError):
        interpreter.invoke()
    outputs = {names[each["name"]]: interpreter.get_tensor(each["index"]) for each in interpreter.get_output_details()}
    rename_tensors(model.graph, names)
    return Converted(model, inputs, outputs)


def refuse_states(path: Path) -> None:
    """Refuse a network that keeps values from run to run in variables of its own, which ONNX has none of."""
    operators = {code.builtinCode for code in flatbuffer_utils.read_model(str(path)).operatorCodes}
    if operators & STATES:
        raise ConversionError(
            "keeps a state in variables of its own, which ONNX cannot say: write it with the state as an input and an "
            "output"
        )


def interpreter_of(path: Path, **options: bool) -> Any:
    """TFLite's interpreter of a file, with its own kernels and no others."""
    own = tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    return tf.lite.Interpreter(str(path), num_threads=1, experimental_op_resolver_type=own, **options)


def with_dense_weights(path: Path) -> Path:
    """Write a network with dense weights, if its own are sparse, as MediaPipe's: tf2onnx cannot read those.

    TFLite makes them dense by an operator, whose results are put in its place.
    """
    network = flatbuffer_utils.read_model(str(path))
    codes = [code.builtinCode for code in network.operatorCodes]
    (graph, *others) = network.subgraphs
    operators = [each for each in graph.operators if codes[each.opcodeIndex] == OPERATORS.DENSIFY]
    if not operators or others:
        return path
    interpreter = interpreter_of(path, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    interpreter.invoke()
    for each in operators:
        buffer = flatbuffer_utils.schema_fb.BufferT()
        buffer.data = np.frombuffer(interpreter.get_tensor(each.outputs[0]).tobytes(), np.uint8)
        network.buffers.append(buffer)
        graph.tensors[each.outputs[0]].buffer = len(network.buffers) - 1
        graph.tensors[each.inputs[0]].buffer = 0  # no values
        graph.operators.remove(each)
    dense = path.with_name("dense.tflite")
    flatbuffer_utils.write_model(network, str(dense))
    return dense


def signature_names(interpreter: Any) -> dict[str, str]:
    """What inputs and outputs are called: in the one signature, if it has all of them, else as the tensors."""
    details = [*interpreter.get_input_details(), *interpreter.get_output_details()]
    names = {detail["name"]: detail["name"].removesuffix(":0") for detail in details}
    if len(interpreter.get_signature_list()) == 1:
        runner = interpreter.get_signature_runner()
        signed = {**runner.get_input_details(), **runner.get_output_details()}
        of_signature = {detail["name"]: name for name, detail in signed.items()}
        if of_signature.keys() == names.keys():
            names = of_signature
    return names if len(set(names.values())) == len(names) else {name: name for name in names}


def from_keras(path: Path, shapes: Sequence[Sequence[int]]) -> Converted:
    """A .h5 or .keras file: read by Keras 3 or, if that fails, by Keras 2, which wrote most of the older ones."""
    config, version = description(path)
    refuse_code(config)
    model = load_keras(path, version)
    named = getattr(model, "_functional", None) or model  # what is behind a Sequential of Keras 3
    names = list(getattr(named, "input_names", None) or [each.name.partition(":")[0] for each in model.inputs])
    specs = [
        tf.TensorSpec(static_sizes(name, list(each.shape), shapes), each.dtype, name=name)
        for name, each in zip(names, model.inputs, strict=True)
    ]
    of_outputs = list(getattr(named, "output_names", None) or [])

    def call(*values: Any) -> dict[str, Any]:
        return by_output(model(values[0] if len(values) == 1 else list(values), training=False), of_outputs)

    layers = [model.name, *(layer.name for layer in model._flatten_layers(include_self=False))]
    return from_function(call, names, specs, [], layers)


def from_saved_model(path: Path, shapes: Sequence[Sequence[int]]) -> Converted:
    """A folder with saved_model.pb: its signature serving_default, or the only one.

    Without any signature, the function that the whole is: onnx2tf writes such ones.
    """
    with reading("cannot be loaded as a SavedModel", Exception):
        loaded = tf.saved_model.load(str(path))
    signatures = {key: value for key, value in loaded.signatures.items() if not key.startswith("__")}
    notes: list[str] = []
    if hasattr(loaded, "structured_input_signature") and not signatures:
        function = loaded
        specs = {spec.name: spec for spec in function.structured_input_signature[0]}
    else:
        if SERVING not in signatures and len(signatures) != 1:
            listed = f"has the signatures {', '.join(sorted(signatures))}" if signatures else "has no signature"
            raise ConversionError(f"{listed}: save it with one that is called {SERVING}")
        key = SERVING if SERVING in signatures else next(iter(signatures))
        notes += [f"its signature {key} is taken, the only one"] if key != SERVING else []
        function = signatures[key]
        specs = function.structured_input_signature[1]
    static = [
        tf.TensorSpec(static_sizes(name, sizes_of(spec.shape), shapes), spec.dtype, name=name)
        for name, spec in specs.items()
    ]

    def call(*values: Any) -> dict[str, Any]:
        # a signature takes names, what has none takes values alone
        by_name = dict(zip(specs, values, strict=True)) if signatures else {}
        return by_output(function(*(() if signatures else values), **by_name), [])

    return from_function(call, list(specs), static, notes)


def from_frozen(path: Path, shapes: Sequence[Sequence[int]]) -> Converted:
    """A .pb file with a graph whose variables are constants: from its placeholders to what nothing reads."""
    graph = tf.compat.v1.GraphDef()
    with reading("is no frozen graph", Exception):
        graph.ParseFromString(path.read_bytes())
    if not graph.node:
        raise ConversionError("is no frozen graph: it has no node")
    notes = set_switches(graph)
    open_iterators(graph)
    refuse_training(graph)
    read = {name.lstrip("^").partition(":")[0] for node in graph.node for name in node.input}
    placeholders = [node for node in graph.node if node.op == "Placeholder" and node.name in read]
    sinks = [node for node in graph.node if node.name not in read and node.op not in NO_OPERATORS]
    if not placeholders or not sinks:
        raise ConversionError("is no frozen graph of a network: it has no placeholder that leads to an output")
    old = graph.versions.producer < KNOWS_SCALARS
    for node in placeholders:
        node.attr["shape"].shape.CopyFrom(tf.TensorShape(placeholder_sizes(node, shapes, old)).as_proto())
    for node in graph.node:
        node.attr.pop("_output_shapes", None)
    # an iterator, which is no longer read, is no number
    with reading("is no frozen graph that TensorFlow takes", Exception), tf.Graph().as_default() as imported:
        tf.import_graph_def(graph, name="")
        ends = [tensor for node in sinks for tensor in imported.get_operation_by_name(node.name).outputs]
        outputs = [tensor.name for tensor in ends if tensor.dtype.is_floating or tensor.dtype.is_integer]
        fed = {imported.get_tensor_by_name(f"{node.name}:0"): node.name for node in placeholders}
        inputs = {name: random_values(end.shape, end.dtype.as_numpy_dtype, name) for end, name in fed.items()}
        with tf.compat.v1.Session(graph=imported) as session:
            feeds = {f"{name}:0": array for name, array in inputs.items()}
            values = dict(zip(outputs, session.run(outputs, feeds), strict=True))
    renamed = {f"{name}:0": name for name in inputs}
    renamed |= {tensor: tensor.removesuffix(":0") for tensor in outputs if tensor not in renamed}
    return of_graph(graph, renamed, inputs, values, notes)


CONVERTERS: dict[str, Callable[[Path, Sequence[Sequence[int]]], Converted]] = {
    "tflite": from_tflite,
    "keras": from_keras,
    "saved_model": from_saved_model,
    "frozen": from_frozen,
}


# --- from TensorFlow's graphs to ONNX ---------------------------------------------------------------------------


def by_output(results: Any, names: Sequence[str]) -> dict[str, Any]:
    """The tensors that a network gives, by the names of its outputs; numbered, where those do not fit."""
    if isinstance(results, dict) and not any(isinstance(value, (dict, list, tuple)) for value in results.values()):
        return results
    tensors = tf.nest.flatten(results)
    fits = len(names) == len(tensors) == len(set(names))
    return dict(zip(names if fits else [f"output_{i}" for i in range(len(tensors))], tensors, strict=True))


def from_function(
    call: Callable[..., Any],
    names: Sequence[str],
    specs: Sequence[Any],
    notes: list[str],
    layers: Sequence[str] = (),
) -> Converted:
    """Trace a function, run it, and convert it with its variables as constants.

    Args:
        call: takes tensors, gives a dictionary of them.
        names: of its inputs.
        specs: their shapes, all static, and types.
        notes: passed on.
        layers: of a network of Keras its name and those of its layers.
    """
    with reading("cannot be run by TensorFlow", Exception):
        traced = tf.function(call, input_signature=list(specs)).get_concrete_function()
        arrays = [random_values(s.shape, s.dtype.as_numpy_dtype, n) for s, n in zip(specs, names, strict=True)]
        results = traced(*map(tf.constant, arrays))
    with converting():
        frozen = convert_variables_to_constants_v2(traced, lower_control_flow=False)
    order = sorted(results)  # as TensorFlow flattens a dictionary
    graph = frozen.graph.as_graph_def()
    own = rename_layers(graph, layers)
    inputs = {own(tensor.name): name for tensor, name in zip(frozen.inputs, names, strict=True)}
    outputs = {own(tensor.name): results[name].numpy() for tensor, name in zip(frozen.outputs, order, strict=True)}
    renamed = inputs | dict(zip(outputs, order, strict=True))
    return of_graph(graph, renamed, dict(zip(names, arrays, strict=True)), outputs, notes)


def rename_layers(graph: Any, layers: Sequence[str]) -> Callable[[str], str]:
    """Give the nodes of a graph the layers' own names: Keras 3 adds `_1` or another number to each.

    Args:
        graph: a GraphDef; changed in place.
        layers: the network's name, and those of all layers in it.

    Returns:
        The renaming of nodes and tensors.
    """

    def own(name: str) -> str:
        parts = ((part, part.rpartition("_")) for part in name.split("/"))
        return "/".join(layer if digits.isdigit() and layer in layers else part for part, (layer, _, digits) in parts)

    folders = {node.name.partition("/")[0] for node in graph.node}
    numbered = layers and layers[0] not in folders and layers[0] in map(own, folders)
    if not numbered or len({own(node.name) for node in graph.node}) < len(graph.node):
        return lambda name: name
    for node in graph.node:
        node.name = own(node.name)
        node.input[:] = ["^" * name.startswith("^") + own(name.removeprefix("^")) for name in node.input]
    return own


def of_graph(
    graph: Any, renamed: Mapping[str, str], inputs: Mapping[str, Array], outputs: Mapping[str, Array], notes: list[str]
) -> Converted:
    """Convert a graph without variables.

    Args:
        graph: a GraphDef.
        renamed: tensor of it -> its name in the ONNX model; of all inputs and of some outputs.
        inputs: the values of the inputs, by name in the model.
        outputs: the values of the outputs, by tensor.
        notes: passed on.
    """
    starts = {name: tensor for tensor, name in renamed.items()}
    with converting():
        model, _ = tf2onnx.convert.from_graph_def(
            graph,
            input_names=[starts[name] for name in inputs],
            output_names=list(outputs),
            opset=OPSET,
            tensors_to_rename=dict(renamed),
        )
    kept = {info.name for info in model.graph.input}
    named = {renamed.get(tensor, tensor): array for tensor, array in outputs.items()}
    return Converted(model, {name: array for name, array in inputs.items() if name in kept}, named, notes)


def open_iterators(graph: Any) -> None:
    """Make a placeholder of what takes pictures from a data set: the start of a graph that an Estimator has written.

    It may give labels too, which a frozen graph does not read.
    """
    for node in [node for node in graph.node if node.op == "IteratorGetNext"]:
        tensors = {name for each in graph.node for name in each.input if name.partition(":")[0] == node.name}
        if len(tensors) != 1:
            continue
        (tensor,) = tensors
        index = int(tensor.partition(":")[2] or 0)
        placeholder = tf.compat.v1.NodeDef(name=node.name, op="Placeholder")
        placeholder.attr["dtype"].type = node.attr["output_types"].list.type[index]
        placeholder.attr["shape"].shape.CopyFrom(node.attr["output_shapes"].list.shape[index])
        node.CopyFrom(placeholder)
        for each in graph.node:
            each.input[:] = [node.name if name == tensor else name for name in each.input]


def refuse_training(graph: Any) -> None:
    """Refuse a graph that draws random numbers: dropout as of training."""
    random = next((node.name for node in graph.node if node.op in RANDOM), None)
    if random is not None:
        raise ConversionError(f"is a graph for training: {random} draws random numbers; freeze the one for inference")


def placeholder_sizes(node: Any, shapes: Sequence[Sequence[int]], old: bool) -> list[int]:
    """The static sizes of a placeholder; of one that does not even know its rank, the first configured ones.

    Args:
        node: the placeholder.
        shapes: the configured ones.
        old: whether the graph is of a version that writes an unknown shape as one without sizes.
    """
    shape = node.attr["shape"].shape
    if shape.dim or not (shape.unknown_rank or old):
        return static_sizes(node.name, [None if each.size < 0 else each.size for each in shape.dim], shapes)
    if not shapes:
        message = f"has the input {node.name!r} of unknown rank: give its shape, model.inputs=[{{shape: ...}}]"
        raise UnknownShapeError(node.name, message)
    return static_sizes(node.name, [None] * len(shapes[0]), shapes)


def set_switches(graph: Any) -> list[str]:
    """Make constants of the placeholders that tell training from inference: False; gives a note for each."""
    notes = []
    for node in graph.node:
        if node.op in ("Placeholder", "PlaceholderWithDefault") and node.attr["dtype"].type == tf.bool.as_datatype_enum:
            constant = tf.compat.v1.NodeDef(name=node.name, op="Const")
            constant.attr["dtype"].type = tf.bool.as_datatype_enum
            constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(False))
            node.CopyFrom(constant)
            notes.append(f"its placeholder {node.name} is set to False, as for inference")
    return notes


# --- Keras ------------------------------------------------------------------------------------------------------


def load_keras(path: Path, version: str) -> Any:
    """Load a network without what trained it.

    Args:
        path: the file.
        version: of the Keras that wrote it; "" if it does not say.
    """
    try:
        return tf.keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras raises many types
        if version.startswith("3."):
            raise ConversionError(f"cannot be read by Keras: {one_line(error)}") from error
        first = one_line(error)
    keras_2 = importlib.import_module("tf_keras")  # it takes a second to import
    with reading(f"cannot be read by Keras 3 ({first}) nor by Keras 2", Exception):
        return keras_2.models.load_model(path, compile=False)


def description(path: Path) -> tuple[Any, str]:
    """What a file of Keras says of its layers, and the version of the Keras that wrote it."""
    if zipfile.is_zipfile(path):
        with reading("is no network of Keras", KeyError, zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
            config, metadata = (archive.read(name) for name in ("config.json", "metadata.json"))
        return json.loads(config), str(json.loads(metadata).get("keras_version", ""))
    with reading("is no network of Keras", OSError), h5py.File(path, "r") as file:
        of_file = dict(file.attrs)
    if "model_config" not in of_file:
        raise ConversionError("holds weights alone, or is no network of Keras: save the whole, with model.save(...)")
    return json.loads(of_file["model_config"]), str(of_file.get("keras_version", ""))


def refuse_code(config: Any) -> None:
    """Refuse a network with Python code in it before any of it runs: a Lambda layer."""
    layer = lambda_layer(config)
    if layer is not None:
        raise ConversionError(
            f"has Python code in it, in the Lambda layer {layer!r}, which is not run: save the network as a "
            "SavedModel, with model.export(...)"
        )


def lambda_layer(config: Any) -> str | None:
    """The name of the first Lambda layer in a network's description, at any depth."""
    if isinstance(config, dict):
        if config.get("class_name") == "Lambda":
            return str(config.get("config", {}).get("name", "lambda"))
        config = list(config.values())
    return next(filter(None, map(lambda_layer, config)), None) if isinstance(config, list) else None


def number_nodes() -> None:
    """Give tf2onnx's nodes a hash of their own: it goes through sets of them, whose order is that of addresses else."""
    node, numbers = tf2onnx.graph.Node, itertools.count()
    initialize = node.__init__

    def numbered(self: Any, *arguments: Any, **options: Any) -> None:
        self.number = next(numbers)
        initialize(self, *arguments, **options)

    node.__init__ = numbered
    node.__hash__ = lambda self: self.number


# --- values and names -------------------------------------------------------------------------------------------


def sizes_of(shape: Any) -> list[int | None]:
    """A TensorShape's sizes."""
    if shape.rank is None:
        raise ConversionError("has an input of unknown rank")
    return list(shape.as_list())


def static_sizes(name: str, sizes: Sizes, shapes: Sequence[Sequence[int]]) -> list[int]:
    """Give an input static sizes: its own, with batch 1, or else the first configured ones that fit.

    Configured shapes of pictures are NCHW, those of TensorFlow NHWC.
    """
    known = [1 if index == 0 and size is None else size for index, size in enumerate(sizes)]
    if None not in known:
        return [int(size) for size in known if size is not None]
    for shape in shapes:
        last = [[shape[0], *shape[2:], shape[1]]] if len(shape) == PICTURE_RANK else []
        for candidate in (*last, list(shape)):
            fits = len(candidate) == len(known)
            if fits and all(size in (None, own) for size, own in zip(known, candidate, strict=True)):
                return candidate
    shown = ",".join("?" if size is None else str(size) for size in sizes)
    example = "[1,3,224,224]" if len(sizes) == PICTURE_RANK else "[1,...]"
    message = f"has the input {name!r} of the size [{shown}]: give its shape, model.inputs=[{{shape: {example}}}]"
    raise UnknownShapeError(name, message)


def random_values(shape: Any, dtype: Any, name: str) -> Array:
    """The same random values each time: -1 to 1, any code of 8 or 16 bits, 0 of other integers (an index)."""
    generator, kind = np.random.default_rng(0), np.dtype(dtype)
    sizes = [int(size) for size in shape]
    if kind.kind == "f":
        return generator.uniform(-1.0, 1.0, sizes).astype(kind)
    if kind.kind in "iu" and kind.itemsize <= 2:
        limits = np.iinfo(kind)
        return generator.integers(limits.min, limits.max + 1, sizes).astype(kind)
    if kind.kind in "iub":
        return np.zeros(sizes, kind)
    raise ConversionError(f"has the input {name!r} of the type {kind}, which is no number")


def refuse_foreign_operators(model: onnx.ModelProto) -> None:
    """Refuse what tf2onnx has left as it was: operators that ONNX has none of."""
    foreign: dict[str, str] = {}
    versions = {each.domain: each.version for each in model.opset_import}
    for node in model.graph.node:
        if not onnx.defs.has(node.op_type, versions.get(node.domain, OPSET), node.domain):
            foreign.setdefault(node.op_type.removeprefix("TFL_"), node.name)
    if foreign:
        listed = ", ".join(f"{kind} ({name})" for kind, name in sorted(foreign.items()))
        raise ConversionError(
            f"has operators that tf2onnx has no ONNX for: {listed}; save the network without those that stand first or "
            "last (a sound's spectrum, which your samples then hold), or replace them in ONNX (docs/sources.md)"
        )


def rename_tensors(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Rename tensors wherever they are named, in the bodies of an If, Loop or Scan too."""
    for each in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        each.name = names.get(each.name, each.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                rename_tensors(attribute.g, names)


def one_line(error: BaseException) -> str:
    """The first sentence of an exception, as one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__


@contextlib.contextmanager
def reading(what: str, *kinds: type[Exception]) -> Iterator[None]:
    """Say of exceptions that the network's file is at fault."""
    try:
        yield
    except ConversionError:
        raise
    except kinds as error:
        raise ConversionError(f"{what}: {one_line(error)}") from error


@contextlib.contextmanager
def converting() -> Iterator[None]:
    """Say of any exception that the conversion failed."""
    try:
        yield
    except Exception as error:  # tf2onnx and TensorFlow raise many types
        raise ConversionError(f"cannot be converted by tf2onnx: {type(error).__name__}: {one_line(error)}") from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
