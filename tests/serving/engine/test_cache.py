"""Entries of the cache, their lifetime and their eviction."""

from hypothesis import given
from hypothesis import strategies as st

from serving.engine.cache import (
    AT_ONCE,
    ENTRY_OVERHEAD,
    PredictionCache,
)

ENTRY = 4 + 4 + ENTRY_OVERHEAD


def key(number: int) -> bytes:
    return b"%04d" % number


def test_an_entry_that_was_hit_outlives_one_that_was_not() -> None:
    cache = PredictionCache(budget=2 * ENTRY)
    cache.put(key(1), b"aaaa", now=1.0)
    cache.put(key(2), b"bbbb", now=1.0)
    cache.get(key(1))
    cache.put(key(3), b"cccc", now=1.0)
    assert cache.get(key(1)) == b"aaaa"
    assert cache.get(key(2)) is None


def test_a_hit_saves_an_entry_only_once() -> None:
    cache = PredictionCache(budget=2 * ENTRY)
    cache.put(key(1), b"aaaa", now=1.0)
    cache.put(key(2), b"bbbb", now=1.0)
    cache.get(key(1))
    cache.put(key(3), b"cccc", now=1.0)
    cache.put(key(4), b"dddd", now=1.0)
    cache.put(key(5), b"eeee", now=1.0)
    assert cache.get(key(1)) is None


def test_of_entries_that_nobody_hit_the_oldest_goes_first() -> None:
    cache = PredictionCache(budget=10 * ENTRY)
    for number in range(95):
        cache.put(key(number), b"aaaa", now=1.0)
    kept = [number for number in range(95) if cache.get(key(number)) is not None]
    assert kept == list(range(85, 95))


def test_what_is_larger_than_the_budget_is_not_kept_and_evicts_nothing() -> None:
    cache = PredictionCache(budget=2 * ENTRY)
    cache.put(key(1), b"aaaa", now=1.0)
    cache.put(key(2), b"x" * 10_000, now=1.0)
    assert cache.get(key(2)) is None
    assert cache.get(key(1)) == b"aaaa"


def test_a_budget_of_zero_turns_it_off() -> None:
    cache = PredictionCache(budget=0)
    cache.put(key(1), b"aaaa", now=1.0)
    assert cache.get(key(1)) is None


def test_what_is_too_old_for_one_reader_stays_for_another() -> None:
    cache = PredictionCache(budget=2 * ENTRY)
    cache.put(key(1), b"aaaa", now=10.0)
    assert cache.get(key(1), since=10.5) is None
    assert cache.get(key(1), since=10.0) == b"aaaa"
    assert cache.get(key(1), since=float("-inf")) == b"aaaa"


def test_an_entry_that_nobody_takes_for_its_age_is_not_saved_by_it() -> None:
    cache = PredictionCache(budget=2 * ENTRY)
    cache.put(key(1), b"aaaa", now=10.0)
    cache.put(key(2), b"bbbb", now=20.0)
    cache.get(key(1), since=15.0)
    cache.get(key(2), since=15.0)
    cache.put(key(3), b"cccc", now=20.0)
    assert cache.get(key(1)) is None
    assert cache.get(key(2)) == b"bbbb"


@given(
    st.lists(
        st.tuples(st.sampled_from(["put", "get"]), st.integers(0, 12), st.integers(0, 700)),
        max_size=200,
    )
)
def test_it_never_holds_more_than_its_budget_and_never_a_wrong_value(
    steps: list[tuple[str, int, int]],
) -> None:
    cache = PredictionCache(budget=5 * ENTRY)
    last: dict[bytes, bytes] = {}
    for action, number, size in steps:
        if action == "put":
            last[key(number)] = b"v" * size
            cache.put(key(number), last[key(number)], now=1.0)
        else:
            assert cache.get(key(number)) in (None, last.get(key(number)))
        assert cache.bytes_held <= cache.budget
        assert cache.bytes_held == sum(
            len(k) + len(value) + ENTRY_OVERHEAD
            for k in last
            if (value := cache.get(k)) is not None
        )


def test_where_everything_was_hit_the_hand_does_not_go_all_the_way_round() -> None:
    cache = PredictionCache(budget=1000 * ENTRY)
    for number in range(1000):
        cache.put(key(number), b"aaaa", now=1.0)
        cache.get(key(number))
    cache.put(key(1000), b"bbbb", now=1.0)
    assert len(cache) == 1000
    assert cache.get(key(AT_ONCE)) is None
    # Those behind it are marked still, so that it passes over as many again.
    cache.put(key(1001), b"cccc", now=1.0)
    assert cache.get(key(AT_ONCE + 1)) == b"aaaa"
    assert cache.get(key(2 * AT_ONCE + 1)) is None


def full(entries: int) -> PredictionCache:
    cache = PredictionCache(budget=entries * ENTRY)
    for number in range(entries):
        cache.put(key(number), b"aaaa", now=1.0)
    assert len(cache) == entries
    return cache


def test_an_entry_of_the_largest_share_makes_few_others_go_at_once() -> None:
    cache = full(9_000)
    size = cache.budget // 16 - ENTRY_OVERHEAD - 5
    before = len(cache)
    cache.put(b"large", b"x" * size, now=1.0)
    assert before - len(cache) == AT_ONCE


def test_the_hand_passes_over_no_empty_places() -> None:
    """However many small entries a large one replaced."""
    cache = full(9_000)
    size = cache.budget // 16 - ENTRY_OVERHEAD - 5
    for number in range(100):
        cache.put(b"large%d" % (number % 20), b"x" * size, now=1.0)
    names = [key(number) for number in range(9_000)] + [b"large%d" % number for number in range(20)]
    held = {name: value for name in names if (value := cache.get(name)) is not None}
    assert len(held) == len(cache)
    assert cache.bytes_held == sum(len(k) + len(v) + ENTRY_OVERHEAD for k, v in held.items())
    assert cache.bytes_held <= cache.budget
