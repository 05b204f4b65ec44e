"""The command on small networks, in a project of its own; slow tests compose what it writes."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import yaml

from stages.core.base.errors import UserError
from stages.core.config.load import load_params
from stages.init.__main__ import main
from stages.init.guess.guess import Guess, Sure
from stages.init.network_init import what_tells
from stages.init.show import show_next
from tests.conftest import REPOSITORY, copy_conf
from tests.core.heads.exporters import yolox
from tests.networks import picture_and_state, tiny_classifier, two_cameras, vector_network, write_pictures

METADATA = {"stride": "32", "task": "classify", "names": "{0: 'ant', 1: 'bee', 2: 'cat'}", "imgsz": "[16, 16]"}


@pytest.fixture
def own(project):
    """A project with a conf/ of its own that has no file of a model or a data set."""
    (project / "conf").unlink()
    for group in ("soc", "quant"):
        (project / "conf" / group).mkdir(parents=True)
        for path in (REPOSITORY / "conf" / group).glob("*.yaml"):
            (project / "conf" / group / path.name).symlink_to(path)
    return project


@pytest.fixture
def init(own, monkeypatch, capsys):
    """Run the command without composing; gives what `Ran` has."""

    def run(*arguments):
        overrides = []
        monkeypatch.setattr("stages.init.network_init.compose_into", lambda given, *_, **__: overrides.extend(given))
        monkeypatch.setattr("sys.argv", ["init", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        read = capsys.readouterr()
        return SimpleNamespace(code=ended.value.code, out=read.out, err=read.err, overrides=overrides)

    return run


def written(group, name):
    return yaml.safe_load(Path(f"conf/{group}/{name}.yaml").read_text())


def test_a_network_and_pictures_become_files_of_conf(init):
    ran = init("tiny.onnx", "calibration", "--soc", "T41", "--name", "mine")
    assert ran.code == 0, ran.err
    assert ran.overrides == ["soc=t41", "model=mine", "data=mine"]
    model, data = written("model", "mine"), written("data", "mine")
    assert (model["name"], model["source"], data["calibration"]["source"]) == (
        "mine",
        "file:tiny.onnx",
        "file:calibration",
    )
    assert (model["inputs"][0]["name"], model["inputs"][0]["shape"]) == ("images", [1, 3, 16, 16])
    assert (data["evaluation"]["task"], data["evaluation"]["labels"]) == ("none", None)
    assert data["calibration"]["part"] == [0.0, data["debug"]["part"][0]]
    assert ran.out.splitlines()[-1] == "next:    dvc repro"
    assert "color (the training code tells, or labels of 8 pictures); " in " ".join(ran.out.split())
    text = Path("conf/model/mine.yaml").read_text()
    assert "# mean, normal (" in text
    assert "# color (low): nothing tells it; the usual one" in " ".join(text.split())
    assert (
        "Split: 6 calibrate, 4 debug, 6 evaluate; by the hash of their names" in Path("conf/data/mine.yaml").read_text()
    )


@pytest.mark.parametrize(
    ("head", "classes", "labels", "told"),
    [
        ("yolo", 80, None, "the training code tells; so do the boxes in out/compare/report.html"),
        (None, 10, None, "the training code tells, or labels of 8 pictures"),
        (None, 10, "folders", "the training code tells"),
        (None, None, None, "the training code tells"),
    ],
)
def test_what_tells_mean_normal_and_colour(capsys, head, classes, labels, told):
    sets = SimpleNamespace(file=SimpleNamespace(labels=labels))
    tells = what_tells(SimpleNamespace(head=head, classes=classes), sets)
    assert tells == told
    guesses = [Guess(key, "", "", Sure.low) for key in ("mean, normal", "color", "split")]
    show_next(["net.onnx"], [Path("a.yaml")], composed=True, guesses=guesses, tells=tells)
    said = " ".join(capsys.readouterr().out.split())
    assert f"look at: mean, normal; color ({told}); split; after a change: python -m stages.compose --keep" in said
    show_next(["net.onnx"], [Path("a.yaml")], composed=True, guesses=guesses[2:], tells=tells)
    assert "look at: split; after" in " ".join(capsys.readouterr().out.split())


def test_a_file_named_as_a_model_of_the_project_gets_another_name(init):
    Path("conf/model").mkdir(exist_ok=True)
    Path("conf/model/tiny.yaml").write_text("# another\nname: tiny\n")
    ran = init("tiny.onnx", "calibration")
    assert ran.code == 0, ran.err
    assert ran.out.startswith("conf/model has a tiny already, which is another model: yours is named my_tiny\n")
    assert ran.overrides == ["model=my_tiny", "data=my_tiny"]
    assert Path("conf/model/tiny.yaml").read_text().startswith("# another")
    assert "conf/model/my_tiny.yaml is there" in init("tiny.onnx", "calibration").err


def test_the_same_call_writes_the_same_bytes(init):
    texts = []
    for _ in range(2):
        assert init("tiny.onnx", "calibration", "--force").code == 0
        texts.append([Path(f"conf/{group}/tiny.yaml").read_bytes() for group in ("model", "data")])
    assert texts[0] == texts[1]


def test_metadata_and_folders_of_classes(own, init):
    model = tiny_classifier(batch="N")
    onnx.helper.set_model_props(model, METADATA)
    onnx.save(model, "noted.onnx")
    write_pictures(own / "evaluation/ant", 4, seed=20)
    assert init("noted.onnx", "evaluation").code == 0
    content, data = written("model", "noted"), written("data", "noted")
    expected = {"name": "images", "shape": [1, 3, 16, 16], "mean": [0], "normal": [255], "color": "RGB"}
    assert content["inputs"] == [expected]
    assert content["preprocess"] == {"fit": "crop", "shorter_side": 16}
    assert (data["evaluation"]["task"], data["evaluation"]["labels"]) == ("classification", "folders")


def test_arrays_are_fed_as_they_are(own, init):
    onnx.save(vector_network(), "vector.onnx")
    (own / "arrays").mkdir()
    rng = np.random.default_rng(0)
    size = vector_network().graph.input[0].type.tensor_type.shape.dim[1].dim_value
    for index in range(3):
        np.save(own / "arrays" / f"{index}.npy", rng.normal(size=(1, size)).astype(np.float32))
    ran = init("vector.onnx", "arrays")
    assert ran.code == 0, ran.err
    assert written("model", "vector")["inputs"][0].keys() == {"name", "shape"}
    assert written("data", "vector")["calibration"]["part"] is None
    text = Path("conf/data/vector.yaml").read_text().replace("#", "")
    assert "the same 3 samples in all sets" in " ".join(text.split())


def test_arrays_of_another_shape_are_refused_at_once(own, init):
    (own / "arrays").mkdir()
    np.save(own / "arrays/a.npy", np.zeros((16, 3, 16), np.float32))
    ran = init("tiny.onnx", "arrays")
    assert ran.code == 2
    assert ran.err == "error: the samples: a.npy has shape [16, 3, 16]; input 'images' takes [16, 16, 3] (NHWC)\n"
    assert not Path("conf/model").exists()


def test_arrays_in_the_layout_of_the_networks_input_are_taken_as_they_are(own, init):
    (own / "arrays").mkdir()
    for index in range(3):
        np.save(own / "arrays" / f"{index}.npy", np.full((3, 16, 16), index, np.float32))
    ran = init("tiny.onnx", "arrays")
    assert ran.code == 0, ran.err
    data = written("data", "tiny")
    assert [data[key]["preprocessed"] for key in ("calibration", "debug", "evaluation")] == [True] * 3


def test_arrays_that_do_not_fit_are_refused_at_once(own, init):
    (own / "arrays").mkdir()
    np.save(own / "arrays/0.npy", np.zeros((3, 16, 16), np.uint8))
    ran = init("tiny.onnx", "arrays")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "0.npy has shape [3, 16, 16]; input 'images' takes [16, 16, 3] (NHWC): save it with the channels" in ran.err
    onnx.save(vector_network(), "vector.onnx")
    write_pictures(own / "only", 2)
    assert "only: no samples there; none of the 2 files can be read; input" in init("vector.onnx", "only").err


def test_several_inputs_have_a_line_each(own, init):
    onnx.save(two_cameras(), "two.onnx")
    for index in range(2):
        for name, width, height in (("wide", 20, 12), ("near", 8, 8)):
            folder = own / "pairs" / str(index)
            folder.mkdir(parents=True, exist_ok=True)
            np.save(folder / f"{name}.npy", np.zeros((height, width, 3), np.uint8))
    assert init("two.onnx", "pairs").code == 0
    assert [one["name"] for one in written("model", "two")["inputs"]] == ["wide", "near"]


def test_a_picture_beside_a_state_is_guessed_without_trial(own, init):
    onnx.save(picture_and_state(), "both.onnx")
    for index in range(2):
        write_pictures(own / "pairs" / str(index), 1)[0].rename(own / "pairs" / str(index) / "image.png")
        np.save(own / "pairs" / str(index) / "state.npy", np.zeros((1, 6), np.float32))
    ran = init("both.onnx", "pairs")
    assert ran.code == 0, ran.err
    image, state = written("model", "both")["inputs"]
    assert (image["name"], image["color"], image["normal"]) == ("image", "RGB", [58.395, 57.12, 57.375])
    assert state.keys() == {"name", "shape"}


def test_the_pictures_may_come_after_the_options(init):
    ran = init("tiny.onnx", "--soc", "t41", "calibration")
    assert (ran.code, ran.overrides) == (0, ["soc=t41", "model=tiny", "data=tiny"])


def test_a_file_of_a_network_is_no_config(own, init):
    """Also one that cannot be read: the message is the network's."""
    (own / "net").mkdir()
    (own / "net/half.caffemodel").write_bytes(bytes(range(256)))
    ran = init("net/half.caffemodel", "calibration")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "a network of Caffe is one .prototxt and one .caffemodel file (given: half.caffemodel)" in ran.err


