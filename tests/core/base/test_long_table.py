import io

import pytest
from rich.console import Console
from rich.table import Table

from stages.core.base.long_table import LongTable

ROWS = [("block[a]/conv", "0.5", None), ("卷积", "0.25", "red"), ("a/long/name/of/a/node", "12.125", "yellow")]


def printed(kind, width, rows=ROWS):
    table = kind(title="similarity", title_justify="left", header_style="bold")
    table.add_column("node", overflow="fold")
    table.add_column("cosine", justify="right", no_wrap=True)
    for name, value, style in rows:
        table.add_row(name, value, style=style)
    console = Console(file=io.StringIO(), width=width, soft_wrap=True, markup=False, highlight=False, emoji=False)
    console.print(table)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 35, 34, 33, 24])
def test_rich_lays_out_the_same(width):
    """At 34 columns the longest name just fits; below it folds."""
    assert printed(LongTable, width) == printed(Table, width)


def test_a_table_without_rows():
    assert printed(LongTable, 80, []) == printed(Table, 80, [])


def test_rows_keep_their_colour():
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system="standard")
    table = LongTable(title="t")
    table.add_column("node")
    table.add_row("first", style="red")
    console.print(table)
    assert "\x1b[31m first \x1b[0m" in console.file.getvalue()
