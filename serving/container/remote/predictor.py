"""Answers batches by asking a server: each input gets its output, or why there is none."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Any

from serving.container.encoding import encode_outputs
from serving.container.errors import WarmUpFailed
from serving.container.examples import completed
from serving.container.failures import RecentFailures
from serving.container.parsing import row_parser
from serving.container.pieces import Pieces
from serving.container.predictor import WrongOutputs, as_list
from serving.container.remote.client import HttpClient, ServerSecret
from serving.container.remote.configuration import RemoteConfiguration
from serving.container.remote.exchange import HttpAnswer
from serving.container.remote.failures import BrokenAnswer, RemoteFailure
from serving.container.remote.hosts import AllowedHosts
from serving.container.remote.loop import LoopThread
from serving.container.remote.protocols import dialect_of
from serving.container.remote.protocols.base import CannotAsk, RemoteInputs
from serving.container.rows import InvalidRow
from serving.container.signature import InvalidSignature, Signature, joined
from serving.rpc.frames import MAX_OUTPUT, Answer, AnswerStatus, failed

# Where each input is a request of its own: so many under way unless the version says otherwise.
USUAL_CONCURRENCY = 8
# Of a server's answer for each input, whose output may be written more shortly.
MAX_ANSWER = 2 * MAX_OUTPUT
NOT_ASKED = "not asked any more, as for an input of the same batch {}"

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Errand:
    """One batch on its way: until when it has to be answered, and why nobody else is asked."""

    deadline: float
    given_up: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteTerms:
    """What the operator says: which hosts, with which secret, and how long a batch may take."""

    hosts: AllowedHosts
    secret: str = field(default="", repr=False)
    batch_s: float = 45.0


class RemotePredictor:
    """A model behind HTTP. It comes up whether the server is there or not, and asks when asked."""

    def __init__(
        self,
        configuration: RemoteConfiguration,
        *,
        signature: Signature,
        terms: RemoteTerms,
        search_s: float,
        must_answer: bool,
        example: bytes = b"",
    ) -> None:
        """`must_answer`: warming up fails where the server doesn't, its `example` included."""
        self.input_type = signature.input_type
        self.signature = completed(signature, example=example)
        self.failures = RecentFailures()
        self._example = example
        self._dialect = dialect_of(configuration, input_type=self.input_type)
        self._most = configuration.concurrency or (
            USUAL_CONCURRENCY if self._dialect.one_by_one else 1
        )
        self._timeout_s = min(configuration.timeout_ms / 1000.0, terms.batch_s)
        self._batch_s = terms.batch_s
        self._search_s = search_s
        self._must_answer = must_answer
        self._met = False
        self._parser = row_parser(self.signature)
        self._parsing = threading.Lock()  # a parser is reused from row to row
        self._loop = LoopThread()
        self._client = HttpClient(
            configuration.place,
            hosts=terms.hosts,
            secret=ServerSecret(terms.secret, configuration.secret_header),
            concurrency=self._most,
        )

    @property
    def concurrency(self) -> int:
        """As many batches at once as there may be requests, which all of them share."""
        return self._most

    @property
    def n_features(self) -> int | None:
        return self.signature.length

    def warm_up(self) -> None:
        """Meet the server, where it is there. Raises WarmUpFailed where it must be and isn't."""
        try:
            self._loop.run(self._meet(), within_s=self._batch_s)
        except (RemoteFailure, TimeoutError) as error:
            said = self._client.secret.masked(str(error))
            if self._must_answer:
                # Where it was found out is nothing to whoever has to see to the server.
                raise WarmUpFailed(f"the remote model can't answer: {said}") from None
            logger.warning("remote model not there yet: %s", said)
            return
        if self._must_answer and self._example:
            (answer,) = self.answer_batch([self._example])
            if answer.status is not AnswerStatus.OK:
                words = answer.payload.decode()
                raise WarmUpFailed(f"the remote model failed to answer its example: {words}")

    def answer_batch(self, inputs: Sequence[bytes]) -> list[Answer]:
        raws: list[bytes] = []
        rows: list[Any] = []
        refusals: dict[int, Answer] = {}
        with self._parsing:
            for position, raw in enumerate(inputs):
                try:
                    rows.append(self._parser.parse(raw))
                    raws.append(raw)
                except InvalidRow as error:
                    refusals[position] = Answer(AnswerStatus.INVALID_INPUT, str(error).encode())
        answers = iter(self._answered(RemoteInputs(raws, rows)) if raws else [])
        return [
            refusal if (refusal := refusals.get(position)) is not None else next(answers)
            for position in range(len(inputs))
        ]

    def take_up(self, secret: str) -> None:
        """Send this secret from the next request on. For any thread."""
        self._client.secret = ServerSecret(secret, self._client.secret.header)

    def close(self) -> None:
        self._loop.close(self._client.close)

    def _answered(self, inputs: RemoteInputs) -> list[Answer]:
        try:
            return self._loop.run(self._answer(inputs), within_s=self._batch_s + 1.0)
        except (RemoteFailure, TimeoutError) as error:
            return self._all_failed(str(error) or "the remote gave no answer", inputs=inputs)

    # On the loop's thread.

    async def _meet(self) -> None:
        deadline = _now() + self._timeout_s

        def get(path: str) -> Awaitable[HttpAnswer]:
            return self._client.ask(path, deadline=deadline)

        await self._client.connect(deadline=deadline)
        await self._dialect.meet(get)
        found = Signature.of(self.input_type, length=self._dialect.n_features)
        try:
            self.signature = joined(self.signature, found)
        except InvalidSignature as error:
            raise BrokenAnswer(str(error)) from error
        self._parser = row_parser(self.signature)
        self._met = True

    async def _answer(self, inputs: RemoteInputs) -> list[Answer]:
        if not self._met:
            await self._meet()
        count = len(inputs.raws)
        size = 1 if self._dialect.one_by_one else -(-count // self._most)
        errand = _Errand(_now() + self._batch_s)
        parts = [inputs.part(begin, begin + size) for begin in range(0, count, size)]
        if len(parts) == 1:
            return await self._part_answered(parts[0], errand=errand)
        answered = await self._all(parts, errand=errand)
        return [answer for answers in answered for answer in answers]

    async def _all(self, parts: Sequence[RemoteInputs], *, errand: _Errand) -> list[list[Answer]]:
        """As many at a time as there may be requests; no task waits for its turn."""
        answered: list[list[Answer]] = [[] for _ in parts]
        turns = iter(range(len(parts)))

        async def work() -> None:
            for turn in turns:
                answered[turn] = await self._part_answered(parts[turn], errand=errand)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._most, len(parts))):
                group.create_task(work())
        return answered

    async def _part_answered(self, inputs: RemoteInputs, *, errand: _Errand) -> list[Answer]:
        if errand.given_up:
            return self._all_failed(NOT_ASKED.format(errand.given_up), inputs=inputs)
        began = time.perf_counter()
        try:
            return await self._asked(inputs, errand=errand)
        except (RemoteFailure, CannotAsk) as error:
            took_s = time.perf_counter() - began
            if _alone(error):
                errand.given_up = errand.given_up or str(error)
            if len(inputs.raws) == 1 or not _may_be_one(error):
                return self._all_failed(str(error), inputs=inputs)
            reason = str(error)
        return await self._in_pieces(inputs, errand=errand, reason=reason, took_s=took_s)

    async def _asked(self, inputs: RemoteInputs, *, errand: _Errand) -> list[Answer]:
        """Ask once for all of these; raises what is wrong with the whole."""
        body, count = self._dialect.body(inputs), len(inputs.raws)
        deadline = min(errand.deadline, _now() + self._timeout_s)
        secret = self._client.secret
        answer = await self._client.ask(
            self._dialect.path,
            deadline=deadline,
            body=body.content,
            headers=body.headers,
            most=MAX_ANSWER * count,
        )
        try:
            outputs = as_list(self._dialect.outputs(answer, count=count), count=count)
        except WrongOutputs as error:
            raise BrokenAnswer(f"{self._client.place.name} answered otherwise: {error}") from None
        answers = encode_outputs(outputs, on_failure=self.failures.note_message)
        # A server may quote what it was sent; between two tries that may have become another.
        secrets = [sent for sent in {secret, self._client.secret} if sent.value]
        for sent in secrets:
            answers = [
                Answer(status, sent.masked_in(text) if status == AnswerStatus.OK else text)
                for status, text in answers
            ]
        return answers

    async def _in_pieces(
        self, inputs: RemoteInputs, *, errand: _Errand, reason: str, took_s: float
    ) -> list[Answer]:
        """Find the inputs that the server refuses, as far as time allows; the others count."""
        count = len(inputs.raws)
        pieces = Pieces(rows=count, took_s=took_s, seconds=self._search_s)
        answers: list[Answer] = []
        while size := pieces.next_size(count - len(answers)):
            part = inputs.part(len(answers), len(answers) + size)
            began = time.perf_counter()
            try:
                answers += await self._asked(part, errand=errand)
            except (RemoteFailure, CannotAsk) as error:
                pieces.failed(rows=size, seconds=time.perf_counter() - began)
                reason = str(error)
                if not _may_be_one(error):
                    break
                if size == 1:
                    answers += self._all_failed(reason, inputs=part)
            else:
                pieces.succeeded(rows=size, seconds=time.perf_counter() - began)
        rest = inputs.part(len(answers), count)
        return answers + self._all_failed(NOT_ASKED.format(reason), inputs=rest)

    def _all_failed(self, reason: str, *, inputs: RemoteInputs) -> list[Answer]:
        if not inputs.raws:
            return []
        reason = self._client.secret.masked(reason)
        self.failures.note_message(reason)
        return [failed(reason)] * len(inputs.raws)


def _alone(error: Exception) -> bool:
    return isinstance(error, RemoteFailure) and error.is_everybodys


def _may_be_one(error: Exception) -> bool:
    return isinstance(error, CannotAsk) or (
        isinstance(error, RemoteFailure) and error.blames_an_input
    )


def _now() -> float:
    return asyncio.get_running_loop().time()
