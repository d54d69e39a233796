"""The websocket of an application: predictions and feedback, many in flight on one connection."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from functools import partial
from time import monotonic
from typing import Any

import msgspec
from websockets.frames import CloseCode
from websockets.http11 import Request

from core.decoding import LARGE_BODY_BYTES, decoded
from core.errors import BadRequest, ClipperError, Forbidden, Saturated, Unauthenticated
from core.loop.loop_slices import Slice
from core.specs import FEEDBACK, PREDICT, ApiKeySpec, ApplicationSpec, Snapshot
from selection.feedback.events import FeedbackItem, parse_item
from serving.endpoints import paths
from serving.endpoints.feedback_endpoints import submit
from serving.endpoints.key_access import application_named, key_named, key_of
from serving.endpoints.predictions.batch_splitting import split
from serving.endpoints.predictions.binary_inputs import text_of
from serving.endpoints.predictions.predict import answer
from serving.endpoints.predictions.predict_request import BOUNDS, PredictRequest, checked
from serving.http.asgi import UNEXPECTED, too_large
from serving.http.websocket import END_S, WebSocket
from serving.web.runtime import Runtime

# Messages of one connection that are being answered; one more is refused, the socket stays open.
MAX_IN_FLIGHT = 1024
# The code of a socket that is closed for want of a key.
NO_KEY = 4401

_PATH = re.compile(f"/{paths.SOCKET}").fullmatch

logger = logging.getLogger(__name__)
_json = msgspec.json.Encoder().encode

Fields = dict[str, msgspec.Raw]
Inputs = list[msgspec.Raw]
_fields = msgspec.json.Decoder(Fields)
_predict = msgspec.json.Decoder(PredictRequest)
_string = msgspec.json.Decoder(str)
_anything = msgspec.json.Decoder(Any)
_NAMES = {"id", "type", *PredictRequest.__struct_fields__, *FeedbackItem.__struct_fields__}
# Refuses a message of unknown fields, of which there may be millions, before it is made.
_known = msgspec.json.Decoder(
    msgspec.defstruct(
        "Message",
        [(name, msgspec.Raw, msgspec.Raw()) for name in sorted(_NAMES)],
        forbid_unknown_fields=True,
    )
)


class Talk:
    """The messages of one websocket, each answered by a task under its `id`.

    The key comes in the Authorization header or in a first message `{"type":"auth","key"}`. It is
    checked again for every message, so that a revoked key is refused at once.
    """

    def __init__(
        self, socket: WebSocket, *, runtime: Runtime, name: str, authorization: bytes | None
    ) -> None:
        self._socket = socket
        self._serving = runtime
        self._name = name
        self._tasks: set[asyncio.Task[None]] = set()
        self._authorization = authorization
        self._key: bytes | None = None
        self._too_late: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Answer messages until the client leaves or the server stops."""
        try:
            if await self._admitted():
                self._trust()
            else:
                self._too_late = asyncio.get_running_loop().call_later(
                    self._socket.limits.authentication_s,
                    partial(self._socket.close_with, NO_KEY, is_refusal=True),
                )
            while (message := await self._socket.receive()) is not None:
                await self._take(*message)
            if self._tasks and not self._socket.is_closed:
                await asyncio.wait(self._tasks, timeout=END_S)
        finally:
            self._stop_waiting()
            for task in self._tasks:
                task.cancel()
            self._socket.close_with(CloseCode.SERVICE_RESTART)

    async def _take(self, body: bytes, is_text: bool) -> None:
        arrived = monotonic()
        id: bytes = b"null"
        try:
            if len(body) > self._serving.spec.max_body_bytes:
                raise too_large(self._serving.spec.max_body_bytes)
            fields, inputs = None if is_text else self._binary(body), None
            if fields is None:
                fields, inputs = await self._fields(body)
            id = _identity(fields.pop("id", msgspec.Raw(b"null")))
            answering = self._route(fields, inputs=inputs, arrived=arrived)
        except ClipperError as error:
            await self._send_error(id, error)
            return
        if len(self._tasks) >= MAX_IN_FLIGHT:
            answering.close()
            await self._send_error(
                id, Saturated(f"Expected at most {MAX_IN_FLIGHT} messages in flight.")
            )
            return
        task = asyncio.create_task(self._reply(id, answering))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _binary(self, body: bytes) -> Fields | None:
        """Return the fields in the first line and the input behind it; None for JSON as a whole."""
        application = self._serving.snapshot.applications.get(self._name)
        if application is None or application.input_type != "bytes":
            return None
        line, _, content = body.partition(b"\n")
        if not line.lstrip().startswith(b"{"):
            raise BadRequest('Expected a first line such as {"id": 1}, and after it the bytes.')
        if not content.strip():
            return None
        try:
            fields = _fields.decode(line)
        except msgspec.DecodeError:
            return None  # JSON of several lines
        return {**fields, "input": msgspec.Raw(text_of(content))}

    async def _fields(self, body: bytes) -> tuple[Fields, Inputs | None]:
        """Return a message's fields, and its inputs by themselves where they are many."""
        if len(body) < LARGE_BODY_BYTES:
            return decoded(_fields, body), None
        application = self._serving.snapshot.applications.get(self._name)
        input_type = "" if application is None else application.input_type
        parts = await split(
            body, input_type=input_type, slice=Slice(self._serving.processor.resources.turns)
        )
        if parts is not None:
            fields = decoded(_fields, parts.envelope)
            if bytes(fields.get("input_batch", b"")) == b"[]":
                return fields, parts.inputs
        decoded(_known, body)
        BOUNDS.check(body)
        return decoded(_fields, body), None

    def _route(self, fields: Fields, *, inputs: Inputs | None, arrived: float) -> Any:
        """Return the coroutine that answers the message."""
        type = _text(fields.pop("type", None))
        if type == "auth":
            return self._authenticate(fields)
        if type == "feedback" or (type is None and ("query_id" in fields or "label" in fields)):
            return self._feedback(fields)
        if type in (None, "predict"):
            return self._prediction(fields, inputs=inputs, arrived=arrived)
        raise BadRequest(f"type: expected auth, predict or feedback, got {type!r}.")

    async def _authenticate(self, fields: Fields) -> bytes:
        key = _text(fields.get("key"))
        if key is None:
            raise Unauthenticated('Expected {"type":"auth","key":"<key>"}.')
        await self._serving.found(partial(key_named, key.encode()))
        self._key = key.encode()
        self._trust()
        return b'"type":"auth","ok":true'

    async def _admitted(self) -> bool:
        """Tell whether the client may do anything here without a further key."""
        for needs in (PREDICT, FEEDBACK):
            try:
                await self._application(needs=needs)
            except Forbidden:
                continue
            except ClipperError:
                return False
            return True
        return False

    def _trust(self) -> None:
        self._stop_waiting()
        self._socket.trust()

    def _stop_waiting(self) -> None:
        if self._too_late is not None:
            self._too_late.cancel()
            self._too_late = None

    async def _prediction(self, fields: Fields, *, inputs: Inputs | None, arrived: float) -> bytes:
        application = await self._application(needs=PREDICT)
        request = checked(decoded(_predict, _json(fields)))
        if inputs is not None:
            request.input_batch = inputs
        body = await answer(
            self._serving, application=application, request=request, arrived=arrived
        )
        return b'"type":"prediction",' + body[1:-1]

    async def _feedback(self, fields: Fields) -> bytes:
        application = await self._application(needs=FEEDBACK)
        result = await submit(self._serving, application, [parse_item(_json(fields))])
        return b'"type":"feedback",' + _json(result)[1:-1]

    async def _application(self, *, needs: str) -> ApplicationSpec:
        found = await self._serving.found(
            partial(application_named, name=self._name, needs=needs, key_in=self._checked_key)
        )
        if not found.public:
            self._serving.key_uses.count(self._checked_key(self._serving.snapshot))
        return found

    def _checked_key(self, snapshot: Snapshot) -> ApiKeySpec:
        if self._key is not None:
            return key_named(self._key, snapshot)
        if self._authorization is None:
            raise Unauthenticated(
                'Expected an Authorization header or a first message {"type":"auth","key":"<key>"}.'
            )
        return key_of(self._authorization, snapshot)

    async def _reply(self, id: bytes, answering: Awaitable[bytes]) -> None:
        try:
            body = await answering
        except ClipperError as error:
            await self._send_error(id, error)
        except Exception:
            logger.exception("unexpected error on the websocket of %s", self._name)
            await self._send_error(id, UNEXPECTED)
        else:
            await self._socket.send(b'{"id":' + id + b"," + body + b"}")

    async def _send_error(self, id: bytes, error: ClipperError) -> None:
        body = _json({"type": "error", **error.body()})
        await self._socket.send(b'{"id":' + id + b"," + body[1:])


def websockets_of(runtime: Runtime) -> Callable[[str], Callable[..., WebSocket] | None]:
    """Return what makes the websocket of a path, if it has one."""

    def websocket(path: str) -> Callable[..., WebSocket] | None:
        found = _PATH(path)
        return None if found is None else partial(WebSocket, talk=partial(_talk, found["app"]))

    async def _talk(name: str, socket: WebSocket, request: Request) -> None:
        text = request.headers.get("Authorization")
        authorization = None if text is None else text.encode("latin-1", "replace")
        await Talk(
            socket,
            runtime=runtime,
            name=name,
            authorization=authorization,
        ).run()

    return websocket


def _identity(raw: msgspec.Raw) -> bytes:
    """Return a message's id as the JSON text that it came as, to be sent back as it is."""
    decoded(_anything, raw)
    return bytes(raw)


def _text(raw: msgspec.Raw | None) -> str | None:
    """Return a field that must be a string."""
    return None if raw is None else decoded(_string, raw)
