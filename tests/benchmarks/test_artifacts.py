import hashlib
from pathlib import Path

import pytest

from benchmarks.artifacts import _read_hashes, compare_hashes, copy_checkout, hash_files, report_differences
from stages.core.base.errors import UserError


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def hashes_of(folder: Path, **files: str) -> dict[str, str]:
    """Hashes of a folder with these files: stem and suffix joined by two underscores."""
    folder.mkdir()
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return dict(hash_files(folder))


def test_hashes_of_every_file_below_a_folder(tmp_path: Path) -> None:
    (tmp_path / "build/t40").mkdir(parents=True)
    (tmp_path / "model.onnx").write_bytes(b"network")
    (tmp_path / "build/t40/run.sh").write_bytes(b"echo 1")
    assert hash_files(tmp_path) == {"build/t40/run.sh": sha256(b"echo 1"), "model.onnx": sha256(b"network")}


def test_json_and_csv_have_a_hash_of_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"scale": 0.5, "node 7": [3, "8 bits"]}')
    (tmp_path / "b.csv").write_text("node,cosine\nconv1,0.25\n")
    hashes = hash_files(tmp_path)
    assert hashes["a.json"].partition(":")[2] == sha256(b"0.5\n3")
    assert hashes["b.csv"].partition(":")[2] == sha256(b"0.25")


def test_words_may_differ_and_numbers_may_not(tmp_path: Path) -> None:
    before = hashes_of(
        tmp_path / "before",
        a__json='{"x": 1}',
        b__json='{"x": 1}',
        c__sh="echo a",
        d__npz="1",
        e__npz="1",
        f__md="x",
        h__onnx="x",
    )
    after = hashes_of(
        tmp_path / "after", a__json='{"y": 1}', b__json='{"x": 2}', c__sh="echo b", d__npz="2", e__npz="1", g__md="x"
    )
    difference = compare_hashes(before, after)
    assert difference.equal == 1
    assert difference.text == ["a.json", "c.sh", "f.md", "g.md"]
    assert difference.numbers == ["b.json", "d.npz", "h.onnx"]


def test_hashes_without_those_of_numbers_compare_by_their_bytes(tmp_path: Path) -> None:
    after = hashes_of(tmp_path / "after", a__json='{"x": 1}', b__json='{"x": 2}')
    before = {"a.json": sha256(b'{"x": 1}'), "b.json": sha256(b'{"x": 1}')}
    difference = compare_hashes(before, after)
    assert (difference.equal, difference.text, difference.numbers) == (1, ["b.json"], [])


@pytest.mark.parametrize(
    ("file", "code", "prefix"),
    [("quantized.onnx", 1, "differs: t40: quantized.onnx"), ("run.sh", 0, "text: t40: run.sh")],
)
def test_the_exit_code_is_about_numbers(file: str, code: int, prefix: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert report_differences({"t40": {file: "a"}}, {"t40": {file: "b"}}) == code
    assert prefix in capsys.readouterr().err


def test_a_file_that_is_no_hashes(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("no")
    with pytest.raises(UserError, match="give a file that --json wrote"):
        _read_hashes(tmp_path / "bad.json")


def test_a_checkout_is_copied_as_it_is_in_the_working_tree(tmp_path: Path) -> None:
    import subprocess

    checkout = tmp_path / "checkout"
    (checkout / "stages").mkdir(parents=True)
    for name in ("tracked.txt", "deleted.txt", "stages/new.py", ".gitignore", "ignored.txt"):
        (checkout / name).write_text("ignored.txt\n" if name == ".gitignore" else name)
    subprocess.run(["git", "init", "--quiet"], cwd=checkout, check=True)
    subprocess.run(["git", "add", "tracked.txt", "deleted.txt"], cwd=checkout, check=True)
    (checkout / "deleted.txt").unlink()
    copy_checkout(checkout, tmp_path / "copy")
    copied = {str(path.relative_to(tmp_path / "copy")) for path in (tmp_path / "copy").rglob("*") if path.is_file()}
    assert copied == {"tracked.txt", "stages/new.py", ".gitignore"}
