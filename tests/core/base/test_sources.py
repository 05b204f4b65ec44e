import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from stages.core.base import sources
from stages.core.base.errors import UserError
from stages.core.base.sources import PINNED_PATH, Source, import_path, open_source, parse, watched_path

DIGEST = "0123456789abcdef" * 4


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("SOCQUANT_CACHE", str(folder))
    return folder


@pytest.fixture
def no_fetching(monkeypatch):
    def refuse(source, folder):
        raise AssertionError(f"fetched {source.location}")

    monkeypatch.setattr(sources, "_download", refuse)


def refused(text):
    with pytest.raises(UserError) as caught:
        open_source(text)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- the three forms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            f"package:scikit-image==0.26.0/skimage/data/{{a,b}}.png#sha256={DIGEST}",
            ("package", "scikit-image==0.26.0", "skimage/data/{a,b}.png", DIGEST),
        ),
        ("package:a_b.c==1.0+cpu/x", ("package", "a_b.c==1.0+cpu", "x", "")),
        (f"https://host/a/b.onnx#sha256={DIGEST}", ("https", "https://host/a/b.onnx", "", DIGEST)),
        ("https://host/b.onnx", ("https", "https://host/b.onnx", "", "")),
        ("file:../data/*.png", ("file", "../data/*.png", "", "")),
        ("file:/abs/model.onnx", ("file", "/abs/model.onnx", "", "")),
    ],
)
def test_a_source_is_parsed(text, expected):
    assert parse(text) == Source(text, *expected)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("model.onnx", "package:NAME==VERSION/path#sha256=..., file:PATH, or https://...#sha256=..."),
        ("http://host/a", "https://"),
        ("", "file:PATH"),
        ("package:name/path", "package:NAME==VERSION/path"),
        ("package:name>=1/path", "package:NAME==VERSION/path"),
        ("package:name==1", "package:NAME==VERSION/path"),
        ("package:name==1/", "package:NAME==VERSION/path"),
        ("https://host/a#sha256=12", "64 hexadecimal digits"),
        (f"https://host/a#md5={DIGEST}", "64 hexadecimal digits"),
        (f"https://host/a#sha256={DIGEST.upper()}", "64 hexadecimal digits"),
        (f"package:a==1/b#{DIGEST}", "64 hexadecimal digits"),
    ],
)
def test_another_form_is_refused_with_the_ones_there_are(text, hint):
    with pytest.raises(UserError) as caught:
        parse(text)
    assert repr(text) in str(caught.value)
    assert hint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_path_that_exists_is_offered_as_a_file_source(tmp_path):
    with pytest.raises(UserError, match=f"write file:{tmp_path}"):
        parse(str(tmp_path))


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (None, PINNED_PATH),
        ([], PINNED_PATH),
        ("folders", PINNED_PATH),
        (r"pattern:(\d+)", PINNED_PATH),
        (f"package:a==1/*.png#sha256={DIGEST}", PINNED_PATH),
        ([f"package:a==1/x#sha256={DIGEST}", f"https://a/b#sha256={DIGEST}"], PINNED_PATH),
        ("file:model.onnx", "model.onnx"),
        ("file:data/train", "data/train"),
        ("file:data/train/", "data/train"),
        ("file:/abs/labels.csv", "/abs/labels.csv"),
        ("file:data/*.png", "data"),
        ("file:data/**/x.png", "data"),
        ("file:data/{a,b}/x.png", "data"),
        ("file:data/a?/x.png", "data"),
        ("file:data/[ab]/x.png", "data"),
        ("file:*.png", "."),
        ("file:/abs/*/x.png", "/abs"),
        (["file:data"], "data"),
    ],
)
def test_what_dvc_has_to_watch(value, path):
    assert watched_path(value) == path


def test_a_source_below_the_users_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "bits.json").write_text("{}")
    assert watched_path("file:~/bits.json") == f"{tmp_path}/bits.json"
    assert watched_path("file:~old/bits.json") == "~old/bits.json"  # a name may begin so
    assert watched_path("file:~/data/*.png") == f"{tmp_path}/data"
    assert parse("file:~/bits.json") == Source("file:~/bits.json", "file", f"{tmp_path}/bits.json")
    assert [file.read() for file in open_source("file:~/*.json")] == [b"{}"]
    with pytest.raises(UserError, match=rf"{tmp_path}/none does not exist"):
        open_source("file:~/none")


def test_pinned_sources_are_watched_through_the_code_that_fetches_them():
    assert PINNED_PATH == "stages/core/base/sources.py"
    assert Path(sources.__file__).as_posix().endswith(PINNED_PATH)


