"""Pipes, devices and folders that cannot be read, among a user's files."""

import os
import socket
from pathlib import Path

import pytest

from stages.core.base.checksums import read_bytes
from stages.core.base.errors import UserError
from stages.core.base.sources import MOST_FILE_BYTES, files_below, open_source
from tests.conftest import Run, project_overrides, run_here
from tests.test_bad_inputs import refused

SPECIAL = "is a pipe, a socket or a device, or a link to one: only regular files are read"


def pipe(path: Path) -> None:
    os.mkfifo(path)


def link_to_a_pipe(path: Path) -> None:
    os.mkfifo("pipe")
    path.symlink_to(Path("pipe").absolute())


def link_to_zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))  # an absolute one may be too long


MAKERS = [pipe, link_to_a_pipe, link_to_zeros, listening]


@pytest.mark.slow
@pytest.mark.parametrize("make", MAKERS)
def test_among_the_pictures(calibrated, make) -> None:
    make(Path("calibration/x.png"))
    refused(run_here("-m", "stages.compose", *project_overrides()), "calibration/x.png", SPECIAL)
    refused(run_here("-m", "stages.calibset"), "calibration/x.png", SPECIAL)


@pytest.mark.parametrize("make", MAKERS)
def test_in_the_place_of_a_file(tmp_path, monkeypatch, make) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a").mkdir()
    make(Path("a/net.onnx"))
    (file,) = open_source("file:a/net.onnx", "model.source")
    with pytest.raises(UserError, match=SPECIAL):
        file.read()


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("name", ["a.json", "checksums.json"])
def test_in_the_place_of_an_artifact(tmp_path, monkeypatch, make, name) -> None:
    monkeypatch.chdir(tmp_path)
    Path("out/export").mkdir(parents=True)
    if name != "a.json":
        Path("out/export/a.json").write_text("{}")
    make(Path("out/export", name))
    with pytest.raises(UserError, match=rf"^out/export/{name} is damaged \(it is no regular file\): run `dvc repro"):
        read_bytes(Path("out/export/a.json"))


def test_a_file_of_gigabytes_is_not_read(tmp_path) -> None:
    with (tmp_path / "net.onnx").open("wb") as file:
        file.truncate(MOST_FILE_BYTES + 1)
    (opened,) = open_source(f"file:{tmp_path / 'net.onnx'}")
    with pytest.raises(UserError, match=r"net\.onnx is larger than 2 GB: it is no network or sample"):
        opened.read()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_a_folder_that_cannot_be_read_is_said(project, command: Run) -> None:
    Path("calibration/locked").mkdir(mode=0)
    refused(command("calibset"), "calibration/locked cannot be read: Permission denied")


def test_a_folder_that_is_gone_meanwhile_is_said(tmp_path) -> None:
    with pytest.raises(UserError, match="gone cannot be read: No such file"):
        list(files_below(tmp_path / "gone"))


def test_broken_links_and_hidden_files(tmp_path) -> None:
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    (tmp_path / ".hidden").touch()
    (tmp_path / ".folder").mkdir()
    (tmp_path / ".folder/inside").touch()
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain/inside").touch()
    assert sorted(path.name for path in files_below(tmp_path)) == ["broken", "inside"]


@pytest.mark.slow
def test_overrides_may_stand_on_both_sides_of_keep(project) -> None:
    result = run_here("-m", "stages.compose", "quant.feature_bits=10", "--keep", "quant.weight_bits=4")
    assert result.returncode == 0, result.stderr
    first = Path("params.yaml").read_text().splitlines()[0]
    assert first.endswith("quant.feature_bits=10 quant.weight_bits=4")
