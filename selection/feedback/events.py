"""Feedback as callers send it, and the events that the stream carries to the database."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from core.decoding import Bounds, decoded
from core.errors import BadRequest
from selection.context_names import MAX_CHARACTERS, fault_of
from selection.kinds import Kind
from selection.policies.arithmetic.answer_sums import AnswerSeen

MAX_ITEMS = 1000
ABSENT = Raw()

Share = Annotated[float, Meta(ge=0.0, le=1.0)]
# Numbers that tell of an answer beside its reward, by their names.
MetricName = Annotated[str, Meta(pattern="^[a-z][a-z0-9_]*$", max_length=32)]
Metrics = Annotated[dict[MetricName, Share], Meta(max_length=8)]
Rewards = Annotated[dict[str, Share], Meta(min_length=1)]
IdempotencyKey = Annotated[str, Meta(min_length=1, max_length=128)]


class FeedbackItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One piece of feedback: on a query, or a labelled input. `input` and `label` stay raw JSON.

    Exactly {query_id, label}, {query_id, reward}, {query_id, rewards} (by arm) or {input, label,
    context?, features?, idempotency_key?}. With a query_id also metrics, numbers from 0 to 1 by
    name.
    """

    query_id: str | UnsetType = UNSET
    input: Raw = ABSENT
    label: Raw = ABSENT
    reward: Share | UnsetType = UNSET
    rewards: Rewards | UnsetType = UNSET
    context: str | UnsetType = UNSET
    features: tuple[float, ...] | dict[str, float | str] = ()
    metrics: Metrics = {}
    idempotency_key: IdempotencyKey | UnsetType = UNSET

    def __post_init__(self) -> None:
        bytes(self.label).decode()  # its error is a ValueError: text must be UTF-8
        if isinstance(self.context, str) and (fault := fault_of(self.context)) is not None:
            raise ValueError(fault)
        labelled = bool(bytes(self.label))
        given = labelled + (self.reward is not UNSET) + (self.rewards is not UNSET)
        if isinstance(self.query_id, str):
            if bytes(self.input) or self.context is not UNSET or self.features:
                raise ValueError(
                    "query_id stands for input, context and features: expected none of them"
                )
            if given != 1:
                raise ValueError("expected exactly one of label, reward and rewards with query_id")
            if self.idempotency_key is not UNSET:
                raise ValueError("a query_id counts once by itself: expected no idempotency_key")
        elif not bytes(self.input):
            raise ValueError("expected query_id, or input with label")
        elif self.metrics:
            raise ValueError("metrics tell of the answer to a query: expected query_id")
        elif given != 1 or not labelled:
            raise ValueError("expected label beside input")

    def mean_reward(self) -> float | None:
        """Return the reward, or the mean of those of single arms; None where a label was given."""
        if isinstance(self.rewards, dict):
            return min(1.0, sum(self.rewards.values()) / len(self.rewards))
        return None if isinstance(self.reward, UnsetType) else float(self.reward)


class ArmOutcome(msgspec.Struct, frozen=True, array_like=True):
    """An arm that was asked; its loss has in it what went off for `lateness` and `cost`."""

    arm: str
    propensity: float
    output: str | None
    loss: float | None
    lateness: float = 0.0
    cost: float = 0.0


class FeedbackEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One counted piece of feedback; of rewards for single arms, `reward` is the mean."""

    application_id: int
    context: Annotated[str, Meta(max_length=MAX_CHARACTERS)]
    nonce: Annotated[str, Meta(min_length=1, max_length=64)]
    issued_at_ms: int
    received_at_ms: int
    kind: Kind
    label: str | None
    reward: Share | None
    arms: tuple[ArmOutcome, ...]
    forced: bool
    # The arms routed at the time.
    routed: tuple[str, ...] = ()
    features: tuple[float, ...] = ()
    key: Annotated[str, Meta(max_length=MAX_CHARACTERS)] = ""
    metrics: dict[str, float] = {}
    held_out: bool = False
    overlap: float = 0.0
    # The default output was given.
    defaulted: bool = False
    # How the combined answer stands up to the label, if there is one.
    answer: AnswerSeen | None = None

    def __post_init__(self) -> None:
        if (self.label is None) == (self.reward is None):
            raise ValueError("expected exactly one of label and reward")


class ResetEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody had a context forgotten, None: all of them. It takes its turn among feedback."""

    application_id: int
    context: Annotated[str, Meta(max_length=MAX_CHARACTERS)] | None
    at_ms: int
    by: str


class Rejection(msgspec.Struct, frozen=True):
    """Why one item of a request, by its place in it, was not counted."""

    index: int
    error: str
    code: str


class FeedbackResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a request's items; encodes to the body of the answer."""

    accepted: int
    duplicates: int
    rejected: tuple[Rejection, ...]


class FeedbackItems(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Several items at once; each is parsed by itself, so that one that is wrong fails alone."""

    feedback: list[Raw]


class _Several(msgspec.Struct, frozen=True):
    """Tells a request of several items from one that is an item."""

    feedback: Raw = ABSENT


class UpdateRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Clipper's own feedback, a labelled input; `uid` is its context."""

    uid: str | int
    input: Raw
    label: Raw


_item = msgspec.json.Decoder(FeedbackItem)
_many = msgspec.json.Decoder(FeedbackItems)
_update = msgspec.json.Decoder(UpdateRequest)
_several = msgspec.json.Decoder(_Several)
_BOUNDS = Bounds(
    items={"feedback": MAX_ITEMS},
    small=("query_id", "reward", "rewards", "context", "features", "metrics", "idempotency_key"),
)


def parse_feedback(body: bytes) -> list[FeedbackItem | BadRequest]:
    """Return a request's items; of several, a malformed one is returned as its error."""
    if not bytes(decoded(_several, body).feedback):
        return [parse_item(body)]
    _BOUNDS.check(body)
    items = decoded(_many, body).feedback
    if not 1 <= len(items) <= MAX_ITEMS:
        raise BadRequest(f"feedback: expected 1 to {MAX_ITEMS} items, got {len(items)}")
    parsed: list[FeedbackItem | BadRequest] = []
    features = 0
    for item in items:
        try:
            parsed.append(one := parse_item(bytes(item)))
        except BadRequest as error:
            parsed.append(error)
            continue
        features += len(one.features)
        # Features of all items of a request together.
        if features > 1 << 20:
            raise BadRequest("features: expected at most 1048576 in one request")
    return parsed


def parse_item(body: bytes) -> FeedbackItem:
    _BOUNDS.check(body)
    return decoded(_item, body)


def parse_update(body: bytes) -> FeedbackItem:
    """Read Clipper's own {"uid", "input", "label"}: the uid is the context."""
    update = decoded(_update, body)
    try:
        return FeedbackItem(input=update.input, label=update.label, context=str(update.uid))
    except ValueError as error:
        raise BadRequest(str(error)) from error
