import gc
import os
import threading
import time

import pytest

from stages.compare.background import Background


def fail():
    raise ValueError("no")


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
    with Background() as background:
        background.hand_over(fail)
        with pytest.raises(ValueError, match="no"):
            background.hand_over(print)
        background.finish()
        with pytest.raises(ValueError, match="no"):
            background.draw(fail).result()


def test_drawing_is_done_in_processes_that_end_with_the_block():
    with Background() as background:
        background.prepare(os.getpid)
        processes = {drawn.result() for drawn in [background.draw(os.getpid) for _ in range(20)]}
        assert os.getpid() not in processes
        for process in processes:
            os.kill(process, 0)  # it runs
    for process in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


IMPORTED = []


def test_what_draws_is_imported_once_for_all_processes():
    with Background() as background:
        background.prepare(lambda: IMPORTED.append(os.getpid()))
        drawn = [background.draw(IMPORTED.copy) for _ in range(20)]
        assert len({tuple(each.result()) for each in drawn}) == 1
    assert not IMPORTED


def test_a_process_that_ends_before_its_time_is_told():
    with Background() as background, pytest.raises(RuntimeError, match="has ended before its time"):
        background.draw(os._exit, 1).result()


def test_what_the_processes_have_from_the_parent_is_not_collected_there():
    with Background() as background:
        assert background.draw(gc.get_freeze_count).result() > 1000


def test_work_that_has_not_begun_is_dropped_where_the_caller_fails():
    with pytest.raises(RuntimeError), Background() as background:  # noqa: PT012
        futures = [background.draw(abs, -index) for index in range(2000)]
        raise RuntimeError
    assert any(future.cancelled() for future in futures)


def test_in_turns_what_is_handed_over_is_waited_for():
    done = []
    with Background() as background:
        background.in_turns = True
        background.hand_over(lambda: done.append(time.sleep(0.01)))
        assert done == [None]
