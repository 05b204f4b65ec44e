import io
import itertools
import sys

import numpy as np
import pytest
import torch

from stages.core.base.errors import UserError
from stages.core.base.sources import SourceFile
from stages.core.config.schema import ModelConfig, TorchConfig
from stages.export.sources.pytorch.module import build_module

CODE = """
import torch

class Small(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, width, 1)
        self.drop = torch.nn.Dropout(0.5)

    def forward(self, x):
        y = self.drop(self.conv(x))
        return y, {"mean": y.mean(dim=(2, 3)), "all": [x + 1]}

class Factory:
    @staticmethod
    def make(width=2):
        return Small(width)

def build(width=2):
    return Small(width)

def number():
    return 3

def fail():
    raise ValueError("no\\nluck")
"""
numbers = itertools.count()


@pytest.fixture
def code(tmp_path, monkeypatch):
    """Name of a new module in a folder that `file:<tmp_path>/code` puts on the import path."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    name = f"small_module_{next(numbers)}"
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / f"{name}.py").write_text(CODE)
    return name


@pytest.fixture
def model(code, tmp_path):
    def make(attribute="build", width=2):
        arguments = {} if attribute in ("number", "fail") else {"width": width}
        source = f"file:{tmp_path / 'code'}"
        return ModelConfig(
            name="m", torch=TorchConfig(callable=f"{code}:{attribute}", arguments=arguments, code=source)
        )

    return make


def checkpoint(content):
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return SourceFile("weights.pth", buffer.getvalue)


def weights(width=2):
    return {
        "conv.weight": torch.arange(3.0 * width).reshape(width, 3, 1, 1),
        "conv.bias": torch.arange(float(width)),
    }


@pytest.mark.parametrize("attribute", ["build", "Factory.make"])
def test_callable_builds_the_module_in_evaluation_mode(model, attribute):
    module = build_module(model(attribute, width=5), None)
    assert module.conv.out_channels == 5
    assert not module.training


def test_code_may_be_the_file_itself(model, code, tmp_path):
    config = model()
    config.torch.code = f"file:{tmp_path / 'code' / code}.py"
    assert build_module(config, None).conv.out_channels == 2


@pytest.mark.parametrize("key", [None, "state_dict", "model", "model_state_dict", "ema"])
def test_checkpoint_is_loaded_plain_and_nested(model, key):
    content = weights() if key is None else {"epoch": 3, key: weights()}
    module = build_module(model(), checkpoint(content))
    np.testing.assert_array_equal(module.conv.weight.detach().numpy().ravel(), np.arange(6.0))
    np.testing.assert_array_equal(module.conv.bias.detach().numpy(), [0.0, 1.0])


@pytest.mark.parametrize(
    "content",
    [weights(width=3), {"conv.weight": weights()["conv.weight"]}, {**weights(), "other.weight": torch.zeros(1)}],
    ids=["other shape", "missing", "unexpected"],
)
def test_a_checkpoint_that_does_not_fit_is_refused(model, content):
    with pytest.raises(UserError, match=r"^model\.source: weights\.pth does not fit the module: .+$"):
        build_module(model(), checkpoint(content))


@pytest.mark.parametrize("content", [torch.zeros(3), [1, 2], 7], ids=["tensor", "list", "number"])
def test_a_checkpoint_that_holds_no_mapping_is_refused(model, content):
    with pytest.raises(UserError, match=r"^model\.source: weights\.pth "):
        build_module(model(), checkpoint(content))


@pytest.mark.parametrize("data", [b"", b"these are not weights"])
def test_a_file_that_is_no_checkpoint_is_refused(model, data):
    with pytest.raises(UserError, match=r"weights\.pth is not a checkpoint of weights: .+$"):
        build_module(model(), SourceFile("weights.pth", lambda: data))


def test_a_checkpoint_that_would_run_code_is_refused(model):
    with pytest.raises(UserError, match=r"weights\.pth holds Python objects, and to read them would run code"):
        build_module(model(), checkpoint({"state_dict": weights(), "hook": np.random.default_rng}))


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("biuld", r"no 'biuld' there; did you mean 'build'\?"),
        ("Factory.mak", r"no 'mak' there; did you mean 'make'\?"),
        ("number", r"gave int, not an nn\.Module"),
        ("fail", "failed: no luck$"),
    ],
)
def test_a_callable_that_gives_no_module_is_refused(model, attribute, message):
    config = model(attribute)
    if attribute not in ("number", "fail"):
        config.torch.arguments = {}
    with pytest.raises(UserError, match=message):
        build_module(config, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no_such_module:build", r"No module named 'no_such_module'; model\.torch\.code can add a path"),
        ("no_such_module", "write module:function"),
        (None, r"model\.torch\.callable is empty"),
    ],
)
def test_a_module_that_cannot_be_imported_is_refused(text, message):
    with pytest.raises(UserError, match=message):
        build_module(ModelConfig(name="m", torch=TorchConfig(callable=text)), None)


@pytest.mark.parametrize(
    "body", ["def build(:\n", "raise RuntimeError('broken at import')\n"], ids=["syntax", "raises"]
)
def test_code_that_breaks_on_import_is_refused(model, code, tmp_path, body):
    (tmp_path / "code" / f"{code}.py").write_text(body)
    with pytest.raises(UserError, match=r"model\.torch\.callable="):
        build_module(model(), None)


def test_wrong_arguments_are_refused(model):
    config = model()
    config.torch.arguments = {"height": 3}
    with pytest.raises(UserError, match=r"failed: .*unexpected keyword argument 'height'"):
        build_module(config, None)
