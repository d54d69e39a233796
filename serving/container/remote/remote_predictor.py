"""Predictor of a remote model: a server answers its batches, each input or why it can't."""

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import uvloop

from serving.container.adapters.encoding import encode_outputs
from serving.container.failures.container_errors import WarmUpFailed
from serving.container.failures.recent_failures import RecentFailures
from serving.container.inputs.bisect import Bisection
from serving.container.inputs.examples import completed
from serving.container.inputs.parsing import row_parser
from serving.container.inputs.rows import InvalidRow
from serving.container.inputs.signature import InvalidSignature, Signature, joined, read_signature
from serving.container.predictor import WrongOutputs, as_list
from serving.container.remote.client import HttpClient, ServerSecret
from serving.container.remote.configuration import RemoteConfiguration
from serving.container.remote.failures import BrokenAnswer, RemoteFailure
from serving.container.remote.hosts import AllowedHosts
from serving.container.remote.http_exchange import HttpAnswer
from serving.container.remote.protocols import dialect_of
from serving.container.remote.protocols.dialect import CannotAsk, RemoteInputs
from serving.container.spec import LoadSpec
from serving.rpc.frames.codec import MAX_OUTPUT, Answer, AnswerStatus, failed

T = TypeVar("T")

NOT_ASKED = "not asked any more, as for an input of the same batch {}"

logger = logging.getLogger(__name__)


