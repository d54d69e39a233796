"""Assignment of keys to arms: the same arm for each query of a key, as far as shares allow.

By weighted rendezvous hashing (Thaler and Ravishankar 1998; Schindelhauer and Schomaker 2005): if
the share of a route changes, only keys that it wins or loses move.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import blake2b


def owner_of(key: str, shares: Mapping[str, float], *, routes: Mapping[str, str]) -> str:
    """Return the arm of a key, given the share and the route of each arm; some share is above 0."""

    def score(arm: str) -> tuple[float, str]:
        return shares[arm] / -math.log(uniform_of(f"{key}\0{routes[arm]}")), arm

    return max((arm for arm, share in shares.items() if share > 0.0), key=score)


def is_held_out(person: str, *, application_id: int, share: float) -> bool:
    """Return whether a person (a key or a context) is among the share held out of the policy."""
    return bool(person) and uniform_of(f"{application_id}\0held out\0{person}") < share


def routes_of(arms: Iterable[str]) -> dict[str, str]:
    """Return the name of each arm's route, which outlives its version: that of the model."""
    places: Counter[str] = Counter()
    routes: dict[str, str] = {}
    for arm in arms:
        model = arm.rpartition(":")[0]
        places[model] += 1
        # No model's name has a colon in it.
        routes[arm] = model if places[model] == 1 else f"{model}:{places[model]}"
    return routes


def uniform_of(key: str) -> float:
    """Return a number in (0, 1) that looks drawn by chance, always the same for one key."""
    drawn = int.from_bytes(blake2b(key.encode(), digest_size=8).digest())
    # 53 bits and a half: neither end is reached.
    return ((drawn >> 11) + 0.5) / (1 << 53)
