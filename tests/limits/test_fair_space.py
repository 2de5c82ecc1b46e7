from collections import Counter
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import TooMuchWaiting
from app.limits import FairSpace

TAKEN = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 40)), max_size=60)


def test_a_caller_alone_has_all_of_it_and_another_gets_its_part() -> None:
    space = FairSpace("bodies", 100)
    for _ in range(10):
        space.hold("a", 10)
    with pytest.raises(TooMuchWaiting, match="50 at the most"):
        space.hold("b", 51)
    space.hold("b", 50)
    with pytest.raises(TooMuchWaiting):
        space.hold("a", 1)
    space.give_back("b", 50)
    space.give_back("a", 100)
    space.hold("a", 100)


def test_small_holdings_of_others_take_nothing_from_what_is_free() -> None:
    space = FairSpace("bodies", 100)
    for caller in range(10):
        space.hold(str(caller), 1)
    space.hold("a", 90)


@given(TAKEN)
def test_nobody_is_refused_below_its_share_and_all_together_are_bounded(
    taken: list[tuple[str, int]],
) -> None:
    space = FairSpace("bodies", 100)
    held: Counter[str] = Counter()
    for caller, amount in taken:
        with suppress(TooMuchWaiting):
            space.hold(caller, amount)
            held[caller] += amount
            continue
        callers = len({*held, caller})
        assert held[caller] + amount > 100 // callers or held.total() + amount > 200
    assert held.total() <= 200
    for caller, amount in held.items():
        space.give_back(caller, amount)
    assert not space._held