# --- local files


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.png", "a.png", "sub/c.png", "sub/d.txt", ".hidden.png", ".git/e.png", "sub/.f.png"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


def names(text):
    return [file.name for file in open_source(text)]


def test_a_folder_is_listed_deep_and_sorted_without_hidden_files(tree):
    assert names("file:data") == ["a.png", "b.png", "sub/c.png", "sub/d.txt"]
    assert names(f"file:{tree}/data/") == names("file:data")


def test_a_folder_below_a_hidden_one_is_not_hidden(tree):
    assert names("file:data/.git") == ["e.png"]


def test_a_file_is_read_where_it_lies(tree):
    (file,) = open_source("file:data/sub/c.png")
    assert (file.name, file.read()) == ("c.png", b"sub/c.png")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("data/*.png", ["a.png", "b.png"]),
        ("data/**/*.png", ["a.png", "b.png", "sub/c.png"]),
        ("data/{a,sub/c}.png", ["a.png", "sub/c.png"]),
        ("data/[b-z].png", ["b.png"]),
        ("data/*/?.png", ["sub/c.png"]),
        ("./data/*.png", ["a.png", "b.png"]),
        ("data/*", ["a.png", "b.png"]),
    ],
)
def test_a_glob_is_listed_below_its_fixed_part(tree, pattern, expected):
    assert names(f"file:{pattern}") == expected
    assert [file.read() for file in open_source(f"file:{pattern}")] == [name.encode() for name in expected]


@pytest.mark.parametrize("pattern", ["*/sub/?.png", "*.png", "."])
def test_the_projects_own_folder_is_refused(tree, pattern):
    assert "the project's own folder" in refused(f"file:{pattern}")


def test_a_name_with_wildcards_that_exists_is_that_folder(tree):
    folder = Path("data/run[1]")
    folder.mkdir()
    (folder / "x.png").write_bytes(b"x")
    assert names(f"file:{folder}") == ["x.png"]
    assert watched_path(f"file:{folder}") == "data/run[1]"


def test_a_glob_that_matches_nothing_is_refused(tree):
    assert refused("file:data/*.jpg") == "source 'file:data/*.jpg': nothing matches"


def test_a_missing_path_comes_with_its_neighbours(tree):
    assert "data/a.pgn does not exist; did you mean 'data/a.png'" in refused("file:data/a.pgn")
    assert refused("file:nowhere/a.png").endswith("nowhere/a.png does not exist")


# --- wheels


def make_wheel(folder, *files):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "demo-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.mkdir("demo")
        for name in files:
            wheel.writestr(zipfile.ZipInfo(name), f"content of {name}")
    return path


@pytest.fixture
def wheel(cache, tmp_path, no_fetching):
    made = make_wheel(tmp_path, "demo/data/b.png", "demo/data/a.png", "demo/data/c.jpg", "demo/__init__.py")
    digest = hashlib.sha256(made.read_bytes()).hexdigest()
    (cache / digest).mkdir(parents=True)
    made.replace(cache / digest / made.name)
    return digest


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("demo/data/a.png", ["demo/data/a.png"]),
        ("demo/data/*.png", ["demo/data/a.png", "demo/data/b.png"]),
        ("demo/data/{c.jpg,b.png}", ["demo/data/b.png", "demo/data/c.jpg"]),
        ("demo/data/{a,b,zzz}.png", ["demo/data/a.png", "demo/data/b.png"]),
        ("demo/data/?.jpg", ["demo/data/c.jpg"]),
        ("demo/**/[ab].png", ["demo/data/a.png", "demo/data/b.png"]),
    ],
)
def test_a_kept_wheel_is_read_in_place(wheel, path, expected):
    found = open_source(f"package:demo==1/{path}#sha256={wheel}")
    assert [file.name for file in found] == expected
    assert [file.read().decode() for file in found] == [f"content of {name}" for name in expected]


def test_a_path_that_the_wheel_lacks_comes_with_those_it_has(wheel):
    message = refused(f"package:demo==1/demo/data/a.pgn#sha256={wheel}")
    assert "no file of demo==1 matches 'demo/data/a.pgn'; did you mean 'demo/data/a.png'" in message


def test_a_wheel_with_code_is_unpacked_once(wheel, cache):
    """Python does not import folders without __init__.py from the wheel itself."""
    source = f"package:demo==1/demo/*.py#sha256={wheel}"
    folder = Path(import_path(source))
    assert folder == cache / "unpacked" / wheel
    assert (folder / "demo/data/a.png").read_text() == "content of demo/data/a.png"
    (folder / "demo/data/b.png").unlink()
    assert import_path(source) == str(folder)
    assert not (folder / "demo/data/b.png").exists()
    assert [each.name for each in folder.parent.iterdir()] == [wheel]


