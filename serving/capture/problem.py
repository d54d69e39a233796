"""The reason why captured queries can't be kept now, for people to see."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from core.redis.redis_client import redis_client
from selection.store.redis_keys import REDIS_ERRORS

KEY, SHOWN_S = "clipper:captured:problem", 60


@contextmanager
def noting_problem(where: str) -> Iterator[None]:
    """Note the exception that ends the block, as one of this place; it is shown for a minute."""
    try:
        yield
    except Exception as error:
        with suppress(*REDIS_ERRORS):
            words = f"{where}: {type(error).__name__}: {error}".rstrip(".")
            redis_client().set(KEY, f"{words[:500]}.", ex=SHOWN_S)
        raise


def problem_now() -> str:
    """Return the last reason of the last minute, or an empty text. Raises REDIS_ERRORS."""
    found = redis_client().get(KEY)
    return found.decode() if isinstance(found, bytes) else ""
