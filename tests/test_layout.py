"""What one sees at once stays so: short functions, few parameters, folders whose list fits a glance."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

STAGES = Path(__file__).resolve().parent.parent / "stages"
MOST_LINES = 60
MOST_PARAMETERS = 6
MOST_FILES = 14

Function = ast.FunctionDef | ast.AsyncFunctionDef


@pytest.fixture(scope="module")
def functions() -> list[tuple[str, Function]]:
    return [
        (f"{path.relative_to(STAGES.parent)}: {function.name}", function)
        for path in sorted(STAGES.rglob("*.py"))
        for function in _functions(ast.parse(path.read_text(encoding="utf-8")))
    ]


def _functions(tree: ast.Module) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def _parameters(function: Function) -> int:
    arguments = function.args
    names = [each.arg for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls")])


def test_functions_are_short(functions):
    assert len(functions) > 2000
    assert [name for name, each in functions if (each.end_lineno or 0) - each.lineno >= MOST_LINES] == []


def test_functions_have_few_parameters(functions):
    assert [name for name, each in functions if _parameters(each) > MOST_PARAMETERS] == []


def test_folders_have_few_files():
    folders = [STAGES, *(path for path in STAGES.rglob("*") if path.is_dir() and path.name != "__pycache__")]
    crowded = {
        str(folder.relative_to(STAGES.parent))
        for folder in folders
        if len([path for path in folder.iterdir() if path.is_file() and path.name != "__init__.py"]) > MOST_FILES
    }
    assert crowded == set()
