"""Each cause of a default output has a counter, and each error its class by the cause alone."""

import pytest

from core.errors import (
    ClipperError,
    DeadlineExceeded,
    InvalidInput,
    ModelFailed,
    NotReady,
    Saturated,
)
from serving.metrics.published import ApplicationStats
from serving.query.fallback import FallbackCause, FallbackReason, error_for
from serving.testing.specs import application_spec

KINDS: dict[FallbackCause, type[ClipperError]] = {
    FallbackCause.UNCONNECTED: NotReady,
    FallbackCause.OVERLOADED: Saturated,
    FallbackCause.TIMED_OUT: DeadlineExceeded,
    FallbackCause.FAILED: ModelFailed,
    FallbackCause.REFUSED: InvalidInput,
    FallbackCause.UNSURE: ModelFailed,
}


@pytest.mark.parametrize("cause", FallbackCause)
def test_the_cause_decides_the_error_whatever_the_words(cause: FallbackCause) -> None:
    error = error_for(
        FallbackReason(cause, "in other words"),
        application=application_spec(),
        objective_ms=20.0,
        seconds_until_calm=lambda: 1.0,
    )
    assert hasattr(ApplicationStats(), cause.value)
    assert type(error) is KINDS[cause]
    assert "in other words" in error.message
