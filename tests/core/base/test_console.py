import io
import os
import subprocess
import sys

import pytest
from rich.console import Console

from stages.core.base import console
from stages.core.base.console import output, track, warn
from tests.conftest import REPOSITORY


@pytest.mark.parametrize("message", ["two pictures are alike", "pictures/[a].png", "[/a].png is grey", "a:x:b"])
def test_a_warning_is_one_line_as_it_is(capsys, message):
    warn(message)
    assert capsys.readouterr() == ("", f"warning: {message}\n")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        (b"\xff.png".decode("utf-8", "surrogateescape"), r"\udcff.png"),
        ("a\nb\r\nc", "a b c"),
    ],
)
def test_a_name_does_nothing_to_the_terminal(capsys, name, shown):
    warn(name)
    output.print(name.splitlines()[0])
    assert capsys.readouterr() == (f"{shown.split()[0]}\n", f"warning: {shown}\n")


def test_progress_passes_every_item_on_and_is_silent_without_a_terminal(capsys):
    assert list(track(iter("abc"), "reading", total=3)) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")


def test_progress_on_a_terminal_shows_how_many_are_done(monkeypatch):
    terminal = Console(file=io.StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr(console, "console", terminal)
    assert list(track([1, 2, 3], "reading")) == [1, 2, 3]
    shown = terminal.file.getvalue()
    assert "reading" in shown
    assert "3/3" in shown


def test_a_terminal_that_lacks_a_letter_shows_it_escaped():
    line = "from stages.core.base.console import output; output.print('a \u2013 b')"
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-c", line], cwd=REPOSITORY, env=environment, capture_output=True, check=True
    )
    assert done.stdout == b"a \\u2013 b\n"
