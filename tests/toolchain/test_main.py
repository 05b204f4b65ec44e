import pytest

from stages.core.environments.recipes import ENVIRONMENTS, TENSORFLOW


@pytest.fixture
def toolchain(python, tmp_path, monkeypatch):
    monkeypatch.setenv("SOCQUANT_CACHE", str(tmp_path))
    return lambda *arguments: python("-m", "stages.toolchain", *arguments)


def test_status_and_remove(toolchain):
    assert toolchain("status").stdout.endswith(": not installed\n")
    (TENSORFLOW.folder / "bin").mkdir(parents=True)
    TENSORFLOW.executable.touch()
    (TENSORFLOW.folder.parent / "tensorflow-0123456789ab").mkdir()
    done = toolchain("status")
    assert done.returncode == 0
    assert "not installed" not in done.stdout
    assert "of another version" in done.stdout
    assert toolchain("install", "tensorflow").stdout == f"tensorflow is installed: {TENSORFLOW.folder}\n"
    assert toolchain("remove", "tensorflow").stdout.count("removed ") == 2
    assert toolchain("remove", "tensorflow").stdout == "tensorflow is not installed\n"


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
    names = [requirement.partition(";")[0].partition("==") for requirement in environment.requirements]
    assert all(name and version and "*" not in version for name, _, version in names)
    assert environment.smoke
