"""Outcomes of queries: one list of counts for an application, and one for each arm asked.

A query has one outcome, counted at its answer. Queries without an ending here were answered by a
model within the objective.
"""

from enum import IntEnum

from serving.engine.outcome import Status
from serving.engine.stats import LATENCY_BOUNDS

# A call ends with a status, or at the deadline without any.
NO_OUTCOME = len(Status)


class QueryEnding(IntEnum):
    """An outcome other than a model's answer in time; its value is its place among the endings."""

    # Answered by a model, or for low confidence by default, but after the objective.
    SLOW = 0
    # These got the default output or, without one, an error.
    TIMED_OUT = 1
    FAILED = 2
    REFUSED = 3
    NO_REPLICA = 4
    # Answered by default and in time, as the models' answer was not sure enough.
    ABSTAINED = 5
    # The input is invalid: no query that an objective counts.
    INVALID = 6


# The layout of a list of counts: how an arm's calls ended; the endings of queries; the time of all
# answers, by bucket; and of those given by default for want of a model's.
ENDINGS = NO_OUTCOME + 1
LATENCY = ENDINGS + len(QueryEnding)
BUCKETS = len(LATENCY_BOUNDS) + 1
DEFAULTS = LATENCY + BUCKETS
LENGTH = DEFAULTS + BUCKETS
