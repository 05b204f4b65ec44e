"""Which weights of a file are taken, and what is said of a file whose weights are not."""

import io
import json
import os
import re

import numpy as np
import pytest
import torch

from stages.core.base.errors import UserError
from stages.core.base.sources import SourceFile
from stages.export.sources.pytorch.weights import load_weights, without_callable


def saved(content, legacy=False):
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
    return SourceFile("net.pt", buffer.getvalue)


def weights(value, prefix=""):
    return {f"{prefix}weight": torch.full((2, 3), float(value)), f"{prefix}bias": torch.zeros(2)}


def loaded(file):
    module = torch.nn.Linear(3, 2)
    load_weights(module, file)
    return float(module.weight.detach()[0, 0])


@pytest.mark.parametrize("prefix", ["module.", "model.", "_orig_mod.", "module._orig_mod.", "model.module."])
def test_a_prefix_of_all_names_is_taken_off(prefix):
    assert loaded(saved(weights(7, prefix))) == 7


def test_names_without_the_prefix_that_others_have_are_left_out():
    assert loaded(saved({"state_dict": weights(7, "model.") | {"loss.weight": torch.ones(5)}})) == 7


def test_a_prefix_that_the_module_has_is_put_on():
    module = torch.nn.Module()
    module.model = torch.nn.Linear(3, 2)
    load_weights(module, saved(weights(7)))
    assert float(module.model.weight.detach()[0, 0]) == 7


@pytest.mark.parametrize(
    "content",
    [
        {"model": weights(1), "ema": weights(7)},
        {"model": weights(1), "ema": {"module": weights(7, "module."), "updates": 3}},
        {"state_dict": weights(1), "state_dict_ema": weights(7)},
        {"net": weights(1), "ema_net": weights(7)},
        {"params": weights(1), "params_ema": weights(7)},
        {"model": weights(7), "ema": None},
        {"state_dict": weights(7), "ema_state_dict": weights(1)},  # MMEngine's
        {"state_dict": weights(7), "loss": torch.ones(1), "epoch": 3},
        {"net": weights(7), "acc": 0.9},
    ],
)
def test_the_averaged_copy_is_preferred_as_its_owners_do(content):
    assert loaded(saved(content)) == 7


def test_files_of_before_pytorch_1_6_are_read():
    assert loaded(saved(weights(7), legacy=True)) == 7


def test_a_mapping_without_weights_is_refused_by_its_keys():
    with pytest.raises(UserError, match=r"net\.pt holds no weights by name; its keys are epoch, best$"):
        loaded(saved({"epoch": 3, "best": 0.5}))


def test_a_torchscript_file_gives_its_weights():
    module = torch.nn.Linear(3, 2)
    torch.nn.init.constant_(module.weight, 7)
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(module), buffer)
    assert loaded(SourceFile("net.pt", buffer.getvalue)) == 7


# --- safetensors


def safetensors(arrays):
    """The format by hand: length of the header, header, bytes."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, (kind, array) in arrays.items():
        content = array.tobytes()
        header[name] = {
            "dtype": kind,
            "shape": list(array.shape),
            "data_offsets": [len(data), len(data) + len(content)],
        }
        data += content
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("F32", np.full((2, 3), 7, "<f4")),
        ("F16", np.full((2, 3), 7, "<f2")),
        ("F64", np.full((2, 3), 7, "<f8")),
        ("BF16", np.full((2, 3), 0x40E0, "<u2")),  # the upper half of 7.0
    ],
)
def test_safetensors_of_every_float_type(kind, values):
    content = safetensors({"weight": (kind, values), "bias": ("F32", np.zeros(2, "<f4"))})
    assert loaded(SourceFile("net.safetensors", lambda: content)) == 7


def test_damaged_safetensors_are_refused():
    content = safetensors({"weight": ("F32", np.ones((2, 3), "<f4")), "bias": ("F32", np.zeros(2, "<f4"))})
    for damaged in (content[:-4], content[:20], content.replace(b'"F32"', b'"F99"')):
        with pytest.raises(UserError, match=r"net\.safetensors is no safetensors file, or damaged"):
            loaded(SourceFile("net.safetensors", lambda content=damaged: content))


# --- files that would run code


class Trap:
    """Leaves a trace where it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("trapped",)


MODULES = {
    "a module": (torch.nn.Linear(3, 2), 'weights_only=False).float().state_dict(), "weights.pt")'),
    "Ultralytics": (
        {"epoch": -1, "ema": None, "model": torch.nn.Linear(3, 2)},
        'weights_only=False)["model"].float().state_dict(), "weights.pt")',
    ),
    "its average": (
        {"model": torch.nn.Linear(3, 2), "ema": torch.nn.Linear(3, 2)},
        'weights_only=False)["ema"].float().state_dict(), "weights.pt")',
    ),
    "weights beside an object": (
        {"optimizer": torch.nn.Linear(1, 1), "state_dict": weights(7)},
        'weights_only=False)["state_dict"], "weights.pt")',
    ),
}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("name", MODULES)
def test_a_whole_module_is_refused_with_what_to_write_instead(name, legacy, tmp_path, monkeypatch):
    content, command = MODULES[name]
    file = saved(content, legacy)
    for refused in (lambda: loaded(file), lambda: (_ for _ in ()).throw(without_callable(file))):
        with pytest.raises(UserError) as error:
            refused()
        message = str(error.value)
        assert (
            "net.pt holds Python objects (torch.nn.modules.linear.Linear), and to read them would run code" in message
        )
        assert command in message
        assert "WeightsUnpickler" not in message
        assert "\n" not in message
    # what it says to write works
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.pt").write_bytes(file.read())
    line = re.search(r"python -c '(.*?)'", message).group(1)
    exec(line, {})
    assert set(torch.load("weights.pt", weights_only=True)) == {"weight", "bias"}


def test_nothing_of_a_refused_file_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for content in (Trap(), {"model": Trap()}, {"state_dict": weights(1), "hook": [Trap()]}):
        for legacy in (False, True):
            with pytest.raises(UserError, match="would run code from the file"):
                loaded(saved(content, legacy))
            without_callable(saved(content, legacy))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04junk", saved(weights(1)).read()[:300]])
def test_a_damaged_file_is_no_checkpoint(content):
    file = SourceFile("net.pt", lambda: content)
    with pytest.raises(UserError, match=r"net\.pt is not a checkpoint of weights: it is damaged, or of another kind"):
        loaded(file)
    assert "is not a checkpoint of weights" in str(without_callable(file))


def test_weights_alone_need_code():
    message = str(without_callable(saved({"state_dict": weights(1)})))
    assert message.startswith("model.torch.callable is empty: net.pt holds weights and no layers: give module:function")
