"""So many calls at once in each lane, and so many behind them; whoever waits hears how it ended, and nobody waits for
ever, nor for what another lane does."""

import asyncio
import threading

import pytest

from bywire.wiring import call_pool
from bywire.wiring.call_pool import BusyError, CallPool


@pytest.fixture
def pool():
    made = CallPool(2, 1)
    yield made
    made.close()


class Held:
    """Work that lasts until it is let go."""

    def __init__(self):
        self.began = threading.Semaphore(0)
        self.go = threading.Event()
        self.done = []

    def work(self, name=""):
        self.began.release()
        assert self.go.wait(20)
        self.done.append(name)
        return name


@pytest.fixture
def held():
    made = Held()
    yield made
    made.go.set()


def raising(error):
    def work():
        raise error

    return work


def test_what_work_returns(pool):
    assert asyncio.run(pool.run(lambda: 7, "a")) == 7
    assert asyncio.run(pool.run(lambda: None, "a")) is None


class Stop(BaseException):
    """No error of anybody's."""


@pytest.mark.parametrize("error", [ValueError("why"), Stop()])
def test_what_work_raises_is_raised_where_it_is_waited_for(pool, error):
    with pytest.raises(type(error)) as raised:
        asyncio.run(pool.run(raising(error), "a"))
    assert raised.value is error
    assert asyncio.run(pool.run(lambda: "next", "a")) == "next"


def test_an_iterators_end_is_an_error_and_no_silence(pool):
    async def waiting():
        return await asyncio.wait_for(pool.run(raising(StopIteration(1)), "a"), 20)

    with pytest.raises(RuntimeError, match="iterator"):
        asyncio.run(waiting())


def test_who_finds_every_place_taken_is_told_at_once(pool, held):
    async def crowd():
        three = [asyncio.ensure_future(pool.run(lambda name=name: held.work(name), "a")) for name in "abc"]
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await pool.run(lambda: "no place", "a")
        held.go.set()
        found = await asyncio.gather(*three)
        # Whatever ended has given its place back by the time it is heard of.
        return found, await asyncio.gather(*(pool.run(lambda: "again", "a") for _ in range(3)))

    assert asyncio.run(crowd()) == (["a", "b", "c"], ["again"] * 3)
    assert len(pool._lanes["a"].threads) == 2


def test_calls_run_side_by_side_and_no_more_than_that(pool, held):
    async def crowd():
        three = [asyncio.ensure_future(pool.run(lambda name=name: held.work(name), "a")) for name in "abc"]
        await asyncio.sleep(0)
        assert held.began.acquire(timeout=20)
        assert held.began.acquire(timeout=20)
        assert not held.began.acquire(timeout=0.05)
        held.go.set()
        return await asyncio.gather(*three)

    assert asyncio.run(crowd()) == ["a", "b", "c"]


def test_threads_begin_when_they_are_needed():
    pool = CallPool(16, 0)
    try:
        assert pool._lanes == {}
        for _ in range(5):
            asyncio.run(pool.run(lambda: 1, "a"))
        assert len(pool._lanes["a"].threads) == 1
    finally:
        pool.close()


def test_who_goes_away_leaves_what_began_and_takes_along_what_did_not(held):
    pool = CallPool(2, 2)

    async def crowd():
        three = [asyncio.ensure_future(pool.run(lambda name=name: held.work(name), "a")) for name in "abc"]
        await asyncio.sleep(0)
        assert held.began.acquire(timeout=20)
        assert held.began.acquire(timeout=20)
        for one in three:
            one.cancel()
        found = await asyncio.gather(*three, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in found)
        behind = asyncio.ensure_future(pool.run(lambda: "next", "a"))
        await asyncio.sleep(0)
        held.go.set()
        return await behind

    assert asyncio.run(crowd()) == "next"
    pool.close()
    assert sorted(held.done) == ["a", "b"]


def test_a_loop_that_has_ended_loses_its_answer_and_not_the_thread(pool, held):
    async def leaving():
        task = asyncio.ensure_future(pool.run(lambda: held.work("left"), "a"))
        await asyncio.sleep(0)
        assert held.began.acquire(timeout=20)
        task.cancel()

    asyncio.run(leaving())
    held.go.set()
    assert asyncio.run(pool.run(lambda: "next", "a")) == "next"
    pool.close()
    assert held.done == ["left"]


