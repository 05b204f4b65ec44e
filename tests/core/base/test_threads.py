import threading
import time

import pytest

from stages.core.base.errors import UserError
from stages.core.base.threads import in_order, thread_count

COUNTS = ["1", "2", "3", "4", "8"]


@pytest.mark.parametrize("threads", COUNTS)
def test_results_come_in_the_order_of_the_items(monkeypatch, threads):
    """Though the first ones take longest."""
    monkeypatch.setenv("SOCQUANT_THREADS", threads)

    def work(item):
        time.sleep((9 - item) / 1000)
        return item * item

    assert list(in_order(work, range(10))) == [item * item for item in range(10)]


@pytest.mark.parametrize(("threads", "together"), [("1", 1), ("2", 2), ("3", 3), ("8", 8)])
def test_so_many_run_at_once_and_no_more(monkeypatch, threads, together):
    monkeypatch.setenv("SOCQUANT_THREADS", threads)
    barrier, running, most = threading.Barrier(together), set(), []

    def work(item):
        running.add(item)
        barrier.wait(timeout=10)  # breaks unless `together` of them meet
        most.append(len(running))
        running.discard(item)

    list(in_order(work, range(3 * together)))
    assert max(most) <= together


def test_items_are_taken_as_results_are(monkeypatch):
    """So that memory holds few of them."""
    monkeypatch.setenv("SOCQUANT_THREADS", "3")
    taken = []

    def items():
        for item in range(100):
            taken.append(item)
            yield item

    results = in_order(lambda item: item, items())
    for done in range(20):
        assert next(results) == done
        assert len(taken) == done + 3
    results.close()
    assert len(taken) == 22


@pytest.mark.parametrize("threads", COUNTS)
def test_the_first_error_in_order_is_raised(monkeypatch, threads):
    monkeypatch.setenv("SOCQUANT_THREADS", threads)
    done = []

    def work(item):
        if item in (3, 4):
            raise ValueError(item)
        done.append(item)
        return item

    results = in_order(work, range(1000))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="3"):
        next(results)
    assert len(done) < 20


def test_an_error_of_the_items_is_raised(monkeypatch):
    monkeypatch.setenv("SOCQUANT_THREADS", "2")

    def items():
        yield 0
        raise UserError("a picture cannot be read")

    with pytest.raises(UserError, match="a picture cannot be read"):
        list(in_order(lambda item: item, items()))


def test_without_a_number_all_cores_run(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    for text in (None, "0"):
        monkeypatch.delenv("SOCQUANT_THREADS") if text is None else monkeypatch.setenv("SOCQUANT_THREADS", text)
        assert (thread_count(), thread_count(beside=1), thread_count(beside=9)) == (6, 5, 1)
    monkeypatch.setenv("SOCQUANT_THREADS", "5")
    assert thread_count(beside=1) == 5


@pytest.mark.parametrize("text", ["", "-1", "two", "1.5", "257", "100000", "9" * 5000, "²", "٣"])
def test_other_numbers_are_refused(monkeypatch, text):
    monkeypatch.setenv("SOCQUANT_THREADS", text)
    with pytest.raises(UserError, match=r"^SOCQUANT_THREADS=.{0,20}: give a number up to 256; 0 takes every core$"):
        thread_count()
