from hypothesis import given
from hypothesis import strategies as st

from serving.engine.cache import ENTRY_OVERHEAD, PredictionCache

ENTRY = 4 + 4 + ENTRY_OVERHEAD


def key(number: int) -> bytes:
    return b"%04d" % number


def test_it_remembers_a_value():
    cache = PredictionCache(budget=10 * ENTRY)
    cache.put(key(1), b"aaaa")
    assert cache.get(key(1)) == b"aaaa"
    assert cache.get(key(2)) is None


def test_a_second_value_replaces_the_first():
    cache = PredictionCache(budget=10 * ENTRY)
    cache.put(key(1), b"aaaa")
    cache.put(key(1), b"bbbb")
    assert cache.get(key(1)) == b"bbbb"
    assert len(cache) == 1
    assert cache.bytes_held == ENTRY


def test_an_entry_that_was_hit_outlives_one_that_was_not():
    cache = PredictionCache(budget=2 * ENTRY)
    cache.put(key(1), b"aaaa")
    cache.put(key(2), b"bbbb")
    cache.get(key(1))
    cache.put(key(3), b"cccc")
    assert cache.get(key(1)) == b"aaaa"
    assert cache.get(key(2)) is None


def test_a_hit_saves_an_entry_only_once():
    cache = PredictionCache(budget=2 * ENTRY)
    cache.put(key(1), b"aaaa")
    cache.put(key(2), b"bbbb")
    cache.get(key(1))
    cache.put(key(3), b"cccc")
    cache.put(key(4), b"dddd")
    cache.put(key(5), b"eeee")
    assert cache.get(key(1)) is None


def test_what_is_larger_than_the_budget_is_not_kept_and_evicts_nothing():
    cache = PredictionCache(budget=2 * ENTRY)
    cache.put(key(1), b"aaaa")
    cache.put(key(2), b"x" * 10_000)
    assert cache.get(key(2)) is None
    assert cache.get(key(1)) == b"aaaa"


def test_a_budget_of_zero_turns_it_off():
    cache = PredictionCache(budget=0)
    cache.put(key(1), b"aaaa")
    assert cache.get(key(1)) is None


@given(
    st.lists(
        st.tuples(st.sampled_from(["put", "get"]), st.integers(0, 12), st.integers(0, 700)),
        max_size=200,
    )
)
def test_it_never_holds_more_than_its_budget_and_never_a_wrong_value(steps):
    cache = PredictionCache(budget=5 * ENTRY)
    last: dict[bytes, bytes] = {}
    for action, number, size in steps:
        if action == "put":
            last[key(number)] = b"v" * size
            cache.put(key(number), last[key(number)])
        else:
            assert cache.get(key(number)) in (None, last.get(key(number)))
        assert cache.bytes_held <= cache.budget
        assert cache.bytes_held == sum(
            len(k) + len(cache.get(k)) + ENTRY_OVERHEAD for k in last if cache.get(k) is not None
        )
