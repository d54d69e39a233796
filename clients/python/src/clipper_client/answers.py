"""The server's answers as values; fields that a newer server adds are left out."""

import warnings
from base64 import urlsafe_b64decode
from typing import Any, TypeVar

import msgspec

from clipper_client.clipper_error import ClipperError, ClipperWarning, unexpected
from clipper_client.options import UNSET, given

T = TypeVar("T")


class QueryId(str):
    """A query's receipt, which also knows the application that it is of."""

    __slots__ = ("application",)
    application: str


def query_of(query_id: str) -> str:
    """Return the number of the query that a receipt is of, as exported rows have it."""
    try:
        # A receipt is base64 of a MAC of 16 bytes, and of an array in msgpack.
        padded = str(query_id) + "=" * (-len(query_id) % 4)
        number: bytes = msgspec.msgpack.decode(urlsafe_b64decode(padded)[16:])[0]
        return number.hex()
    except (ValueError, msgspec.DecodeError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"Expected the query_id of an answer, got {query_id!r:.60}.") from error


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A prediction; an input of a batch may fail alone, with an `error` that `output` raises."""

    given: Any = msgspec.field(default=None, name="output")
    query_id: str = ""
    default: bool = False
    default_explanation: str = ""
    confidence: float = 0.0
    models: dict[str, Any] = {}
    asked: int = 0
    answered: int = 0
    latency_ms: float = 0.0
    explain: dict[str, Any] | None = None
    refused: str = msgspec.field(default="", name="error")
    code: str = ""
    details: dict[str, Any] = {}

    @property
    def query(self) -> str:
        """The number of the query, by which exported rows name it; "" if there is no answer."""
        return "" if self.code else query_of(self.query_id)

    @property
    def error(self) -> ClipperError | None:
        """Why there is no output; None where there is one."""
        if not self.code:
            return None
        return ClipperError(self.refused, code=self.code, details=self.details)

    @property
    def output(self) -> Any:
        """The answer. Raises `error` where there is none."""
        if (error := self.error) is not None:
            raise error
        return self.given

    def as_dict(self) -> dict[str, Any]:
        """As the server answered."""
        if self.code:
            return {"error": self.refused, "code": self.code}
        plain = msgspec.structs.replace(self, query_id=str(self.query_id))
        found: dict[str, Any] = msgspec.to_builtins(plain)
        return {
            name: value
            for name, value in found.items()
            if name == "output" or value not in (None, "", {})
        }


class Rejection(msgspec.Struct, frozen=True, kw_only=True):
    """One item that was refused, and why."""

    index: int
    error: str
    code: str


class FeedbackResult(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of pieces that were kept and that were there already, and the rejected ones."""

    accepted: int = 0
    duplicates: int = 0
    rejected: list[Rejection] = []


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """A release that goes live step by step; `percent` of the queries meet its version now.

    `state` is planned, shadow, canary, held, promoted, rolled_back or aborted. Each of the `gates`
    has a name, an application, a verdict (worse, no_worse or open) and what it comes from.
    """

    id: int
    release: int
    model: str
    version: str
    plan: str
    state: str
    step: int = 0
    percent: float = 0.0
    steps: list[dict[str, Any]] = []
    paused: bool = False
    reason: str = ""
    waits: str = ""
    gates: list[dict[str, Any]] = []
    failures: list[dict[str, Any]] = []

    @property
    def is_open(self) -> bool:
        return self.state in ("planned", "shadow", "canary", "held")

    @property
    def nearest_gate(self) -> str:
        """Return the gate that is nearest to find its version worse, in words; "" for none."""
        gates = [gate for gate in self.gates if gate["verdict"] != "no_worse"]
        if not gates:
            return ""
        gate = max(gates, key=lambda each: (each["verdict"] == "worse", each["evidence"]))
        place = f" in {gate['application']}" if gate["application"] else ""
        return f"{gate['name']}{place}: {gate['words'] or gate['verdict']}"

    def __str__(self) -> str:
        """Say in a few words how it stands, for people."""
        share = f" at {self.percent:g} %" if self.state in ("canary", "held") else ""
        why = self.reason or self.waits
        text = f"rollout {self.id} of {self.model}:{self.version}: {self.state}{share}"
        return f"{text}: {why}" if why else text


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """One deploy or rollback; `state` is pending, starting, live, failed or superseded."""

    id: int
    model: str
    version: str
    state: str
    kind: str = "deploy"
    previous_version: str | None = None
    progress: str = ""
    reason: str = ""
    error: str = ""
    output: str = ""
    report: dict[str, Any] = {}
    by: str = ""
    created_at: str = ""
    live_at: str | None = None
    ended_at: str | None = None
    rollout: int | None = None

    @property
    def warnings(self) -> list[str]:
        """Findings of its check that don't keep it from going live, in sentences."""
        return [str(warning) for warning in self.report.get("warnings", ())]

    @property
    def named_warnings(self) -> list[str]:
        return [f"{self.model}:{self.version}: {text}" for text in self.warnings]

    @property
    def is_open(self) -> bool:
        """True while it is under way."""
        return self.state in ("pending", "starting")

    def __str__(self) -> str:
        """Say in a few words how far it is, for people."""
        state = f"{self.model}:{self.version} is {self.state}"
        return f"{state}: {self.progress}" if self.is_open else state


class Replica(msgspec.Struct, frozen=True, kw_only=True):
    """One process that serves a version."""

    id: str
    model: str
    version: str
    state: str
    host: str = ""
    pid: int = 0
    device: str = "cpu"
    batch_size: int = 0
    in_flight: int = 0
    queries: int = 0
    last_error: str | None = None


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """Lines that a replica wrote."""

    replica: str
    lines: list[str] = []
    end: int = 0


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Applications and models as the server describes them, live replicas, and open rollouts."""

    applications: list[dict[str, Any]]
    models: list[dict[str, Any]]
    replicas: list[Replica]
    rollouts: list[Rollout] = []


def warn(texts: list[str], *, blocks: bool) -> None:
    """Warn the caller of a client's method, which two functions run if it blocks."""
    for text in texts:
        warnings.warn(text, ClipperWarning, stacklevel=5 if blocks else 3)


def feedback_item(query_id: str | Answer | None, *, label: Any, **said: Any) -> dict[str, Any]:
    """Return one piece of feedback as the server takes it, without what is None."""
    known = query_id.query_id if isinstance(query_id, Answer) else query_id
    item = given({"query_id": known, **said})
    return item if label is UNSET else {**item, "label": label}


def parsed(shape: Any, value: Any) -> Any:
    """Return a JSON value in this shape. Raises ClipperError where it isn't."""
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        raise unexpected(error) from error


def known_as(answer: Answer, *, application: str) -> Answer:
    """Return the answer with a query id that knows its application."""
    if not answer.query_id:
        return answer
    query_id = QueryId(answer.query_id)
    query_id.application = application
    return msgspec.structs.replace(answer, query_id=query_id)


def answers_in(body: bytes, *, application: str) -> list[Answer]:
    """Return the answers of a batch, in order."""
    found = decoded(_batches, body).batch_predictions
    return [known_as(answer, application=application) for answer in found]


def decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise unexpected(error) from error


class _Batch(msgspec.Struct):
    batch_predictions: list[Answer]


_batches = msgspec.json.Decoder(_Batch)
