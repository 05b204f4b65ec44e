import pytest
import yaml

from stages.core.base.errors import UserError
from stages.core.config.composition import compose
from stages.core.config.load import load_params
from stages.core.config.watch import check_files
from tests.conftest import project_overrides


def test_local_sources_are_watched(composed):
    watch = composed[0].watch
    assert (watch.model, watch.calibration, watch.evaluation) == ("tiny.onnx", "calibration", "evaluation")
    assert (watch.code, watch.labels, watch.node_bits) == ("stages/core/base/sources.py",) * 3
    assert (watch.correction, watch.validation) == ("stages/core/base/sources.py",) * 2


def test_a_file_of_node_bits_must_be_there(conf, tmp_path):
    config, _ = compose(["quant.node_bits=file:nowhere.json"], conf)
    with pytest.raises(UserError, match=r"quant\.node_bits: .*nowhere\.json"):
        check_files(config)
    (tmp_path / "bits.json").write_text("{}")
    config, _ = compose([f"quant.node_bits=file:{tmp_path}/bits.json"], conf)
    config.model.source = config.model.torch.code = None
    config.watch.model = config.watch.code = ""
    check_files(config)


@pytest.mark.parametrize("name", ["correction", "validation"])
def test_pictures_of_their_own_must_be_there(conf, name):
    config, _ = compose([*project_overrides(f"data.{name}.source=file:nowhere"), "model.source=https://a/b.onnx"], conf)
    for part in (config.data.calibration, config.data.debug, config.data.evaluation):
        part.source = []
    with pytest.raises(UserError, match=rf"data\.{name}\.source: .*nowhere does not exist"):
        check_files(config)


def test_a_file_of_node_bits_is_watched(conf):
    assert compose(["quant.node_bits=file:bits.json"], conf)[0].watch.node_bits == "bits.json"


@pytest.mark.slow
def test_code_of_the_users_own_is_watched_and_must_be_there(conf, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words_here.py").write_text("")
    overrides = ["data.evaluation.metric=words_here:WordErrors", "model.detector.function=words_here:decode"]
    config, _ = compose(overrides, conf)
    assert (config.watch.metric, config.watch.decoding) == ("words_here.py", "words_here.py")
    (tmp_path / "words_here.py").unlink()
    for key in ("data.evaluation.metric", "model.detector.function"):
        config, _ = compose([f"{key}=nowhere:f"], conf)
        config.model.source = None
        with pytest.raises(UserError, match=rf"^{key}=nowhere:f: there is no module 'nowhere'; put nowhere\.py"):
            check_files(config)


def test_code_edited_in_by_hand_no_longer_fits_what_is_watched(params):
    content = yaml.safe_load(params.read_text())
    content["watch"]["metric"] = "words.py"
    params.write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match=r"^watch\.metric=words\.py does not fit None: .*stages\.compose"):
        load_params(params)


def test_a_source_edited_by_hand_no_longer_fits_what_is_watched(params):
    content = yaml.safe_load(params.read_text())
    content["data"]["debug"]["source"] = "file:other_pictures"
    params.write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match=r"watch\.\w+=.* does not fit file:other_.*stages\.compose"):
        load_params(params)
