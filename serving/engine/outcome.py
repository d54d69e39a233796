"""Outcome of one question to one model version."""

from enum import IntEnum

from serving.rpc.frames.codec import Answer, AnswerStatus


class Status(IntEnum):
    """The first three are the replica's own words; the others say why none came."""

    OK = AnswerStatus.OK
    INVALID_INPUT = AnswerStatus.INVALID_INPUT
    MODEL_FAILED = AnswerStatus.MODEL_FAILED
    NOT_CONNECTED = 3
    SATURATED = 4
    REPLICA_LOST = 5
    EXPIRED = 6
    OVERLOADED = 7
    CANCELLED = 8
    QUARANTINED = 9


# What a replica says is passed on as it came: nothing is made anew for each answer of each batch.
# Where it says nothing, the status is one of the others, and the payload a message.
Outcome = Answer

NOT_CONNECTED = Outcome(Status.NOT_CONNECTED, b"no replica of this version is connected")
SATURATED = Outcome(Status.SATURATED, b"the queue of this version is full, in rows or in bytes")
REPLICA_LOST = Outcome(Status.REPLICA_LOST, b"the replica was lost, and so was a second one")
EXPIRED = Outcome(Status.EXPIRED, b"the deadline passed in the queue")
CANCELLED = Outcome(Status.CANCELLED, b"everybody who had asked has left")
QUARANTINED = Outcome(
    Status.QUARANTINED, b"replicas died of this input: it is refused for some minutes"
)
OVERLOADED = Outcome(Status.OVERLOADED, b"no replica can answer before the deadline")
