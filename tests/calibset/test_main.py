import hashlib
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from stages.calibset.__main__ import calibset
from stages.core.base.artifacts import write_json
from stages.core.base.errors import UserError
from stages.core.config.schema import Anchor, Config, DataConfig, Fit, Interpolation, PictureSet, PreprocessConfig
from stages.core.config.settings_record import export_settings, save_settings
from tests.networks import write_pictures


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A config whose calibration pictures lie in `calibration/` of the current folder."""
    monkeypatch.chdir(tmp_path)
    write_pictures(Path("calibration"), 12, seed=1)
    return Config(data=DataConfig(calibration=PictureSet(source="file:calibration")))


def write_inputs(height=16, width=16, color="RGB"):
    channels = 1 if color == "GRAY" else 3
    entry = {"name": "images", "shape": [1, channels, height, width], "color": color}
    write_json(Path("out/export/inputs.json"), [entry | {"mean": [0.0] * channels, "normal": [1.0] * channels}])
    save_settings(Path("out/export"), export_settings(Config().model))


def read_set():
    return np.load("out/calibset/calibration/0.npy"), json.loads(
        Path("out/calibset/calibration/index.json").read_text()
    )


def save(name, picture):
    Path(name).parent.mkdir(exist_ok=True)
    assert cv2.imwrite(name, picture)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def stretch(picture):
    return cv2.resize(picture, (10, 14), interpolation=cv2.INTER_AREA)


def letterbox(picture):
    h, w = picture.shape[:2]
    scale = min(14 / h, 10 / w)
    small = cv2.resize(picture, (int(w * scale), int(h * scale)), interpolation=cv2.INTER_AREA)
    top, left = (14 - small.shape[0]) // 2, (10 - small.shape[1]) // 2
    bottom, right = 14 - small.shape[0] - top, 10 - small.shape[1] - left
    return cv2.copyMakeBorder(small, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(114, 114, 114))


def crop(picture):
    h, w = picture.shape[:2]
    scale = 16 / min(h, w)
    large = cv2.resize(picture, (round(w * scale), round(h * scale)), interpolation=cv2.INTER_AREA)
    top, left = (large.shape[0] - 14) // 2, (large.shape[1] - 10) // 2
    return large[top : top + 14, left : left + 10]


CODES = {"RGB": cv2.COLOR_BGR2RGB, "GRAY": cv2.COLOR_BGR2GRAY}


@pytest.mark.parametrize("color", ["RGB", "BGR", "GRAY"])
@pytest.mark.parametrize(("fit", "by_hand"), [("stretch", stretch), ("letterbox", letterbox), ("crop", crop)])
def test_samples_equal_opencv(config, fit, by_hand, color):
    write_inputs(14, 10, color)
    sizes = [(30, 24), (21, 40), (33, 33)]
    for index, size in enumerate(sizes):
        save(f"mixed/{index}.png", noise(*size, seed=index))
    config.data.calibration.source = "file:mixed"
    config.model.preprocess = PreprocessConfig(
        fit=Fit[fit], shorter_side=16 if fit == "crop" else 0, interpolation=Interpolation.area
    )
    calibset(config)
    samples, index = read_set()
    expected = [by_hand(noise(*size, seed=i)) for i, size in enumerate(sizes)]
    if color in CODES:
        expected = [cv2.cvtColor(np.ascontiguousarray(picture), CODES[color]) for picture in expected]
    np.testing.assert_array_equal(samples, np.reshape(expected, (3, 14, 10, -1)))
    assert samples.dtype == np.uint8
    assert index["inputs"] == ["images"]
    assert index["names"] == ["0.png", "1.png", "2.png"]
    assert index["digests"] == [hashlib.sha256(sample.tobytes()).hexdigest()[:16] for sample in samples]


def test_size_takes_pictures_evenly(config):
    write_inputs()
    config.data.calibration.size = 4
    calibset(config)
    samples, index = read_set()
    assert index["names"] == ["000.png", "003.png", "006.png", "009.png"]
    expected = cv2.resize(cv2.imread("calibration/003.png"), (16, 16))[:, :, ::-1]
    np.testing.assert_array_equal(samples[1], expected)


def test_twelve_typical_pictures_give_no_warning(config, capsys):
    write_inputs()
    calibset(config)
    assert read_set()[1]["warnings"] == []
    assert "warning" not in capsys.readouterr().err


def test_few_and_flat_pictures_are_warned_of_on_screen_and_in_the_index(config, capsys):
    write_inputs()
    write_pictures(Path("few"), 3)
    save("few/wall.png", np.full((20, 20, 3), 90, dtype=np.uint8))
    config.data.calibration.source = "file:few"
    calibset(config)
    warnings = read_set()[1]["warnings"]
    assert warnings[0].startswith("4 calibration pictures are few")
    assert warnings[1].startswith("wall.png is 100% one flat colour")
    shown = capsys.readouterr().err
    assert all(f"warning: {line}" in shown for line in warnings)


def test_a_warning_shows_a_name_with_brackets_whole(config, capsys):
    write_inputs()
    save("walls/wall[dark].png", np.full((20, 20, 3), 90, dtype=np.uint8))
    config.data.calibration.source = "file:walls"
    calibset(config)
    assert "wall[dark].png is 100% one flat colour" in capsys.readouterr().err


@pytest.mark.parametrize("anchor", list(Anchor))
def test_letterbox_borders_do_not_count(config, anchor):
    write_inputs()
    for index in range(10):
        save(f"wide/{index}.png", noise(4, 32, seed=index))
    config.data.calibration.source = "file:wide"
    config.model.preprocess = PreprocessConfig(fit=Fit.letterbox, anchor=anchor, interpolation=Interpolation.nearest)
    calibset(config)
    samples, index = read_set()
    assert (samples == 114).all(axis=-1).mean() >= 0.875
    assert index["warnings"] == []


def test_same_bytes_twice(config):
    write_inputs()
    calibset(config)
    first = [path.read_bytes() for path in sorted(Path("out/calibset/calibration").iterdir())]
    shutil.rmtree("out/calibset")
    calibset(config)
    assert [path.read_bytes() for path in sorted(Path("out/calibset/calibration").iterdir())] == first


def test_a_broken_picture_is_named_and_leaves_the_old_set(config):
    write_inputs()
    calibset(config)
    before = read_set()[1]
    whole = Path("calibration/005.png").read_bytes()
    Path("calibration/005.png").write_bytes(whole[:40])
    with pytest.raises(UserError, match=r"data\.calibration: 005\.png cannot be read as a picture"):
        calibset(config)
    assert read_set()[1] == before
    assert [path.name for path in Path("out").iterdir() if path.name.startswith(".")] == []


def test_a_folder_without_pictures_is_refused(config):
    write_inputs()
    Path("none").mkdir()
    config.data.calibration.source = "file:none"
    with pytest.raises(UserError, match=r"data\.calibration\.source=file:none: no pictures there"):
        calibset(config)


# --- pictures to correct with, and to judge corrections by


def test_without_sources_of_their_own_no_set_is_written(config):
    write_inputs()
    calibset(config)
    assert sorted(path.name for path in Path("out/calibset").iterdir()) == [
        "calibration",
        "checksums.json",
        "settings.json",
    ]
    assert sorted(path.name for path in Path("out/calibset/calibration").iterdir()) == ["0.npy", "index.json"]


@pytest.mark.parametrize("name", ["correction", "validation"])
def test_a_set_of_its_own_is_written_like_the_calibration_set(config, name):
    write_inputs(14, 10)
    write_pictures(Path("more"), 4, seed=2)
    setattr(config.data, name, PictureSet(source="file:more", size=2))
    calibset(config)
    samples, index = read_set()
    assert (len(samples), len(index["names"])) == (12, 12)
    own = json.loads(Path(f"out/calibset/{name}/index.json").read_text())
    assert (own["inputs"], own["names"], own["warnings"]) == (["images"], ["000.png", "002.png"], [])
    expected = [cv2.resize(cv2.imread(f"more/{file}"), (10, 14))[:, :, ::-1] for file in own["names"]]
    np.testing.assert_array_equal(np.load(f"out/calibset/{name}/0.npy"), expected)
    assert own["digests"] == [hashlib.sha256(np.ascontiguousarray(one).tobytes()).hexdigest()[:16] for one in expected]
    assert sorted(path.name for path in Path("out/calibset").iterdir()) == sorted(
        ["calibration", "checksums.json", name, "settings.json"]
    )
    setattr(config.data, name, PictureSet(source=None))
    calibset(config)
    assert not Path("out/calibset", name).exists()


def test_a_picture_that_both_corrects_and_validates_is_warned_of(config, capsys):
    write_inputs()
    write_pictures(Path("correct"), 3, seed=2)
    write_pictures(Path("validate"), 2, seed=3)
    shutil.copy("correct/001.png", "validate/again.png")
    config.data.correction, config.data.validation = PictureSet("file:correct"), PictureSet("file:validate")
    calibset(config)
    line = "validation picture again.png is also correction picture 001.png: use others"
    assert read_set()[1]["warnings"] == [line]
    shown = capsys.readouterr()
    assert f"warning: {line}" in shown.err
    assert shown.out.splitlines() == [
        "calibration set: 12 pictures as 16x16 RGB", "correction set: 3 pictures", "validation set: 3 pictures",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["correction", "validation"])
def test_calibration_pictures_may_serve_again(config, capsys, name):
    write_inputs()
    setattr(config.data, name, PictureSet(source="file:calibration"))
    calibset(config)
    assert "warning" not in capsys.readouterr().err


def test_a_folder_without_pictures_is_refused_by_its_own_name(config):
    write_inputs()
    Path("none").mkdir()
    config.data.validation = PictureSet(source="file:none")
    with pytest.raises(UserError, match=r"data\.validation\.source=file:none: no pictures there"):
        calibset(config)
    assert not Path("out/calibset").exists()


def test_a_network_that_was_exported_with_other_settings_is_refused(config):
    write_inputs()
    config.model.source, config.model.cut = "file:other.onnx", False
    with pytest.raises(UserError) as caught:
        calibset(config)
    assert str(caught.value) == "out/export was made with another model.source, model.cut: run `dvc repro`"
    assert not Path("out/calibset").exists()
