from pathlib import Path

import pytest

from stages.core.base.errors import UserError
from stages.core.config.composition import compose
from stages.core.config.schema import Config, InputConfig, ModelConfig
from stages.scan import options
from stages.scan.options import OWN_CONF, conf_folder, read_experiment, read_socs, with_shapes


@pytest.fixture
def composed(monkeypatch):
    """What the words of a command are composed to, without composing."""
    monkeypatch.setattr(options, "compose", lambda overrides, folder: (list(overrides), ""))
    return lambda *words: read_experiment(words, Path("conf"))


def test_a_file_and_overrides(composed):
    assert composed("nets/my net.onnx", "quant=a4w4", "model.outputs=[/head/Conv]") == [
        "model=onnx",
        "model.name=my_net",
        'model.source="file:nets/my net.onnx"',
        "model.inputs=[{mean: [0], normal: [255], color: RGB}]",
        "quant=a4w4",
        "model.outputs=[/head/Conv]",
    ]


def test_a_pattern_of_the_current_folder(composed):
    """It is one of any folder: DVC could not watch the project's own, and watches nothing here."""
    named, source = composed("net.{prototxt,caffemodel}")[1:3]
    assert (named, source) == ("model.name=net", f'model.source="file:{Path.cwd()}/net.{{prototxt,caffemodel}}"')


def test_a_pinned_source(composed):
    source = "package:net==1.0/net.onnx#sha256=" + "0" * 64
    fed = "model.inputs=[{mean: [127]}]"
    assert composed(source, fed)[1:] == ["model.name=net", f'model.source="{source}"', fed]


def test_overrides_alone(composed):
    assert composed("model=yolox_nano", "soc=t41") == ["model=yolox_nano", "soc=t41"]


def test_two_networks(composed):
    with pytest.raises(UserError, match=r"b\.onnx: a second network"):
        composed("a.onnx", "b.onnx")


def config(*inputs):
    return Config(model=ModelConfig("net", "file:net.onnx", inputs=list(inputs)))


@pytest.mark.parametrize(
    ("before", "shapes", "after"),
    [
        ([InputConfig(mean=[1.0])], ["x=1,3,8,8"], [InputConfig("x", [1, 3, 8, 8], [1.0])]),
        ([InputConfig(mean=[1.0])], ["1,3,8,8"], [InputConfig(None, [1, 3, 8, 8], [1.0])]),
        ([InputConfig("x")], ["x=1,5"], [InputConfig("x", [1, 5])]),
        ([InputConfig()], ["x=1,5", "y=1,6"], [InputConfig("x", [1, 5]), InputConfig("y", [1, 6])]),
        ([InputConfig("x", [1, 4])], ["x=1,5"], [InputConfig("x", [1, 5])]),
    ],
)
def test_shapes(before, shapes, after):
    assert with_shapes(config(*before), shapes).model.inputs == after


@pytest.mark.parametrize("text", ["x=", "x=1,a", "x=0,3", "x", "1,3,", "x=1,1000000000"])
def test_what_is_no_shape(text):
    with pytest.raises(UserError, match=r"give NAME=1,3,224,224"):
        with_shapes(config(InputConfig()), [text])


def test_socs_by_name():
    socs = read_socs("T41, bm1684x", OWN_CONF)
    assert {name: soc.name for name, soc in socs.items()} == {"t41": "T41", "bm1684x": "bm1684x"}
    with pytest.raises(UserError, match=r"--soc t42: .*no such file; did you mean 't4"):
        read_socs("t42", OWN_CONF)


@pytest.mark.slow
def test_all_socs_are_those_of_experiments():
    socs = read_socs(None, OWN_CONF)
    assert sorted(socs) == sorted(path.stem for path in (OWN_CONF / "soc").glob("*.yaml"))
    assert all(compose([f"soc={name}"], OWN_CONF)[0].soc == soc for name, soc in socs.items())


def test_the_config_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert conf_folder(None) == OWN_CONF
    assert conf_folder(Path("other")) == Path("other")
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "config.yaml").touch()
    assert conf_folder(None) == Path("conf")
