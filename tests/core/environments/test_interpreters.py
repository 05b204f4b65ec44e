import sys

import pytest

from stages.core.base.errors import UserError
from stages.core.environments.interpreters import clean_variables, find_python


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine without any Python but the running one; gives a function that adds one, which prints a version."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))

    def add(path, prints):
        program = tmp_path / path
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f"#!/bin/sh\n{prints}\n")
        program.chmod(0o755)
        return program

    return add


def test_the_running_python_comes_first(machine):
    version = "{}.{}".format(*sys.version_info)
    machine(f"bin/python{version}", f"echo {version}")
    assert str(find_python(version, "tiny")) == sys.executable


def test_on_path_then_pyenv_then_uv(machine, tmp_path):
    ours = machine("uv/python", "echo 2.5")
    machine("bin/uv", f"echo {ours}")
    assert find_python("2.5", "tiny") == ours
    of_pyenv = machine("pyenv/versions/2.5.1/bin/python2.5", "echo 2.5")
    assert find_python("2.5", "tiny") == of_pyenv
    on_path = machine("bin/python2.5", "echo 2.5")
    assert find_python("2.5", "tiny") == on_path


def test_one_that_does_not_run_is_passed_over(machine):
    """As pyenv's stand-in for a version that is not chosen, and one without the module venv."""
    machine("bin/python2.5", "echo 'command not found' >&2; exit 127")
    works = machine("pyenv/versions/2.5.1/bin/python2.5", "echo 2.5")
    assert find_python("2.5", "tiny") == works


def test_there_is_none(machine):
    with pytest.raises(UserError, match=r"^the environment tiny needs Python 2\.5, and this machine has none: .*uv .*"):
        find_python("2.5", "tiny")


def test_what_changes_a_python_is_left_out(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "here")
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    monkeypatch.setenv("HTTPS_PROXY", "kept")
    variables = clean_variables()
    assert "PYTHONPATH" not in variables
    assert (variables["PYTHONHASHSEED"], variables["HTTPS_PROXY"]) == ("0", "kept")
