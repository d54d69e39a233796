"""A query's features as a policy learns from them: a fixed number of numbers.

Many features, or features by name, are hashed into a few with signs that cancel collisions on
average (Weinberger, Dasgupta, Langford, Smola and Attenberg 2009, "Feature hashing").
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b

from core.errors import BadRequest

# By position, or by name; a text stands for itself: "city": "Rome" is a feature of its own.
Features = Sequence[float] | Mapping[str, float | str]


def encode(features: Features, *, dimensions: int, buckets: int) -> tuple[float, ...]:
    """Return as many numbers as there are buckets. Raises `BadRequest` for unfit features."""
    if isinstance(features, Mapping):
        return _named(features, buckets=buckets)
    if len(features) != dimensions:
        raise BadRequest(
            f"features: expected an array of {dimensions} numbers, got {len(features)}."
        )
    for x in features:
        _check(x)
    if dimensions <= buckets:
        return tuple(features)
    sums = [0.0] * buckets
    for (bucket, sign), x in zip(_places(len(features), buckets=buckets), features, strict=True):
        sums[bucket] += sign * x
    return tuple(sums)


def _named(features: Mapping[str, float | str], *, buckets: int) -> tuple[float, ...]:
    if len(features) > 1024:
        raise BadRequest(f"features: expected at most 1024 names, got {len(features)}.")
    sums = [0.0] * buckets
    for name, value in features.items():
        if isinstance(value, str):
            name, x = f"{name}={value}", 1.0
        else:
            x = _check(value)
        if len(name) > 256:
            raise BadRequest(
                "features: expected names and texts of at most 256 characters together."
            )
        bucket, sign = _place(name, buckets=buckets)
        sums[bucket] += sign * x
    return tuple(sums)


def _check(x: float) -> float:
    # Larger features would drown all others, and their products could overflow.
    if not -1e6 <= x <= 1e6:
        raise BadRequest(f"features: expected numbers from -1e+06 to 1e+06, got {x:g}.")
    return x


@lru_cache(maxsize=(1 << 14))
def _place(name: str, *, buckets: int) -> tuple[int, float]:
    drawn = int.from_bytes(blake2b(name.encode(errors="replace"), digest_size=8).digest())
    return (drawn >> 1) % buckets, 1.0 if drawn & 1 else -1.0


@lru_cache(maxsize=64)
def _places(dimensions: int, *, buckets: int) -> tuple[tuple[int, float], ...]:
    return tuple(_place(str(position), buckets=buckets) for position in range(dimensions))
