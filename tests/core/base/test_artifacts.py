import errno
import json
import math
import os
import tempfile
from pathlib import Path

import onnx
import pytest

from stages.core.base.artifacts import (
    check_targets,
    discard,
    finite_or_none,
    output_folder,
    read_json,
    remove_leftovers,
    save_model,
    scratch_folder,
    write_json,
    write_text,
)
from stages.core.base.checksums import missing
from stages.core.base.errors import UserError
from tests.networks import tiny_classifier


def test_a_finished_folder_takes_the_place_of_the_old_one(tmp_path):
    final = tmp_path / "out" / "stage"
    final.mkdir(parents=True)
    (final / "old").write_text("old")
    with output_folder(final) as folder:
        (folder / "new").write_text("new")
    assert [path.name for path in final.iterdir()] == ["new"]
    assert [path.name for path in final.parent.iterdir()] == ["stage"]
    assert final.stat().st_mode & 0o777 == 0o755


def test_leftovers_are_told_by_the_beginning_of_their_names(tmp_path):
    for name in (".trial-a/deep", ".trial-b", "trial-c", ".trials"):
        (tmp_path / name).mkdir(parents=True)
    remove_leftovers(tmp_path, ".trial-")
    assert {path.name for path in tmp_path.iterdir()} == {"trial-c", ".trials"}
    remove_leftovers(tmp_path / "none", ".trial-")


def test_a_scratch_folder_in_use_is_no_leftover(tmp_path):
    with scratch_folder(tmp_path, ".trial-") as first, scratch_folder(tmp_path, ".trial-") as second:
        remove_leftovers(tmp_path, ".trial-")
        assert first.is_dir()
        assert second.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_of_two_commands_at_once_the_last_one_s_folder_stays_and_is_whole(tmp_path):
    final = tmp_path / "stage"
    with output_folder(final) as first:
        (first / "a").write_text("first")
        with output_folder(final) as second:
            (second / "a").write_text("second")
        (first / "b").write_text("first")
    assert {path.name: path.read_text() for path in final.iterdir()} == {"a": "first", "b": "first"}


def make(final):
    with output_folder(final):
        raise AssertionError


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda out: (out.mkdir(), (out / "stage").symlink_to(out)), "out/stage is a link: remove it"),
        (lambda out: out.write_text(""), "out/stage cannot be written: out is no folder"),
        (lambda out: out.symlink_to("nowhere"), "out/stage cannot be written: out is no folder"),
        (lambda out: out.symlink_to(out), "out/stage cannot be written: out is no folder"),
    ],
)
def test_what_is_in_the_way_of_a_folder_is_named(tmp_path, monkeypatch, made, message):
    monkeypatch.chdir(tmp_path)
    made(Path("out"))
    with pytest.raises(UserError, match=message):
        make(Path("out/stage"))


def test_a_disk_that_is_full_while_a_folder_is_filled_is_said_of_the_folder(tmp_path):
    def fill():
        with output_folder(tmp_path / "stage"):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(UserError, match="stage, or a temporary file, cannot be written: No space left on device"):
        fill()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_folder_and_no_other(tmp_path, failure):
    final = tmp_path / "stage"
    final.mkdir()
    (final / "old").write_text("old")

    def work():
        with output_folder(final) as folder:
            (folder / "half").write_text("half")
            raise failure

    with pytest.raises(failure):
        work()
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == ["stage", "stage/old"]
    assert (final / "old").read_text() == "old"


def test_text_is_replaced_and_no_temporary_file_stays(tmp_path):
    path = tmp_path / "deep" / "file.txt"
    write_text(path, "one\n")
    write_text(path, "zwei ü\n")
    assert path.read_bytes() == "zwei ü\n".encode()
    assert list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_folder_is_not_replaced_by_text(tmp_path):
    with pytest.raises(UserError, match="is a folder: name a file"):
        write_text(tmp_path, "text")
    assert not list(tmp_path.parent.glob(f".{tmp_path.name}-*"))


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("text")
    for write in (check_targets, lambda path: write_text(path, "text")):
        with pytest.raises(UserError, match=r"a/b\.json: .*file is a file, not a folder"):
            write(tmp_path / "file" / "a" / "b.json")
    check_targets(tmp_path / "file", tmp_path / "new" / "a.json", None)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="only Linux has a device that is always full")
