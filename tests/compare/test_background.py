import threading

import pytest

from stages.compare.background import Background


def test_work_is_done_in_order_beside_the_caller():
    done, gate = [], threading.Event()

    def first():
        gate.wait()
        done.append("first")

    with Background() as background:
        started = background.start(first)
        result = background.start(lambda word: done.append(word) or word, "second")
        assert done == []
        gate.set()
        assert result.result() == "second"
        assert started.done()
    assert done == ["first", "second"]


def test_no_more_is_handed_over_until_what_was_is_done():
    gates, done = [threading.Event(), threading.Event()], []

    def work(index):
        gates[index].wait()
        done.append(index)

    with Background() as background:
        background.hand_over(work, 0)
        threading.Timer(0.01, gates[0].set).start()
        background.hand_over(work, 1)
        assert done == [0]
        gates[1].set()
        background.finish()
        assert done == [0, 1]


def test_what_the_work_raises_is_raised_at_the_next_word():
    def fail():
        raise ValueError("no")

    with Background() as background:
        background.hand_over(fail)
        with pytest.raises(ValueError, match="no"):
            background.hand_over(print)
        background.finish()
        with pytest.raises(ValueError, match="no"):
            background.start(fail).result()


def test_work_that_has_not_begun_is_dropped_where_the_caller_fails():
    gate, done = threading.Event(), []
    with pytest.raises(RuntimeError), Background() as background:  # noqa: PT012
        background.start(gate.wait)
        background.start(done.append, 1)
        threading.Timer(0.01, gate.set).start()
        raise RuntimeError
    assert done == []
