"""Environments of no or few packages, made by the Python that runs the tests."""

import sys
import zipfile
from dataclasses import replace

import pytest
from filelock import FileLock

from stages.core.base.errors import UserError
from stages.core.base.sources import environments_folder
from stages.core.environments import install as module
from stages.core.environments.environment import Environment, Mend
from stages.core.environments.install import install, remove, run_python

VERSION = "{}.{}".format(*sys.version_info)
WRITE = "import pathlib, sys; path = pathlib.Path(sys.prefix, 'mended'); path.write_text({}{!r})"
TINY = Environment(
    name="tiny",
    purpose="tests",
    python=VERSION,
    mends=(Mend("one", WRITE.format("", "a")), Mend("two", WRITE.format("path.read_text() + ", "b"))),
    smoke="import pathlib, sys; assert pathlib.Path(sys.prefix, 'mended').read_text() == 'ab'",
    variables={"OF_TINY": "yes"},
)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SOCQUANT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "environments"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A cache with the tiny environment, mended and tested by itself."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOCQUANT_CACHE", str(folder))
        install(TINY)
    return folder


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def test_it_is_made_whole_and_its_scripts_know_its_place(installed, monkeypatch):
    monkeypatch.setenv("SOCQUANT_CACHE", str(installed))
    assert left(environments_folder()) == [TINY.folder.name, "tiny.lock"]
    assert (TINY.folder / "mended").read_text() == "ab"
    for path in (TINY.folder / "bin" / "activate", TINY.folder / "pyvenv.cfg"):
        assert str(TINY.folder) in path.read_text()
        assert f".{TINY.folder.name}-" not in path.read_text()


def test_its_python_is_apart_from_the_projects(installed, monkeypatch, tmp_path):
    monkeypatch.setenv("SOCQUANT_CACHE", str(installed))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "of_the_project.py").touch()
    code = (
        "import importlib.util, os, sys; print(sys.prefix); print(os.getcwd()); print(os.environ['OF_TINY']);"
        "print([importlib.util.find_spec(name) for name in ('numpy', 'of_the_project')]); sys.exit(3)"
    )
    exit_code, text = run_python(TINY, ["-c", code], tmp_path)
    assert exit_code == 3
    assert text.splitlines() == [str(TINY.folder), str(tmp_path), "yes", "[None, None]"]


def test_what_is_there_is_not_made_again(installed, monkeypatch):
    monkeypatch.setenv("SOCQUANT_CACHE", str(installed))
    monkeypatch.setattr(module, "_make", lambda *_: pytest.fail("made again"))
    assert install(TINY) == TINY.folder / "bin" / "python"


def test_another_recipe_is_another_environment():
    assert replace(TINY, purpose="other", gigabytes=3.0).digest == TINY.digest
    others = [
        replace(TINY, python="3.1"),
        replace(TINY, requirements=("a==1",)),
        replace(TINY, smoke=""),
        replace(TINY, mends=TINY.mends[::-1]),
    ]
    assert len({TINY.digest, *(other.digest for other in others)}) == 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"smoke": "raise SystemExit('it smokes')"}, r"^tiny cannot be installed: the smoke test: it smokes$"),
        ({"mends": (Mend("a patch", "1/0"),)}, r"^tiny cannot be installed: mend: a patch: ZeroDivisionError: .*$"),
    ],
)
def test_a_failure_leaves_nothing(cache, change, message):
    with pytest.raises(UserError, match=message):
        install(replace(TINY, **{"mends": (), "smoke": "", **change}))
    assert left(cache) == ["tiny.lock"]


def test_no_room(cache):
    with pytest.raises(UserError, match=r"^tiny needs 1e\+09 GB, and .*environments has .* GB free; SOCQUANT_CACHE "):
        install(replace(TINY, gigabytes=1e9))


def test_a_cache_that_is_a_file(tmp_path, monkeypatch):
    (tmp_path / "cache").touch()
    monkeypatch.setenv("SOCQUANT_CACHE", str(tmp_path / "cache"))
    with pytest.raises(UserError, match=r"cache/environments cannot be written: "):
        install(TINY)


def test_another_process_is_waited_for(cache, monkeypatch):
    """What holds the lock lets it go when it is said that it is waited for; by then it has made the environment."""
    cache.mkdir(parents=True)
    lock, said = FileLock(cache / "tiny.lock"), []
    lock.acquire()

    def hear(text, **_):
        said.append(text)
        (TINY.folder / "bin").mkdir(parents=True)
        TINY.executable.touch()
        lock.release()

    monkeypatch.setattr(module.console, "print", hear)
    install(TINY)
    assert said == ["waiting for another process that installs or removes tiny"]


def test_all_of_a_name_are_removed(cache):
    kept = [cache / "tiny-other", cache / "tin-0123456789ab"]
    for folder in (TINY.folder, cache / "tiny-0123456789ab", *kept):
        (folder / "bin").mkdir(parents=True)
    assert remove(TINY) == [TINY.folder, cache / "tiny-0123456789ab"]
    assert remove(TINY) == []
    assert left(cache) == sorted(["tiny.lock", *(folder.name for folder in kept)])


def wheel(folder, name, requires=""):
    """A wheel with one empty module."""
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}.py", "")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{requires}")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


@pytest.mark.slow
def test_what_the_recipe_lists_is_installed_and_nothing_else(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    wheel(tmp_path, "one", "Requires-Dist: two\n")
    wheel(tmp_path, "two")
    smoke = "import one, importlib.util as u; assert u.find_spec('two') is None and u.find_spec('pip') is None"
    install(replace(TINY, requirements=("one==1.0", "two==1.0; python_version < '3'"), mends=(), smoke=smoke))
    with pytest.raises(UserError, match=r"^tiny cannot be installed: pip: .*three==1\.0[^\n]*$"):
        install(replace(TINY, requirements=("three==1.0",)))
