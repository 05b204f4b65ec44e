"""Processes that draw: what draws is imported in the first, and the others are forked from that one."""

import contextlib
import gc
import os
import signal
import threading
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from multiprocessing import connection, get_context, parent_process
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeAlias, TypeVar

from stages.core.base.threads import thread_count

__all__ = ["Drawers"]

P = ParamSpec("P")
T = TypeVar("T")
Pipe: TypeAlias = "connection.Connection[Any, Any]"
MAX_PROCESSES = 2
FORK = get_context("fork")


class Drawers:
    """Begin before other threads: processes are forked, with all that is imported, and threads do not go along.

    Importing what draws takes longer than most plots, so it is done once. A thread here waits for each process.
    """

    def __init__(self) -> None:
        self._count = min(thread_count(), MAX_PROCESSES)
        self._threads = ThreadPoolExecutor(self._count)
        self._pipes: list[Pipe] = []
        self._idle: SimpleQueue[Pipe] = SimpleQueue()

    def begin(self, imports: Callable[[], object]) -> None:
        """Fork the processes; the first calls `imports`."""
        pairs = [FORK.Pipe() for _ in range(self._count)]
        self._pipes = [ours for ours, _ in pairs]
        theirs = [pipe for _, pipe in pairs]
        self._process = FORK.Process(target=_first, args=(imports, self._pipes, theirs))
        self._process.start()
        for ours, pipe in pairs:
            pipe.close()
            self._idle.put(ours)

    def draw(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have something drawn in time; its result, or what it raises, comes from the future."""
        if not self._pipes:
            self.begin(bool)
        return self._threads.submit(self._drawn, (work, args, kwargs))

    def end(self) -> None:
        """Wait for what is being drawn, and drop what is not begun."""
        self._threads.shutdown(cancel_futures=True)
        for pipe in self._pipes:
            pipe.close()  # ends the process at its other end
        if self._pipes:
            self._process.join()

    def _drawn(self, job: Any) -> Any:
        """What the next process that has nothing to do makes of a job.

        Raises:
            RuntimeError: if the process has ended.
        """
        pipe = self._idle.get()
        try:
            pipe.send(job)
            result, error = pipe.recv()
        except (EOFError, OSError) as ended:
            raise RuntimeError("a process that draws has ended before its time") from ended
        finally:
            self._idle.put(pipe)
        if error:
            raise error
        return result


def _first(imports: Callable[[], object], callers: Sequence[Pipe], pipes: Sequence[Pipe]) -> None:
    """Import, fork the other processes, and draw beside them."""
    _follow_parent()
    for pipe in callers:
        pipe.close()
    imports()
    others = [FORK.Process(target=_other, args=(pipe,)) for pipe in pipes[1:]]
    for process in others:
        process.start()
    for pipe in pipes[1:]:
        pipe.close()
    _draw_all(pipes[0])
    for process in others:
        process.join()


def _other(pipe: Pipe) -> None:
    _follow_parent()
    _draw_all(pipe)


def _draw_all(pipe: Pipe) -> None:
    """Draw what is asked for until the caller's end is closed."""
    with contextlib.suppress(EOFError):
        while True:
            work, args, kwargs = pipe.recv()
            pipe.send(_outcome(partial(work, *args, **kwargs)))


def _outcome(work: Callable[[], object]) -> tuple[object, Exception | None]:
    """What work gives, or the exception that it raises."""
    try:
        return work(), None
    except Exception as error:
        error.add_note(traceback.format_exc())  # a process does not send it along
        return None, error


def _follow_parent() -> None:
    """Leave Ctrl-C to the parent, and end when it does, however that was."""
    gc.freeze()  # a network of the parent's that is collected here would wait for threads that did not go along
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
