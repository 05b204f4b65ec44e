"""A compiled network in TPU-MLIR's simulator, picture by picture."""

import subprocess
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.core.base.artifacts import write_arrays
from stages.core.base.checksums import checked_file
from stages.core.base.errors import UserError
from stages.core.base.paths import COMPILE
from stages.core.config.schema import Config
from stages.core.graph.onnx_graph import Graph
from stages.core.tpu_mlir.compiled import load_compiled, weight_file
from stages.core.tpu_mlir.names import CAST_SUFFIX, layer_name
from stages.core.tpu_mlir.toolchain import find_toolchain

__all__ = ["Simulation"]

SERVER = Path(__file__).resolve().with_name("server.py")
"""For the compiler's Python: it imports what this one lacks."""
LAST_WORDS = 3
"""Lines of the simulator that a message quotes."""


class Simulation:
    """Runs `out/compile`'s network as it was before compiling; the compiled one equals it and takes longer by far.

    A context: the simulator is a process that lives as long as the block.

    Args:
        config: says where the compiler is.
        graph: the exported network, whose outputs are wanted.

    Raises:
        UserError: if there is no compiler, nothing is compiled, or what was is damaged.
    """

    def __init__(self, config: Config, graph: Graph) -> None:
        toolchain = find_toolchain(config)
        lowered = checked_file(load_compiled(config).lowered)
        checked_file(COMPILE / weight_file(lowered))
        self._outputs = {layer_name(graph, tensor): tensor for tensor in graph.outputs}
        self._shapes = graph.shapes
        self._one_at_a_time = threading.Lock()
        self._scratch = tempfile.TemporaryDirectory(prefix="simulation-")
        command = [toolchain.python, str(SERVER), lowered.name]
        self._process = subprocess.Popen(
            command,
            cwd=COMPILE,
            env=dict(toolchain.variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )

    def __enter__(self) -> "Simulation":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._scratch.cleanup()

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """Run the network; one picture at a time, whatever thread asks.

        Args:
            feeds: input -> float32, as the exported network takes it.

        Returns:
            Output -> float32, under the exported network's names.

        Raises:
            UserError: if the simulator ends.
        """
        with self._one_at_a_time:
            by_name = self._answer(feeds)
        missing = [name for name in self._outputs if name not in by_name]
        if missing:
            raise UserError(f"the compiled network has no output {missing[0]}: run `dvc repro`")
        return {
            tensor: by_name[name].astype(np.float32).reshape(self._shapes[tensor])
            for name, tensor in self._outputs.items()
        }

    def _answer(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """What the simulator's process gives, under its names."""
        source, target = (Path(self._scratch.name) / name for name in ("in.npz", "out.npz"))
        write_arrays(source, feeds)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        said: list[str] = []
        try:
            self._process.stdin.write(f"{source}\t{target}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # what it said is read below
        for line in self._process.stdout:
            if line == "done\n":
                break
            said.append(line.strip())
        else:
            last = " / ".join([line for line in said if line][-LAST_WORDS:]) or "it says nothing"
            raise UserError(f"TPU-MLIR's simulator ended: {last}")
        with np.load(target) as stored:
            return {name.removesuffix(CAST_SUFFIX): stored[name] for name in stored.files}
