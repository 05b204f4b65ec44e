"""Compiling the runtime, running it on models made by hand, and comparing every layer with another implementation."""

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import pytest
from filelock import FileLock
from numpy.typing import ArrayLike, NDArray

from stages.build.runtime.binary import model_bytes
from stages.build.runtime.memory import blocks_of, plan
from stages.build.runtime.translate import translate
from stages.core.config.schema import Color
from stages.core.data.inputs import NetworkInput
from stages.core.integer.dumps import dump_names, packed
from stages.core.integer.model import tensor_quant_params
from tests.build import kept
from tests.core.integer.nets import Net

SOURCES = Path(__file__).resolve().parents[3] / "stages/build/runtime/src"
FORKED = Path(__file__).with_name("forked.cpp")


@dataclass(frozen=True)
class Runtime:
    """A compiled program, and what has to stand before it to run it here."""

    program: Path
    before: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        line = [*self.before, str(self.program), *map(str, arguments)]
        return subprocess.run(line, capture_output=True, text=True, check=False, env=dict(self.environment) or None)


class Forked:
    """A sanitized program that waits for command lines: each runs in a fork of it, in a third of a start's time.

    Memory that is not freed at the end is not looked for, which would be half of the time: `Runtime.run` does.
    """

    def __init__(self, program: Path, folder: Path):
        self._stderr = folder / "stderr"
        pipe, environment = subprocess.PIPE, os.environ | {"ASAN_OPTIONS": "detect_leaks=0"}
        line = [program, "--forked"]
        self._server = subprocess.Popen(line, stdin=pipe, stdout=pipe, text=True, env=environment)

    def run(self, *arguments: object) -> tuple[int, str]:
        """Exit code, of a signal negative, and what was said on stderr."""
        words = [str(self._stderr), *map(str, arguments)]
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write("\n".join(words) + "\n\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline()), self._stderr.read_text(errors="replace")

    def close(self) -> None:
        """End the program."""
        self._server.communicate()


def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where programs are compiled: one folder for all test processes."""
    own = tmp_path_factory.getbasetemp()
    return (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "runtime"


def sanitized(folder: Path) -> Runtime:
    """The runtime that dumps every layer, with sanitizers; not optimized, it compiles in a third of the time."""
    flags = "-O0 -g -fsanitize=address,undefined -fno-sanitize-recover=all"
    # hundreds of starts take less time without libraries to load
    linked = f"-static-libasan -static-libubsan -Wl,--wrap=main {FORKED}"
    return compiled_once(folder / "sanitized", "debug", f"CXXFLAGS={flags}", f"LDFLAGS={linked}")


def compiled_once(folder: Path, build_type: str, *variables: str) -> Runtime:
    """Compile a program, or wait for the test process that does."""
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{build_type}.lock"):
        return Runtime(compiled(folder, build_type, *variables))


def compiled(folder: Path, build_type: str, *variables: str) -> Path:
    """`make` in another folder than the sources'."""
    folder.mkdir(parents=True, exist_ok=True)
    make(folder, SOURCES, build_type, *variables)
    return folder / f"runtime_{build_type}"


def make(folder: Path, sources: Path, build_type: str, *variables: str) -> None:
    """`make` in a folder; a warning is an error."""
    line = ["make", "-s", "-f", str(sources / "Makefile"), f"TOPDIR={sources}", f"build_type={build_type}", *variables]
    given = dict(word.split("=", 1) for word in variables)
    compiler = given.get("CXX", f"{given.get('CROSS_COMPILE', '')}g++")
    done = kept.run(line, folder, [sources, FORKED], [f"runtime_{build_type}"], compiler)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


def model_file(model: onnx.ModelProto, inputs: Sequence[NetworkInput] | None = None) -> bytes:
    """The model file of an integer model; pictures are taken as they are unless `inputs` say otherwise."""
    program = translate(model, plain_inputs(model) if inputs is None else inputs)
    return model_bytes(program, plan(blocks_of(program)))


def plain_inputs(model: onnx.ModelProto) -> list[NetworkInput]:
    """Inputs without mean and normal."""
    actual = []
    for info in model.graph.input:
        shape = tuple(dim.dim_value for dim in info.type.tensor_type.shape.dim)
        channels = shape[1] if len(shape) > 1 else 1
        actual.append(NetworkInput(info.name, shape, (0.0,) * channels, (1.0,) * channels, Color.RGB))
    return actual


def dumps(runtime: Runtime, content: bytes, feeds: Sequence[NDArray]) -> dict[str, bytes]:
    """Run a model file on pictures in the network's shape; gives every file that it writes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "model.sqm").write_bytes(content)
        (folder / "out").mkdir()
        files = []
        for index, feed in enumerate(feeds):
            files.append(folder / f"{index}.bin")
            files[-1].write_bytes(packed(np.asarray(feed, np.float32), None))
        done = runtime.run(folder / "model.sqm", *files, "-o", folder / "out")
        assert done.returncode == 0, done.stderr
        return {path.name: path.read_bytes() for path in (folder / "out").iterdir()}


def expected_dumps(model: onnx.ModelProto, values: Mapping[str, NDArray]) -> dict[str, bytes]:
    """The dumps of every layer from its values."""
    quant_params = tensor_quant_params(model.graph.node)
    actual = {}
    for tensor, stem in dump_names(model).items():
        codes = quant_params.get(tensor)
        name = f"{stem}_out.bin" if codes is None else f"{stem}_Quantize_out.bin"
        actual[name] = packed(values[tensor], codes)
    return actual


def agree(runtime: Runtime, net: Net, **codes: ArrayLike) -> dict[str, NDArray]:
    """Check that the runtime gives the reference's bytes in every layer; a softmax to a few units in the last place."""
    feeds, values = net.feeds(codes), net.reference(**codes)
    model = net.model(values)
    actual = dumps(runtime, model_file(model), [feeds[info.name] for info in model.graph.input])
    close = {f"{node.output[0]}_out.bin" for node in net.nodes if node.op_type == "Softmax"}
    for name, content in expected_dumps(model, values).items():
        if name in close:
            reals = (np.frombuffer(dump, "<f4") for dump in (actual[name], content))
            np.testing.assert_allclose(*reals, rtol=1e-6, atol=0)
        else:
            assert actual[name] == content, name
    return values