def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("old")
    opened = os.fdopen

    def onto_a_full_disk(handle, *arguments, **words):
        os.dup2(full, handle)
        return opened(handle, *arguments, **words)

    full = os.open("/dev/full", os.O_WRONLY)
    monkeypatch.setattr(os, "fdopen", onto_a_full_disk)
    with pytest.raises(UserError, match=r"a\.txt cannot be written: .*No space left on device"):
        write_text(path, "new")
    assert (list(tmp_path.iterdir()), path.read_text()) == ([path], "old")
    os.close(full)


def test_a_pipe_is_written_to_and_stays_one(tmp_path):
    """As root a device in /dev was replaced by a file."""
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_text(tmp_path / "pipe", "a\n")
    assert os.read(reader, 10) == b"a\n"
    assert (tmp_path / "pipe").is_fifo()
    os.close(reader)


def test_a_pipe_that_nothing_reads_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="pipe is a pipe that nothing reads"):
        write_text(tmp_path / "pipe", "a\n")


def test_what_the_system_has_opened_is_written_to(tmp_path):
    with (tmp_path / "a.txt").open("w+") as file:
        write_text(Path(f"/proc/self/fd/{file.fileno()}"), "a\n")
        assert file.read() == "a\n"


def test_a_folder_that_cannot_be_made_is_the_users_mistake(tmp_path, monkeypatch):
    def refused(**_):
        raise OSError(errno.EROFS, "Read-only file system", "out/.compare-x")

    monkeypatch.setattr(tempfile, "mkdtemp", refused)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught, output_folder(Path("out/compare")):
        raise AssertionError
    assert str(caught.value) == "out/compare cannot be written: Read-only file system"


def test_text_that_cannot_be_encoded_leaves_no_file(tmp_path):
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "a.txt", "\ud800")
    assert list(tmp_path.iterdir()) == []


def test_json_keeps_order_and_exact_floats(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"b": 0.1, "a": ["ü", 1e-45]})
    text = path.read_text(encoding="utf-8")
    assert text == '{\n "b": 0.1,\n "a": [\n  "ü",\n  1e-45\n ]\n}\n'
    assert json.loads(text) == read_json(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_json_refuses_what_is_no_number_and_keeps_the_old_file(tmp_path, value):
    path = tmp_path / "a.json"
    write_json(path, [1])
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"x": value})
    assert list(tmp_path.iterdir()) == [path]
    assert read_json(path) == [1]


def test_broken_json_is_named(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("{")
    with pytest.raises(UserError, match=r"a\.json is not JSON") as caught:
        read_json(path)
    assert "\n" not in str(caught.value)


def test_a_number_of_thousands_of_digits_is_no_json(tmp_path):
    (tmp_path / "a.json").write_text("1" * 6000)
    with pytest.raises(UserError, match=r"a\.json is not JSON"):
        read_json(tmp_path / "a.json")


def test_a_missing_artifact_names_its_stage(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        read_json(Path("out/export/inputs.json"))
    assert str(caught.value) == "out/export/inputs.json is missing: run `dvc repro export` first"


@pytest.mark.parametrize("path", ["elsewhere/file.json", "out/file.json", "out/autotune/autotune.json"])
def test_a_missing_file_of_no_stage_names_no_stage(path):
    assert str(missing(Path(path))) == f"{path} is missing"


def test_a_model_is_written_with_the_same_bytes_each_time(tmp_path):
    model = tiny_classifier()
    save_model(tmp_path / "a.onnx", model)
    save_model(tmp_path / "b.onnx", onnx.load(tmp_path / "a.onnx"))
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_what_is_discarded_is_gone(tmp_path):
    (tmp_path / "out" / "inner").mkdir(parents=True)
    discard(tmp_path / "out")
    discard(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_discarded_is_one_line(tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(UserError, match="out is no folder"):
        discard(tmp_path / "out")


def test_numbers_that_json_lacks_become_none():
    content = {"a": [1.5, math.inf, (-math.inf, 2)], "b": {"c": math.nan, "d": "nan", "e": None, "f": True}}
    assert finite_or_none(content) == {"a": [1.5, None, [None, 2]], "b": {"c": None, "d": "nan", "e": None, "f": True}}
