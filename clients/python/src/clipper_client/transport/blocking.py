"""Methods that wait for the result of the coroutine of the same name."""

from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

from clipper_client.transport.remote_server import run

P = ParamSpec("P")
T = TypeVar("T")
Awaited = TypeVar("Awaited")


class Blocking(Generic[Awaited]):
    """Holds the object whose coroutines the methods run; for `with`."""

    def __init__(self, awaited: Awaited) -> None:
        self._awaited = awaited

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    close: Callable[[], None]


def blocking(
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Any, P], T]:
    """Return the method that waits, with the signature and the docstring of the coroutine."""

    @wraps(method)
    def wait(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return run(method(self._awaited, *args, **kwargs))

    return wait


def iterating(
    method: Callable[Concatenate[Any, P], AsyncGenerator[T]],
) -> Callable[Concatenate[Any, P], Generator[T]]:
    """Return the generator that waits for each item of the async one."""

    @wraps(method)
    def iterate(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> Generator[T]:
        items = method(self._awaited, *args, **kwargs)
        try:
            while True:
                try:
                    item = run(items.__anext__())
                except StopAsyncIteration:
                    return
                yield item
        finally:
            run(items.aclose())

    return iterate