def test_weights_beside_the_file_are_taken_too(own, init):
    """Not from the project's own folder, which DVC could not watch."""
    model = onnx.load("tiny.onnx")
    for folder in (own / "net", own):
        folder.mkdir(exist_ok=True)
        onnx.save(model, folder / "big.onnx", save_as_external_data=True, location="big.onnx.data", size_threshold=0)
    ran = init("net/big.onnx", "calibration")
    assert ran.code == 0, ran.err
    assert written("model", "big")["source"] == "file:net/{big.onnx,big.onnx.data}"
    ran = init("big.onnx", "calibration", "--force")
    assert ran.err == (
        "error: the network is big.onnx, big.onnx.data: move these into a folder of their own and give that folder\n"
    )


def test_where_the_network_ends_may_be_said(init):
    ran = init("tiny.onnx", "calibration", "model.outputs=[flatten]", "--name", "cut")
    assert ran.code == 0, ran.err
    assert written("model", "cut")["outputs"] == ["flatten"]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        (
            "model.fp32_diff=1",
            "error: model.fp32_diff=1: init takes model.torch.KEY=VALUE, model.constants.INPUT=VALUE and "
            "model.outputs=[NAME]; edit",
        ),
        ("model.torch.callabel=a:b", "error: model.torch.callabel=a:b: Key 'callabel' "),
    ],
)
def test_other_keys_are_refused(init, word, said):
    ran = init("tiny.onnx", "calibration", word)
    assert (ran.code, ran.err.count("\n"), ran.err.startswith(said)) == (2, 1, True), ran.err


