import sys

import pytest

from stages.core.base.processes import run_streaming


def test_both_streams_come_as_they_are_printed(tmp_path):
    code = "import sys; print('a', flush=True); print('50%\\r100%', file=sys.stderr); print(repr(sys.stdin.read()))"
    seen = []
    assert run_streaming([sys.executable, "-c", code], tmp_path, seen.append) == 0
    assert "".join(seen) == "a\n50%\r100%\n''\n"
    assert seen[:2] == ["a\n", "50%\r"]


@pytest.mark.parametrize(("code", "expected"), [("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 9)", -9)])
def test_the_exit_code(tmp_path, code, expected):
    assert run_streaming([sys.executable, "-c", code], tmp_path, lambda _: None) == expected


def test_an_error_in_what_takes_the_lines_ends_the_program(tmp_path):
    code = "import time; print('go', flush=True); time.sleep(600)"

    def refuse(line):
        raise ValueError(line)

    with pytest.raises(ValueError, match="go"):
        run_streaming([sys.executable, "-c", code], tmp_path, refuse)


def test_a_program_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        run_streaming([str(tmp_path / "absent")], tmp_path, lambda _: None)
