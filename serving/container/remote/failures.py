"""Why a remote model gave no output: what the caller, the operator and the log are told.

RemoteFailure
├── HostRefused         the operator's list doesn't have the host, or the address it leads to
├── CannotConnect       nobody answers there, or not as TLS
├── ClosedWithoutAnswer the connection ended before a byte of the answer came
├── BrokenAnswer        what came is no HTTP, no JSON, not whole, or not one per input
│   └── TooLargeAnswer  what came is larger than the outputs of so many inputs may be
├── AnsweredLate        nothing within the time that the version gives it
└── AnsweredError       a status other than 2xx, with its words
"""

from __future__ import annotations

from typing import ClassVar

# Statuses of servers, and of proxies in front of them, that a moment later may be others.
PASSING = frozenset({429, 502, 503, 504})
# Servers answer so where a single input of a batch is to blame.
BLAMING = frozenset({400, 413, 422, 500})


class RemoteFailure(Exception):
    """`retryable`: the same request may be answered a moment later. `after_s`: not sooner."""

    retryable: ClassVar[bool] = False
    after_s: float = 0.0

    @property
    def passes(self) -> bool:
        return self.retryable

    @property
    def is_everybodys(self) -> bool:
        """Whether the next request would fare no better."""
        return False

    @property
    def blames_an_input(self) -> bool:
        """Whether it may be the fault of a single one of several inputs."""
        return False


class HostRefused(RemoteFailure):
    @property
    def is_everybodys(self) -> bool:
        return True


class CannotConnect(RemoteFailure):
    retryable = True

    @property
    def is_everybodys(self) -> bool:
        return True


class ClosedWithoutAnswer(RemoteFailure):
    retryable = True


class BrokenAnswer(RemoteFailure):
    pass


class TooLargeAnswer(BrokenAnswer):
    @property
    def blames_an_input(self) -> bool:
        return True


class AnsweredLate(RemoteFailure):
    @property
    def is_everybodys(self) -> bool:
        return True


class AnsweredError(RemoteFailure):
    def __init__(self, message: str, *, status: int, after_s: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.after_s = after_s

    @property
    def passes(self) -> bool:
        return self.status in PASSING

    @property
    def blames_an_input(self) -> bool:
        return self.status in BLAMING
