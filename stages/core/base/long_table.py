"""A table of many rows for the terminal, laid out in one go."""

from collections.abc import Sequence

from rich.cells import cell_len, chop_cells
from rich.console import Console, ConsoleOptions, RenderResult
from rich.style import StyleType
from rich.table import Table
from rich.text import Text

__all__ = ["LongTable"]

LEAST_WIDTH = 4
"""Of the first column in however narrow a terminal."""


class LongTable(Table):
    """A table whose cells are single lines: rich lays out each cell as a text of its own, which takes 20 times as long.

    The first column folds where the terminal is narrow; no other does.
    """

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        """Write the title, the headings and all rows, with the lines around them."""
        assert self.box is not None
        box = self.box.substitute(options)
        columns = [[str(column.header), *map(str, column.cells)] for column in self.columns]
        widths = [2 + max(map(cell_len, cells)) for cells in columns]
        room = options.max_width - sum(widths[1:]) - len(widths) - 1
        widths[0] = min(widths[0], max(room, LEAST_WIDTH))
        headings, *rows = zip(*columns, strict=True)
        text = Text(no_wrap=True, overflow="ignore", end="")
        text.append(f"{self.title}\n", "table.title").append(f"{box.get_top(widths)}\n")
        self._write(text, headings, widths, box.head_vertical, self.header_style)
        text.append(f"{box.get_row(widths, 'head')}\n")
        for cells, row in zip(rows, self.rows, strict=True):
            self._write(text, cells, widths, box.mid_vertical, row.style or "")
        yield text.append(f"{box.get_bottom(widths)}\n")

    def _write(self, text: Text, cells: Sequence[str], widths: Sequence[int], bar: str, style: StyleType) -> None:
        """Add a row: one line, or several where its first cell folds."""
        parts = chop_cells(cells[0], widths[0] - 2) or [""]
        for line in [[parts[0], *cells[1:]], *([part, *[""] * len(cells[1:])] for part in parts[1:])]:
            for column, cell, width in zip(self.columns, line, widths, strict=True):
                fill = " " * (width - 2 - cell_len(cell))
                text.append(bar).append(f" {fill}{cell} " if column.justify == "right" else f" {cell}{fill} ", style)
            text.append(f"{bar}\n")
