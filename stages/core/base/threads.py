"""Several samples at the same time, in an order that does not depend on how many.

A network runs on one thread, so that its sums have one order and its results the same bytes on every machine. What uses
the cores is that several samples run at once.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from stages.core.base.errors import UserError

__all__ = ["MOST_THREADS", "in_order", "thread_count"]

T = TypeVar("T")
R = TypeVar("R")

MOST_THREADS = 256
VARIABLE = "SOCQUANT_THREADS"


def thread_count(beside: int = 0) -> int:
    """How many samples may run at once: SOCQUANT_THREADS; at 0, the default, the number of cores.

    Args:
        beside: cores that other work needs.

    Raises:
        UserError: if SOCQUANT_THREADS is no number from 0 to `MOST_THREADS`.
    """
    text = os.environ.get(VARIABLE, "0")
    if not (text.isascii() and text.isdigit() and len(text) < 6 and int(text) <= MOST_THREADS):
        raise UserError(f"{VARIABLE}={text[:20]}: give a number up to {MOST_THREADS}; 0 takes every core")
    return int(text) or max((os.cpu_count() or 1) - beside, 1)


def in_order(work: Callable[[T], R], items: Iterable[T], *, beside: int = 0) -> Iterator[R]:
    """Apply `work` to items, several at once, and give the results in the order of the items.

    Of items and results as many are held as there are threads. What `work` or `items` raises is raised when its turn
    comes; nothing else is begun then.

    Args:
        work: may run in other threads; must not depend on what it did before.
        items: taken one by one, in the caller's thread.
        beside: cores that other work needs.
    """
    threads = thread_count(beside)
    if threads == 1:
        yield from map(work, items)
        return
    pending: deque[Future[R]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                pending.append(pool.submit(work, item))
                if len(pending) == threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
