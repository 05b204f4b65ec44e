"""Plots are drawn in processes of their own while the networks run: matplotlib takes as long for them as those do."""

import os
import signal
import threading
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from typing import Any, Literal, Self

from stages.compare.report import Figure

__all__ = ["Drawing", "Sketch"]

WORKERS = 2
Plot = Literal["similarity_plot", "histogram_plot", "pair_plot", "channel_plot", "bits_plot"]
"""The functions of `stages.compare.plot`."""


@dataclass(frozen=True)
class Sketch:
    """A figure that is being drawn.

    Attributes:
        svg: of it.
        caption: what it shows; may be empty.
        narrow: the same for a phone; None: it serves both.
    """

    svg: Future[str]
    caption: str
    narrow: Future[str] | None = None

    def figure(self) -> Figure:
        """Wait until it is drawn."""
        return Figure(self.svg.result(), self.caption, self.narrow.result() if self.narrow else None)


class Drawing:
    """Draws plots behind the caller's back; the bytes are those that the functions give.

    Begin before the networks are opened: processes are forked, with all that is imported, and threads do not go along.
    """

    def __init__(self) -> None:
        self._pool = ProcessPoolExecutor(WORKERS, get_context("fork"), _begin)
        for _ in range(WORKERS):
            self._pool.submit(_plots)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def draw(self, plot: Plot, *arguments: Any, **options: Any) -> Future[str]:
        """Have a plot drawn: SVG text, in time."""
        return self._pool.submit(_drawn, plot, arguments, options)


def _begin() -> None:
    """Leave Ctrl-C to the parent, and end when it does, however that was."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


def _plots() -> None:
    """Import what draws."""
    import stages.compare.plot  # noqa: F401, PLC0415  matplotlib takes half a second, which the parent need not wait for


def _drawn(plot: Plot, arguments: tuple[Any, ...], options: dict[str, Any]) -> str:
    from stages.compare import plot as plots  # noqa: PLC0415

    text: str = getattr(plots, plot)(*arguments, **options)
    return text