def test_without_pictures_the_model_alone_is_written(init):
    ran = init("tiny.onnx")
    assert (ran.code, ran.overrides) == (0, [])
    assert Path("conf/model/tiny.yaml").is_file()
    assert not Path("conf/data").exists()
    assert ran.out.splitlines()[-1] == "next:    python -m stages.init tiny.onnx PICTURES --force"
    ran = init("tiny.onnx", "--shape", "images=1,3,16,16", "model.outputs=[flatten]", "--force")
    again = "tiny.onnx PICTURES 'model.outputs=[flatten]' --shape images=1,3,16,16 --force"
    assert " ".join(ran.out.split()).endswith(f"next: python -m stages.init {again}")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tiny.onnx", "calibration", "--soc", "t4"], "--soc t4: conf/soc has no such file; did you mean 't4"),
        (["tiny.onnx", "absent"], "absent: does not exist; give a folder of pictures"),
        (["tiny.onnx", "params.yaml"], "params.yaml: is a file; give a folder of pictures"),
        (["tiny.onnx", "conf/soc"], "conf/soc holds no pictures and no arrays"),
        (["tiny.onnx", "calibration", "more"], "more: a network takes one folder of samples; put them all into cal"),
        (["calibration", "tiny.onnx"], "the network comes first: python -m stages.init tiny.onnx calibration"),
        (["tiny.onnx", "tiny.onnx", "calibration"], "tiny.onnx: a second network; of one in several files give any"),
        (["tiny.{onnx,data}", "calibration"], "the network: source 'file:tiny.{onnx,data}': the project's own folder"),
        (["tiny.onnx", "--yes"], "--yes needs samples"),
        (["tiny.onnx", "calibration", "--yes"], "--yes runs dvc repro, and "),
        (["tiny.onnx", "--shape", "images=1,x"], "--shape images=1,x: give NAME=N,C,H,W with positive sizes"),
        (["tiny.onnx", "--shape", "imags=1,3,8,8"], "--shape imags=...: the network has no such input or tensor; did"),
        (["tiny.onnx", "--shape", "images=1,1,16,16"], "input 'images' has shape [1,3,16,16] in the network, which"),
        (["tiny.onnx", "calibration", "--model", "a.onnx"], "--model a.onnx: is for a vendor's config"),
        (["absent.onnx"], "absent.onnx does not exist"),
        ([], "nothing is given: python -m stages.init NETWORK PICTURES"),
    ],
)
def test_mistakes_are_one_line(init, arguments, said):
    ran = init(*arguments)
    assert ran.code == 2
    assert ran.err.startswith(f"error: {said}")
    assert ran.err.count("\n") == 1
    assert not Path("conf/model").exists()


