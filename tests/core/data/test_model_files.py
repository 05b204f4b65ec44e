import shlex

import pytest

from stages.core.base.errors import UserError
from stages.core.base.sources import SourceFile
from stages.core.data.model_files import IncompleteSourceError, SourceFormat, model_files, source_stem, with_format


def named(*names):
    return [SourceFile(name, bytes) for name in names]


@pytest.mark.parametrize(
    ("names", "kind", "main"),
    [
        (["net.onnx"], "onnx", "net.onnx"),
        (["net.PTH"], "checkpoint", "net.PTH"),
        (["a/deploy.prototxt", "a/net.caffemodel"], "caffe", "a/net.caffemodel"),
        (["README.md", "deploy.prototxt.txt", "net.caffemodel"], "caffe", "net.caffemodel"),
    ],
)
def test_the_format_is_known_by_the_names(names, kind, main):
    files = with_format(named(*names))
    assert (files.format, files.main.name, files.name) == (SourceFormat[kind], main, main)
    assert [file.name for file in files.others] == [name for name in names if name != main]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["net.jpg"], r"net\.jpg is no network that can be read \(\.onnx, "),
        (["a.onnx", "b.onnx"], r"matches 2 files \(a\.onnx, \.\.\.\): give those of one network"),
        ([], "matches 0 files: give those of one network"),
    ],
)
def test_what_is_no_network_is_refused(names, message):
    with pytest.raises(UserError, match=r"^model\.source:? .*" + message):
        with_format(named(*names))


@pytest.fixture
def folder(tmp_path):
    for name in ("a.prototxt", "net.caffemodel"):
        (tmp_path / name).touch()
    return tmp_path


def test_of_two_files_both_are_taken(folder):
    for source in (f"file:{folder}", f"file:{folder}/*", f"file:{folder}/{{a.prototxt,net.caffemodel}}"):
        files = model_files(source)
        assert files is not None
        assert (files.main.name, [file.name for file in files.others]) == ("net.caffemodel", ["a.prototxt"])


@pytest.mark.parametrize("given", ["a.prototxt", "net.caffemodel"])
def test_one_of_two_files_says_what_to_write(folder, given):
    with pytest.raises(IncompleteSourceError) as refused:
        model_files(f"file:{folder}/{given}")
    message = str(refused.value)
    assert f"(given: {given})" in message
    (override,) = shlex.split(message.rpartition("as in ")[2])
    assert override == f'model.source="file:{folder}/{{a.prototxt,net.caffemodel}}"'
    assert model_files(refused.value.whole) is not None


def test_where_several_fit_a_name_is_left_open(folder):
    (folder / "b.prototxt").touch()
    for source in (f"file:{folder}", f"file:{folder}/net.caffemodel"):
        with pytest.raises(IncompleteSourceError) as refused:
            model_files(source)
        assert f"file:{folder}/{{NAME.prototxt,net.caffemodel}}" in str(refused.value)
        assert refused.value.whole is None


def test_of_several_the_one_of_the_same_name_is_taken(folder):
    for name in ("net.prototxt", "other.prototxt"):
        (folder / name).touch()
    with pytest.raises(IncompleteSourceError) as refused:
        model_files(f"file:{folder}/net.caffemodel")
    assert refused.value.whole == f"file:{folder}/{{net.prototxt,net.caffemodel}}"


def test_in_the_projects_own_folder_the_files_have_to_move(folder, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises(IncompleteSourceError, match=r"move all of its files into a folder of their own"):
        model_files("file:net.caffemodel")


def test_the_advice_for_a_wheel_keeps_its_digest():
    with pytest.raises(
        UserError, match=r'model\.source="package:nets==1\.0/\{NAME\.prototxt,nets/net\.caffemodel\}#sha256=00"'
    ):
        with_format(named("nets/net.caffemodel"), "package:nets==1.0/nets/net.caffemodel#sha256=00")


@pytest.mark.parametrize(
    ("source", "stem"),
    [
        ("file:a/net.onnx", "net"),
        ("package:x==1/a/net.tflite#sha256=00", "net"),
        ("file:a/net.{prototxt,caffemodel}", "net"),
        ("file:a/net{-symbol.json,-0001.params}", "net"),
        ("file:a/{net.onnx,net.onnx.data}", "net"),
        ("file:folder", "folder"),
    ],
)
def test_a_short_name(source, stem):
    assert source_stem(source) == stem
