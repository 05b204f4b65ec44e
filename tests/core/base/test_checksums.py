import hashlib
import json
import os
import sys
from pathlib import Path

import pytest

from stages.core.base.artifacts import as_rows, read_artifact, read_json, stage_output, write_json
from stages.core.base.checksums import CHECKSUMS_FILE, checked_file, damaged, read_bytes
from stages.core.base.errors import DamagedError, UserError

AGAIN = "run `dvc repro --force --single-item export`"


@pytest.fixture(autouse=True)
def exported(tmp_path, monkeypatch):
    """The current folder has what a stage wrote: a file, and one in a folder."""
    monkeypatch.chdir(tmp_path)
    with stage_output(Path("out/export")) as folder:
        (folder / "a.bin").write_bytes(b"whole")
        write_json(folder / "set/index.json", [{"name": "x"}])


def md5(content):
    return hashlib.md5(content).hexdigest()


def refusal(read):
    with pytest.raises(DamagedError) as caught:
        read()
    return str(caught.value)


def test_a_stage_lists_its_files():
    content = json.loads(Path("out/export", CHECKSUMS_FILE).read_text())
    assert content["version"] == 1
    assert content["files"] == {
        "a.bin": md5(b"whole"),
        "set/index.json": md5(Path("out/export/set/index.json").read_bytes()),
    }


def test_whole_files_are_read():
    assert read_bytes(Path("out/export/a.bin")) == b"whole"
    assert checked_file(Path("out/export/a.bin")) == Path("out/export/a.bin")
    assert read_json(Path("out/export/set/index.json")) == [{"name": "x"}]


@pytest.mark.parametrize("content", [b"", b"whol", b"whale", b"whole!"])
@pytest.mark.parametrize("read", [read_bytes, checked_file])
def test_other_bytes_are_damage(read, content):
    Path("out/export/a.bin").write_bytes(content)
    assert refusal(lambda: read(Path("out/export/a.bin"))) == f"out/export/a.bin is damaged: {AGAIN}"


def test_a_file_that_changes_between_two_looks_is_looked_at_again():
    checked_file(Path("out/export/a.bin"))
    Path("out/export/a.bin").write_bytes(b"whale")
    os.utime("out/export/a.bin", (1, 1))
    assert "is damaged" in refusal(lambda: checked_file(Path("out/export/a.bin")))


def test_valid_json_with_another_value_is_damage():
    path = Path("out/export/set/index.json")
    path.write_text(path.read_text().replace("x", "y"))
    assert refusal(lambda: read_json(path)) == f"{path} is damaged: {AGAIN}"


def test_what_no_stage_listed_is_read_as_it_is():
    Path("out/export/notes.txt").write_bytes(b"mine")
    assert read_bytes(Path("out/export/notes.txt")) == b"mine"
    Path("out/export", CHECKSUMS_FILE).unlink()
    Path("out/export/a.bin").write_bytes(b"other")
    assert read_bytes(Path("out/export/a.bin")) == b"other"


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", "null", '{"version": 1, "files": [], "md5": 1}', '{"version": "1"}']
)
def test_a_damaged_list_is_said_to_be(content):
    Path("out/export", CHECKSUMS_FILE).write_text(content)
    said = refusal(lambda: read_bytes(Path("out/export/a.bin")))
    assert said.startswith("out/export/checksums.json is damaged (")
    assert said.endswith(f"): {AGAIN}")


def test_a_checksum_that_lost_a_bit_does_not_accuse_its_file():
    path = Path("out/export", CHECKSUMS_FILE)
    path.write_text(path.read_text().replace(md5(b"whole"), md5(b"other")))
    said = refusal(lambda: read_bytes(Path("out/export/a.bin")))
    assert said == f"out/export/checksums.json is damaged (its own checksum differs): {AGAIN}"


def test_artifacts_of_another_release_are_not_read():
    path = Path("out/export", CHECKSUMS_FILE)
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(UserError, match=f"has version 2, not 1: another release wrote it: {AGAIN}"):
        read_bytes(Path("out/export/a.bin"))


@pytest.mark.parametrize("content", ["{}", "[1]", "[{}]", "[null]", '"x"'])
def test_other_forms_are_damage_where_nothing_is_listed(content):
    Path("out/export", CHECKSUMS_FILE).unlink()
    path = Path("out/export/set/index.json")
    path.write_text(content)
    said = refusal(lambda: read_artifact(path, lambda rows: as_rows(rows, "name")))
    assert said.startswith(f"{path} is damaged (")


def test_elsewhere_the_file_is_to_be_deleted():
    assert str(damaged(Path("sweeps/a/point.json"), "why")) == (
        "sweeps/a/point.json is damaged (why): delete it and run the command again"
    )


class TestCache:
    """DVC's cache has files by their MD5, and a folder as a list of its files."""

    @pytest.fixture(autouse=True)
    def cache(self, exported):
        folder = ".dvc/cache/files/md5"
        listed = json.dumps([{"md5": md5(b"inside"), "relpath": "calibration/0.npy"}]).encode()
        for content, suffix in ((b"whole", ""), (b"inside", ""), (listed, ".dir")):
            name = md5(content)
            path = Path(folder, name[:2], name[2:] + suffix)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        outs = [
            {"path": "out/export/a.bin", "md5": md5(b"whole")},
            {"path": "out/calibset", "md5": md5(listed) + ".dir"},
        ]
        Path("dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": {"any": {"outs": outs}}}))

    @staticmethod
    def cached(content):
        return Path(".dvc/cache/files/md5", md5(content)[:2], md5(content)[2:])

    @pytest.mark.parametrize(
        ("path", "content"), [("out/export/a.bin", b"whole"), ("out/calibset/calibration/0.npy", b"inside")]
    )
    @pytest.mark.parametrize("lost", [b"", b"w"])
    def test_a_damaged_copy_is_named(self, path, content, lost):
        copy = self.cached(content)
        copy.write_bytes(lost)
        stage = path.split("/")[1]
        assert str(damaged(Path(path))) == (
            f"{path} is damaged, and so is DVC's copy of it: delete {copy}, "
            f"then run `dvc repro --force --single-item {stage}`"
        )

    def test_a_whole_copy_is_not(self):
        assert str(damaged(Path("out/export/a.bin"))) == f"out/export/a.bin is damaged: {AGAIN}"

    def test_the_cache_may_lie_elsewhere(self, tmp_path):
        Path(".dvc/config.local").write_text(
            f"['remote \"x\"']\n    url = a%20b\n[cache]\n    dir = {tmp_path / 'far'}\n"
        )
        Path(".dvc/cache").rename("far")
        copy = Path("far") / self.cached(b"whole").relative_to(".dvc/cache")
        copy.write_bytes(b"lost")
        assert f"delete {copy}, then" in str(damaged(Path("out/export/a.bin")))

    @pytest.mark.parametrize("lock", ["", "[]", "{", "stages: {x: {outs: [1]}}", "stages: 1"])
    def test_a_lock_file_that_says_nothing(self, lock):
        self.cached(b"whole").write_bytes(b"lost")
        Path("dvc.lock").write_text(lock)
        assert str(damaged(Path("out/export/a.bin"))) == f"out/export/a.bin is damaged: {AGAIN}"


def test_deep_nesting_is_damage():
    Path("out/export", CHECKSUMS_FILE).unlink()
    path = Path("out/export/set/index.json")
    path.write_text("[" * (sys.getrecursionlimit() * 100))
    assert "is damaged (it is not JSON)" in refusal(lambda: read_json(path))
