import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from app.limits import FairLock


def waiting(lock: FairLock) -> int:
    with lock._mutex:
        return sum(map(len, lock._waiting.values()))


def test_who_comes_last_is_before_a_caller_that_held_the_lock_for_long() -> None:
    lock, order = FairLock(), list[str]()

    def work(caller: str) -> None:
        with lock.hold(caller):
            order.append(caller)

    with ThreadPoolExecutor(3) as threads:
        asked: list[Future[None]] = []
        with lock.hold("greedy"):
            for place, caller in enumerate(("greedy", "greedy", "other")):
                asked.append(threads.submit(work, caller))
                deadline = time.monotonic() + 30
                while waiting(lock) <= place:
                    assert time.monotonic() < deadline
        for each in asked:
            each.result(30)

    assert order == ["other", "greedy", "greedy"]


def test_a_lock_whose_block_fails_is_free() -> None:
    lock = FairLock()
    for _ in range(2):
        with pytest.raises(KeyError), lock.hold("a"):
            raise KeyError
    with lock.hold("b"):
        assert lock._held
    assert not lock._held
