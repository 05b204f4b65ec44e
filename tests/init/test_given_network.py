"""Words that name a network."""

from pathlib import Path

import onnx
import pytest

from stages.core.base.errors import UserError
from stages.init.given_network import given_network
from tests.networks import tiny_classifier

DIGEST = "0123456789abcdef" * 4


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("nets/zoo/__init__.py", "nets/zoo/small.py", "net.py", "run.sh"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    onnx.save(tiny_classifier(), "a:b.onnx")
    return tmp_path


@pytest.mark.parametrize(
    ("word", "overrides"),
    [
        ("facenet.models.mtcnn:PNet", ["model.torch.callable=facenet.models.mtcnn:PNet"]),
        ("net:Net.small", ["model.torch.callable=net:Net.small"]),
        ("net.py:Net", ["model.torch.callable=net:Net"]),
        ("nets/zoo/small.py:Net", ["model.torch.callable=zoo.small:Net", "model.torch.code=file:nets"]),
        (
            f"package:facenet==1.0/facenet/mtcnn.py:PNet#sha256={DIGEST}",
            [
                "model.torch.callable=facenet.mtcnn:PNet",
                f"model.torch.code=package:facenet==1.0/facenet/mtcnn.py#sha256={DIGEST}",
            ],
        ),
    ],
)
def test_code_that_builds_a_module(here, word, overrides):
    given = given_network(word)
    assert given.source is None
    assert given.overrides == overrides
    assert given.stem in ("PNet", "Net", "Net.small")


def test_files_and_pinned_sources(here):
    assert given_network("a:b.onnx").source == "file:a:b.onnx"
    pinned = f"package:nudenet==3.4.2/nudenet/320n.onnx#sha256={DIGEST}"
    assert (given_network(pinned).source, given_network(pinned).stem) == (pinned, "320n")
    assert given_network("run.sh") is None
    assert given_network("nowhere.cfg") is None


def test_a_file_of_code_that_is_not_there(here):
    with pytest.raises(UserError, match=r"^nets/small\.py:Net: nets/small\.py does not exist$"):
        given_network("nets/small.py:Net")