def test_code_is_imported_from_a_folder_or_beside_a_file(tree):
    assert import_path("file:data") == "data"
    assert import_path("file:data/a.png") == "data"


@pytest.mark.parametrize("text", ["file:nowhere", f"https://host/a.py#sha256={DIGEST}"])
def test_code_comes_from_nowhere_else(tree, text):
    with pytest.raises(UserError, match=r"does not exist|code comes from package: or file:"):
        import_path(text)


# --- fetching


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def fetched(cache, monkeypatch):
    """What is asked of the network, which always gives b"network"."""
    asked = []

    def download(source, folder):
        asked.append(source.location)
        path = folder / "net.onnx"
        path.write_bytes(b"network")
        return path

    monkeypatch.setattr(sources, "_download", download)
    return asked


def test_a_file_is_fetched_once_and_kept_under_its_digest(cache, fetched):
    text = f"https://host/a/net.onnx#sha256={sha256(b'network')}"
    for _ in range(2):
        (file,) = open_source(text)
        assert (file.name, file.read()) == ("net.onnx", b"network")
    assert fetched == ["https://host/a/net.onnx"]
    kept = [path.relative_to(cache).as_posix() for path in sorted(cache.rglob("*"))]
    assert kept == [sha256(b"network"), f"{sha256(b'network')}/net.onnx"]


def test_a_kept_file_that_was_changed_is_fetched_again(cache, fetched, capsys):
    kept = cache / sha256(b"network") / "net.onnx"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"another one")
    (file,) = open_source(f"https://host/a/net.onnx#sha256={sha256(b'network')}")
    assert file.read() == kept.read_bytes() == b"network"
    assert "net.onnx is not what was kept there: fetched again" in " ".join(capsys.readouterr().err.split())


def test_another_digest_is_refused_and_nothing_is_kept(cache, fetched):
    message = refused(f"https://host/net.onnx#sha256={DIGEST}")
    assert sha256(b"network") in message
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("text", ["https://host/net.onnx", "package:demo==1/net.onnx"])
def test_an_unpinned_source_is_refused_with_its_digest(cache, fetched, text):
    assert refused(text) == f"source {text!r}: pin it by adding #sha256={sha256(b'network')}"
    assert list(cache.iterdir()) == []


def test_an_address_that_cannot_be_fetched_is_named(cache, monkeypatch):
    def retrieve(url, **options):
        raise OSError("no route\nto host")

    monkeypatch.setattr("pooch.retrieve", retrieve)
    text = f"https://host/a.onnx#sha256={DIGEST}"
    assert refused(text) == f"source {text!r}: cannot be fetched: no route to host"
    assert list(cache.iterdir()) == []


def pip(monkeypatch, code, stderr, *files):
    commands = []

    def run(command, **options):
        commands.append(command)
        (folder,) = [part.removeprefix("--dest=") for part in command if part.startswith("--dest=")]
        if files:
            make_wheel(Path(folder), *files)
        return subprocess.CompletedProcess(command, code, "", stderr)

    monkeypatch.setattr(sources.subprocess, "run", run)
    return commands


@pytest.mark.parametrize(
    ("code", "stderr", "reason"),
    [
        (1, "WARNING: old\nERROR: first\nERROR: No matching distribution\nnotice\n", "ERROR: No matching distribution"),
        (1, "boom\n", "boom"),
        (1, "", "pip gave no wheel"),
        (0, "", "pip gave no wheel"),
    ],
)
def test_a_package_that_pip_cannot_fetch_is_named_with_the_reason(cache, monkeypatch, code, stderr, reason):
    pip(monkeypatch, code, stderr)
    text = f"package:demo==1/a.png#sha256={DIGEST}"
    assert refused(text) == f"source {text!r}: pip cannot fetch demo==1: {reason}"
    assert list(cache.iterdir()) == []


def test_pip_fetches_one_wheel_without_dependencies(cache, monkeypatch, tmp_path):
    digest = sha256(make_wheel(tmp_path, "demo/a.png").read_bytes())
    commands = pip(monkeypatch, 0, "", "demo/a.png")
    text = f"package:demo==1/demo/*.png#sha256={digest}"
    assert names(text) == names(text) == ["demo/a.png"]
    (command,) = commands
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert command[-1] == "demo==1"
    assert {"--no-deps", "--only-binary=:all:"} <= set(command)
