import re

import pytest

from stages.core.environments.recipes import ENVIRONMENTS, TENSORFLOW

PINNED = r"[a-z0-9-]+==[0-9a-z.]+(; .+)?( --hash=sha256:(?P<digest>[0-9a-f]{64}))?"


@pytest.fixture
def toolchain(python, tmp_path, monkeypatch):
    monkeypatch.setenv("SOCQUANT_CACHE", str(tmp_path))
    return lambda *arguments: python("-m", "stages.toolchain", *arguments)


def test_status_and_remove(toolchain):
    assert toolchain("status").stdout.count(": not installed\n") == len(ENVIRONMENTS)
    (TENSORFLOW.folder / "bin").mkdir(parents=True)
    TENSORFLOW.executable.touch()
    (TENSORFLOW.folder.parent / "tensorflow-0123456789ab").mkdir()
    done = toolchain("status")
    assert done.returncode == 0
    assert done.stdout.startswith("tensorflow (Python 3.11; ")
    assert ": not installed" not in done.stdout.splitlines()[0]
    assert "of another version" in done.stdout
    assert toolchain("install", "tensorflow").stdout.startswith(
        f"tensorflow is installed: {TENSORFLOW.folder}\nnext:    "
    )
    assert toolchain("remove", "tensorflow").stdout.count("removed ") == 2
    assert toolchain("remove", "tensorflow").stdout.startswith("tensorflow is not installed\n")


def test_status_names_what_is_not_installed(toolchain):
    absent = list(ENVIRONMENTS)
    for each in ENVIRONMENTS.values():
        assert toolchain("status").stdout.endswith(f"next:    python -m stages.toolchain install {absent.pop(0)}\n")
        each.executable.parent.mkdir(parents=True)
        each.executable.touch()
    assert "toolchain install" not in toolchain("status").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("install", "tensorflw"), "error: there is no environment 'tensorflw'; did you mean 'tensorflow'?\n"),
        (("install",), "error: install takes a name; see --help\n"),
        (("status", "tensorflow"), "error: status takes no name; see --help\n"),
    ],
)
def test_a_mistake_is_one_line(toolchain, arguments, message):
    done = toolchain(*arguments)
    assert (done.returncode, done.stderr) == (2, message)


@pytest.mark.parametrize("environment", ENVIRONMENTS.values(), ids=lambda each: each.name)
def test_every_package_has_one_exact_version(environment):
    pinned = [re.fullmatch(PINNED, requirement) for requirement in environment.requirements]
    assert all(pinned)
    assert len({match["digest"] is None for match in pinned if match}) == 1  # pip takes digests of all or of none
    assert environment.smoke
