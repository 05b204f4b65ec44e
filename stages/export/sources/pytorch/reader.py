"""Reading a network of PyTorch: a module that code builds, or a file that holds all of it; traced to ONNX."""

from collections.abc import Mapping

import numpy as np

from stages.core.base.errors import UserError
from stages.core.base.sources import SourceFile
from stages.core.config.schema import ModelConfig
from stages.core.data.inputs import assign_names, resolve_inputs
from stages.core.graph.session import Runner
from stages.export.normalization import torch_norms
from stages.export.shapes import UnknownShapeError
from stages.export.sources.pytorch.archive import FileKind, file_kind
from stages.export.sources.pytorch.library import brief
from stages.export.sources.pytorch.module import build_module
from stages.export.sources.pytorch.programs import Program, read_program
from stages.export.sources.pytorch.tracing import reference, trace
from stages.export.sources.source_network import SourceNetwork
from stages.export.verify import largest_difference, random_feeds

__all__ = ["read_pytorch"]


def read_pytorch(config: ModelConfig, file: SourceFile | None) -> SourceNetwork:
    """Read a network of PyTorch, and compare its trace with PyTorch.

    Args:
        config: with a callable, that builds the module and the file gives its weights.
        file: the file; None: the module has the weights that the callable gives.

    Raises:
        UserError: if the network cannot be built, read, run or traced, or an input has no shape to trace it with.
    """
    kind = file_kind(file.read()) if file is not None and not config.torch.callable else None
    if file is not None and kind in (FileKind.script, FileKind.program):
        program = read_program(kind, file.read(), file.name, config.torch.submodule)
        shapes = _program_shapes(config, program)
    else:
        module = build_module(config, file)
        program = Program(module, module, {})
        shapes = {one.name or f"input_{i}": list(one.shape or []) for i, one in enumerate(config.inputs)}
    unknown = next((name for name, shape in shapes.items() if not shape or 0 in shape), None)
    if unknown:
        raise UnknownShapeError(
            unknown, f"model.inputs: {unknown!r} has no shape; a PyTorch module is traced with one, as [1,3,224,224]"
        )
    return _traced(config, program, shapes)


def _program_shapes(config: ModelConfig, program: Program) -> dict[str, list[int]]:
    """Shapes of the inputs of a file that holds the whole network, as configured or as in the file."""
    configured = assign_names(config.inputs, list(program.inputs))
    return {name: list(configured[name].shape or shape or []) for name, shape in program.inputs.items()}


def _traced(config: ModelConfig, program: Program, shapes: Mapping[str, list[int]]) -> SourceNetwork:
    feeds = random_feeds(resolve_inputs(config.inputs, shapes))
    arrays = [feeds[name] for name in shapes]
    try:
        expected = reference(program.module, arrays)
    except UserError:
        raise
    except Exception as error:  # whatever the network's operators raise
        name = getattr(program.module, "original_name", type(program.module).__name__)
        raise UserError(f"model.inputs: {name} cannot be run with {_shown(shapes)}: {brief(error)}") from error
    traced = trace(program.exported, arrays, list(shapes), config.torch.output_names)
    outputs = Runner(traced, optimize="none").run(feeds)
    pairs = zip(expected, outputs.values(), strict=True)
    difference = max(largest_difference(np.asarray(value), output) for value, output in pairs)
    plain = program.module is program.exported and not hasattr(program.module, "inlined_graph")
    return SourceNetwork(traced, difference, torch_norms(program.module, arrays) if plain else None)


def _shown(shapes: Mapping[str, list[int]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items())
