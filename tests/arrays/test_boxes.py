from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import count, islice

import pytest

from labelog.arrays import boxes


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 2, 40])
def test_each_item_is_done_once_and_in_its_place(threads, count):
    seen: Counter[int] = Counter()
    lock = threading.Lock()

    def square(item):
        with lock:
            seen[item] += 1
        return item * item

    assert boxes.each(square, range(count), threads) == [item * item for item in range(count)]
    assert seen == Counter(range(count))


def test_the_callers_thread_is_one_of_a_team():
    """Two meet, so they are at work at a time; neither waits for the other to be done."""
    both = threading.Barrier(2, timeout=30)

    def meet(_):
        both.wait()
        return threading.current_thread()

    with boxes.team(2) as every:
        for _ in range(3):
            found = every(meet, range(2))
            assert threading.main_thread() in found and len(set(found)) == 2


def test_a_few_items_ahead():
    begun = []

    def work(item):
        begun.append(item)
        if item == 20:
            raise ValueError("item 20")
        return item * item

    with ThreadPoolExecutor(2) as pool:
        found = boxes.ahead(pool, work, count(), 5)
        for n in range(20):
            assert next(found) == n * n
            assert len(begun) <= n + 6
        with pytest.raises(ValueError, match="item 20"):
            next(found)
        assert max(begun) <= 25
        assert list(boxes.ahead(pool, str, "abc", 5)) == list("abc")
    assert list(boxes.ahead(None, str, "abc", 5)) == list("abc")


def test_nothing_begins_any_more_when_nobody_asks():
    begun, gate, under_way = [], threading.Event(), threading.Event()

    def work(item):
        begun.append(item)
        if item == 1:
            under_way.set()
            assert gate.wait(30)

    with ThreadPoolExecutor(1) as pool:
        found = boxes.ahead(pool, work, range(9), 5)
        next(found)
        assert under_way.wait(30)
        threading.Timer(0.1, gate.set).start()
        found.close()
        assert gate.is_set(), "what is under way is waited for"
        assert pool.submit(len, "abc").result() == 3
    assert begun == [0, 1]


def test_a_pool_that_is_shut_down_meanwhile():
    """Who asks does what is left, or is told what it gives."""
    pool = ThreadPoolExecutor(2)
    found = boxes.ahead(pool, int, ["4", "9", "16", "25", "x"], 1)
    assert next(found) == 4
    pool.shutdown()
    assert list(islice(found, 2)) == [9, 16]
    with pytest.raises(ValueError, match="invalid literal"):
        next(found)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("bad", [0, 50, 99])
def test_what_is_raised_is_raised(threads, bad):
    begun = []

    def fail(item):
        begun.append(item)
        if item == bad:
            raise ValueError(f"item {item}")
        threading.Event().wait(0.01)

    with pytest.raises(ValueError, match=f"item {bad}"):
        boxes.each(fail, range(100), threads)
    assert bad in begun and len(begun) == len(set(begun))
    if (threads, bad) in ((1, 0), (3, 99)):  # the caller's own thread meets it first
        assert len(begun) < 10