class LoopThread:
    """Event loop in a thread of its own, for threads that wait for coroutines."""

    def __init__(self) -> None:
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="remote", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], *, within_s: float) -> T:
        """Return or raise what the work does; TimeoutError, and the work is cancelled, if late."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(within_s)
        except TimeoutError:
            future.cancel()
            raise TimeoutError(f"no answer within {within_s:g} s") from None

    def close(self, last: Callable[[], None]) -> None:
        """Call `last` on the loop, then end it."""

        def stop() -> None:
            last()
            self._loop.call_soon(self._loop.stop)

        self._loop.call_soon_threadsafe(stop)
        self._thread.join(5.0)
        if not self._thread.is_alive():
            self._loop.close()


@dataclass(slots=True)
class _Batch:
    """One batch being asked: its deadline, and why no other of its inputs is asked."""

    deadline: float
    given_up: str = ""


class RemotePredictor:
    """A model behind HTTP. It starts even if the server is away."""

    def __init__(self, configuration: RemoteConfiguration, *, spec: LoadSpec) -> None:
        """On a `trial` warming up fails unless the server answers, the example included."""
        self.input_type = spec.input_type
        said = read_signature(spec.signature, input_type=spec.input_type)
        self.signature = completed(said, example=spec.example)
        self.failures = RecentFailures()
        self._spec = spec
        self._dialect = dialect_of(configuration, input_type=self.input_type)
        # Requests under way at once where each input is one and the version doesn't say.
        self._most = configuration.concurrency or (8 if self._dialect.one_by_one else 1)
        self._timeout_s = min(configuration.timeout_ms / 1000.0, spec.batch_s)
        self._met = False
        self._parser = row_parser(self.signature)
        self._parsing = threading.Lock()  # a parser is reused from row to row
        self._loop = LoopThread()
        self._client = HttpClient(
            configuration.place,
            hosts=AllowedHosts.parse(spec.remote_hosts),
            secret=ServerSecret(spec.secret, configuration.secret_header),
            concurrency=self._most,
        )

    @property
    def concurrency(self) -> int:
        """Return how many batches, which share the requests, may be asked at once."""
        return self._most

    @property
    def n_features(self) -> int | None:
        return self.signature.length

    def warm_up(self) -> None:
        """Ask the server about the model. Raises WarmUpFailed if it must answer and doesn't."""
        try:
            self._loop.run(self._meet(), within_s=self._spec.batch_s)
        except (RemoteFailure, TimeoutError) as error:
            said = self._client.secret.mask(str(error))
            if self._spec.trial:
                raise WarmUpFailed(f"the remote model can't answer: {said}") from None
            logger.warning("remote model not there yet: %s", said)
            return
        if self._spec.trial and self._spec.example:
            (answer,) = self.answer_batch([self._spec.example.encode()])
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
            return self._loop.run(self._answer(inputs), within_s=self._spec.batch_s + 1.0)
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
        batch = _Batch(_now() + self._spec.batch_s)
        parts = [inputs.part(begin, begin + size) for begin in range(0, count, size)]
        if len(parts) == 1:
            return await self._part_answered(parts[0], batch=batch)
        answered = await self._all(parts, batch=batch)
        return [answer for answers in answered for answer in answers]

    async def _all(self, parts: Sequence[RemoteInputs], *, batch: _Batch) -> list[list[Answer]]:
        """Ask as many parts at a time as there may be requests."""
        answered: list[list[Answer]] = [[] for _ in parts]
        turns = iter(range(len(parts)))

        async def work() -> None:
            for turn in turns:
                answered[turn] = await self._part_answered(parts[turn], batch=batch)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._most, len(parts))):
                group.create_task(work())
        return answered

    async def _part_answered(self, inputs: RemoteInputs, *, batch: _Batch) -> list[Answer]:
        if batch.given_up:
            return self._all_failed(NOT_ASKED.format(batch.given_up), inputs=inputs)
        began = time.perf_counter()
        try:
            return await self._asked(inputs, batch=batch)
        except (RemoteFailure, CannotAsk) as error:
            took_s = time.perf_counter() - began
            if error.is_everybodys:
                batch.given_up = batch.given_up or str(error)
            if len(inputs.raws) == 1 or not error.blames_an_input:
                return self._all_failed(str(error), inputs=inputs)
            reason = str(error)
        return await self._in_pieces(inputs, batch=batch, reason=reason, took_s=took_s)

    async def _asked(self, inputs: RemoteInputs, *, batch: _Batch) -> list[Answer]:
        """Ask once for all of these; raises what is wrong with the whole."""
        body, count = self._dialect.body(inputs), len(inputs.raws)
        deadline = min(batch.deadline, _now() + self._timeout_s)
        secret = self._client.secret
        answer = await self._client.ask(
            self._dialect.path,
            deadline=deadline,
            body=body.content,
            headers=body.headers,
            most=2 * MAX_OUTPUT * count,  # an output may be written more shortly
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
                Answer(status, sent.mask_output(text) if status == AnswerStatus.OK else text)
                for status, text in answers
            ]
        return answers

    async def _in_pieces(
        self, inputs: RemoteInputs, *, batch: _Batch, reason: str, took_s: float
    ) -> list[Answer]:
        """Find the inputs that the server refuses, as far as time allows; the others count."""
        count = len(inputs.raws)
        bisection = Bisection(rows=count, took_s=took_s, seconds=self._spec.search_s)
        answers: list[Answer] = []
        while size := bisection.next_size():
            part = inputs.part(len(answers), len(answers) + size)
            began = time.perf_counter()
            try:
                answers += await self._asked(part, batch=batch)
            except (RemoteFailure, CannotAsk) as error:
                bisection.failed(seconds=time.perf_counter() - began)
                reason = str(error)
                if not error.blames_an_input:
                    break
                if size == 1:
                    answers += self._all_failed(reason, inputs=part)
            else:
                bisection.succeeded(seconds=time.perf_counter() - began)
        rest = inputs.part(len(answers), count)
        return answers + self._all_failed(NOT_ASKED.format(reason), inputs=rest)

    def _all_failed(self, reason: str, *, inputs: RemoteInputs) -> list[Answer]:
        if not inputs.raws:
            return []
        reason = self._client.secret.mask(reason)
        self.failures.note_message(reason)
        return [failed(reason)] * len(inputs.raws)


def _now() -> float:
    return asyncio.get_running_loop().time()
