import re
import sys
from pathlib import Path

import pytest

from stages.core.base.errors import UserError
from stages.core.base.user_code import import_callable, require_module, watched_module

CODE = """
LIMIT = 3

def double(x):
    return 2 * x

class Maker:
    @staticmethod
    def make():
        return "made"
"""


@pytest.fixture
def module(tmp_path, monkeypatch, request):
    """A module of a name of its own in the current folder."""
    name = re.sub(r"\W", "_", request.node.name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"{name}.py").write_text(CODE)
    yield name
    sys.modules.pop(name, None)


def test_a_function_and_a_method_in_the_projects_folder(module):
    assert import_callable(f"{module}:double", "key")(4) == 8
    assert import_callable(f"{module}:Maker.make", "key")() == "made"


def test_what_is_installed_is_found_too():
    assert import_callable("json:dumps", "key")([1]) == "[1]"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("doubel", "no 'doubel' there; did you mean 'double'?"),
        ("Maker.make.it", "no 'it' there"),
        ("LIMIT", "'LIMIT' is a int; name a function or a class"),
        ("", "write module:function"),
    ],
)
def test_a_name_that_is_not_there_is_said(module, name, said):
    with pytest.raises(UserError) as caught:
        import_callable(f"{module}:{name}", "data.evaluation.metric")
    assert str(caught.value).startswith(f"data.evaluation.metric={module}:{name}: {said}")


def test_a_module_that_is_not_there_says_where_to_put_it():
    with pytest.raises(UserError, match=r"No module named 'nowhere'; put nowhere\.py into the project's folder"):
        import_callable("nowhere.inside:Name", "key")
    with pytest.raises(UserError, match="No module named 'nowhere'; a path can be added"):
        import_callable("nowhere:Name", "key", "a path can be added")


def test_a_module_that_fails_is_said_in_one_line(module):
    Path(f"{module}.py").write_text("def broken(:\n")
    with pytest.raises(UserError) as caught:
        import_callable(f"{module}:broken", "key")
    assert str(caught.value).startswith(f"key={module}:broken: ")
    assert "\n" not in str(caught.value)


def test_a_missing_module_is_found_out_without_running_any(module):
    Path(f"{module}.py").write_text("raise SystemExit\n")
    require_module(f"{module}:double", "key")
    require_module("json:dumps", "key")
    require_module(None, "key")
    with pytest.raises(UserError, match=r"^key=nowhere:f: there is no module 'nowhere'; put nowhere\.py into"):
        require_module("nowhere:f", "key")


def test_a_syntax_error_is_found_without_running_any(module):
    Path(f"{module}.py").write_text("raise SystemExit\ndef double(x:\n")
    with pytest.raises(UserError) as caught:
        require_module(f"{module}:double", "key")
    assert str(caught.value).startswith(f"key={module}:double: '(' was never closed ({module}.py, line 2)")
    Path("package").mkdir()
    Path("package/__init__.py").touch()
    Path("package/inner.py").write_text("x = = 1\n")
    with pytest.raises(UserError, match=r"^key=package\.inner:f: invalid syntax \(inner\.py, line 1\)"):
        require_module("package.inner:f", "key")


def test_a_file_or_the_folder_of_a_package_is_watched(module):
    Path("package").mkdir()
    Path("package/inner.py").write_text("")
    Path("empty").mkdir()
    assert watched_module(f"{module}:double") == f"{module}.py"
    assert watched_module("package.inner:f") == "package"
    pinned = "stages/core/base/sources.py"
    assert [watched_module(text) for text in (None, "json:dumps", "empty:f", "..:f")] == [pinned] * 4
