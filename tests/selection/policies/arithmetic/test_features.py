"""Features as a policy learns them: hashed into a few numbers, bounded, refused if unfit."""

import math
import random

import numpy as np
import pytest

from core.errors import BadRequest
from selection.policies.rules.rand_linucb import RandLinUCB


def test_further_ones_are_added_up_in_buckets_with_signs() -> None:
    policy = RandLinUCB(dimensions=200)
    assert policy.coefficients == 33
    units = [policy.encode([float(n == place) for n in range(200)]) for place in range(200)]
    assert {sum(map(abs, unit)) for unit in units} == {1.0}
    used = {next(n for n, x in enumerate(unit) if x) for unit in units}
    assert used == set(range(32))
    luck = random.Random(2)
    x = [luck.gauss(0.0, 1.0) for _ in range(200)]
    encoded = policy.encode(x)
    expected = np.array(x) @ np.array(units)
    assert encoded == pytest.approx(expected.tolist())


def test_named_features_are_hashed_and_a_text_is_one_of_its_own() -> None:
    policy = RandLinUCB(dimensions=40)
    rome, paris = policy.encode({"city": "Rome"}), policy.encode({"city": "Paris"})
    assert len(rome) == 32
    assert rome != paris
    assert rome == policy.encode({"city=Rome": 1.0})
    both = policy.encode({"city": "Rome", "age": 0.5})
    age = policy.encode({"age": 1.0})
    assert both == tuple(r + 0.5 * a for r, a in zip(rome, age, strict=True))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"age": math.inf}, "expected numbers from -1e"),
        ({"a": "x" * 300}, "at most 256 characters"),
        ({str(n): 1.0 for n in range(1025)}, "at most 1024 names, got 1025"),
    ],
)
def test_named_features_are_bounded(given: dict[str, float | str], words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        RandLinUCB(dimensions=40).encode(given)
