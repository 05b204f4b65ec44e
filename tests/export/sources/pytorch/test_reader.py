"""Tracing, and files that hold whole networks: TorchScript and programs of torch.export."""

import io
import os
import zipfile

import numpy as np
import pytest
import torch

from stages.core.base.errors import UserError
from stages.core.base.sources import SourceFile
from stages.core.config.schema import InputConfig, ModelConfig, TorchConfig
from stages.export.sources.pytorch.archive import FileKind, file_kind, traced_shapes
from stages.export.sources.pytorch.reader import read_pytorch
from stages.export.sources.pytorch.tracing import reference, trace
from tests.export.graphs import run_onnx


class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 1)

    def forward(self, x):
        return torch.relu(self.conv(x)).mean((2, 3))


class Branching(torch.nn.Module):
    def forward(self, x: torch.Tensor, times: int) -> torch.Tensor:
        for _ in range(times):
            x = x * 2
        return x


class Parts(torch.nn.Module):
    """As silero-vad: a rate beside the samples, and a part with a state that may be left out."""

    def __init__(self):
        super().__init__()
        self.inner = Inner()

    def forward(self, x: torch.Tensor, rate: int) -> torch.Tensor:
        return self.inner(x)[0] if rate > 0 else x


class Inner(torch.nn.Module):
    def forward(self, x: torch.Tensor, state: torch.Tensor = torch.zeros(1)) -> tuple[torch.Tensor, torch.Tensor]:  # noqa: B008
        return x + state, state + 1


class Nested(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 2, 1)

    def forward(self, x):
        y = self.conv(x)
        return y, {"mean": y.mean(dim=(2, 3)), "all": [x + 1]}