def test_what_is_there_is_not_replaced_without_force(init):
    assert init("tiny.onnx").code == 0
    before = Path("conf/model/tiny.yaml").read_bytes()
    ran = init("tiny.onnx", "calibration")
    assert (ran.code, Path("conf/model/tiny.yaml").read_bytes()) == (2, before)
    assert "conf/model/tiny.yaml is there: --force replaces it, --name gives another name" in ran.err
    assert init("tiny.onnx", "calibration", "--force").code == 0


def test_what_does_not_compose_leaves_all_as_it_was(init, monkeypatch):
    assert init("tiny.onnx").code == 0
    before = Path("conf/model/tiny.yaml").read_bytes()

    def refuse(*_, **__):
        raise UserError("refused")

    monkeypatch.setattr("stages.init.network_init.compose_into", refuse)
    monkeypatch.setattr("sys.argv", ["init", "tiny.onnx", "calibration", "--force"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert Path("conf/model/tiny.yaml").read_bytes() == before
    assert not Path("conf/data/tiny.yaml").exists()


def test_yes_runs_the_experiment(init, monkeypatch):
    calls = []

    def run(words, check):
        calls.append(words)
        return SimpleNamespace(returncode=7)

    monkeypatch.setattr("stages.init.__main__.subprocess.run", run)
    Path("dvc.yaml").touch()
    assert init("tiny.onnx", "calibration", "--yes").code == 7
    assert [words[1:] for words in calls] == [["-m", "dvc", "repro"]]


@pytest.mark.slow
def test_a_detector_with_labels(own, init):
    onnx.save(yolox(), "net.onnx")
    write_pictures(own / "set/images", 10, size=48)
    (own / "set/labels").mkdir()
    for index in range(10):
        (own / f"set/labels/{index:03d}.txt").write_text("1 0.5 0.5 0.4 0.4\n")
    ran = init("net.onnx", "set")
    assert ran.code == 0, ran.err
    model, data = written("model", "net"), written("data", "net")
    assert (model["preprocess"], model["detector"]["nms_threshold"]) == (
        {"fit": "letterbox", "anchor": "top_left", "pad": 114},
        0.65,
    )
    assert (data["evaluation"]["task"], data["evaluation"]["labels"]) == ("detection", "file:set/labels")
    assert "# head: YOLOX-like" in Path("conf/model/net.yaml").read_text()


@pytest.mark.slow
def test_what_is_written_composes_and_exports(project, command):
    (project / "conf").unlink()
    copy_conf(project)
    done = command("init", "tiny.onnx", "calibration", "--soc", "t41")
    assert done.returncode == 0, done.stderr
    config = load_params(Path("params.yaml"))
    assert (config.soc.name, config.model.name, config.data.name) == ("T41", "tiny", "tiny")
    assert command("export").returncode == 0
    assert command("calibset").returncode == 0
    done = command("compose", "--keep", "--check")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_template_composes_when_filled_in(project, command):
    (project / "conf").unlink()
    copy_conf(project)
    assert command("init", "--template").returncode == 0
    for group, filled in (("model", "file:tiny.onnx"), ("data", "file:calibration")):
        path = Path(f"conf/{group}/my.yaml")
        path.write_text(path.read_text().replace("???", filled))
    done = command("compose", "model=my", "data=my")
    assert done.returncode == 0, done.stderr
    config = load_params(Path("params.yaml"))
    assert (config.model.name, config.data.evaluation.source) == ("my", "file:calibration")


@pytest.mark.slow
def test_a_class_that_builds_a_module_is_a_network_too(project, command):
    (project / "conf").unlink()
    copy_conf(project)
    Path("net.py").write_text(
        "from torch import nn\n\n"
        "class Net(nn.Sequential):\n"
        "    def __init__(self):\n"
        "        super().__init__(nn.Conv2d(3, 4, 5, 4), nn.Flatten(), nn.Linear(4 * 6 * 6, 3))\n"
    )
    done = command("init", "net.py:Net", "calibration", "--soc", "t41")
    assert done.returncode == 0, done.stderr
    config = load_params(Path("params.yaml"))
    assert (config.model.name, config.model.source, config.model.torch.callable) == ("Net", None, "net:Net")
    assert config.model.inputs[0].shape == [1, 3, 28, 28]
    assert command("export").returncode == 0


def test_a_network_is_no_config_of_a_vendor(init):
    ran = init("--from", "tiny.onnx")
    assert ran.code == 2
    assert ran.err.strip().endswith(
        "--from tiny.onnx: is a network, no config of a vendor's: python -m stages.init tiny.onnx PICTURES"
    )


def test_a_network_that_takes_arrays_says_what_samples_are(init):
    onnx.save(vector_network(), "vector.onnx")
    ran = init("vector.onnx")
    assert ran.code == 0, ran.err
    *_, samples, line = ran.out.splitlines()
    assert line == "next:    python -m stages.init vector.onnx SAMPLES --force"
    assert samples == "samples: a .npy each, [1, 10]"
