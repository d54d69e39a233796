"""Observations that come together may be in any order: none tells the bets of another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection.evaluation.gates.gate import Gate, GateSeen

seen = st.builds(
    GateSeen,
    canary=st.booleans(),
    chance=st.sampled_from([0.01, 0.1, 0.5]),
    loss=st.sampled_from([0.0, 0.25, 1.0]),
    number=st.integers(1, 500),
)


@given(st.lists(seen, min_size=1, max_size=8), st.booleans(), st.randoms())
def test_their_order_makes_no_difference(batch: list[GateSeen], by_failures: bool, random) -> None:  # type: ignore[no-untyped-def]  # hypothesis' own class
    one, other = (Gate(margin=0.05, by_failures=by_failures) for _ in range(2))
    shuffled = list(batch)
    random.shuffle(shuffled)
    one.note(*batch)
    other.note(*shuffled)
    assert one.log_evidence == pytest.approx(other.log_evidence)
    for a, b in zip(one.no_worse, other.no_worse, strict=True):
        assert a.log_evidence == pytest.approx(b.log_evidence)


def test_a_first_batch_of_equal_versions_proves_nothing() -> None:
    gate = Gate(margin=0.05, by_failures=False)
    gate.note(GateSeen(False, 0.1, 0.0, 668), GateSeen(True, 0.1, 0.0, 81))
    assert gate.log_evidence < 1.0