class Number(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> float:
        return float(x.sum())


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    return Small().eval()


def saved(script, name="net.pt"):
    buffer = io.BytesIO()
    torch.jit.save(script, buffer)
    return SourceFile(name, buffer.getvalue)


@pytest.fixture(scope="module")
def program(small):
    buffer = io.BytesIO()
    torch.export.save(torch.export.export(small, (torch.zeros(1, 3, 4, 4),)), buffer)
    return SourceFile("net.pt2", buffer.getvalue)


def read(file, *shapes, **settings):
    config = ModelConfig(name="net", inputs=[InputConfig(shape=shape) for shape in shapes or [None]])
    config.torch = TorchConfig(**settings)
    return read_pytorch(config, file)


def computed(source, *values):
    names = [info.name for info in source.model.graph.input]
    return run_onnx(source.model, dict(zip(names, values, strict=True)))


VALUE = np.random.default_rng(0).normal(size=(1, 3, 4, 4)).astype(np.float32)


def test_trace_gives_a_module_as_onnx():
    module = Nested().eval()
    kernel, bias = np.arange(6.0).reshape(2, 3), np.array([0.0, 1.0])
    module.load_state_dict({"conv.weight": torch.tensor(kernel.reshape(2, 3, 1, 1)), "conv.bias": torch.tensor(bias)})
    traced = trace(module, [VALUE], ["images"], ["y", "mean", "more"])
    assert [entry.name for entry in traced.graph.input] == ["images"]
    assert [entry.name for entry in traced.graph.output] == ["y", "mean", "more"]
    assert "/conv/Conv" in {entry.name for entry in traced.graph.node}
    expected = np.einsum("oc,nchw->nohw", kernel, VALUE) + bias[:, None, None]
    for found in (run_onnx(traced, {"images": VALUE}), reference(module, [VALUE])):
        np.testing.assert_allclose(found[0], expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(found[1], expected.mean(axis=(2, 3)), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(found[2], VALUE + 1, rtol=1e-6)


def test_a_module_that_cannot_be_traced_is_refused():
    wrong = np.zeros((1, 4, 4, 4), dtype=np.float32)
    with pytest.raises(UserError, match=r"^PyTorch cannot export Nested to ONNX: .+$"):
        trace(Nested(), [wrong], ["images"], [])


def test_a_traced_file_is_read_with_the_shape_that_it_was_traced_with(small):
    file = saved(torch.jit.trace(small, torch.zeros(1, 3, 4, 4), check_trace=False))
    source = read(file)
    assert source.difference < 1e-6
    assert [info.name for info in source.model.graph.input] == ["x"]
    assert "/conv/Conv" in [node.name for node in source.model.graph.node]
    np.testing.assert_allclose(computed(source, VALUE)[0], small(torch.from_numpy(VALUE)).detach(), atol=1e-5)
    assert [dim.dim_value for dim in read(file, [1, 3, 6, 2]).model.graph.input[0].type.tensor_type.shape.dim] == [
        1,
        3,
        6,
        2,
    ]


def test_a_scripted_file_needs_a_shape(small):
    file = saved(torch.jit.script(small))
    with pytest.raises(UserError, match=r"^model\.inputs: 'x' has no shape; .*\[1,3,224,224\]"):
        read(file)
    source = read(file, [1, 3, 4, 4])
    np.testing.assert_allclose(computed(source, VALUE)[0], small(torch.from_numpy(VALUE)).detach(), atol=1e-5)


@pytest.mark.slow  # torch.export takes seconds to be imported, in all that use it
def test_a_program_has_its_shape_and_names_of_its_parts(small, program):
    source = read(program)
    assert source.difference < 1e-6
    assert [info.name for info in source.model.graph.input] == ["x"]
    assert "/conv/Conv" in [node.name for node in source.model.graph.node]
    np.testing.assert_allclose(computed(source, VALUE)[0], small(torch.from_numpy(VALUE)).detach(), atol=1e-5)


def test_what_is_no_tensor_has_to_be_left_out_by_a_part():
    file = saved(torch.jit.script(Parts()))
    with pytest.raises(UserError, match=r"net\.pt takes 'rate' \(int\), .* a part that takes tensors \(inner\)$"):
        read(file, [1, 4])
    with pytest.raises(UserError, match=r"submodule=iner: net\.pt has no such part; did you mean 'inner'\?"):
        read(file, [1, 4], submodule="iner")
    source = read(file, [1, 4], [1, 4], submodule="inner")
    assert [info.name for info in source.model.graph.input] == ["x", "state"]
    found = computed(source, np.full((1, 4), 2, np.float32), np.full((1, 4), 3, np.float32))
    np.testing.assert_array_equal(found, [np.full((1, 4), 5), np.full((1, 4), 4)])
    with pytest.raises(UserError, match=r"^model\.inputs: 'state' has no shape"):
        read(file, [1, 4], submodule="inner")


@pytest.mark.parametrize(
    ("module", "shape", "message"),
    [
        (Number(), [1, 4], "the network gives a value of type float, which is no tensor"),
        (Branching(), [1, 4], r"takes 'times' \(int\), .* \(it has none\)$"),
        (Small(), [1, 4, 4, 4], r"^model\.inputs: Small cannot be run with x \[1, 4, 4, 4\]: RuntimeError: .*channels"),
    ],
)
def test_a_network_that_cannot_be_run_is_said(module, shape, message):
    with pytest.raises(UserError, match=message) as refused:
        read(saved(torch.jit.script(module)), shape)
    assert len(str(refused.value)) < 400


def test_files_are_told_by_their_content(small):
    buffer = io.BytesIO()
    torch.save(small.state_dict(), buffer)
    traced = saved(torch.jit.trace(small, torch.zeros(1, 3, 4, 4), check_trace=False)).read()
    assert file_kind(traced) is FileKind.script
    assert traced_shapes(traced) == [[1, 3, 4, 4]]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr("net/archive_format", "pt2")
    assert file_kind(archive.getvalue()) is FileKind.program
    assert file_kind(buffer.getvalue()) is FileKind.checkpoint
    assert file_kind(b"\x02\0\0\0\0\0\0\0{}") is FileKind.tensors
    assert file_kind(b"") is FileKind.checkpoint


@pytest.mark.parametrize("kind", ["script", pytest.param("program", marks=pytest.mark.slow)])
def test_a_damaged_file_is_refused(kind, small, request):
    whole = request.getfixturevalue("program") if kind == "program" else saved(torch.jit.script(small))
    archive = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole.read())) as source, zipfile.ZipFile(archive, "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name)[:40])
    with pytest.raises(
        UserError, match=r"^model\.source: net\.pt2? cannot be read as (TorchScript|a torch\.export program): "
    ):
        read(SourceFile(whole.name, archive.getvalue), [1, 3, 4, 4])


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trapped",)


@pytest.mark.slow
def test_nothing_in_a_program_is_run(program, tmp_path, monkeypatch):
    """PyTorch reads example inputs unsafely where it cannot read them safely."""
    monkeypatch.chdir(tmp_path)
    trap, archive = io.BytesIO(), io.BytesIO()
    torch.save((Trap(),), trap)
    with zipfile.ZipFile(io.BytesIO(program.read())) as source, zipfile.ZipFile(archive, "w") as target:
        for name in source.namelist():
            target.writestr(name, trap.getvalue() if "sample_inputs" in name else source.read(name))
    with pytest.raises(UserError, match="cannot be read as a torch"):
        read(SourceFile("net.pt2", archive.getvalue))
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_part_of_a_program_is_refused(program):
    with pytest.raises(UserError, match=r"submodule=conv: net\.pt2 is a program of torch\.export, which is read whole"):
        read(program, submodule="conv")