def test_closing_lets_calls_end_and_drops_what_waits(held):
    pool = CallPool(1, 2)

    async def closing():
        begun = asyncio.ensure_future(pool.run(lambda: held.work("begun"), "a"))
        await asyncio.sleep(0)
        assert held.began.acquire(timeout=20)
        waits = asyncio.ensure_future(pool.run(lambda: held.work("waits"), "a"))
        await asyncio.sleep(0)
        closer = threading.Thread(target=pool.close)
        closer.start()
        with pytest.raises(BusyError):
            await waits
        held.go.set()
        assert await begun == "begun"
        closer.join(20)
        with pytest.raises(BusyError):
            await pool.run(lambda: "late", "a")
        with pytest.raises(BusyError):
            pool.leave(lambda: None, "a")

    asyncio.run(closing())
    assert held.done == ["begun"]
    assert not any(thread.is_alive() for thread in pool._lanes["a"].threads)


def test_what_is_left_needs_no_place_is_done_in_the_end_and_its_error_is_seen(held, monkeypatch):
    told, pool = [], CallPool(2, 0)
    monkeypatch.setattr(threading, "excepthook", told.append)
    for name in "abcd":
        pool.leave(lambda name=name: held.done.append(held.work(name)), "a")
    pool.leave(raising(ValueError("nobody waits")), "a")
    with pytest.raises(BusyError):
        asyncio.run(pool.run(lambda: "no place", "a"))
    held.go.set()
    pool.close()
    assert sorted(held.done) == sorted("aabbccdd")
    assert [str(one.exc_value) for one in told] == ["nobody waits"]


def test_a_system_without_threads_to_give(monkeypatch):
    pool = CallPool(2, 2)

    def none(_thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none)
        with pytest.raises(BusyError):
            asyncio.run(pool.run(lambda: 1, "a"))
    assert asyncio.run(pool.run(lambda: 1, "a")) == 1
    monkeypatch.setattr(threading.Thread, "start", none)
    assert asyncio.run(pool.run(lambda: 2, "a")) == 2  # the one that is here is enough
    monkeypatch.undo()
    pool.close()


def test_a_lane_that_never_ends_holds_up_no_other(pool, held):
    async def crowd():
        stuck = [asyncio.ensure_future(pool.run(lambda name=name: held.work(name), "stuck")) for name in "abc"]
        await asyncio.sleep(0)
        pool.leave(lambda: None, "stuck")
        with pytest.raises(BusyError):
            await pool.run(lambda: "no place", "stuck")
        # In another lane three more find a thread, or a place to wait for one.
        beside = [asyncio.ensure_future(pool.run(lambda name=name: held.work(name), "other")) for name in "def"]
        await asyncio.sleep(0)
        held.go.set()
        return await asyncio.gather(*stuck, *beside)

    assert asyncio.run(crowd()) == list("abcdef")
    assert {name: lane.taken for name, lane in pool._lanes.items()} == {"stuck": 0, "other": 0}


def test_who_stops_waiting_gives_the_place_back_at_once(pool, held):
    async def crowd():
        carried = [asyncio.ensure_future(pool.run(lambda name=name: held.work(name), "a")) for name in "ab"]
        await asyncio.sleep(0)
        for _ in range(5):
            waits = asyncio.ensure_future(pool.run(lambda: held.work("never"), "a"))
            await asyncio.sleep(0)
            waits.cancel()
            await asyncio.gather(waits, return_exceptions=True)
        held.go.set()
        return await asyncio.gather(*carried)

    assert asyncio.run(crowd()) == ["a", "b"]
    pool.close()
    assert sorted(held.done) == ["a", "b"]
    assert pool._lanes["a"].taken == 0


def test_a_thread_that_nobody_needs_ends_and_another_begins(monkeypatch, pool):
    monkeypatch.setattr(call_pool, "IDLE_SECONDS", 0.01)
    assert asyncio.run(pool.run(lambda: 1, "a")) == 1
    (thread,) = pool._lanes["a"].threads or (threading.current_thread(),)
    if thread is not threading.current_thread():
        thread.join(20)
    assert pool._lanes["a"].threads == []
    assert asyncio.run(pool.run(lambda: 2, "a")) == 2


def test_an_error_that_cannot_be_told_ends_no_thread(monkeypatch):
    def closed(_):
        raise OSError("standard error is a closed pipe")

    monkeypatch.setattr(threading, "excepthook", closed)
    pool = CallPool(1, 1)
    pool.leave(raising(ValueError("nobody waits")), "a")
    assert asyncio.run(asyncio.wait_for(pool.run(lambda: "next", "a"), 20)) == "next"
    pool.close()
