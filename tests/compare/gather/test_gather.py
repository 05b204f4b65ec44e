"""What Sophgo's compiler has made is on the page, and where it refused the network the page is made without it."""

import pytest

from stages.compare.gather.gather import _compiled
from stages.core.base.errors import UserError
from stages.core.base.paths import COMPILED, COMPILER_LOG
from stages.core.config.schema import Config, WatchConfig


def config(*compilers):
    return Config(watch=WatchConfig(compilers=[*compilers]))


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    COMPILED.parent.mkdir(parents=True)


def test_without_a_compiler_there_is_nothing_to_show():
    assert _compiled(config()) == (None, [])


def test_a_refused_network_has_a_note_in_place_of_the_compilers_part():
    COMPILER_LOG.write_text("npz compare FAILED.\n")
    assert _compiled(config("tpu-mlir")) == (
        None, ["TPU-MLIR refused this network (out/compile.log): its own simulation is not on this page"],
    )  # fmt: skip


@pytest.mark.parametrize("log", [True, False])
def test_else_what_compile_writes_must_be_there(log):
    if log:  # of a run that has since made something, though of another network
        COMPILER_LOG.write_text("")
        COMPILED.write_text('{"chip": "bm1684", "network": "0"}')
    with pytest.raises(UserError, match=r"compiled\.json|another quantized network|integer\.onnx"):
        _compiled(config("tpu-mlir"))
