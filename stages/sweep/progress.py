"""A sweep while it runs: points done, a line for each, the time left. Read from files, whoever runs the points."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from stages.core.base import console
from stages.core.base.console import counted
from stages.sweep.sweep_state import PointResult, Sweep, label, load_results

__all__ = ["point_line", "watched"]

LOOK_SECONDS = 0.3  # between two looks at the folder


@contextmanager
def watched(sweep: Sweep, total: int | None) -> Iterator[None]:
    """Show results as they come into the sweep's folder: a line each, and a bar where there is a terminal.

    Args:
        sweep: whose points are watched.
        total: points; None where a sweeper does not say.
    """
    shown: set[int] = set()
    over = threading.Event()
    terminal = console.console
    with console.progress_bar() as bar:
        task = bar.add_task("points", total=total)

        def look() -> None:
            for result in load_results(sweep.folder):
                if result.number not in shown:
                    shown.add(result.number)
                    terminal.print(f"{len(shown):>3}{f'/{total}' if total else ''}  {point_line(result, sweep)}")
            bar.update(task, completed=len(shown))

        def watch() -> None:
            while not over.wait(LOOK_SECONDS):
                look()

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            look()


def point_line(result: PointResult, sweep: Sweep) -> str:
    """Say in a line what became of a point."""
    name = label(result.overrides, sweep.varied)
    if result.value is None:
        return f"{name}: failed: {result.error}"
    how = f"{counted(len(result.executed), 'stage')} computed" if result.executed else "from the cache"
    return f"{name}: {result.value:.4g} ({result.seconds:.1f} s, {how})"
